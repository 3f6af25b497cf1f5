"""`python -m torture`, with tests/ on the path: see CONTRIBUTING.md. `make torture ARGS=...` runs it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from torture.campaign import Campaign, Limits
from torture.case import Case
from torture.crew import Crew
from torture.kinds import KINDS
from torture.state import State, sources
from torture.summary import summary

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".torture" / "state.json"


def main() -> int:
    """0 where nothing was found, 1 where something was."""
    given = _arguments()
    if given.case is not None:
        return one(given.case, given.here)
    if given.resume and given.state.exists():
        state = State.read(given.state)
        if given.seed is not None and given.seed != state.seed:
            sys.exit(f"--seed: wanted {state.seed}, the seed of {given.state}, or no --resume; found {given.seed}")
    else:
        state = State(17 if given.seed is None else given.seed)
    limits = Limits(float("inf") if given.seconds is None else given.seconds, given.cases or float("inf"))
    if given.seconds is None and given.cases is None:
        limits = Limits(seconds=600.0)
    try:
        Campaign(given.only or KINDS, state, given.state, sources(ROOT)).run(limits, given.workers)
    finally:
        print("\n".join(summary(state)))
    return 1 if state.finds else 0


def one(case: Case, here: bool) -> int:
    """Runs one case again, in a worker, or in this process where a debugger is to see it."""
    if here:
        import os

        from torture.kinds import kind_class

        os.environ["TORTURE_RAISE"] = "1"
        with tempfile.TemporaryDirectory() as room:
            kind = kind_class(case.kind)(Path(room))
            plan = kind.plan(case.dice()).keeping(case.kept)
            print(plan.what, *map(str, plan.steps), sep="\n  ")
            print(kind.run(plan))
        return 0
    with Crew(case.kind) as crew:
        steps = crew.steps(case)
        kept = range(len(steps.steps)) if case.kept is None else case.kept
        print(steps.what, *(steps.steps[place] for place in kept), sep="\n  ")
        report = crew.run(case.seed, case.number, case.number + 1, case.kept)
    for find in report.finds:
        print(f"FIND {find.reason}")
    print(", ".join(report.outcomes))
    return 1 if report.finds else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture ARGS=...", description=sys.modules["torture"].__doc__)
    parser.add_argument("--seconds", type=float, help="stop after so long (600, where --cases is not given)")
    parser.add_argument("--cases", type=int, help="stop after so many of each kind")
    parser.add_argument("--seed", type=int, help="of the cases (17)")
    parser.add_argument("--resume", action="store_true", help="go on where the last campaign stopped")
    parser.add_argument("--only", type=_kinds, metavar="KINDS", help=f"with commas between: {', '.join(KINDS)}")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--state", type=Path, default=STATE, help="where it is kept how far the campaign is")
    parser.add_argument("--case", type=Case.parse, help="run this one again: KIND:SEED:NUMBER[:KEPT,...]")
    parser.add_argument("--here", action="store_true", help="the case in this process, for a debugger")
    return parser.parse_args()


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"wanted kinds among {', '.join(KINDS)}, found {kind!r}")
    return kinds


if __name__ == "__main__":
    sys.exit(main())
