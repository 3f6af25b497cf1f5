"""The texts that a command is given: arguments, a file, or standard input."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any, TextIO

from npbert.commands import MisuseError


def read_texts(given: argparse.Namespace) -> list[str]:
    """All texts, in order.

    Raises:
        MisuseError: there are none, or they are given twice.
        OSError: the file can't be read.
        ValueError: a line is not UTF-8, or no JSON text; the message names it.
    """
    if given.texts and given.input:
        raise MisuseError("texts are given as arguments and with --input; wanted one of the two")
    if given.texts:
        return list(given.texts)
    source = given.input or "-"
    if source == "-" and not given.input and sys.stdin.isatty():
        raise MisuseError("no texts are given: name some, or use --input FILE, or pipe them in")
    as_json = source.endswith(".jsonl")
    name = "standard input" if source == "-" else source
    opened: Any = nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb")  # noqa: SIM115
    with opened as lines:
        return list(_texts(name, lines, as_json))


def utf8_output() -> TextIO:
    """Standard output, for JSON, which is UTF-8 whatever the locale says."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _texts(name: str, lines: Iterable[bytes], as_json: bool) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: line {number} is not UTF-8: {error.reason} at byte {error.start}") from None
        # "\n" alone ends a line: other separators may stand inside a text.
        text = text.removesuffix("\n").removesuffix("\r")
        yield _from_json(name, number, text) if as_json else text


def _from_json(name: str, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: line {number} is not JSON: {error}") from None
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError(f'{name}: line {number}: wanted a JSON string or an object with "text", found {line[:60]}')
    return text
