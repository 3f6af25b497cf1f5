"""Command lines: verbs, options and standard input of every sort; status, output and errors as they are promised."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from npbert.cli.main import main
from torture import bases
from torture.case import Plan
from torture.folder import write
from torture.kinds import Kind
from torture.verdict import REFUSED_LINE, REFUSED_USE, SANE, Found, fault_of, innermost, one_line

VERBS = {
    "embed": ("sentence", ("--batch-size", "--normalize", "--truncate-dim", "--prompt-name", "--prompt", "--output")),
    "similarity": ("sentence", ("--top-k", "--queries", "--query-field", "--vectors", "--text-prompt", "--normalize")),
    "rerank": ("cross", ("--top-k", "--queries", "--query-field", "--batch-size", "--prompt")),
    "classify": ("ForSequenceClassification", ("--top-k", "--function-to-apply", "--truncation", "--batch-size")),
    "ner": ("ForTokenClassification", ("--aggregation-strategy", "--ignore-labels", "--stride", "--batch-size")),
    "fill-mask": ("ForMaskedLM", ("--top-k", "--targets", "--truncation", "--batch-size")),
    "qa": ("ForQuestionAnswering", ("--top-k", "--max-answer-len", "--max-seq-len", "--doc-stride", "--impossible")),
    "zero-shot": ("entailment", ("--labels", "--hypothesis-template", "--multi-label", "--batch-size")),
    "tokenize": ("Model", ("--no-special-tokens", "--output")),
    "info": ("Model", ()),
    "validate": ("sentence", ()),
    "quantize": ("Model", ()),
    "nonsense": ("Model", ("--nonsense",)),
}
ENGINE = ("--threads", "--backend", "--dtype", "--device")
INPUT = ("--input", "--json-lines", "--field", "--on-error", "--max-length", "--resume")
OF_TEXTS = ("embed", "similarity", "rerank", "classify", "ner", "fill-mask", "qa", "zero-shot", "tokenize")
FLAGS = ("--normalize", "--truncation", "--impossible", "--multi-label", "--no-special-tokens", "--json-lines")
FLAGS += ("--resume",)
VALUES = (
    "1",
    "2",
    "5",
    "16",
    "3",
    "0",
    "-1",
    "1.5",
    "",
    "x",
    "nan",
    "1e3",
    "9" * 30,
    "٣",
    " 4",
    "0x10",
    "O,B-PER",
    "the,cat",
)
VALUES += (
    "float32",
    "bfloat16",
    "int8",
    "reference",
    "cpu",
    "softmax",
    "none",
    "simple",
    "max",
    "query",
    "a\nb",
    "\udc80",
    "é",
)
VALUES += (
    "This is {}.",
    "{}",
    "{0}",
    "{x}",
    "no place",
    "%s",
    "-",
    "--",
    "--help",
    "/nowhere/at/all",
    "/dev/null",
    "/",
)
TEXTS = (
    "the cat sat",
    "",
    "a",
    "é",
    "un able cats on a mat",
    "the [MASK] sat",
    "-x",
    "--",
    "\udc80",
    "a\x00b",
    "x" * 3000,
)
LINES = (
    *(
        b"the cat",
        b"",
        b" ",
        b"the [MASK]",
        b"\xff\xfe",
        b"\xef\xbb\xbfa",
        b"a\rb",
        b"a\x00b",
        b"\xe2\x80\xa8",
        b"x" * 5000,
    ),
    *(
        b'"the cat"',
        b'{"text": "a cat"}',
        b'{"text": "a", "text_pair": "b"}',
        b'{"question": "a", "context": "the cat"}',
    ),
    *(
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'"\\ud800"',
        b'{"text": 3}',
        b'{"text": null}',
        b"{",
        b'{"text": "a", "text": "b"}',
    ),
    *(
        b"[" * 3000,
        b"NaN",
        b'{"text": "' + b"x" * 3000 + b'"}',
        b'{"id": 7, "text": "the"}',
        b'{"text": ["a"]}',
        b"true",
    ),
)
MODELS = (
    "",
    "/nowhere",
    "nowhere/at-all",
    "package:nothing",
    "package:",
    "a/b/c",
    ".",
    "/dev/null",
    "\udc80",
    "x" * 300,
)


@dataclass(frozen=True)
class Word:
    """A word, or two, of the command line."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(map(repr, self.words))

    @property
    def mark(self) -> str:
        return self.words[0]


