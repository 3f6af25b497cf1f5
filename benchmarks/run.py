"""`python -m benchmarks.run`: npbert and its peers, in turn, in one run, which takes about three quarters of an hour.

Writes NAME.json, NAME.md and NAME.svg into benchmarks/results, and the README's table unless parts were left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from npbert_kernels.ops import DTYPES, Dtype

from . import decisions, first_run, gemm, machine, plot, quality, readme, report, startup
from .cases import CASES
from .engines import ENGINES, OWN, library
from .models import MODELS, default_cache, make, make_task
from .rate import core_rate, read_rate
from .tasks import TASK_CASES, TASK_ENGINES
from .turns import resident_bytes, time_in_turn

RESULTS = Path(__file__).parent / "results"
NAMES = list(ENGINES["float32"])


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--name", help="of the files in benchmarks/results (default: by the CPU)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each engine's turn, about")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of the converted models")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="these parts")
    parser.add_argument("--quick", action="store_true", help="a smoke test: MiniLM, short batches")
    given = parser.parse_args(arguments)
    if given.quick:
        given.models, given.cases = ["all-MiniLM-L6-v2"], ["1x16", "1x128"]
        given.rounds, given.seconds = 2, 0.05
    return given


TASK_ROUNDS = 5  # a turn is a call there, and takes a second with some
CHOICES = ("models", "cases", "engines", "dtypes", "threads", "only", "quick")  # what a run may leave out


def engines(given: argparse.Namespace, dtype: Dtype) -> list[str]:
    return [engine for engine in ENGINES[dtype] if library(engine) in given.engines]


def timings(given: argparse.Namespace) -> list[dict[str, Any]]:
    records = []
    for dtype, name, threads in itertools.product(given.dtypes, given.models, given.threads):
        lanes = [(engine, threads) for engine in engines(given, dtype)]
        model = make(name, given.cache, dtype)
        for timing in time_in_turn(model, lanes, given.cases, given.rounds, given.seconds, dtype):
            records.append(timing.record())
            _tell("{model} {case} {dtype} threads {threads} {engine}: {median_ms:.2f} ms".format(**records[-1]))
    return records


def scaling(given: argparse.Namespace) -> list[dict[str, Any]]:
    """npbert on one thread and on several, in turn."""
    if "npbert" not in given.engines or len(given.threads) < 2:
        return []
    lanes = [("npbert", threads) for threads in given.threads]
    return [
        timing.record()
        for name in given.models
        for timing in time_in_turn(make(name, given.cache), lanes, given.cases, given.rounds, given.seconds)
    ]


def tasks(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Pipelines, tokenizer included."""
    records = []
    for name, cases in TASK_CASES.items():
        for threads in given.threads:
            lanes = [(engine, threads) for engine in TASK_ENGINES if library(engine) in given.engines]
            model = make_task(name, given.cache)
            chosen = cases[:1] if given.quick else cases
            for timing in time_in_turn(model, lanes, chosen, min(given.rounds, TASK_ROUNDS), given.seconds):
                records.append(timing.record())
                _tell("{model} {case} threads {threads} {engine}: {median_ms:.2f} ms".format(**records[-1]))
    return records


def memory(given: argparse.Namespace) -> list[dict[str, Any]]:
    threads = max(given.threads)
    return [
        {
            "model": name, "engine": engine, "dtype": dtype, "threads": threads,
            "bytes": resident_bytes(engine, dtype, model, threads),
        }
        for dtype, name in itertools.product(given.dtypes, given.models)
        for model in [make(name, given.cache, dtype)]
        for engine in engines(given, dtype)
        if engine not in OWN[1:]
    ]  # fmt: skip


def products(given: argparse.Namespace) -> list[dict[str, Any]]:
    seconds = 0.1 if given.quick else 2.0
    return [
        share
        for dtype, threads in itertools.product(given.dtypes, given.threads)
        for share in gemm.shares(threads, seconds, dtype)
    ]


def changes(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What reduced precision changes in real vectors."""
    return quality.measure(given.cache, 200 if given.quick else quality.SENTENCES, max(given.threads), given.engines)


def kept(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Which decisions of classifiers it leaves as they are."""
    return decisions.measure(200 if given.quick else decisions.FITTED)


def starts(given: argparse.Namespace) -> list[dict[str, Any]]:
    model = make("all-MiniLM-L6-v2", given.cache)
    return startup.in_turn(startup.commands(model.folder, model.onnx()), 2 if given.quick else 9)


def first(given: argparse.Namespace) -> dict[str, Any]:
    model = make("all-MiniLM-L6-v2", given.cache)
    command = startup.commands(model.folder, model.onnx())["npbert embed"]
    return {"seconds": first_run.seconds_with_empty_store(command)}


def weight_bytes(given: argparse.Namespace) -> dict[str, int]:
    return {name: 4 * make(name, given.cache).sizes().weights for name in given.models}


PARTS = {
    "gemm": products,
    "startup": starts,
    "first_run": first,
    "memory": memory,
    "timings": timings,
    "scaling": scaling,
    "tasks": tasks,
    "quality": changes,
    "decisions": kept,
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = options(arguments)
    # Peers are loaded from local files, and say nothing about it; workers inherit this.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
    began = time.perf_counter()
    described = machine.describe()
    result: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": described,
        "settings": {"rounds": given.rounds, "seconds_a_turn": given.seconds, "quick": given.quick},
    }
    for part, measure in PARTS.items():
        if part in given.only:
            _tell(f"{part} ...")
            result[part] = measure(given)
    timed = [t for part in ("timings", "scaling", "tasks") for t in result.get(part, []) if t["dtype"] == "float32"]
    rates = [rate for t in timed for rate in t["rates"]]
    result["read_rate"] = read_rate()
    result["weight_bytes"] = weight_bytes(given)
    result["rate"] = float(np.median(rates or core_rate(0.5)))
    result["minutes"] = round((time.perf_counter() - began) / 60, 1)
    whole = all(getattr(given, chosen) == getattr(options([]), chosen) for chosen in ("output", *CHOICES))
    write(result, given.output, given.name or _slug(described), readme_too=whole)
    return 0


def write(result: dict[str, Any], folder: Path, name: str, *, readme_too: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, default=_plain) + "\n")
    (folder / f"{name}.md").write_text(report.full(result))
    if result.get("timings"):
        plot.draw(result, folder / f"{name}.svg")
    _tell(f"wrote {path}, in {result['minutes']} minutes")
    print(report.full(result))
    if readme_too:
        readme.rewrite(path, readme.README)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"not for JSON: {value!r}")


def _slug(described: dict[str, Any]) -> str:
    return "".join(c if c.isalnum() else "-" for c in f"{described['cpu']} {described['cores']} cores".lower())


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
