"""Whether numbers are what they should be: near the oracle's by as much as rounding explains, or the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torture.verdict import RIGHT, SANE, Found

# One float32 pass of a small model is compared with another whose sums are in another order: what rounding does to one
# it does to the other within a small factor. The floor is for oracles that happen to round well.
FACTOR = 16.0
FLOOR = 4e-6  # of the greatest number
COARSE = 1e5  # from this slack on, oracles say what coarse matrices may do: see Encoder64
ILL = 0.05  # where float32 is off by so much of the greatest number, the answer is not told by the files


def against(what: str, found: np.ndarray, oracle: Callable[[Any], np.ndarray], slack: float = 1.0) -> str:
    """The outcome of an answer whose truth is `oracle(np.float64)`; `oracle(np.float32)` says how much is rounding.

    Args:
        what: for finds.
        found: npbert's answer.
        oracle: computes in a dtype.
        slack: how much coarser npbert's arithmetic is, in reduced precision.

    Raises:
        Found: it is not near, or of another shape.
    """
    with np.errstate(all="ignore"):
        truth, rounded = oracle(np.float64), oracle(np.float32)
        if found.shape != truth.shape:
            raise Found(
                f"{what}: shape {found.shape}, where the files say {truth.shape}", f"{what}: shape", by_steps=True
            )
        if not (np.isfinite(truth).all() and np.isfinite(rounded).all()):
            return SANE
        if not truth.size:
            return RIGHT
        greatest = float(np.abs(truth).max())
        rounding = float(np.abs(rounded - truth).max())
        if rounding > ILL * greatest or greatest > 1e30:
            return SANE
        bound = slack * (FACTOR * rounding + FLOOR * greatest) + 1e-30
        off = np.abs(found - truth)
    if not np.isfinite(found).all():
        said = f"{what}: not finite, where the files say {truth.ravel()[:3]}"
        raise Found(said, f"{what}: not finite", by_steps=True)
    worst = float(off.max())
    if worst > bound and slack >= COARSE:  # what saturates may tip over
        with np.errstate(all="ignore"):
            coarse = [float(np.abs(oracle(dtype) - truth).max()) for dtype in (np.float16, np.int16)]
            if not max(coarse) < worst / 2:
                return SANE
    if worst > bound:
        place = np.unravel_index(int(off.argmax()), off.shape)
        where = ", ".join(map(str, place))
        raise Found(
            f"{what}[{where}]: {found[place]:.7g}, where the files say {truth[place]:.7g}: off by {worst:.3g}, "
            f"allowed {bound:.3g}",
            f"{what}: off",
            by_steps=True,
        )
    return RIGHT


def same_bits(what: str, found: np.ndarray, wanted: np.ndarray, *, by_steps: bool = False) -> None:
    """Raises Found where a bit differs."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        here, there = f"{found.dtype}{list(found.shape)}", f"{wanted.dtype}{list(wanted.shape)}"
        raise Found(f"{what}: {here}, not {there}", f"{what}: other shape", by_steps=by_steps)
    if found.tobytes() != wanted.tobytes():
        if np.array_equal(found, wanted, equal_nan=True):
            return  # 0.0 and -0.0, or NaNs of other bits
        differ = found != wanted
        raise Found(
            f"{what}: other bits in {int(differ.sum())} of {found.size} places: "
            f"{found[differ].ravel()[:2]}, not {wanted[differ].ravel()[:2]}",
            f"{what}: other bits",
            by_steps=by_steps,
        )
