"""One engine in a process of its own: `python -m benchmarks.worker ENGINE DTYPE MODEL FOLDER THREADS`.

Every engine keeps a pool of threads, and some of these spin for milliseconds after a call, waiting for the
next. In one process they would take the cores from whichever engine has its turn; a shared OpenMP runtime, or
a setting such as `allow_spinning` off, would make an engine slower than its users know it. So each engine
lives in a worker that blocks on a pipe between its turns, times itself, and answers once its threads sleep.

Requests and answers are lines of JSON on standard input and output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from npbert_kernels.ops import Dtype

from .cases import ALL_CASES
from .engines import ENGINES
from .memory import largest_resident_bytes
from .models import Model
from .tasks import TASK_ENGINES, TASKS


def turn(run: Callable[[], Any], seconds: float) -> list[float]:
    """The seconds of each call, for about that long in all.

    The first is left out where others follow: it finds the threads asleep and the caches full of another
    engine's weights.
    """
    times: list[float] = []
    start = time.perf_counter()
    while True:
        before = time.perf_counter()
        run()
        after = time.perf_counter()
        times.append(after - before)
        if after - start >= seconds:
            return times[1:] or times


def wait_until_quiet(longest: float = 1.0) -> None:
    """Returns once this process's threads no longer use a core, or after that many seconds."""
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        used = time.process_time()
        time.sleep(0.02)
        if time.process_time() - used < 0.002:
            return


def serve(engine: str, dtype: Dtype, model: Model, threads: int, answer: Callable[[object], None]) -> None:
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # tokenizers' own
    loaded = (TASK_ENGINES if model.name in TASKS else ENGINES[dtype])[engine](model, threads)
    runs: dict[str, Callable[[], Any]] = {}
    answer("loaded")
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "memory":
            answer(largest_resident_bytes())
            continue
        name = request["case"]
        if name not in runs:
            runs[name] = loaded.prepare(ALL_CASES[name])
        if request["do"] == "save":
            np.save(request["path"], runs[name]())
            answer(None)
        else:
            times = turn(runs[name], request["seconds"])
            wait_until_quiet()
            answer(times)


def main() -> None:
    # What a library prints belongs on standard error: standard output is for the answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    engine, dtype, name, folder, threads = sys.argv[1:]
    serve(engine, cast(Dtype, dtype), Model(name, Path(folder)), int(threads), answer)


if __name__ == "__main__":
    main()
