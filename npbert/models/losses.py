"""Losses of logits and labels, as transformers has them, in float64.

A loss of nothing (every label ignored) is NaN, as torch's is.
"""

from __future__ import annotations

import numpy as np
from npbert_kernels.ops import Floats, Ints
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array, place

IGNORED = -100  # a label that counts for nothing

Doubles = NDArray[np.float64]


def checked_labels(name: str, value: ArrayLike, shape: tuple[int, ...], limit: int, ignored: int | None) -> Ints:
    """int64 of a shape, each in 0 to limit - 1, or `ignored` where that is not None.

    Raises:
        ValueError: another dtype or shape, or a label that is neither; names the place.
    """
    found = as_array(name, value)
    if found.dtype.kind not in "iu":
        raise ValueError(f"{name}: wanted integers, found the dtype {found.dtype}")
    if found.shape != shape:
        raise ValueError(f"{name}: wanted the shape {list(shape)}, found {list(found.shape)}")
    outside = (found < 0) | (found >= limit)
    if ignored is not None:
        outside &= found != ignored
    if outside.any():
        where = tuple(np.argwhere(outside)[0])
        wanted = f"0 to {limit - 1}" + ("" if ignored is None else f", or {ignored} for none")
        raise ValueError(f"{place(name, where)}: wanted {wanted}, found {found[where]}")
    return found.astype(np.int64)


def checked_targets(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Doubles:
    """float64 of a shape, finite.

    Raises:
        ValueError: another dtype or shape, or NaN or infinity; names the place.
    """
    found = as_array(name, value)
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name}: wanted numbers, found the dtype {found.dtype}")
    if found.shape != shape:
        raise ValueError(f"{name}: wanted the shape {list(shape)}, found {list(found.shape)}")
    if not np.isfinite(found).all():
        where = tuple(np.argwhere(~np.isfinite(found))[0])
        raise ValueError(f"{place(name, where)}: wanted a finite number, found {found[where]}")
    return found.astype(np.float64)


def cross_entropy(logits: Floats, labels: Ints, ignored: int = IGNORED) -> float:
    """logits [..., n], labels [...]: the mean of -log softmax(logits)[label] where the label is not `ignored`."""
    counted = labels != ignored
    if not counted.any():
        return float("nan")
    rows = logits[counted].astype(np.float64)  # [labels that count, n]
    highest = rows.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(rows - highest).sum(axis=1)) + highest[:, 0]
    return float((log_sums - rows[np.arange(len(rows)), labels[counted]]).mean())


def mean_squared_error(logits: Floats, targets: Doubles) -> float:
    """Both of one shape."""
    if not logits.size:
        return float("nan")
    off = logits.astype(np.float64) - targets
    return float((off * off).mean())


def binary_cross_entropy(logits: Floats, targets: Doubles) -> float:
    """Both of one shape: the mean of -t log s(x) - (1 - t) log(1 - s(x)), s the logistic function."""
    if not logits.size:
        return float("nan")
    x = logits.astype(np.float64)
    return float((np.maximum(x, 0) - x * targets + np.log1p(np.exp(-np.abs(x)))).mean())
