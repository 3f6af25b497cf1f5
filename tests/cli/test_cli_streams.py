"""The command line where streams are closed, absent or odd, where Ctrl-C comes, and where a disk is full."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cli_input import standard_input

import npbert.text.tokenizer
from npbert import CrossEncoder, SentenceTransformer
from npbert.cli import interrupts
from npbert.cli.inputs import count_lines
from npbert.cli.interrupts import heard
from npbert.cli.main import main
from npbert.progress import Progress, is_terminal


class Odd:
    """What a server may have put in the place of a stream."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass


def closed() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    return stream


ABSENT: dict[str, Callable[[], Any]] = {"none": lambda: None, "closed": closed, "odd": Odd}


# --- streams


@pytest.mark.parametrize("kind", ABSENT)
@pytest.mark.parametrize("show", [None, True, False])
def test_the_library_needs_no_stream(
    kind: str, show: bool | None, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npbert.progress.DELAY_S", 0.0)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, ABSENT[kind]())
    assert not is_terminal(sys.stderr)
    assert SentenceTransformer(encoder).encode(["cat", "fox"], show_progress_bar=show).shape == (2, 36)


def test_a_bar_that_is_lost_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(Odd):
        def write(self, text: str) -> int:
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(sys, "stderr", Lost())
    with Progress(10, "Work", "texts", True) as progress:
        for _ in range(10):
            progress.advance(1)


def test_a_bar_counts_when_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def total() -> int:
        asked.append(1)
        return 7

    with Progress(total, "Work", "texts", False) as progress:
        progress.advance(1)
    assert not asked
    monkeypatch.setattr(sys, "stderr", stream := Odd())
    with Progress(total, "Work", "texts", True) as progress:
        progress.advance(1)
    assert len(asked) == 1
    assert "/7" in "".join(stream.written)


def test_lines_are_counted_of_files_alone(tmp_path: Path) -> None:
    for data, count in ((b"", 0), (b"a", 1), (b"a\n", 1), (b"\n\nb", 3)):
        (tmp_path / "lines").write_bytes(data)
        assert count_lines(str(tmp_path / "lines")) == count
    assert count_lines(str(tmp_path)) is None
    assert count_lines(str(tmp_path / "none")) is None


@pytest.mark.parametrize("kind", ["none", "closed"])
def test_without_standard_output(
    kind: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", ABSENT[kind]())
    error = "npbert: error: standard output: closed, so there is nowhere to write to\n"
    for arguments in (["embed", "cat"], ["similarity", "cat", "fox"], ["tokenize", "cat"], ["info"], ["validate"]):
        verb, *texts = arguments
        assert main([verb, str(encoder), *texts]) == 1
        assert capsys.readouterr().err == error
    assert main(["embed", str(encoder), "cat", "--output", str(tmp_path / "out.npy")]) == 0


@pytest.mark.parametrize("kind", ["none", "closed"])
def test_without_standard_input(
    kind: str, encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", ABSENT[kind]())
    for arguments in ([], ["--input", "-"]):
        assert main(["embed", str(encoder), *arguments]) == 1
        assert capsys.readouterr().err == (
            "npbert: error: standard input: closed, and no texts are given: name some, or use --input FILE\n"
        )
    assert main(["embed", str(encoder), "cat"]) == 0


@pytest.mark.parametrize("kind", ["none", "closed", "odd"])
def test_without_standard_error(
    kind: str, encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is for it goes nowhere else."""
    stream = ABSENT[kind]()
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["embed", str(encoder), "cat", "--truncate-dim", "999"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["embed", "/nowhere/model", "cat"]) == 1
    with pytest.raises(SystemExit) as caught:
        main(["embed", "m", "a", "--output", "a.txt"])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""
    assert sys.stderr is stream
    if isinstance(stream, Odd):
        assert "npbert: error: /nowhere/model: no such folder\n" in "".join(stream.written)


def test_closed_descriptors(encoder: Path) -> None:
    """As a shell closes them: no file gets a number that was theirs."""
    for redirection, status, said in (
        (">&-", 1, "npbert: error: standard output: closed, so there is nowhere to write to\n"),
        ("<&- >&- 2>&-", 1, ""),
    ):
        line = f'"$0" -m npbert embed "$1" cat --backend reference {redirection}'
        given = ["sh", "-c", line, sys.executable, str(encoder)]
        done = subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (status, "", said)


def test_an_input_that_can_t_be_read_is_named(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

    source = standard_input(b"")
    source.buffer = io.BufferedReader(Broken())
    monkeypatch.setattr(sys, "stdin", source)
    assert main(["embed", str(encoder)]) == 1
    assert capsys.readouterr().err == "npbert: error: standard input: Input/output error\n"
    assert main(["embed", str(encoder), "--input", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"npbert: error: {tmp_path}: Is a directory\n"


def test_what_is_quoted_is_on_one_line(encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", str(encoder), "--input", "no\nsuch \x1b[31mfile\udc80"]) == 1
    said = "npbert: error: no such \\x1b[31mfile\\udc80: No such file or directory\n"
    assert capsys.readouterr().err == said


# --- Ctrl-C


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background jobs start with SIGINT ignored, and Python then leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_between_steps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(given: object) -> None:
        signal.raise_signal(signal.SIGINT)

    module = ModuleType("npbert.cli.warmup")
    monkeypatch.setitem(sys.modules, "npbert.cli.warmup", module)
    for run, status, said in ((interrupted, 130, "npbert: interrupted\n"), (lambda given: None, 0, "")):
        module.run = run  # type: ignore[attr-defined]
        assert main(["warmup"]) == status
        assert capsys.readouterr() == ("", said)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised where it can be, and else the end is called, from a thread."""
    monkeypatch.setattr(interrupts, "GRACE_S", 60.0)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), heard(lambda: None):
            signal.raise_signal(signal.SIGINT)
    with heard(lambda: None):
        pass
    monkeypatch.setattr(interrupts, "GRACE_S", 0.0)
    ended = threading.Event()
    with heard(ended.set):
        signal.signal(signal.SIGINT, lambda number, frame: None)  # as if Python never came to it
        signal.raise_signal(signal.SIGINT)
        assert ended.wait(60)


@pytest.mark.usefixtures("interruptible")
def test_another_handler_stays() -> None:
    found: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: found.append(number))
    with heard(lambda: found.append(0)):
        signal.raise_signal(signal.SIGINT)
    assert found == [signal.SIGINT]
    signal.signal(signal.SIGINT, signal.default_int_handler)


DEAF = """
import hashlib, os, signal, sys, types
from npbert.cli.main import main
def run(given):
    given.unfinished = unfinished
    os.write(1, b"begun")
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)  # minutes in one step, in which no handler runs
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["npbert.cli.warmup"] = module = types.ModuleType("warmup")
module.run = run
unfinished = sys.argv.pop()
sys.argv.append("warmup")
sys.exit(main())
"""


def test_interrupted_in_a_library(tmp_path: Path) -> None:
    """Ctrl-C ends the process, soon, though Python hears nothing; what nobody can use is gone."""
    unfinished = tmp_path / "unfinished"
    (unfinished / "inner").mkdir(parents=True)
    given = [sys.executable, "-c", DEAF, str(unfinished)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"begun"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        seconds = time.monotonic() - started
    assert (process.returncode, error) == (130, b"npbert: interrupted\n")
    assert seconds < 10  # 0.13 where nothing else runs; the call itself takes minutes
    assert not unfinished.exists()


def test_nobody_reads_and_ctrl_c_is_heard(encoder: Path, tmp_path: Path) -> None:
    """What a pipe has no room for is not waited for."""
    source = tmp_path / "texts.txt"
    source.write_text("a cat\n" * 2000)  # some MB of answers
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from npbert.cli.main import main; sys.exit(main())"
    )
    reader, writer = os.pipe()
    given = [sys.executable, "-c", code, "embed", str(encoder), "--backend", "reference", "--input", str(source)]
    with subprocess.Popen(given, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert os.read(reader, 1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    os.close(reader)
    assert (process.returncode, error) == (130, b"npbert: interrupted\n")


# --- disks


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_output_on_a_full_disk(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending, step in itertools.product(("npy", "jsonl"), ("os.fsync", "os.replace")):
        output = tmp_path / f"out.{ending}"
        with monkeypatch.context() as patch:
            patch.setattr(step, full)
            assert main(["embed", str(encoder), "cat", "--output", str(output)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("npbert: error: No space left on device; ")
        assert error.endswith(f"{output}.partial keeps what is done, and --resume goes on from there\n")
        assert main(["embed", str(encoder), "cat", "--output", str(output), "--resume"]) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_file_that_can_t_be_written_is_named(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.jsonl.partial").symlink_to("/dev/full")
    assert main(["embed", str(encoder), "cat", "--output", str(tmp_path / "out.jsonl")]) == 1
    assert capsys.readouterr().err == f"npbert: error: {tmp_path}/out.jsonl.partial: No space left on device\n"


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_quantize_leaves_nothing_half(
    there: bool,
    failure: BaseException,
    encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)

    def fails(*arguments: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(npbert.text.tokenizer.PreTrainedTokenizerFast, "save_pretrained", fails)
        assert main(["quantize", str(encoder), str(out)]) == (130 if isinstance(failure, KeyboardInterrupt) else 1)
    said = "interrupted" if isinstance(failure, KeyboardInterrupt) else f"error: {out}: No space left on device"
    assert capsys.readouterr().err == f"npbert: {said}\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"] * there
    assert not there or not any(out.iterdir())
    assert main(["quantize", str(encoder), str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: ")
    assert SentenceTransformer(out).encode("cat").shape == (36,)
    names = sorted(path.name for path in out.rglob("*"))
    assert not any("partial" in name for name in names)
    assert main(["quantize", str(encoder), str(out)]) == 1
    assert f"OUT: wanted a folder that is new or empty, found {out}" in capsys.readouterr().err
    assert sorted(path.name for path in out.rglob("*")) == names


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_files_have_the_permissions_that_the_umask_gives(umask: int, encoder: Path, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        SentenceTransformer(encoder).save_pretrained(tmp_path / "saved")
        assert main(["quantize", str(encoder), str(tmp_path / "quantized")]) == 0
    finally:
        os.umask(before)
    paths = [*tmp_path.rglob("*")]
    assert {"model.safetensors", "tokenizer.json", "modules.json"} <= {path.name for path in paths}
    for path in paths:
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


# --- heads


def test_a_folder_for_another_verb_names_it(
    task_folder: Callable[..., Path], encoder: Path, minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ner = task_folder("BertForTokenClassification", labels=("O", "B-X"))
    labels = task_folder("BertForSequenceClassification", labels=("no", "yes"))
    scorer = task_folder("BertForSequenceClassification", labels=("SCORE",))
    CrossEncoder(scorer).save_pretrained(tmp_path)
    capsys.readouterr()
    for verb, folder, texts, found in (
        ("classify", ner, ["a"], "found BertForTokenClassification: npbert ner is for that"),
        ("qa", ner, ["a", "b"], "found BertForTokenClassification: npbert ner is for that"),
        (
            "ner",
            labels,
            ["a"],
            "found BertForSequenceClassification: npbert classify or zero-shot or rerank is for that",
        ),
        ("rerank", ner, ["a", "b"], "found BertForTokenClassification: npbert ner is for that"),
        ("fill-mask", labels, ["a"], "found BertForSequenceClassification: "),
        ("classify", minilm, ["a"], "found one that makes vectors of sentences: npbert embed or similarity is for"),
        ("rerank", minilm, ["a", "b"], "found one that makes vectors of sentences: npbert embed or similarity is for"),
        ("embed", tmp_path, ["a"], "found a cross-encoder: npbert rerank is for that"),
    ):
        assert main([verb, str(folder), *texts]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith(f"npbert: error: {folder}: npbert {verb} wants a model ")
        assert found in output.err
    assert main(["embed", str(ner), "a"]) == 0  # a bare encoder, as sentence-transformers takes it
    assert len(json.loads(capsys.readouterr().out)["embedding"]) == 32
