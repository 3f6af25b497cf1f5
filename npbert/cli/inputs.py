"""The inputs that a command is given: arguments, or the lines of a file or of standard input, as they come."""

from __future__ import annotations

import argparse
import json
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

from npbert.cli import MisuseError
from npbert.cli.streams import standard_input
from npbert.progress import is_terminal

CHUNK = 2**16  # bytes that are asked for at a time: what a pipe holds
MOST_BYTES = 2**20  # of the lines taken together: what a step holds, however long they are
MOST_COUNTED = 2**30  # bytes of a file of which the lines are counted for a bar: half a second

Fields: TypeAlias = dict[str, Any]
Convert: TypeAlias = "Callable[[Any], tuple[Any, Fields] | None]"


@dataclass(frozen=True)
class Record:
    """An input, or the reason why there is none."""

    where: str  # the file and the line, for messages
    input: Any = None  # what a model takes
    fields: Fields = field(default_factory=dict)  # what the answer's line begins with: all that the input's line says
    error: str | None = None


@dataclass(frozen=True)
class Form:
    """What an input looks like.

    Args:
        convert: makes (input, fields) of an argument, of a line, or of what a line of JSON says; None if it can't.
        wanted: what can be made an input, for messages.
        options: the options that name keys of an object -> what they are given, None where they are not.
    """

    convert: Convert
    wanted: str
    options: dict[str, str | None]


def text_form(key: str | None, echo: str | None = None, option: str = "--field") -> Form:
    """A text, or an object that has one under a key, "text" where None.

    Args:
        key: what `option` is given.
        echo: the key under which the answer's line repeats the text; None is the text's own.
    """
    name = key or "text"

    def convert(value: Any) -> tuple[str, Fields] | None:
        fields = value if isinstance(value, dict) else {name: value}
        text = fields.get(name)
        if not isinstance(text, str):
            return None
        if echo is None:
            return text, fields
        names = {name: echo, echo: f"input_{echo}"}
        return text, {names.get(key, key): value for key, value in fields.items()}

    return Form(convert, f'a JSON string or an object with "{name}"', {option: key})


class Source:
    """A command's inputs. Use it in a `with` statement.

    Args:
        given: texts, input (a file's name, "-" or None) and json_lines.
        form: what an input looks like.

    Raises:
        MisuseError: there are none, or they are given twice, or an option has nothing to be about.
        OSError: the file can't be opened.
    """

    def __init__(self, given: argparse.Namespace, form: Form) -> None:
        if given.input == "":
            raise MisuseError("--input: wanted a file's name, or '-' for standard input, found ''")
        if given.texts and given.input:
            raise MisuseError("texts are given as arguments and with --input; wanted one of the two")
        self._form = form
        self._arguments = list(given.texts)
        self._name = given.input or "-"
        self._as_json = given.json_lines or self._name.endswith(".jsonl")
        for option, key in form.options.items():
            if key is not None and (given.texts or not self._as_json):
                raise MisuseError(f"{option}: wanted with lines of JSON, as --json-lines says, or a FILE.jsonl")
        if not self._arguments and not given.input and is_terminal(sys.stdin):
            raise MisuseError("no texts are given: name some, or use --input FILE, or pipe them in")
        self.name = "standard input" if self._name == "-" else self._name
        self._taken = 0
        self._opened: AbstractContextManager[Any] = nullcontext(None)
        if not self._arguments:
            self._opened = nullcontext(standard_input()) if self._name == "-" else open(self._name, "rb")  # noqa: SIM115

    def __enter__(self) -> Source:
        stream = self._opened.__enter__()
        self._lines = None if stream is None else Lines(stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def take(self, most: int, most_bytes: int = MOST_BYTES) -> list[Record]:
        """The next inputs, so many or so many bytes of lines at most. It waits for one, and for no more than one.

        Raises:
            OSError: the file can't be read.
        """
        begin = self._taken
        if self._lines is None:
            arguments = self._arguments[begin : begin + most]
            self._taken += len(arguments)
            return [self._record(f"argument {number}", text) for number, text in enumerate(arguments, begin + 1)]
        try:
            lines = self._lines.take(most, most_bytes)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None
        self._taken += len(lines)
        return [self._parsed(number, line) for number, line in enumerate(lines, begin + 1)]

    def count(self) -> int | None:
        """How many inputs there are in all, where a look at the file or the arguments tells."""
        if self._lines is None:
            return len(self._arguments)
        return None if self._name == "-" else count_lines(self._name)

    def _parsed(self, number: int, line: bytes) -> Record:
        where = f"{self.name}: line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            return Record(where, error=f"{where} is not UTF-8: {error.reason} at byte {error.start}")
        text = text.removesuffix("\r")
        if not self._as_json:
            return self._record(where, text)
        try:
            return self._record(where, json.loads(text))
        except (ValueError, RecursionError) as error:
            return Record(where, error=f"{where} is not JSON: {error}")

    def _record(self, where: str, value: Any) -> Record:
        made = self._form.convert(value)
        if made is None:
            found = json.dumps(value, ensure_ascii=False)[:60]
            return Record(where, error=f"{where}: wanted {self._form.wanted}, found {found}")
        return Record(where, *made)


class Lines:
    """The lines of a binary stream. They end with "\\n" alone: other separators may stand inside a text."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._whole: deque[bytes] = deque()
        self._begun: list[bytes] = []  # of a line that has not ended
        self._ended = False

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """The next lines without their ends, as many as are there, or the first that comes; none at the end."""
        lines: list[bytes] = []
        size = 0
        while len(lines) < most and size < most_bytes:
            if self._whole:
                lines.append(self._whole.popleft())
                size += len(lines[-1])
            elif self._ended or (lines and not self._ready()):
                break
            else:
                self._read()
        return lines

    def _read(self) -> None:
        """What is there, or else what comes next."""
        data = self._stream.read1(CHUNK)
        if data is None:  # a descriptor that somebody has made one that never waits
            select.select([self._stream], [], [])
            return
        *ended, begun = data.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._begun, ended[0]])
            self._whole.extend(ended)
            self._begun = []
        if begun:
            self._begun.append(begun)
        if not data:
            self._ended = True
            if self._begun:
                self._whole.append(b"".join(self._begun))

    def _ready(self) -> bool:
        """Whether something can be read without waiting for it."""
        try:
            return bool(select.select([self._stream], [], [], 0)[0])
        except (OSError, ValueError):  # it has no descriptor, or none that the system can look at
            return False


def count_lines(name: str) -> int | None:
    """How many lines a file has, if it is one that can be read twice, and quickly."""
    try:
        found = os.stat(name)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_COUNTED:
            return None
        count, last = 0, b"\n"
        with open(name, "rb") as file:
            while data := file.read(2**20):
                count, last = count + data.count(b"\n"), data[-1:]
    except OSError:
        return None
    return count + (last != b"\n")
