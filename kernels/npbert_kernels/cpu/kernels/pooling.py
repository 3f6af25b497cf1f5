"""take, concat and pool: rows of tokens [T, H] -> chosen rows, rows side by side, sequences [B, H]."""

from __future__ import annotations

import numpy as np

from ..layout import (
    CONCAT_COLUMN,
    CONCAT_OUT,
    CONCAT_ROWS,
    CONCAT_WIDTH,
    CONCAT_X,
    CONCAT_ZEROS,
    FRAME_CU_SEQLENS,
    FRAME_KEY_LENS,
    NONE,
    POOL_CODES,
    POOL_FROM,
    POOL_MODE,
    POOL_OUT,
    POOL_WIDTH,
    POOL_X,
    TAKE_INDEX,
    TAKE_OUT,
    TAKE_ROWS,
    TAKE_WIDTH,
    TAKE_X,
)
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import LANES, broadcast, fma, kernel, load, load_float, load_int, maximum_or_nan, store, store_float

MEAN, MAX, MEAN_SQRT, WEIGHTED, LAST = (
    POOL_CODES[mode] for mode in ("mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
)


@kernel
def take(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, TAKE_X), word(step, TAKE_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    index, width = locate(frame, word(step, TAKE_INDEX), chunk), word(step, TAKE_WIDTH)
    rows = rows_of(chunk, word(step, TAKE_ROWS))
    while True:
        r = next_of(frame, rank, slot, rows)
        if r < 0:
            return
        row = load_int(index + r * 8) - chunk.first_token
        for i in range(0, width * 4, LANES * 4):
            store(out + r * ldout + i, load(x + row * ldx + i))


@kernel
def concat(frame, rank, chunk, step, slot):
    """One part: x [rows, width] into the columns of out from `column` on, and `zeros` zeros behind the last part."""
    x_buffer, out_buffer = word(step, CONCAT_X), word(step, CONCAT_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    out += word(step, CONCAT_COLUMN) * 4
    width, zeros, rows = word(step, CONCAT_WIDTH), word(step, CONCAT_ZEROS), rows_of(chunk, word(step, CONCAT_ROWS))
    whole = width // LANES * LANES
    while True:
        r = next_of(frame, rank, slot, rows)
        if r < 0:
            return
        source, target = x + r * ldx, out + r * ldout
        for i in range(0, whole * 4, LANES * 4):
            store(target + i, load(source + i))
        for i in range(whole, width):
            store_float(target + i * 4, load_float(source + i * 4))
        for i in range(width, width + zeros):
            store_float(target + i * 4, np.float32(0.0))


@kernel
def pool(frame, rank, chunk, step, slot):
    x_buffer, out_buffer, first = word(step, POOL_X), word(step, POOL_OUT), word(step, POOL_FROM)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    width, mode = word(step, POOL_WIDTH), word(step, POOL_MODE)
    cu_seqlens, key_lens = word(frame, FRAME_CU_SEQLENS), word(frame, FRAME_KEY_LENS)
    while True:
        b = next_of(frame, rank, slot, chunk.sequences)
        if b < 0:
            return
        begin, end = word(cu_seqlens, chunk.first_sequence + b), word(key_lens, chunk.first_sequence + b)
        skipped = 0
        if first != NONE:
            skipped = load_int(locate(frame, first, chunk) + b * 8) - begin
        n = end - skipped
        rows = x + (begin - chunk.first_token) * ldx
        for i in range(0, width * 4, LANES * 4):
            value = broadcast(0.0)
            if n > 0 and mode == LAST:
                value = load(rows + (end - 1) * ldx + i)
            elif n > 0 and mode == WEIGHTED:
                total = np.float32(0.0)
                for t in range(skipped, end):
                    weight = np.float32(t + 1)
                    value = fma(load(rows + t * ldx + i), weight, value)
                    total += weight
                value = value / total
            elif n > 0:
                value = load(rows + skipped * ldx + i)
                for t in range(skipped + 1, end):
                    row = load(rows + t * ldx + i)
                    value = maximum_or_nan(value, row) if mode == MAX else value + row
                if mode == MEAN:
                    value = value * (np.float32(1.0) / np.float32(n))
                elif mode == MEAN_SQRT:
                    value = value / np.sqrt(np.float32(n))
            store(out + b * ldout + i, value)
