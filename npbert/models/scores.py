"""Logits to scores, and the largest of them."""

from __future__ import annotations

import numpy as np
from npbert_kernels.ops import Floats, Ints


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    scores: Floats = np.exp(-np.logaddexp(np.float32(0), -logits))
    return scores


def largest(scores: Floats, count: int) -> Ints:
    """The indices of the `count` largest of [N], the largest first; of equals the first."""
    candidates = np.arange(len(scores))
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(~(scores < least))  # NaN among them, which comes last
    best: Ints = candidates[np.argsort(-scores[candidates], kind="stable")][:count]
    return best
