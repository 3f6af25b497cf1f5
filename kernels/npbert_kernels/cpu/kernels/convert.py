"""convert: rows of float32 into the words that a micro-kernel of another dtype reads, as `dot` converts them.

Activations are converted as a forward pass runs, weights when they are placed.
"""

from __future__ import annotations

from ..layout import (
    CONVERT_DTYPE,
    CONVERT_OUT,
    CONVERT_ROWS,
    CONVERT_WEIGHT_DTYPE,
    CONVERT_WEIGHT_K,
    CONVERT_WEIGHT_ROWS,
    CONVERT_WEIGHT_SOURCE,
    CONVERT_WEIGHT_SOURCE_STRIDE,
    CONVERT_WEIGHT_TARGET,
    CONVERT_WEIGHT_TARGET_STRIDE,
    CONVERT_WIDTH,
    CONVERT_X,
)
from .dot import DOTS, by_dtype
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import kernel

GROUP = 8  # rows in one item

_row = by_dtype({code: dot.row for code, dot in DOTS.items() if dot.row})
_weight_row = by_dtype({code: dot.weight_row for code, dot in DOTS.items() if dot.weight_row})


@kernel
def convert_row(x, width, dtype, out):
    _row(dtype, x, width, out)


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
    source, stride = word(step, CONVERT_WEIGHT_SOURCE), word(step, CONVERT_WEIGHT_SOURCE_STRIDE)
    target, target_stride = word(step, CONVERT_WEIGHT_TARGET), word(step, CONVERT_WEIGHT_TARGET_STRIDE)
    k, dtype = word(step, CONVERT_WEIGHT_K), word(step, CONVERT_WEIGHT_DTYPE)
    while True:
        row = next_of(frame, rank, slot, word(step, CONVERT_WEIGHT_ROWS))
        if row < 0:
            return
        _weight_row(dtype, source + row * stride, k, target + row * target_stride)
