"""How far float32 arithmetic may be off, derived: a sum of n terms rounds n times, each time by eps at most."""

from __future__ import annotations

import math

import numpy as np


def norm_bound(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, norm_eps: float, eps: float) -> np.ndarray:
    """How far a LayerNorm of x may be off: each sum over H by H eps times its largest term."""
    H = x.shape[-1]
    x = np.asarray(x, np.float64)
    sigma = np.sqrt(x.var(axis=-1, keepdims=True) + norm_eps)
    off = (H + 8) * eps * np.abs(x).max(axis=-1, keepdims=True) / sigma  # of what is scaled by 1 / sigma
    z = np.abs(x - x.mean(axis=-1, keepdims=True)) / sigma
    return np.abs(weight) * (off + z * (off * math.sqrt(H) + (H + 8) * eps)) + 2 * eps * np.abs(bias)


def embed_bound(
    parts: list[np.ndarray], weight: np.ndarray, bias: np.ndarray, norm_eps: float, eps: float
) -> np.ndarray:
    """As norm_bound, of a sum: an addition may be off by an eps of what is added, more than what is left of it."""
    left = sum(np.asarray(part, np.float64) for part in parts)
    assert isinstance(left, np.ndarray)
    added = sum(np.abs(part) for part in parts).max(axis=-1, keepdims=True)
    sigma = np.sqrt(left.var(axis=-1, keepdims=True) + norm_eps)
    return norm_bound(left, weight, bias, norm_eps, eps) + 4 * eps * added / sigma * np.abs(weight) * (
        1 + left.shape[-1]
    )


def assert_within(found: np.ndarray, wanted: np.ndarray, bound: np.ndarray | float, what: str = "output") -> None:
    """Every element is within its bound, NaN nowhere; a failure names the worst element."""
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, not {wanted.shape}"
    if not found.size:
        return
    bound = np.broadcast_to(bound, found.shape)
    excess = np.where(np.isnan(found), np.inf, np.abs(found - wanted) - bound)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    where = ", ".join(map(str, worst))
    assert excess[worst] <= 0, (
        f"{what}[{where}]: {found[worst]!r} where the truth is {wanted[worst]!r}: "
        f"off by {abs(found[worst] - wanted[worst]):.3g}, allowed {bound[worst]:.3g}"
    )
