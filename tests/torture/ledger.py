"""Memory that a worker and its crew share: which case is under way, and what came of each.

It outlives the worker, so a crash or a hang has a number.
"""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path

from torture.verdict import OUTCOMES

MOST = 1000  # cases that are asked for at once
_HEAD = 8


class Ledger:
    """The outcomes of cases begin, begin + 1, ... by their place in what was asked for."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD + MOST))
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), _HEAD + MOST)

    def clear(self) -> None:
        """Nothing is under way, nothing done."""
        self._bytes[:] = bytes(len(self._bytes))

    def start(self, place: int) -> None:
        """The case at this place is under way."""
        self._bytes[:_HEAD] = (place + 1).to_bytes(_HEAD, "little")

    def under_way(self) -> int | None:
        """The place of the case that was started last."""
        place = int.from_bytes(self._bytes[:_HEAD], "little")
        return place - 1 if place else None

    def note(self, place: int, outcome: str) -> None:
        """What came of a case."""
        self._bytes[_HEAD + place] = OUTCOMES.index(outcome) + 1

    def outcomes(self) -> Counter[str]:
        """How often each came."""
        return Counter(OUTCOMES[code - 1] for code in self._bytes[_HEAD:] if code)
