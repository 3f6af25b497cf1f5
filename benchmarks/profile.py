"""Where npbert's time goes, step by step: `python -m benchmarks.profile MODEL [--case 1x128] [--dtype int8]`.

Each step's cycles are thread 0's, its wait at the barrier included, the least of several runs, and the rate is the
best; the clock of the time stamp counter is measured beside them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from npbert_kernels import cpu
from npbert_kernels.cpu import layout
from npbert_kernels.cpu.isa import selected
from npbert_kernels.ops import DTYPES

import npbert
from npbert.models.batch import pack
from npbert.models.pooling import model_forward

from .cases import CASES


def table(model: npbert.BertModel, case: str, runs: int = 15) -> list[tuple[str, float, float]]:
    """(step, seconds, floating-point operations of the real tokens), steps of one kind and shape together."""
    feed = CASES[case].feed()
    batch = pack(model.config, feed["input_ids"], feed["attention_mask"]).batch
    program = cpu.backend.record(model_forward(model._encoder))
    program(batch)
    best, ticks = np.inf, 0.0
    profiles = []
    for _ in range(runs):
        start = time.perf_counter()
        profiles.append(program.profile(batch))
        seconds = time.perf_counter() - start
        if seconds < best:
            best, ticks = seconds, sum(cycles for _, cycles in profiles[-1]) / seconds
    least = np.min([[cycles for _, cycles in profile] for profile in profiles], axis=0)

    lengths = np.diff(batch.cu_seqlens)
    rows: dict[str, list[float]] = {}
    for step, cycles in zip(program.steps, least, strict=True):
        name, work = layout.Op(step[0]).name.lower(), 0.0
        if name == "linear" and step[layout.LINEAR_ROWS] == layout.Axis.TOKENS:
            k, n = int(step[layout.LINEAR_K]), int(step[layout.LINEAR_PANELS]) * selected().panel
            name = f"linear {k} x {n}" + (", activation" if step[layout.LINEAR_ACTIVATION] else "")
            work = 2.0 * k * n * float(lengths.sum())
        if name == "attention":
            work = 4.0 * model.config.hidden_size * float((lengths**2).sum())
        row = rows.setdefault(name, [0.0, 0.0])
        row[0] += cycles / ticks
        row[1] += work
    return [(name, seconds, work) for name, (seconds, work) in rows.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("model", help="a folder, a hub id, or package:NAME")
    parser.add_argument("--case", default="1x128", choices=list(CASES))
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    npbert.set_num_threads(options.threads)
    model = npbert.BertModel.from_pretrained(options.model, add_pooling_layer=False, dtype=options.dtype)
    rate = max(cpu.fma_rates(dtype=options.dtype)) * options.threads  # the best, as of the steps
    steps = table(model, options.case)
    total = sum(seconds for _, seconds, _ in steps)
    print(f"{options.case}, {options.dtype}, {options.threads} thread(s), {rate / 1e9:.0f} G operations/s\n")
    print("| step | ms | of the time | of the limit |\n| --- | ---: | ---: | ---: |")
    for name, seconds, work in steps:
        share = f"{work / seconds / rate:.1%}" if work else ""
        print(f"| {name} | {seconds * 1e3:.3f} | {seconds / total:.1%} | {share} |")
    whole = sum(work for *_, work in steps)
    print(f"| all | {total * 1e3:.3f} | 100.0% | {whole / total / rate:.1%} |")


if __name__ == "__main__":
    main()
