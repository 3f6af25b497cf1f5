"""Page-aligned memory for weights and workspaces, in huge pages where the system has them."""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
from numpy.typing import NDArray

HUGE = 1 << 21  # bytes of a huge page


def pages(nbytes: int) -> NDArray[np.uint8]:
    """nbytes of zeroed memory that becomes resident as it is touched, aligned to a huge page."""
    if hasattr(mmap, "MAP_ANONYMOUS"):  # private: what is shared gets no huge pages
        mapped = mmap.mmap(-1, nbytes + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        mapped = mmap.mmap(-1, nbytes + HUGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            mapped.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(mapped, np.uint8)
    skip = -address(whole) % HUGE
    return whole[skip : skip + nbytes]


def address(array: NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])
