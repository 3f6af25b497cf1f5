"""The formats of weights and activations on the host: float32 <-> what a device holds."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ops import Floats

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
STORED: dict[Dtype, Any] = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}
SIZES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
# The least magnitude that is rounded to infinity: halfway behind the largest number.
BEYOND: dict[Dtype, float] = {"bfloat16": (2 - 2.0**-8) * 2.0**127, "float16": 65520.0}
PADDING = 64  # rows have whole multiples of so many elements: no tile of a GEMM has an edge in N or K


def padded(width: int) -> int:
    return (width + PADDING - 1) // PADDING * PADDING


def narrowed(rows: Floats, dtype: Dtype) -> NDArray[Any]:
    """Nearest, ties to even; NaN stays NaN."""
    if dtype == "float32":
        return np.ascontiguousarray(rows, np.float32)
    if dtype == "float16":
        with np.errstate(over="ignore"):  # what is too large is infinite
            return rows.astype(np.float16)
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    stored: NDArray[Any] = np.where(np.isnan(rows), np.uint16(0x7FFF), rounded)
    return stored


def widened(rows: NDArray[Any], dtype: Dtype) -> Floats:
    if dtype == "bfloat16":
        return (rows.astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float32)


def checked(name: str, rows: Floats, dtype: Dtype) -> NDArray[Any]:
    """As `narrowed`. Raises ValueError for a finite number that the format has no room for."""
    stored = narrowed(rows, dtype)
    if dtype != "float32" and not np.isfinite(widened(stored, dtype)).all():
        largest = float(np.abs(rows[np.isfinite(rows)]).max(initial=0))
        if largest >= BEYOND[dtype]:
            raise ValueError(f"{name}: wanted numbers that {dtype} holds, found one of magnitude {largest:g}")
    return stored


def not_there(what: str) -> ValueError:
    return ValueError(f"{what}: computed on the CPU alone: wanted device='cpu', found a GPU")
