"""What a campaign has to say: its finds, and a table of what was done."""

from __future__ import annotations

from torture.case import Case
from torture.state import Known, State
from torture.verdict import FIND, OUTCOMES


def find_lines(known: Known) -> list[str]:
    """A find as it is told."""
    kind = Case.parse(known.case).kind
    seen = "" if known.again else "  (not seen again by itself: it depends on what ran before it, or on time)\n"
    steps = "".join(f"    {step}\n" for step in known.steps)
    return [f"FIND {kind}: {known.reason}\n{seen}{steps}  make torture ARGS='--case {known.case}'"]


def summary(state: State) -> list[str]:
    """Finds with how often they came, then a row for each kind, then the outcomes of each."""
    lines = []
    for _, known in sorted(state.finds.items()):
        lines += [*find_lines(known), f"  seen {known.count} times, first with {known.sources}"]
    lines += ["", f"seed {state.seed}", _row("kind", "cases", "finds", "kinds of", "a second", "sources")]
    for kind, done in state.kinds.items():
        marks = [mark for mark, known in state.finds.items() if Case.parse(known.case).kind == kind]
        rate = done.cases / done.seconds if done.seconds else 0.0
        sources = ", ".join(f"{commit}: {cases:,}" for commit, cases in done.by_sources.items())
        found = done.outcomes.get(FIND, 0)
        lines.append(_row(kind, f"{done.cases:,}", f"{found:,}", str(len(marks)), f"{rate:.1f}", sources))
    lines.append("")
    for kind, done in state.kinds.items():
        parts = [f"{outcome} {done.outcomes[outcome]:,}" for outcome in OUTCOMES if done.outcomes.get(outcome)]
        lines.append(f"{kind}: {'; '.join(parts)}")
    return lines


def _row(kind: str, cases: str, found: str, marks: str, rate: str, sources: str) -> str:
    return f"{kind:<8} {cases:>10} {found:>8} {marks:>9} {rate:>9}  {sources}"
