"""The command line on many inputs: as they come, bad ones among them, with fields, into files, and after a break."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_input import coming_input, standard_input
from tasks import NER

from npbert import SentenceTransformer
from npbert.cli import verbs
from npbert.cli.answers import Pace
from npbert.cli.inputs import CHUNK, Lines
from npbert.cli.main import main

TEXTS = {
    "embed": ("encoder", []),
    "classify": ("BertForSequenceClassification", []),
    "ner": ("BertForTokenClassification", []),
    "fill-mask": ("BertForMaskedLM", ["--top-k", "1"]),
    "zero-shot": ("nli", ["--labels", "a,b"]),
    "qa": ("BertForQuestionAnswering", ["Who?"]),
    "tokenize": ("BertForMaskedLM", []),
}
"""Verb -> the folder it is asked of, and the arguments that it wants."""


@pytest.fixture(scope="module")
def ask(task_folder: Callable[..., Path], encoder: Path) -> Callable[..., list[str]]:
    """ask(verb, argument, ...) -> a command line."""
    labels = {"BertForSequenceClassification": ("no", "yes"), "BertForTokenClassification": tuple(NER)}
    labels["nli"] = ("contradiction", "neutral", "entailment")

    def line(verb: str, *arguments: object) -> list[str]:
        name, wanted = TEXTS[verb]
        architecture = "BertForSequenceClassification" if name == "nli" else name
        chosen = {"labels": labels[name]} if name in labels else {}
        folder = encoder if name == "encoder" else task_folder(architecture, **chosen)
        return [verb, str(folder), *wanted, *map(str, arguments)]

    return line


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(line, ...) -> a file of them; of JSON where they are no strings."""

    def written(*lines: Any, name: str = "in.txt") -> Path:
        path = tmp_path / name
        made = [line if isinstance(line, bytes) else line.encode() for line in lines]
        path.write_bytes(b"".join(line + b"\n" for line in made))
        return path

    return written


