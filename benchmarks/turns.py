"""The engines in turn, A B C D A B C D ..., so that a noisy moment of the machine falls on all alike."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from npbert_kernels.ops import Dtype

from .cases import ALL_CASES
from .models import Model
from .quiet import wait_for_quiet
from .rate import core_rate
from .timing import Timing

ROOT = Path(__file__).resolve().parent.parent


class Worker:
    """The parent's end of one worker."""

    def __init__(self, engine: str, dtype: Dtype, model: Model, threads: int) -> None:
        self.engine, self.threads = engine, threads
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", engine, dtype, model.name, str(model.folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._answer()

    def ask(self, **request: object) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.engine} ended with status {self.process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def time_in_turn(
    model: Model,
    lanes: Sequence[tuple[str, int]],
    cases: Iterable[str],
    rounds: int,
    seconds: float,
    dtype: Dtype = "float32",
) -> Iterator[Timing]:
    """Each case on each lane (an engine and its number of threads), for that many rounds of turns that take
    about that many seconds.

    The rate of a core, in that dtype, is measured once a round, between the turns. A round waits, but not for
    ever, until nothing else uses the cores.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(engine, dtype, model, threads)) for engine, threads in lanes]
        for case in cases:
            apart = distances(workers, case, dtype)
            for worker in workers:
                worker.ask(do="turn", case=case, seconds=0)  # warm-up, as was the call that was compared
            times: list[list[list[float]]] = [[] for _ in workers]
            rates, disturbed = [], 0
            for _ in range(rounds):
                disturbed += not wait_for_quiet(longest=20)
                rates.append(core_rate(0.05, dtype))
                for worker, by_round in zip(workers, times, strict=True):
                    by_round.append(worker.ask(do="turn", case=case, seconds=seconds))
            for worker, by_round, distance in zip(workers, times, apart, strict=True):
                yield Timing(model, worker.threads, case, worker.engine, dtype, by_round, rates, disturbed, distance)


MOST_APART: dict[Dtype, float] = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.5}
"""Relative distances beyond which two engines do not compute the same thing; int8 peers come to 0.3."""


def distances(workers: Sequence[Worker], case: str, dtype: Dtype) -> list[float]:
    """How far each worker's output lies from the last one's, in parts of its norm: hidden states of real tokens,
    or scores. In reduced precision the last one is npbert's float32.
    """
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        for worker in workers:
            path = Path(folder) / "out.npy"
            worker.ask(do="save", case=case, path=str(path))
            outputs.append(ALL_CASES[case].compared(np.load(path)))
    found = [float(np.linalg.norm(output - outputs[-1]) / np.linalg.norm(outputs[-1])) for output in outputs]
    if not max(found) < MOST_APART[dtype]:
        by_engine = dict(zip([worker.engine for worker in workers], found, strict=True))
        raise RuntimeError(f"the engines disagree on {case}: {by_engine}")
    return found


def resident_bytes(engine: str, dtype: Dtype, model: Model, threads: int) -> int:
    """The largest resident memory of a fresh process that loaded the model and ran 1x128 and 8x128."""
    with Worker(engine, dtype, model, threads) as worker:
        for case in ("1x128", "8x128"):
            worker.ask(do="turn", case=case, seconds=0)
        return int(worker.ask(do="memory"))
