"""How a step reads a file: by the system's call, which can fail. A page of a mapped file can only end the process."""

from __future__ import annotations

import errno
from typing import Any

from numba import types

from ..layout import (
    ENDED,
    ERRNO,
    FRAME_DESCRIPTOR,
    FRAME_KEPT,
    FRAME_KEPT_AT,
    FRAME_SCRATCH,
    FRAME_SCRATCH_BYTES,
    FRAME_SYNC,
    READS_FILES,
    SYNC_ABORT,
    SYNC_FAILED,
    WORD,
)
from .frame import word
from .simd import inlined, kernel, load_int, load_int32, store_int
from .sync import atomic_load, atomic_store

EINTR = errno.EINTR

_pread: Any
_errno: Any
if READS_FILES:
    _pread = types.ExternalFunction("pread", types.int64(types.int32, types.int64, types.int64, types.int64))
    _errno = types.ExternalFunction(ERRNO, types.int64())
else:

    @inlined
    def _pread(descriptor, target, size, offset):
        return 0

    @inlined
    def _errno():
        return 0


@kernel
def read(sync, descriptor, offset, size, target):
    """`size` bytes of a file from `offset` on; False where they can't be had, which ends the launch."""
    done = 0
    while done < size:
        count = _pread(descriptor, target + done, size - done, offset + done)
        if count > 0:
            done += count
            continue
        failed = load_int32(_errno()) if count < 0 else ENDED
        if failed == EINTR and atomic_load(sync + SYNC_ABORT) == 0:
            continue
        store_int(sync + SYNC_FAILED, failed)
        atomic_store(sync + SYNC_ABORT, 1)
        return False
    return True


@kernel
def row_of_file(frame, rank, row, size, offset):
    """The address of a row of `size` bytes that a file has at `offset`: read, unless the thread has it from before.

    0 where it can't be read, which ends the launch. A launch that fails leaves nothing that another would find.
    """
    kept = word(frame, FRAME_KEPT)
    here = word(frame, FRAME_SCRATCH) + rank * word(frame, FRAME_SCRATCH_BYTES) + word(frame, FRAME_KEPT_AT)
    which, target = here + row % kept * WORD, here + kept * WORD + row % kept * size
    if load_int(which) != row + 1:
        if not read(word(frame, FRAME_SYNC), word(frame, FRAME_DESCRIPTOR), offset, size, target):
            return 0
        store_int(which, row + 1)
    return target
