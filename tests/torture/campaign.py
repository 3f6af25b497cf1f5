"""Runs cases of all kinds for a time, shrinks what they find, and keeps count."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from torture.crew import Crew, Find
from torture.ledger import MOST
from torture.shrink import shrunk
from torture.state import Known, State
from torture.summary import find_lines

ERRAND_S = 4.0  # an errand is as many cases as take about so long
MOST_SHRUNK = 300  # finds of a mark, where what is odd in them tells causes apart
TURN_S = 120.0  # a worker lives so long at most, and its slot goes to the next kind
LEAST_TURN_S = 5.0


@dataclass
class Limits:
    """When to stop: whichever comes first."""

    seconds: float = float("inf")
    cases: float = float("inf")  # of each kind


class Campaign:
    """A campaign: several slots, in each of which one worker at a time runs the kind that is most behind.

    Args:
        kinds: what is run.
        state: how far it has come; it is written to `path` after each errand.
        path: of the state's file, or None.
        sources: what is under test.
        out: where finds are told, as they come.
    """

    def __init__(
        self, kinds: Sequence[str], state: State, path: Path | None, sources: str, out: TextIO = sys.stdout
    ) -> None:
        self._kinds, self._state, self._path, self._sources, self._out = list(kinds), state, path, sources, out
        self._begins = {kind: state.of(kind).next for kind in kinds}
        self._next = dict(self._begins)
        self._under_way: dict[str, set[int]] = {kind: set() for kind in kinds}  # the first numbers of errands
        self._spent = dict.fromkeys(kinds, 0.0)
        self._shrunk: dict[str, int] = {}  # mark -> how many finds of it
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._kept: Path | None = None

    def run(self, limits: Limits, workers: int) -> None:
        """Runs until a limit is reached; Ctrl-C ends it in order.

        Raises:
            RuntimeError: a worker can't be started.
        """
        self._end = time.monotonic() + limits.seconds
        self._turn_s = max(LEAST_TURN_S, min(TURN_S, limits.seconds * workers / (3 * len(self._kinds))))
        self._most = limits.cases
        slots = [threading.Thread(target=self._slot, daemon=True) for _ in range(workers)]
        with tempfile.TemporaryDirectory(prefix="torture-kept-") as kept:
            self._kept = Path(kept)
            for slot in slots:
                slot.start()
            try:
                while any(slot.is_alive() for slot in slots):
                    slots[0].join(0.2) if slots[0].is_alive() else time.sleep(0.2)
            except KeyboardInterrupt:
                self._say("stopping: the errands under way are finished first")
                self._stop.set()
                for slot in slots:
                    slot.join()
        if self._failures:
            raise self._failures[0]

    def _slot(self) -> None:
        try:
            while (kind := self._chosen()) is not None:
                self._turn(kind)
        except BaseException as error:
            self._failures.append(error)
            self._stop.set()

    def _chosen(self) -> str | None:
        """The kind that is furthest behind in time, of those that are not done."""
        with self._lock:
            left = [kind for kind in self._kinds if self._next[kind] - self._begins[kind] < self._most]
            if not left or self._stop.is_set() or time.monotonic() > self._end:
                return None
            kind = min(left, key=lambda each: self._spent[each])
            self._spent[kind] += 1e-3  # so that another slot takes another
            return kind

    def _turn(self, kind: str) -> None:
        errand = 5
        with Crew(kind, self._kept) as crew:
            crew.start()
            turn_ends = time.monotonic() + self._turn_s
            while not self._stop.is_set() and time.monotonic() < min(turn_ends, self._end):
                with self._lock:
                    begin = self._next[kind]
                    end = int(min(begin + errand, self._begins[kind] + self._most))
                    if begin >= end:
                        return
                    self._next[kind] = end
                    self._under_way[kind].add(begin)
                started = time.monotonic()
                report = crew.run(self._state.seed, begin, end)
                took = time.monotonic() - started
                with self._lock:
                    self._under_way[kind].discard(begin)
                    self._spent[kind] += took
                    done = self._state.of(kind)
                    done.add(report.outcomes, took, self._sources)
                    done.next = min([self._next[kind], *self._under_way[kind]])
                for find in report.finds:
                    self._told(crew, find)
                self._write()
                errand = max(1, min(MOST, int(errand * ERRAND_S / max(took, 0.01)), 4 * errand))

    def _told(self, crew: Crew, find: Find) -> None:
        """Counts a find; the first of its mark is shrunk and told."""
        finds = self._state.finds
        with self._lock:
            self._shrunk[find.mark] = self._shrunk.get(find.mark, 0) + 1
            if self._shrunk[find.mark] > (MOST_SHRUNK if find.by_steps else 1) and find.mark in finds:
                finds[find.mark].count += 1
                return
            if not find.by_steps and find.mark not in finds:
                finds[find.mark] = Known(find.reason, find.case, count=0, sources=self._sources)
        fewest = shrunk(crew, find)
        with self._lock:
            known = finds.setdefault(fewest.mark, Known(find.reason, find.case, count=0, sources=self._sources))
            known.count += 1
            if not known.steps:
                known.case, known.reason, known.again = str(fewest.case), fewest.reason, fewest.again
                known.steps = fewest.steps
                self._say("\n".join(find_lines(known)))

    def _write(self) -> None:
        if self._path is not None:
            with self._lock:
                self._state.write(self._path)

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)
