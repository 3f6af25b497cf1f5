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
    mark: str


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
        same = [each.reason for each in report.finds if each.mark == find.mark]
        if same:
            reasons[places] = same[0]
        return bool(same)

    places = tuple(range(len(steps.steps))) if case.kept is None else case.kept
    again = shows(places)
    if again:
        places = _fewest(places, lambda fewer: tries < most and shows(fewer))
        case = case.keeping(places)
    words = [steps.what, *(steps.steps[place] for place in places)]
    odd = " and ".join(sorted(steps.marks[place] for place in places))
    return Shrunk(
        case, reasons.get(places, find.reason), again, words, f"{find.mark}: {odd}" if find.by_steps else find.mark
    )


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
