"""Page-aligned memory for weights and workspaces, in huge pages where the system has them."""

from __future__ import annotations

import contextlib
import errno
import mmap

import numpy as np
from numpy.typing import NDArray

HUGE = 1 << 21  # bytes of a huge page


def pages(nbytes: int) -> NDArray[np.uint8]:
    """nbytes of zeroed memory that becomes resident as it is touched, aligned to a huge page.

    Raises:
        MemoryError: the system has not so much.
    """
    # Private: what is shared gets no huge pages.
    given = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
    try:
        mapped = mmap.mmap(-1, nbytes + HUGE, **given)
    except OSError as error:  # as of a file's, which this is not
        if error.errno != errno.ENOMEM:
            raise
        raise MemoryError(f"Unable to allocate {nbytes / 2**20:.1f} MiB") from None
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            mapped.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(mapped, np.uint8)
    skip = -address(whole) % HUGE
    return whole[skip : skip + nbytes]


def address(array: NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])
