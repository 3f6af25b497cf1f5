"""A find's case with the fewest odd things that still show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torture.case import Case
from torture.crew import Crew, Find

MOST_TRIES = 60
MOST_HANGS = 6  # each takes until it is given up


@dataclass
class Shrunk:
    """What is left of a case, and whether it was seen again at all."""

    case: Case
    reason: str
    again: bool
    steps: list[str]  # what is asked, and what is odd, in words


def shrunk(crew: Crew, find: Find) -> Shrunk:
    """The case with as few of its steps as show a find of the same mark; `crew` runs it again and again."""
    case = Case.parse(find.case)
    steps = crew.steps(case)
    reasons: dict[tuple[int, ...], str] = {}
    tries, most = 0, MOST_HANGS if "a hang" in find.mark else MOST_TRIES

    def shows(places: tuple[int, ...]) -> bool:
        nonlocal tries
        tries += 1
        report = crew.run(case.seed, case.number, case.number + 1, places)
        reasons.update({places: each.reason for each in report.finds if each.mark == find.mark})
        return places in reasons

    places = tuple(range(len(steps) - 1)) if case.kept is None else case.kept
    if not shows(places):
        return Shrunk(case, find.reason, again=False, steps=steps)
    places = _fewest(places, lambda fewer: tries < most and shows(fewer))
    return Shrunk(case.keeping(places), reasons[places], True, [steps[0], *(steps[place + 1] for place in places)])


def _fewest(places: tuple[int, ...], shows: Callable[[tuple[int, ...]], bool]) -> tuple[int, ...]:
    """Without each run of places that is not needed: halves first, then ever shorter runs, then each by itself."""
    length = max(len(places) // 2, 1)
    while True:
        begin, fewer = 0, False
        while begin < len(places):
            rest = places[:begin] + places[begin + length :]
            if shows(rest):
                places, fewer = rest, True
            else:
                begin += length
        if length == 1 and not fewer:
            return places
        length = max(length // 2, 1)