@dataclass(frozen=True)
class Line:
    """A line of standard input."""

    data: bytes

    def __str__(self) -> str:
        return f"line {self.data[:60]!r}"

    @property
    def mark(self) -> str:
        return "a line"


@dataclass(frozen=True)
class Ending:
    """How standard input or output is not as usual."""

    how: str

    def __str__(self) -> str:
        return self.how


ENDINGS = (
    "input is closed",
    "output is closed",
    "output is full",
    "output ends early",
    "errors are closed",
    "no home",
    "locale C",
)


class CliKind(Kind):
    name = "cli"
    slow_s: ClassVar[float] = 60.0
    limit_s: ClassVar[float] = 60.0

    def __init__(self, room: Path) -> None:
        self._room = room
        self._models: dict[str, Path] = {}
        for name in {model for model, _ in VERBS.values()}:
            path = self._models[name] = room / f"m-{name}"
            if name == "sentence":
                files = bases.sentence_folder("bert", "dense")
            elif name == "cross":
                files = bases.cross_folder("roberta")
            elif name == "entailment":
                files = bases.model_folder("bert", "ForSequenceClassification", "entailment")
            else:
                files = bases.model_folder("bert", name)
            write(dict(files), path)
        (room / "out").mkdir()

    def plan(self, dice: random.Random) -> Plan:
        verb = dice.choice(list(VERBS))
        model, options = VERBS[verb]
        whole = dice.random() < 0.05
        steps: list[Any] = []
        given = str(self._models[model] if dice.random() < 0.93 else dice.choice(list(self._models.values())))
        for _ in range(dice.choice([0, 0, 1, 1, 2, 3])):
            option = dice.choice([*options, *options, *ENGINE, *(INPUT if verb in OF_TEXTS else ())])
            value = self._value(dice, option)
            steps.append(Word((option,) if option in FLAGS else (option, value)))
        if verb in OF_TEXTS and dice.random() < 0.5:
            steps += [Word((dice.choice(TEXTS),)) for _ in range(dice.choice([1, 2, 3]))]
        steps += [Line(dice.choice(LINES)) for _ in range(dice.choice([0, 1, 2, 4]))]
        if dice.random() < 0.04:
            given = dice.choice(MODELS)
        if whole and dice.random() < 0.6:
            steps.append(Ending(dice.choice(ENDINGS)))
        first = {
            "similarity": ("the cat",),
            "rerank": ("the cat",),
            "qa": ("the cat",),
            "zero-shot": ("--labels", "a,cat"),
        }
        last = (str(self._room / "out" / "made"),) if verb == "quantize" else ()
        words = (verb, given, *first.get(verb, ()), *last)
        shown = " ".join([verb, Path(given).name, *first.get(verb, ())])
        return Plan(f"npbert {one_line(shown, 100)}{', as a process' if whole else ''}", tuple(steps), (words, whole))

    def _value(self, dice: random.Random, option: str) -> str:
        if option == "--output":
            name = dice.choice(["a.npy", "a.jsonl", "a.txt", "no/a.npy", ".npy", "a.npy.partial"])
            return str(self._room / "out" / name)
        usual = {"--backend": "reference", "--dtype": "int8", "--threads": "1", "--labels": "cat,mat", "--input": "-"}
        usual |= {"--on-error": "skip", "--field": "id", "--max-length": "5", "--queries": "-"}
        return usual[option] if option in usual and dice.random() < 0.5 else dice.choice(VALUES)

    def run(self, plan: Plan) -> str:
        words, whole = plan.given
        for left in (self._room / "out").iterdir():
            _remove(left)
        options = [word for step in plan.steps if isinstance(step, Word) for word in step.words]
        data = b"\n".join(step.data for step in plan.steps if isinstance(step, Line))
        endings = [step.how for step in plan.steps if isinstance(step, Ending)]
        argv = [*words, *options]
        if whole:
            status, out, err = _as_process(argv, data, endings)
        else:
            status, out, err = _in_process(argv, data)
        outcome = _judged(words[0], status, out, err, endings)
        left = [path.name for path in (self._room / "out").iterdir() if path.name.endswith(".partial")]
        if left and "a.npy.partial" not in " ".join(argv) and "--resume goes on from there" not in err:
            raise Found(f"left {left}", "a partial file is left")
        if status == 0:
            _check_output(words[0], argv, out)
        return outcome


