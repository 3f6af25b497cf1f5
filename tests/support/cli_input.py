"""Standard input for tests of the command line: bytes that are there, or that come when they are asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any


class Coming(io.RawIOBase):
    """A stream of which each part comes when all that went before was read; `before_each` is called then."""

    def __init__(self, parts: list[bytes], before_each: Callable[[], object]) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._before_each = before_each
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._before_each()
            self._rest = next(self._parts, b"")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def standard_input(data: bytes) -> Any:
    """What sys.stdin can be."""
    return SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)


def coming_input(parts: list[bytes], before_each: Callable[[], object]) -> Any:
    """What sys.stdin can be, as `Coming`."""
    return SimpleNamespace(buffer=io.BufferedReader(Coming(parts, before_each)), isatty=lambda: False)
