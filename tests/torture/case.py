"""A case: a kind, a seed and a number, of which all that happens in it is made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Case:
    """`files:17:123456`, or with the odd things that are kept of it `files:17:123456:0,2`."""

    kind: str
    seed: int
    number: int
    kept: tuple[int, ...] | None = None  # None: all

    @classmethod
    def parse(cls, text: str) -> Case:
        """Raises ValueError for what is no case."""
        kind, seed, number, *kept = text.split(":")
        if len(kept) > 1:
            raise ValueError(f"--case: wanted KIND:SEED:NUMBER, or with :0,2 what is kept of it, found {text!r}")
        places = None if not kept else tuple(int(place) for place in kept[0].split(",") if place)
        return cls(kind, int(seed), int(number), places)

    def __str__(self) -> str:
        kept = "" if self.kept is None else ":" + ",".join(map(str, self.kept))
        return f"{self.kind}:{self.seed}:{self.number}{kept}"

    def dice(self) -> random.Random:
        """What the case draws from; the same whatever is kept of it."""
        return random.Random(f"{self.kind}:{self.seed}:{self.number}")

    def keeping(self, places: Sequence[int]) -> Case:
        """The case with these of its odd things alone."""
        return replace(self, kept=tuple(places))


@dataclass(frozen=True)
class Plan:
    """What a case is to do. Any of its steps may be left out, which is how a find is shrunk."""

    what: str  # what is asked, of what: the part of a case that stays
    steps: tuple[Any, ...]  # the odd things, each with a str that says what it is
    given: Any = None  # what the kind needs besides

    def keeping(self, places: Sequence[int] | None) -> Plan:
        """The plan with these steps alone; None is all."""
        if places is None:
            return self
        return replace(self, steps=tuple(self.steps[place] for place in places if place < len(self.steps)))
