"""multiply, and rotary positions: a row at a time, no sums."""

from __future__ import annotations

from ..layout import (
    MULTIPLY_A,
    MULTIPLY_B,
    MULTIPLY_OUT,
    MULTIPLY_ROWS,
    MULTIPLY_WIDTH,
    ROTARY_HALF,
    ROTARY_HEADS,
    ROTARY_OUT,
    ROTARY_POSITIONS,
    ROTARY_SIZE,
    ROTARY_TABLE,
    ROTARY_X,
)
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import LANES, broadcast, fma, kernel, load, load_float, load_int, store, store_float

GROUP = 8  # rows in one item


@kernel
def multiply(frame, rank, chunk, step, slot):
    """Whole vectors: what lies up to the next one is 0 in both, and becomes 0."""
    a_buffer, b_buffer, out_buffer = word(step, MULTIPLY_A), word(step, MULTIPLY_B), word(step, MULTIPLY_OUT)
    a, lda = locate(frame, a_buffer, chunk), row_bytes(frame, a_buffer)
    b, ldb = locate(frame, b_buffer, chunk), row_bytes(frame, b_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    width, rows = word(step, MULTIPLY_WIDTH), rows_of(chunk, word(step, MULTIPLY_ROWS))
    while True:
        item = next_of(frame, rank, slot, (rows + GROUP - 1) // GROUP)
        if item < 0:
            return
        for i in range(item * GROUP, min(rows, (item + 1) * GROUP)):
            for j in range(0, width * 4, LANES * 4):
                store(out + i * ldout + j, load(a + i * lda + j) * load(b + i * ldb + j))


@kernel
def rotate(x, half, table, out):
    """One head, x [2 half] -> out; table: half cosines, half sines. The halves of x and of out need not be aligned."""
    y, sines, out_y = x + half * 4, table + half * 4, out + half * 4
    whole = half // LANES * LANES
    for i in range(0, whole * 4, LANES * 4):
        a, b, cos, sin = load(x + i), load(y + i), load(table + i), load(sines + i)
        store(out + i, fma(a, cos, b * sin * -1.0))
        store(out_y + i, fma(b, cos, a * sin))
    for i in range(whole * 4, half * 4, 4):
        a, b, cos, sin = load_float(x + i), load_float(y + i), load_float(table + i), load_float(sines + i)
        store_float(out + i, a * cos - b * sin)
        store_float(out_y + i, b * cos + a * sin)


@kernel
def rotary(frame, rank, chunk, step, slot):
    """Queries and keys are rotated, values copied. A head is `size` floats long, of which 2 `half` carry something."""
    x_buffer, out_buffer = word(step, ROTARY_X), word(step, ROTARY_OUT)
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    table, positions = word(step, ROTARY_TABLE), locate(frame, word(step, ROTARY_POSITIONS), chunk)
    heads, size, half = word(step, ROTARY_HEADS), word(step, ROTARY_SIZE), word(step, ROTARY_HALF)
    while True:
        item = next_of(frame, rank, slot, (chunk.tokens + GROUP - 1) // GROUP)
        if item < 0:
            return
        for t in range(item * GROUP, min(chunk.tokens, (item + 1) * GROUP)):
            row = table + load_int(positions + t * 8) * half * 8
            for head in range(2 * heads):
                at, to = x + t * ldx + head * size * 4, out + t * ldout + head * size * 4
                for i in range(half * 8 // (LANES * 4) * LANES * 4, size * 4, LANES * 4):
                    store(to + i, broadcast(0.0))
                rotate(at, half, row, to)
            for i in range(2 * heads * size * 4, 3 * heads * size * 4, LANES * 4):
                store(out + t * ldout + i, load(x + t * ldx + i))
