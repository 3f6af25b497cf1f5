"""Inputs answered as they come, a line for each, in bounded memory; one that can't be answered is named."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from npbert.cli.inputs import Form, Record, Source
from npbert.cli.output import Answers, Compute, check_output, opened_output
from npbert.cli.streams import bar_beside_answers, say
from npbert.cli.wording import in_options
from npbert.progress import Progress

STEP_S = 0.15  # what a step should take at least: answers, and a bar, then move a few times a second
FIRST = 4  # inputs of the first step
MOST = 512  # inputs of any

# What the library calls the only input that it was given, and what is wrong in it.
NAME = re.compile(r"(?:inputs|sentences|texts?|documents|query)(?:\[\d+\])*(?:\['(\w+)'\])?: ")


@dataclass(frozen=True)
class Failure:
    """An input that has no answer, and why, in one line that names the file and the line."""

    record: Record
    why: str


class Pace:
    """How many inputs to take at a time, so that a step takes about STEP_S."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = min(FIRST, most)

    def adapt(self, count: int, seconds: float) -> None:
        """After a step of `count` inputs."""
        if seconds > 3 * STEP_S:
            self.size = max(1, self.size // 2)
        elif seconds < STEP_S and count == self.size:
            self.size = min(self.most, 2 * self.size)


class Patience:
    """What becomes of inputs that can't be answered: the first ends the work, or all are told and counted."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._stops = given.on_error == "stop"
        self.failed = 0
        self.seen = 0

    def bear(self, failure: Failure) -> None:
        """Raises ValueError, which ends the work, or says on standard error what is left out."""
        if self._stops:
            raise ValueError(failure.why)
        say(f"npbert: skipped: {failure.why}")
        self.failed += 1

    def judge(self) -> None:
        """Raises ValueError at the end, where something was left out."""
        if self.failed:
            raise ValueError(f"{self.failed:,} of {self.seen:,} inputs could not be answered")


@dataclass(frozen=True)
class Work:
    """What becomes of inputs.

    Args:
        compute: answers a list of inputs; a ValueError is about one of these.
        keys: an answer's; where it is a vector, that of its line.
        width: of the answers, where they are vectors.
    """

    compute: Compute
    keys: Sequence[str]
    width: int | None = None


def answer_inputs(
    given: argparse.Namespace,
    form: Form,
    prepare: Callable[[], Work],
    what: str,
    most: int = MOST,
    arrays: bool = False,
) -> None:
    """Writes a line, or a vector, for each input.

    Args:
        given: where inputs come from (as `Source`), output, resume, and on_error.
        form: what an input looks like.
        prepare: loads the model, and checks all that does not depend on inputs.
        what: the work, for the bar.
        most: inputs that are answered together at most.
        arrays: whether answers are vectors.

    Raises:
        MisuseError: as Source.
        OSError: something can't be read or written.
        ValueError: an input can't be answered, or, with on_error "skip", some could not.
    """
    check_output(given, arrays)
    patience, pace = Patience(given), Pace(most)
    show = None if given.output else bar_beside_answers()
    with Source(given, form) as source:
        work = prepare()
        with (
            opened_output(given, work.keys, work.width) as output,
            Progress(source.count, what, "texts", show) as progress,
        ):
            patience.seen, patience.failed = output.resume(source, work.compute)
            progress.advance(patience.seen)
            while block := source.take(pace.size):
                started = time.monotonic()
                patience.seen += len(block)
                for records, answers in outcomes(block, work.compute):
                    if isinstance(answers, Failure):
                        patience.bear(answers)
                        output.fail(answers.record, answers.why)
                    else:
                        output.write(records, answers)
                    progress.advance(len(records))
                pace.adapt(len(block), time.monotonic() - started)
    patience.judge()


def outcomes(block: Sequence[Record], compute: Compute) -> Iterator[tuple[Sequence[Record], Answers | Failure]]:
    """Runs of records with their answers, in order; one that has none stands by itself, with its failure.

    What it yields is not computed before what it yielded last has been dealt with.
    """
    begin = 0
    for index, record in enumerate(block):
        if record.error is not None:
            yield from _answered(block[begin:index], compute)
            yield [record], Failure(record, record.error)
            begin = index + 1
    yield from _answered(block[begin:], compute)


def _answered(records: Sequence[Record], compute: Compute) -> Iterator[tuple[Sequence[Record], Answers | Failure]]:
    """Half by half where some of them can't be answered: the answers of the others are the same."""
    if not records:
        return
    outcome: Answers | Failure
    try:
        outcome = compute([record.input for record in records])
    except ValueError as error:
        if len(records) > 1:
            middle = len(records) // 2
            yield from _answered(records[:middle], compute)
            yield from _answered(records[middle:], compute)
            return
        outcome = Failure(records[0], named(records[0], error))
    yield records, outcome


def named(record: Record, error: ValueError) -> str:
    """An error of the library's about one input, with the file and line in the place of the name that it has there."""
    why = str(error)
    found = NAME.match(why)
    if found:
        why = why[found.end() :] if found[1] is None else f"{found[1]}: {why[found.end() :]}"
    return f"{record.where}: {in_options(why)}"
