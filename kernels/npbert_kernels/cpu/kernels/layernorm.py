"""layer_norm and normalize: whole rows, two passes over a row that the first-level cache holds."""

from __future__ import annotations

import numpy as np

from ..layout import (
    NONE,
    NORM_BIAS,
    NORM_CONVERTED,
    NORM_DTYPE,
    NORM_EPS,
    NORM_OUT,
    NORM_ROWS,
    NORM_WEIGHT,
    NORM_WIDTH,
    NORM_X,
    NORMALIZE_OUT,
    NORMALIZE_ROWS,
    NORMALIZE_WIDTH,
    NORMALIZE_X,
)
from .convert import convert_row
from .frame import locate, next_of, number, row_bytes, rows_of, word
from .simd import LANES, broadcast, fma, horizontal_sum, keep_first, kernel, load, store

GROUP = 8  # rows in one item


@kernel
def norm_row(x, weight, bias, width, eps, out):
    """out = (x - mean) / sqrt(variance + eps) weight + bias; bias may be 0, for none. What lies up to the next whole
    vector is 0 in x, weight and bias, and becomes 0 in out. out may be x."""
    total = broadcast(0.0)
    for i in range(0, width, LANES):
        total = total + load(x + i * 4)
    mean = horizontal_sum(total) / np.float32(width)
    whole = width // LANES * LANES
    squares = broadcast(0.0)
    for i in range(0, whole, LANES):
        off = load(x + i * 4) - mean
        squares = fma(off, off, squares)
    if width > whole:
        off = keep_first(load(x + whole * 4) - mean, width - whole, 0.0)
        squares = fma(off, off, squares)
    inverse = np.float32(1.0) / np.sqrt(horizontal_sum(squares) / np.float32(width) + eps)
    if bias != 0:
        for i in range(0, width, LANES):
            value = (load(x + i * 4) - mean) * inverse
            store(out + i * 4, fma(value, load(weight + i * 4), load(bias + i * 4)))
    else:
        for i in range(0, width, LANES):
            store(out + i * 4, (load(x + i * 4) - mean) * inverse * load(weight + i * 4))


@kernel
def layer_norm(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, NORM_X), word(step, NORM_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    weight, bias, eps = word(step, NORM_WEIGHT), word(step, NORM_BIAS), number(word(step, NORM_EPS))
    width = word(step, NORM_WIDTH)
    converted, dtype = word(step, NORM_CONVERTED), word(step, NORM_DTYPE)
    target, ldtarget = (locate(frame, converted, chunk), row_bytes(frame, converted)) if converted != NONE else (0, 0)
    rows = rows_of(chunk, word(step, NORM_ROWS))
    while True:
        item = next_of(frame, rank, slot, (rows + GROUP - 1) // GROUP)
        if item < 0:
            return
        for i in range(item * GROUP, min(rows, (item + 1) * GROUP)):
            norm_row(x + i * ldx, weight, bias, width, eps, out + i * ldout)
            if converted != NONE:
                convert_row(out + i * ldout, width, dtype, target + i * ldtarget)


@kernel
def normalize(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, NORMALIZE_X), word(step, NORMALIZE_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    width = word(step, NORMALIZE_WIDTH)
    rows = rows_of(chunk, word(step, NORMALIZE_ROWS))
    while True:
        i = next_of(frame, rank, slot, rows)
        if i < 0:
            return
        squares = broadcast(0.0)
        for j in range(0, width, LANES):
            value = load(x + i * ldx + j * 4)
            squares = fma(value, value, squares)
        norm = max(np.sqrt(horizontal_sum(squares)), np.float32(1e-12))
        for j in range(0, width, LANES):
            store(out + i * ldout + j * 4, load(x + i * ldx + j * 4) / norm)
