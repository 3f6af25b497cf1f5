"""Arrays between pages that can't be touched: who reads or writes past an end dies of it.

Imported by programs that test_guard.py runs in processes of their own.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []  # for as long as the process lives


def _forbid(address: int) -> None:
    if _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def guarded(shape: Any, dtype: Any = np.float32, *, at_end: bool = True) -> np.ndarray:
    """Zeros whose last byte, or else whose first, is beside a forbidden page; there is one on either side."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    inside = -(-max(nbytes, 1) // PAGE) * PAGE
    mapped = mmap.mmap(-1, inside + 2 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(mapped, np.uint8)
    _kept.append(mapped)
    base = int(whole.__array_interface__["data"][0])
    _forbid(base)
    _forbid(base + PAGE + inside)
    begin = PAGE + (inside - nbytes if at_end else 0)
    return whole[begin : begin + nbytes].view(dtype).reshape(shape)


def copied(array: np.ndarray, *, at_end: bool = True) -> np.ndarray:
    copy = guarded(array.shape, array.dtype, at_end=at_end)
    copy[...] = array
    return copy
