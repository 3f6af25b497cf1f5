"""take and pool: from tokens [T, H] to sequences [B, H]."""

from __future__ import annotations

import numpy as np

from ..layout import (
    FRAME_CU_SEQLENS,
    FRAME_KEY_LENS,
    POOL_CODES,
    POOL_MODE,
    POOL_OUT,
    POOL_WIDTH,
    POOL_X,
    TAKE_OUT,
    TAKE_ROWS,
    TAKE_WIDTH,
    TAKE_X,
)
from .frame import locate, next_of, row_bytes, word
from .simd import LANES, broadcast, kernel, load, load_int, maximum_or_nan, store

MEAN = POOL_CODES["mean"]


@kernel
def take(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, TAKE_X), word(step, TAKE_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    rows, width = locate(frame, word(step, TAKE_ROWS), chunk), word(step, TAKE_WIDTH)
    while True:
        b = next_of(frame, rank, slot, chunk[3])
        if b < 0:
            return
        row = load_int(rows + b * 8) - chunk[0]
        for i in range(0, width * 4, LANES * 4):
            store(out + b * ldout + i, load(x + row * ldx + i))


@kernel
def pool(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, POOL_X), word(step, POOL_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    width, mode = word(step, POOL_WIDTH), word(step, POOL_MODE)
    cu_seqlens, key_lens = word(frame, FRAME_CU_SEQLENS), word(frame, FRAME_KEY_LENS)
    while True:
        b = next_of(frame, rank, slot, chunk[3])
        if b < 0:
            return
        n = word(key_lens, chunk[2] + b)
        first = x + (word(cu_seqlens, chunk[2] + b) - chunk[0]) * ldx
        share = np.float32(1.0) / np.float32(max(n, 1))
        for i in range(0, width * 4, LANES * 4):
            value = broadcast(0.0)
            if n > 0:
                value = load(first + i)
            for t in range(1, n):
                row = load(first + t * ldx + i)
                value = value + row if mode == MEAN else maximum_or_nan(value, row)
            store(out + b * ldout + i, value * share if mode == MEAN else value)