def answers(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- as they come


@pytest.mark.parametrize("verb", TEXTS)
def test_an_answer_is_there_before_the_next_input_is(
    verb: str, ask: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(sys, "stdin", coming_input(
        [b"a [MASK]\nb [MASK]\n", b"c [MA", b"SK]\n"], lambda: counts.append(len(answers(capsys)))
    ))  # fmt: skip
    assert main(ask(verb)) == 0
    assert counts == [0, 2, 0, 1]


def test_lines_are_taken_as_they_stand_in_a_stream() -> None:
    size = 3 * CHUNK
    parts = [b"x" * CHUNK, b"x" * CHUNK, b"x" * CHUNK + b"\n", b"\n\na\nb\nc", b"d"]
    lines = Lines(coming_input(parts, lambda: None).buffer)
    assert lines.take(10, 10**9) == [b"x" * size]
    assert lines.take(2, 10**9) == [b"", b""]
    assert lines.take(10, 1) == [b"a"]
    assert lines.take(10, 10**9) == [b"b"]
    assert lines.take(10, 10**9) == [b"cd"]
    assert lines.take(10, 10**9) == []


def test_what_is_there_is_taken_together(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"a\n" * CHUNK)  # read in pieces, as a descriptor that never waits
    with open(tmp_path / "lines", "rb") as file:
        lines = Lines(file)
        assert [len(lines.take(CHUNK - 1, 10**9)) for _ in range(3)] == [CHUNK - 1, 1, 0]


def test_steps_take_a_moment_each() -> None:
    """A bar then moves, and answers come, a few times a second."""
    pace = Pace(512)
    for speed, least, most in ((1e-6, 512, 512), (0.01, 8, 32), (0.001, 64, 256), (5.0, 1, 1)):
        for _ in range(20):
            pace.adapt(pace.size, pace.size * speed)
        assert least <= pace.size <= most
    pace.adapt(0, 0.001)  # there was no more to take
    assert pace.size == 1


# --- inputs that can't be answered


def test_what_stands_before_a_bad_line_is_answered(
    ask: Callable[..., list[str]], write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"text {number}" for number in range(101)]
    lines[65] = "so " * 200
    path = write(*lines)
    assert main(ask("classify", "--input", path)) == 1
    output = capsys.readouterr()
    assert [json.loads(line)["text"] for line in output.out.splitlines()] == lines[:65]
    assert output.err.startswith(f"npbert: error: {path}: line 66: wanted 1 to 128 tokens")
    assert output.err.endswith("; --truncation cuts it off\n")
    assert output.err.count("\n") == 1


BAD: dict[str, list[Any]] = {
    "embed": ['{"text": "a\\ud800"}', b'"\xff"', "{", "3", '{"id": 1}'],
    "classify": ['{"text": "a", "text_pair": 3}', json.dumps("so " * 200), '{"text": "a\\ud800", "id": 7}'],
    "fill-mask": ['"no mask"', "[]"],
    "zero-shot": ['""', "null"],
    "qa": ['{"context": ""}', '{"question": 3, "context": "a"}'],
    "tokenize": ['"\\udfff"', '{"text": ["a"]}'],
    "ner": ["3"],
}


@pytest.mark.parametrize("verb", BAD)
def test_bad_lines_are_skipped(
    verb: str, ask: Callable[..., list[str]], write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"text": "a [MASK]", "context": "One day.", "id": 5}'
    bad = BAD[verb]
    path = write(*(line for one in bad for line in (good, one)), good, name="in.jsonl")
    assert main(ask(verb, "--input", path, "--on-error", "skip")) == 1
    output = capsys.readouterr()
    lines = [json.loads(line) for line in output.out.splitlines()]
    assert len(lines) == 2 * len(bad) + 1  # answers count as inputs do
    assert all(line == lines[0] and "error" not in line for line in lines[::2])
    notes = output.err.splitlines()
    assert notes[-1] == f"npbert: error: {len(bad)} of {len(lines)} inputs could not be answered"
    for number, line, note in zip(range(2, len(lines), 2), lines[1::2], notes[:-1], strict=True):
        assert note == f"npbert: skipped: {line['error']}"
        assert line["error"].startswith(f"{path}: line {number}")
    assert verb != "classify" or lines[5] == {"text": "a\ud800", "id": 7, "error": lines[5]["error"]}


def test_an_argument_that_is_wrong_for_all_is_no_bad_line(
    ask: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (
        ask("embed", "a", "--prompt-name", "none"),
        ask("fill-mask", "[MASK]", "--top-k", 40000),
        ask("tokenize", "a", "--max-length", 1),
        ask("ner", "a", "--stride", 2),
    ):
        assert main([*line, "--on-error", "skip"]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert "argument" not in output.err
        assert "skipped" not in output.err


# --- fields


def test_other_fields_stay(
    ask: Callable[..., list[str]], write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"id": 7, "body": "a [MASK]", "label": "no", "input_label": None, "sequence": [1.5], "error": "日"}
    path = write(json.dumps(record), name="in.jsonl")
    kept = {"id": 7, "body": "a [MASK]", "label": "no", "input_label": None, "sequence": [1.5], "input_error": "日"}
    for verb in ("embed", "ner", "fill-mask", "tokenize"):
        assert main(ask(verb, "--input", path, "--field", "body")) == 0
        (line,) = answers(capsys)
        assert {key: line[key] for key in kept} == kept
        assert next(iter(line)) == "id"
    assert main(ask("classify", "--input", path, "--field", "body", "--pair-field", "input_label")) == 0
    (line,) = answers(capsys)
    assert (line["label"] in ("no", "yes"), line["input_label"]) == (True, "no")  # no pair, where it is null
    assert main(ask("classify", "--input", path, "--field", "body", "--pair-field", "label")) == 0
    assert answers(capsys)[0]["input_input_label"] == "no"
    assert main(ask("zero-shot", "--input", path, "--field", "body")) == 0
    (line,) = answers(capsys)
    assert (line["sequence"], line["input_sequence"], line["id"]) == ("a [MASK]", [1.5], 7)


def test_fields_of_questions(
    ask: Callable[..., list[str]], write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write('{"id": 1, "q": "What?", "passage": "A cat."}', '{"passage": "A dog."}', name="in.jsonl")
    assert main(ask("qa", "--input", path, "--question-field", "q", "--context-field", "passage")) == 0
    first, second = answers(capsys)
    assert [first["id"], first["q"], second["q"]] == [1, "What?", "Who?"]
    assert "passage" not in first


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("embed", ["a", "--field", "body"]), ("classify", ["a", "--pair-field", "b"]), ("qa", ["--context-field", "c"])],
)
def test_a_field_of_what_is_no_json_is_misuse(
    verb: str,
    arguments: list[str],
    ask: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input(b"a\n"))
    with pytest.raises(SystemExit) as caught:
        main(ask(verb, *arguments))
    assert caught.value.code == 2
    assert "-field: wanted with lines of JSON" in capsys.readouterr().err


# --- files


@pytest.mark.parametrize("verb", TEXTS)
def test_json_lines_into_a_file(
    verb: str,
    ask: Callable[..., list[str]],
    write: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = write("a [MASK]", "", "b [MASK]"), tmp_path / "out.jsonl"
    options = ["--input", path, "--on-error", "skip"]
    status = main(ask(verb, *options))
    printed = capsys.readouterr().out
    assert printed
    assert main(ask(verb, *options, "--output", output)) == status
    assert capsys.readouterr().out == ""
    assert output.read_text(encoding="utf-8") == printed
    assert output.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("lines", [0, 1, 700])
def test_an_array_counts_as_the_lines_do(
    lines: int, ask: Callable[..., list[str]], encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its length is known when all is read."""
    texts = [f"cat {number % 7}" for number in range(lines)]
    monkeypatch.setattr(sys, "stdin", standard_input("".join(text + "\n" for text in texts).encode()))
    assert main(ask("embed", "--output", tmp_path / "out.npy")) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), SentenceTransformer(encoder).encode(texts))
    assert os.listdir(tmp_path) == ["out.npy"]


def test_a_skipped_line_is_a_row_that_is_no_number(
    ask: Callable[..., list[str]], write: Callable[..., Path], encoder: Path, tmp_path: Path
) -> None:
    path = write('"cat"', "{", '"fox"', name="in.jsonl")
    assert main(ask("embed", "--input", path, "--on-error", "skip", "--output", tmp_path / "out.npy")) == 1
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(found[[0, 2]], SentenceTransformer(encoder).encode(["cat", "fox"]))
    assert np.isnan(found[1]).all()


class Break(KeyboardInterrupt):
    """Ctrl-C at a text."""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """broken(text): the model is interrupted at that text."""
    encode = SentenceTransformer.encode

    def at(text: str) -> None:
        def interrupted(self: Any, texts: Any, *arguments: Any, **options: Any) -> Any:
            if text in texts:
                raise Break
            return encode(self, texts, *arguments, **options)

        monkeypatch.setattr(SentenceTransformer, "encode", interrupted)

    return at


RESUMED = [*(f'{{"id": {number}, "text": "cat {number}"}}' for number in range(40)), "{", '"fox"', '"the cat"']


@pytest.mark.parametrize("ending", ["npy", "jsonl"])
def test_resume(
    ending: str,
    ask: Callable[..., list[str]],
    write: Callable[..., Path],
    broken: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(*RESUMED, name="in.jsonl")
    output, wanted, partial = (tmp_path / name for name in (f"out.{ending}", f"all.{ending}", f"out.{ending}.partial"))
    line = ask("embed", "--input", path, "--on-error", "skip")
    assert main([*line, "--output", str(wanted), "--resume"]) == 1  # there is nothing to go on with
    output.write_bytes(b"before")
    asked = [*line, "--output", str(output), "--resume"]
    with monkeypatch.context():
        broken("fox")
        capsys.readouterr()
        assert main(asked) == 130
    kept = f"npbert: interrupted; {partial} keeps what is done, and --resume goes on from there"
    assert capsys.readouterr().err.splitlines()[-1] == kept
    assert output.read_bytes() == b"before"
    if ending == "npy":
        assert len(np.load(partial)) == 41  # as it is, too
    with partial.open("ab") as file:
        file.write(b'{"id')  # what a full disk leaves
    monkeypatch.undo()
    broken("cat 5")  # what is done is not done again
    assert main(asked) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "npbert: error: 1 of 43 inputs could not be answered"
    assert output.read_bytes() == wanted.read_bytes()
    assert not partial.exists()


@pytest.mark.parametrize("ending", ["npy", "jsonl"])
@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (['"cat"', '"the fox"', '"quick"'], [], "wanted answers to "),
        (['"cat"'], [], "wanted answers to "),
        (
            ['"cat"', '"fox"', '"quick"'],
            ["--prompt", "the "],
            "wanted answers that this model gives with these options",
        ),
        (['"cat"', '"fox"', '"quick"'], ["--truncate-dim", "4"], "wanted "),
    ],
)
def test_resume_refuses_what_was_begun_otherwise(
    ending: str,
    lines: list[str],
    options: list[str],
    message: str,
    ask: Callable[..., list[str]],
    write: Callable[..., Path],
    broken: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, partial = tmp_path / f"out.{ending}", tmp_path / f"out.{ending}.partial"
    asked = ask("embed", "--input", write('"cat"', '"fox"', '"quick"', name="in.jsonl"), "--output", output)
    with monkeypatch.context():
        broken("quick")
        # A step for each line, so that what stands before the break is done.
        monkeypatch.setattr("npbert.cli.answers.FIRST", 1)
        monkeypatch.setattr("npbert.cli.answers.STEP_S", 0.0)
        assert main(asked) == 130
    monkeypatch.undo()
    before = partial.read_bytes()
    write(*lines, name="in.jsonl")
    capsys.readouterr()
    assert main([*asked, *options, "--resume"]) == 1
    assert capsys.readouterr().err.startswith(f"npbert: error: {partial}: {message}")
    assert partial.read_bytes() == before


def test_a_partial_file_of_somebody_else_is_refused(
    ask: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending, data in (("npy", b"x" * 1000), ("jsonl", b'{"text": "a", "embedding"\n')):
        partial = tmp_path / f"out.{ending}.partial"
        partial.write_bytes(data)
        assert main(ask("embed", "a", "--output", tmp_path / f"out.{ending}", "--resume")) == 1
        assert f"{partial}: wanted " in capsys.readouterr().err
        assert partial.read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "m", "a", "--output", "x.npy"], "--output: wanted a name that ends in .jsonl, found 'x.npy'"),
        (["embed", "m", "a", "--resume"], "--resume: wanted with --output FILE"),
    ],
)
def test_misuse(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


# --- options


def test_no_verb_lacks_an_option_that_has_a_meaning() -> None:
    options = {name: {key for group in verb.options for key in group} for name, verb in verbs.VERBS.items()}
    reading = {name for name, verb in verbs.VERBS.items() if "texts" in verb.positionals}
    assert reading == {*TEXTS, "similarity", "rerank"}
    for name in reading:
        assert {"--input", "--json-lines", "--on-error", "--max-length"} <= options[name]
        assert {"--field", "--context-field"} & options[name]
        assert {"--output", "--resume", "--queries", "--top-k"} & options[name]
    for name in (reading | {"demo", "bench"}) - {"tokenize"}:
        assert {"--threads", "--device", "--backend", "--dtype"} <= options[name]
        assert name in ("demo", "bench") or "--batch-size" in options[name]
    for name in ("embed", "similarity", "rerank"):
        assert {"--prompt-name", "--prompt"} <= options[name]


@pytest.mark.parametrize("verb", [verb for verb in TEXTS if verb != "qa"])  # whose windows are all read
def test_max_length(verb: str, ask: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    """Texts that are the same up to there get the same answers, and others don't."""
    same, other = "a [MASK] fox or so", "a [MASK] cat or so"
    texts = [f"{same} fox cat", f"{same} cat the", f"{other} cat the"]

    def found(*arguments: object) -> list[Any]:
        assert main(ask(verb, *texts, *arguments)) == 0
        lines = answers(capsys)
        return [{key: value for key, value in line.items() if key not in ("text", "sequence")} for line in lines]

    one, two, three = found("--max-length", {"zero-shot": 13, "embed": 9}.get(verb, 7))
    assert one == two != three
    one, two, _ = found()
    assert one != two


@pytest.mark.parametrize("verb", ["embed", "classify"])
def test_a_device_that_is_none(verb: str, ask: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ask(verb, "a", "--device", "tpu")) == 1
    assert "device: wanted None or 'cpu', 'cuda' or 'cuda:N', found 'tpu'" in capsys.readouterr().err
    assert main(ask(verb, "a", "--device", "cpu")) == 0


def test_a_warning_is_told_once(ask: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ask("embed", "a", "b", "--truncate-dim", "999", "--batch-size", "1")) == 0
    assert capsys.readouterr().err.count("truncate_dim: 999 is beyond") == 1
