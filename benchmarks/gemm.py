"""One linear layer at a time, through the CPU backend, as a share of what the cores can do."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from npbert_kernels import cpu
from npbert_kernels.ops import DTYPES, Backend, Batch, Dtype, Ops, Program, Rows

from .rate import core_rate

# (M, N, K): M tokens, K in, N out
SHAPES = ((16, 768, 768), (128, 768, 768), (1024, 3072, 768), (1024, 768, 3072))


def record_linears(
    backend: Backend, m: int, n: int, k: int, linears: int, dtype: Dtype = "float32"
) -> tuple[Program, Batch]:
    """A program of that many independent linear layers on one input [M, K], each with weights of its own.

    Several, so that the input's way in and the launch weigh little; weights of their own, since a model
    never uses the same weights twice in a row. Of each output one row is asked for, which spares the copy.
    """
    rng = np.random.default_rng(0)
    store = backend.store(4 * linears * n * (k + 1), dtype=dtype)
    bias = np.zeros(n, np.float32)
    weights = [store.linear(rng.standard_normal((n, k), np.float32), bias) for _ in range(linears)]
    table = store.table(np.zeros((1, k), np.float32))
    norm = store.norm(np.ones(k, np.float32), np.zeros(k, np.float32), 1e-12)

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        x = ops.embed_rows(batch.inputs_embeds, (table, batch.positions), (table, batch.token_types), norm)
        return {str(i): ops.take(ops.linear(x, weight), batch.first) for i, weight in enumerate(weights)}

    zeros = np.zeros(m, np.int64)
    batch = Batch(
        ids=None,
        positions=zeros,
        token_types=zeros,
        cu_seqlens=np.array([0, m]),
        key_lens=np.array([m]),
        first=np.array([0]),
        inputs_embeds=rng.standard_normal((m, k), np.float32),
    )
    return backend.record(forward, ["inputs_embeds"]), batch


def share(
    backend: Backend, m: int, n: int, k: int, threads: int, seconds: float, dtype: Dtype = "float32"
) -> dict[str, Any]:
    """The rate of M x N x K with bias, and the rate of the cores measured just before and after each call."""
    linears = 32 if m <= 128 else 8
    program, batch = record_linears(backend, m, n, k, linears, dtype)
    program(batch)
    rates, shares = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(shares) < 5:
        limit = threads * core_rate(0.01, dtype)
        start = time.perf_counter()
        program(batch)
        rates.append(2 * m * n * k * linears / (time.perf_counter() - start))
        shares.append(rates[-1] / limit)
    q1, median, q3 = np.percentile(shares, (25, 50, 75))
    return {
        "m": m, "n": n, "k": k, "dtype": dtype, "threads": threads,
        "flops_a_second": float(np.median(rates)),
        "share": float(median), "share_q1": float(q1), "share_q3": float(q3),
    }  # fmt: skip


def shares(threads: int, seconds: float, dtype: Dtype = "float32") -> list[dict[str, Any]]:
    """Of every shape. Reduced precision counts what it takes to make the input's words as well."""
    cpu.set_num_threads(threads)
    return [share(cpu.backend, m, n, k, threads, seconds, dtype) for m, n, k in SHAPES]


def main() -> None:
    """`python -m benchmarks.gemm`: one thread, each dtype's share of its own instruction's rate."""
    for dtype in DTYPES:
        for of in shares(1, 2.0, dtype):
            print(f"{dtype:8s} M {of['m']:4d} N {of['n']:4d} K {of['k']:4d}  {of['share']:.3f}")


if __name__ == "__main__":
    main()