def _judged(verb: str, status: int, out: str, err: str, endings: list[str]) -> str:
    """The outcome of a status, where the rest is as it promises."""
    notes = ("npbert: warning: ", "npbert: skipped: ")
    lines = [line for line in err.splitlines() if not line.startswith(notes) and "compiling kernels" not in line]
    if "Traceback" in err:
        last = err.strip().splitlines()[-1]
        raise Found(f"{verb}: a traceback: {last}", f"a traceback: {last.partition(':')[0]}", by_steps=True)
    if status == 0:
        if lines and "errors are closed" not in endings:
            raise Found(f"{verb}: status 0, and says {lines[-1]!r}", "status 0 with an error")
        return SANE
    if endings and status in (1, 2) and not lines:
        return REFUSED_LINE  # there was nowhere to say it
    if status == 2:
        if not any(": error: " in line for line in lines):  # what it quotes of the command line may go on for lines
            raise Found(f"{verb}: status 2, and says {lines[-1:]}", "status 2 without a word")
        return REFUSED_USE
    if status != 1:
        raise Found(f"{verb}: status {status}: {lines[-1:]}", f"status {status}", by_steps=True)
    if len(lines) != 1 or not lines[0].startswith("npbert: error: "):
        raise Found(f"{verb}: status 1, and says {lines!r}", "status 1 not in one line", by_steps=True)
    if fault := fault_of(lines[0], ()):
        raise Found(f"{verb}: {fault}: {lines[0]}", f"{fault}", by_steps=True)
    return REFUSED_LINE


def _check_output(verb: str, argv: list[str], out: str) -> None:
    """What is printed is JSON, a line for each text; what is written is an array."""
    if "--help" in argv or "-h" in argv or verb not in OF_TEXTS:
        return
    for line in out.split("\n")[:-1]:
        try:
            json.loads(line, parse_constant=_no_constant)
        except ValueError:
            raise Found(f"{verb}: prints {line!r}", f"{verb}: prints what is no JSON") from None
    made = next((word for word in argv if word.endswith(".npy") and os.path.exists(word)), None)
    if made is not None and np.load(made).dtype != np.float32:
        raise Found(f"{verb}: {made} is no float32", f"{verb}: an array of another dtype")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


class _Pipe(io.TextIOWrapper):
    """A standard stream, in memory."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="surrogateescape", write_through=True)

    def isatty(self) -> bool:
        return False

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode("utf-8", "surrogateescape")


def _in_process(argv: list[str], data: bytes) -> tuple[int, str, str]:
    out, err = _Pipe(), _Pipe()
    with _stdin(_Pipe(data)), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        show = warnings.showwarning
        try:
            status = main(argv)
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            place = innermost(error)
            said = f"{argv[0]}: {type(error).__name__} from {place}: {error}"
            raise Found(said, f"{type(error).__name__} from {place}") from None
        finally:
            warnings.showwarning = show
    return status, out.text(), err.text()


@contextmanager
def _stdin(pipe: _Pipe) -> Any:
    before, sys.stdin = sys.stdin, pipe
    try:
        yield
    finally:
        sys.stdin = before


def _as_process(argv: list[str], data: bytes, endings: list[str]) -> tuple[int, str, str]:
    """The same in a process of its own."""
    redirected = {
        "input is closed": "<&-",
        "output is closed": ">&-",
        "output is full": ">/dev/full",
        "output ends early": "| head -c 5",
        "errors are closed": "2>&-",
    }
    shell = 'set -o pipefail; "$@" ' + " ".join(redirected.get(how, "") for how in endings)
    environment = dict(os.environ)
    if "no home" in endings:
        environment.pop("HOME", None)
    if "locale C" in endings:
        environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    try:
        done = subprocess.run(
            ["bash", "-c", shell, "bash", sys.executable, "-m", "npbert", *argv],
            input=data,
            capture_output=True,
            env=environment,
            timeout=50,
        )
    except ValueError:  # a word with a NUL can't be given to a process
        return 2, "", "npbert: error: a word with a NUL"
    except subprocess.TimeoutExpired:
        raise Found(f"{argv[0]}: no end", f"{argv[0]}: no end") from None
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _remove(path: Path) -> None:
    import shutil

    shutil.rmtree(path) if path.is_dir() else path.unlink()


CASES = CliKind
