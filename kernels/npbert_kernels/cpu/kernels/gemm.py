"""linear: out = activation(x W^T + bias), or x W^T + bias + residual, from packed weights.

Loops around the micro-kernel, from the outside: items (a block of rows, a panel of columns), shared out among the
members; blocks of k; micro-tiles of rows. A panel of W is read from memory once for each block of rows and meanwhile
comes from the second-level cache; the next one is prefetched while this one is used.
"""

from __future__ import annotations

from ..blocking import BLOCK_TILES, KC
from ..layout import (
    ACTIVATION_NONE,
    BFLOAT16,
    FLOAT32,
    FRAME_SCRATCH,
    FRAME_SCRATCH_BYTES,
    INT8,
    LINEAR_ACTIVATION,
    LINEAR_BIAS,
    LINEAR_COLUMNS,
    LINEAR_DTYPE,
    LINEAR_K,
    LINEAR_OUT,
    LINEAR_OUT_DTYPE,
    LINEAR_PANELS,
    LINEAR_RESIDUAL,
    LINEAR_ROWS,
    LINEAR_W,
    LINEAR_X,
    NONE,
    PANEL_HEADER,
    PER_WORD,
    ROW_HEADER,
)
from .activation import SIGMOID, activate
from .convert import narrow
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import BYTES, LANES, PANEL, ROWS, inlined, keep_first, kernel, load, store
from .ukernel import tile, tile_bfloat16, tile_int8

PANEL_BYTES = 4 * PANEL


@inlined
def add_bias(c, ldc, rows, bias):
    low, high = load(bias), load(bias + BYTES)
    for i in range(rows):
        at = c + i * ldc
        store(at, load(at) + low)
        store(at + BYTES, load(at + BYTES) + high)


@inlined
def clear_behind(c, ldc, rows, columns):
    """Zeros behind the first `columns` of a micro-tile."""
    for i in range(rows):
        at = c + i * ldc
        store(at, keep_first(load(at), min(columns, LANES), 0.0))
        store(at + BYTES, keep_first(load(at + BYTES), max(columns - LANES, 0), 0.0))


@kernel
def linear(frame, rank, chunk, step, slot):
    """x [rows, k] W [panels, k, PANEL] -> out [rows, panels PANEL]; each element is summed in the order of k.

    k counts words of x's and W's dtype."""
    x_buffer, out_buffer, residual_buffer = (
        word(step, LINEAR_X),
        word(step, LINEAR_OUT),
        word(step, LINEAR_RESIDUAL),
    )
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    weights, bias = word(step, LINEAR_W), word(step, LINEAR_BIAS)
    panels, columns, code = word(step, LINEAR_PANELS), word(step, LINEAR_COLUMNS), word(step, LINEAR_ACTIVATION)
    dtype, out_dtype = word(step, LINEAR_DTYPE), word(step, LINEAR_OUT_DTYPE)
    k = (word(step, LINEAR_K) + PER_WORD[dtype] - 1) // PER_WORD[dtype]  # words
    header = PANEL_HEADER[dtype]
    x += ROW_HEADER[dtype]
    rows = rows_of(chunk, word(step, LINEAR_ROWS))
    residual, ldresidual = bias, 0
    if residual_buffer != NONE:
        residual, ldresidual = locate(frame, residual_buffer, chunk), row_bytes(frame, residual_buffer)

    blocks = (rows + BLOCK_TILES * ROWS - 1) // (BLOCK_TILES * ROWS)
    tiles = (rows + blocks * ROWS - 1) // (blocks * ROWS) * blocks  # as many in each block: members get the same
    # int8 is summed as a whole, and what becomes bfloat16 has no place for sums of the first blocks.
    k_blocks = 1 if dtype == INT8 or out_dtype != FLOAT32 else (k + KC - 1) // KC
    scratch = word(frame, FRAME_SCRATCH) + rank * word(frame, FRAME_SCRATCH_BYTES)
    while True:
        item = next_of(frame, rank, slot, blocks * panels)
        if item < 0:
            return
        block, panel = item // panels, item % panels
        first, last = tiles // blocks * block, tiles // blocks * (block + 1)
        column = panel * PANEL_BYTES
        for b in range(k_blocks):
            k0 = k * b // k_blocks
            kc = k * (b + 1) // k_blocks - k0
            w = weights + (panel * (k + header) + header + k0) * PANEL_BYTES
            share = (PANEL_BYTES + last - first - 1) // (last - first)  # of the next panel, in bytes a k
            for t in range(first, last):
                row = rows * t // tiles
                height = rows * (t + 1) // tiles - row
                c, ldc = out + row * ldout + column, ldout
                if out_dtype != FLOAT32:
                    c, ldc = scratch, PANEL_BYTES
                if b > 0:
                    start, ldstart = c, ldc
                elif ldresidual == 0:
                    start, ldstart = bias + column, 0
                else:
                    start, ldstart = residual + row * ldresidual + column, ldresidual
                ahead = w + kc * (PANEL_BYTES + (t - first) * share)
                a = x + row * ldx + k0 * 4
                if dtype == FLOAT32:
                    tile(height, a, ldx, w, PANEL_BYTES, kc, start, ldstart, c, ldc, ahead, share)
                elif dtype == BFLOAT16:
                    tile_bfloat16(height, a, ldx, w, PANEL_BYTES, kc, start, ldstart, c, ldc, ahead, share)
                else:
                    tile_int8(height, a, ldx, w, PANEL_BYTES, kc, start, ldstart, c, ldc, ahead, share)
                if b == k_blocks - 1:
                    if ldresidual != 0:
                        add_bias(c, ldc, height, bias + column)
                    if code != ACTIVATION_NONE:
                        activate(c, ldc, height, code)
                    if code == SIGMOID and columns < (panel + 1) * PANEL:  # 0 becomes 1/2
                        clear_behind(c, ldc, height, columns - panel * PANEL)
                    if out_dtype != FLOAT32:
                        narrow(c, ldc, height, out + row * ldout + column // 2, ldout)
