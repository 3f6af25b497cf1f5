"""What one core can do: the rate that every share is a share of, and how fast weights can come from memory."""

from __future__ import annotations

import time

import numpy as np
from npbert_kernels.cpu import fma_rates


def core_rate(seconds: float) -> float:
    """FLOP/s of one core's float32 multiply-adds on registers alone: the median of many short runs.

    The median, as of the engines' times: a clock that wanders makes the best of either a matter of luck.
    """
    return float(np.median(fma_rates(seconds)))


def read_rate() -> float:
    """Bytes a second that one core reads of 256 MiB, which no cache holds: the best of several passes."""
    x = np.ones(2**26, np.float32)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        x.dot(x)
        best = min(best, time.perf_counter() - start)
    return x.nbytes / best
