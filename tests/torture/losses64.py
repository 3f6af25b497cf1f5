"""Losses as torch has them, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IGNORED = -100


def cross_entropy(logits: Array, labels: NDArray[np.int64], ignored: int = IGNORED) -> float:
    """The mean of -log softmax over the last axis, where labels are not `ignored`."""
    rows, own = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    counted = own != ignored
    if not counted.any():
        return float("nan")
    rows, own = rows[counted], own[counted]
    highest = rows.max(1, keepdims=True)
    logs = rows - highest - np.log(np.exp(rows - highest).sum(1, keepdims=True))
    return float(-logs[np.arange(len(rows)), own].mean())


def squares(logits: Array, targets: Array) -> float:
    """Their mean."""
    return float(np.square(logits - targets).mean())


def binary(logits: Array, targets: Array) -> float:
    """The mean binary cross entropy."""
    return float((np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))).mean())
