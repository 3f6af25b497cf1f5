"""What one core can do: the rate that every share is a share of, and how fast weights can come from memory."""

from __future__ import annotations

import time

import numpy as np
from npbert_kernels.cpu import fma_rates
from npbert_kernels.ops import Dtype


def core_rate(seconds: float, dtype: Dtype = "float32") -> float:
    """Operations a second of one core's multiply-adds on registers alone: the median of many short runs.

    The median, as of the engines' times: a clock that wanders makes the best of either a matter of luck.
    """
    return float(np.median(fma_rates(seconds, dtype)))


def read_rate() -> float:
    """Bytes a second that one core reads of 256 MiB, which no cache holds: the best of several passes."""
    x = np.ones(2**26, np.float32)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        x.dot(x)
        best = min(best, time.perf_counter() - start)
    return x.nbytes / best
