"""The rate that every share is a share of: float32 multiply-adds of one core, on registers alone."""

from __future__ import annotations

from npbert_kernels.cpu import fma_rate


def core_rate(seconds: float) -> float:
    """FLOP/s of one core, the best of short stretches that take about that long together."""
    return fma_rate(seconds)
