"""The texts that a command is given: arguments, a file, or standard input."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TextIO, TypeVar

from npbert.commands import MisuseError

Input = TypeVar("Input")


def read_texts(given: argparse.Namespace) -> list[str]:
    """All texts, in order; as `read_inputs`."""
    return read_inputs(given, text_of, 'a JSON string or an object with "text"')


def text_of(value: Any) -> str | None:
    """The text that a line of JSON gives."""
    text = value.get("text") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def read_inputs(given: argparse.Namespace, convert: Callable[[Any], Input | None], wanted: str) -> list[Input]:
    """All inputs, in order.

    Args:
        given: texts, input (a file's name, "-" or None) and json_lines.
        convert: makes an input of an argument, of a line, or of what a line of JSON says; None if it can't.
        wanted: what can be made an input, for messages.

    Raises:
        MisuseError: there are none, or they are given twice.
        OSError: the file can't be read.
        ValueError: a line is not UTF-8, or no input; the message names it.
    """
    if given.input == "":
        raise MisuseError("--input: wanted a file's name, or '-' for standard input, found ''")
    if given.texts and given.input:
        raise MisuseError("texts are given as arguments and with --input; wanted one of the two")
    if given.texts:
        return list(_converted("argument", enumerate(given.texts, 1), convert, wanted))
    source = given.input or "-"
    if source == "-" and not given.input and sys.stdin.isatty():
        raise MisuseError("no texts are given: name some, or use --input FILE, or pipe them in")
    as_json = given.json_lines or source.endswith(".jsonl")
    name = "standard input" if source == "-" else source
    opened: Any = nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb")  # noqa: SIM115
    with opened as lines:
        return list(_converted(f"{name}: line", _lines(name, lines, as_json), convert, wanted))


def progress_beside_answers() -> bool | None:
    """Whether to show a bar: not among answers on a terminal, which are progress enough; else as `Progress` decides."""
    return False if sys.stdout.isatty() else None


def utf8_output() -> TextIO:
    """Standard output, for JSON, which is UTF-8 whatever the locale says."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _lines(name: str, lines: Iterable[bytes], as_json: bool) -> Iterator[tuple[int, Any]]:
    """(the number of a line, what it says)."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: line {number} is not UTF-8: {error.reason} at byte {error.start}") from None
        # "\n" alone ends a line: other separators may stand inside a text.
        text = text.removesuffix("\n").removesuffix("\r")
        if not as_json:
            yield number, text
            continue
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}: line {number} is not JSON: {error}") from None


def _converted(
    name: str, values: Iterable[tuple[int, Any]], convert: Callable[[Any], Input | None], wanted: str
) -> Iterator[Input]:
    for number, value in values:
        if (made := convert(value)) is None:
            found = json.dumps(value, ensure_ascii=False)[:60]
            raise ValueError(f"{name} {number}: wanted {wanted}, found {found}")
        yield made
