"""convert: rows of float32 into the words that a micro-kernel of another dtype reads.

bfloat16: to the nearest, ties to even. int8: the row's scale and its zero point stand before its bytes, and x is about
(byte - zero) scale. The least and the largest of a row (and 0, which is exact) span STEPS steps; a weight's row is
symmetric instead, its zero point 0. All of it is a fixed order of roundings without fused multiply-add, so every ISA
makes the same bytes. What isn't finite makes its row's scale NaN, and so all that the row goes into.
"""

from __future__ import annotations

import numpy as np

from ..layout import (
    BFLOAT16,
    CONVERT_DTYPE,
    CONVERT_OUT,
    CONVERT_ROWS,
    CONVERT_WIDTH,
    CONVERT_X,
    INT8,
    PACK_DTYPE,
    PACK_K,
    PACK_ROWS,
    PACK_SOURCE,
    PACK_STRIDE,
    PACK_TARGET,
    PACK_TARGET_STRIDE,
    ROW_HEADER,
    STEPS,
    WEIGHT_STEPS,
)
from .dot import BYTE_OFFSET
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import (
    BYTES,
    LANES,
    absolute,
    broadcast,
    float_bits,
    horizontal_max,
    horizontal_min,
    horizontal_sum,
    inlined,
    kernel,
    load,
    load_first,
    maximum,
    minimum,
    store_bfloat16,
    store_bytes,
    store_float,
    store_int32,
)

GROUP = 8  # rows in one item
HEADER = ROW_HEADER[INT8]
MAGIC = np.float32(1.5 * 2**23)  # x + MAGIC is x rounded to even, as an integer in the lowest bits
LEAST = np.float32(2.0**-119)  # of a row's span: a smaller one has no inverse
SPAN, WEIGHT_SPAN = np.float32(STEPS), np.float32(WEIGHT_STEPS)


@inlined
def bfloat16_row(x, columns, out):
    whole = columns // LANES * LANES
    for i in range(0, whole, LANES):
        store_bfloat16(out + i * 2, load(x + i * 4))
    if whole < columns:
        store_bfloat16(out + whole * 2, load_first(x + whole * 4, columns - whole))


@inlined
def bytes_of_row(x, columns, inverse, base, out):
    """rint(x inverse + zero), with zero in base: MAGIC + zero."""
    whole = columns // LANES * LANES
    for i in range(0, whole, LANES):
        store_bytes(out + i, load(x + i * 4) * inverse + base)
    if whole < columns:
        store_bytes(out + whole, load_first(x + whole * 4, columns - whole) * inverse + base)


@inlined
def int8_row(x, columns, out):
    lowest, highest, strange = broadcast(0.0), broadcast(0.0), broadcast(0.0)
    whole = columns // LANES * LANES
    for i in range(0, whole, LANES):
        value = load(x + i * 4)
        lowest, highest, strange = minimum(value, lowest), maximum(value, highest), strange + value * 0.0
    if whole < columns:
        value = load_first(x + whole * 4, columns - whole)
        lowest, highest, strange = minimum(value, lowest), maximum(value, highest), strange + value * 0.0
    low = horizontal_min(lowest)
    span = max(horizontal_max(highest) - low, LEAST)
    inverse = SPAN / span
    base = MAGIC - low * inverse - np.float32(BYTE_OFFSET)
    store_float(out, span / SPAN + horizontal_sum(strange))
    store_int32(out + 4, float_bits(base) - float_bits(MAGIC))
    bytes_of_row(x, columns, inverse, base, out + HEADER)


@inlined
def int8_weight_row(x, columns, out):
    """Of finite floats."""
    highest = broadcast(0.0)
    whole = columns // LANES * LANES
    for i in range(0, whole, LANES):
        highest = maximum(absolute(load(x + i * 4)), highest)
    if whole < columns:
        highest = maximum(absolute(load_first(x + whole * 4, columns - whole)), highest)
    span = max(horizontal_max(highest), LEAST)
    store_float(out, span / WEIGHT_SPAN)
    store_int32(out + 4, 0)
    bytes_of_row(x, columns, WEIGHT_SPAN / span, MAGIC, out + HEADER)


@kernel
def convert_row(x, columns, dtype, out):
    if dtype == BFLOAT16:
        bfloat16_row(x, columns, out)
    else:
        int8_row(x, columns, out)


@inlined
def narrow(c, ldc, rows, out, ldout):
    """A micro-tile of float32 into bfloat16."""
    for i in range(rows):
        store_bfloat16(out + i * ldout, load(c + i * ldc))
        store_bfloat16(out + i * ldout + 2 * LANES, load(c + i * ldc + BYTES))


@kernel
def convert(frame, rank, chunk, step, slot):
    x_buffer, out_buffer = word(step, CONVERT_X), word(step, CONVERT_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    width, dtype = word(step, CONVERT_WIDTH), word(step, CONVERT_DTYPE)
    rows = rows_of(chunk, word(step, CONVERT_ROWS))
    while True:
        item = next_of(frame, rank, slot, (rows + GROUP - 1) // GROUP)
        if item < 0:
            return
        for i in range(item * GROUP, min(rows, (item + 1) * GROUP)):
            convert_row(x + i * ldx, width, dtype, out + i * ldout)


@kernel
def convert_weight(frame, rank, step, slot):
    """source [n, k] of float32 -> target, rows of words."""
    source, stride = word(step, PACK_SOURCE), word(step, PACK_STRIDE)
    target, target_stride = word(step, PACK_TARGET), word(step, PACK_TARGET_STRIDE)
    k, dtype = word(step, PACK_K), word(step, PACK_DTYPE)
    while True:
        row = next_of(frame, rank, slot, word(step, PACK_ROWS))
        if row < 0:
            return
        if dtype == BFLOAT16:
            bfloat16_row(source + row * stride, k, target + row * target_stride)
        else:
            int8_weight_row(source + row * stride, k, target + row * target_stride)
