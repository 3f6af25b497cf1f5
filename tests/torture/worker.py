"""A process that runs cases of one kind: `python -m torture.worker KIND ROOM DOWN UP`, as its crew starts it.

A line of JSON comes down for each errand, {"seed", "begin", "end", "kept"}; a line goes up for each find, and one at
the end. What the process prints itself goes to a file that its crew reads when it dies.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torture.case import Case
from torture.kinds import Kind, kind_class
from torture.ledger import Ledger
from torture.verdict import FIND, Found, Refused, innermost, one_line
from torture.watch import Watch

ALL_CHECKED = 200  # cases between two looks at what takes longer to look at


def main() -> None:
    name, room, down, up = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    os.nice(int(os.environ.get("TORTURE_NICE", "0")))
    warnings.simplefilter("ignore")
    with open(down, encoding="utf-8") as errands, open(up, "w", encoding="utf-8") as answers:
        os.set_inheritable(down, False)
        os.set_inheritable(up, False)
        worker = Worker(kind_class(name), room)
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in errands:
            for answer in worker.run(**json.loads(line)):
                print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """Runs cases of a kind, one after another, and says what came of each."""

    def __init__(self, kind: type[Kind], room: Path) -> None:
        self._kind = kind(room)
        if limit := self._kind.memory_mb:
            resource.setrlimit(resource.RLIMIT_AS, (limit * 2**20, limit * 2**20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._ledger = Ledger(room / "ledger")
        self._watch = Watch(room, self._kind.peak_mb, self._kind.growth_mb, self._kind.slow_s)
        self._run = 0

    def run(
        self, seed: int, begin: int, end: int, kept: list[int] | None = None, describe: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Cases begin to end - 1: a dict for each find, then one that says that they are done.

        describe: run nothing, but say what the first of them would do.
        """
        name = self._kind.name
        if describe:
            plan = self._kind.plan(Case(name, seed, begin).dice())
            marks = [getattr(step, "mark", str(step)) for step in plan.steps]
            yield {"what": plan.what, "steps": list(map(one_line, plan.steps)), "marks": list(map(one_line, marks))}
            return
        for number in range(begin, end):
            case = Case(name, seed, number, None if kept is None else tuple(kept))
            self._ledger.start(number - begin)
            outcome, found = self.one(case)
            self._ledger.note(number - begin, outcome)
            if found is not None:
                yield {"case": str(case), **found}
        if sys.stderr is not None:
            os.truncate(sys.stderr.fileno(), 0)  # panics that were caught all the same
        yield {"done": end}

    def one(self, case: Case) -> tuple[str, dict[str, Any] | None]:
        """What came of a case, and the find, if it is one."""
        self._run += 1
        try:
            plan = self._kind.plan(case.dice()).keeping(case.kept)
            self._watch.start()
            try:
                outcome = self._kind.run(plan)
            except Refused as refused:
                outcome = refused.outcome
            self._watch.check()
            if self._run % ALL_CHECKED == 0:
                self._watch.check_all()
            return outcome, None
        except Found as found:
            reason, mark, by_steps = found.reason, found.mark, found.by_steps
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of the campaign's own: a find as well, of which it is told apart
            place = innermost(error)
            by_steps = False
            reason = mark = one_line(f"the campaign itself: {type(error).__name__} by way of {place}: {error}")
            if os.environ.get("TORTURE_RAISE"):
                raise
        return FIND, {"reason": reason, "mark": f"{case.kind}: {mark}", "by_steps": by_steps}


if __name__ == "__main__":
    main()
