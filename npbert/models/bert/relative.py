"""MPNet's relative attention: a bias for each head and bucket of distances -> one for each distance.

Source: https://arxiv.org/abs/1910.10683 (T5), as transformers' MPNetEncoder computes it.
"""

from __future__ import annotations

import math

import numpy as np
from npbert_kernels.ops import Floats, Ints

BUCKETS = 32  # that are used, half of them for each direction
MAX_DISTANCE = 128  # from here on, all distances share a bucket


def bucket(distance: Ints) -> Ints:
    """How many columns a key stands behind its query [...] -> the bucket [...], each distance alone up to 7.

    In float32, as transformers does: at the edges of buckets, rounding decides.
    """
    half, exact = BUCKETS // 2, BUCKETS // 4
    away = np.abs(distance)
    logs = np.log(np.maximum(away, 1).astype(np.float32) / np.float32(exact))
    far = exact + (logs / np.float32(math.log(MAX_DISTANCE / exact)) * np.float32(half - exact)).astype(np.int64)
    return np.where(distance > 0, half, 0) + np.where(away < exact, away, np.minimum(far, half - 1))


def bias_by_distance(rows: Floats, positions: int) -> Floats:
    """rows [buckets, N] -> [N, 2P - 1]: of a key that stands 1 - P to P - 1 columns behind its query."""
    return np.ascontiguousarray(rows[bucket(np.arange(1 - positions, positions))].T)
