"""linear: out = activation(x W^T + bias), or x W^T + bias + residual, from packed weights.

Loops around the micro-kernel, from the outside: items (a block of rows, a panel of columns), shared out among the
members; blocks of k; micro-tiles of rows. A panel of W is read from memory once for each block of rows and meanwhile
comes from the second-level cache; the next one is prefetched while this one is used.
"""

from __future__ import annotations

from ..blocking import BLOCK_TILES, KC
from ..layout import (
    ACTIVATION_NONE,
    LINEAR_ACTIVATION,
    LINEAR_BIAS,
    LINEAR_K,
    LINEAR_OUT,
    LINEAR_PANELS,
    LINEAR_RESIDUAL,
    LINEAR_ROWS,
    LINEAR_W,
    LINEAR_X,
    NONE,
)
from .activation import activate
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import BYTES, PANEL, ROWS, inlined, kernel, load, store
from .ukernel import tile

PANEL_BYTES = 4 * PANEL


@inlined
def add_bias(c, ldc, rows, bias):
    low, high = load(bias), load(bias + BYTES)
    for i in range(rows):
        at = c + i * ldc
        store(at, load(at) + low)
        store(at + BYTES, load(at + BYTES) + high)


@kernel
def linear(frame, rank, chunk, step, slot):
    """x [rows, k] W [panels, k, PANEL] -> out [rows, panels PANEL]; each element is summed in the order of k."""
    x_buffer, out_buffer, residual_buffer = (
        word(step, LINEAR_X),
        word(step, LINEAR_OUT),
        word(step, LINEAR_RESIDUAL),
    )
    x, ldx = locate(frame, x_buffer, chunk), row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    weights, bias = word(step, LINEAR_W), word(step, LINEAR_BIAS)
    k, panels, code = word(step, LINEAR_K), word(step, LINEAR_PANELS), word(step, LINEAR_ACTIVATION)
    rows = rows_of(chunk, word(step, LINEAR_ROWS))
    residual, ldresidual = bias, 0
    if residual_buffer != NONE:
        residual, ldresidual = locate(frame, residual_buffer, chunk), row_bytes(frame, residual_buffer)

    blocks = (rows + BLOCK_TILES * ROWS - 1) // (BLOCK_TILES * ROWS)
    tiles = (rows + blocks * ROWS - 1) // (blocks * ROWS) * blocks  # as many in each block: members get the same
    k_blocks = (k + KC - 1) // KC
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
            w = weights + (panel * k + k0) * PANEL_BYTES
            share = (PANEL_BYTES + last - first - 1) // (last - first)  # of the next panel, in bytes a k
            for t in range(first, last):
                row = rows * t // tiles
                height = rows * (t + 1) // tiles - row
                c = out + row * ldout + column
                if b > 0:
                    start, ldstart = c, ldout
                elif ldresidual == 0:
                    start, ldstart = bias + column, 0
                else:
                    start, ldstart = residual + row * ldresidual + column, ldresidual
                ahead = w + kc * (PANEL_BYTES + (t - first) * share)
                tile(
                    height,
                    x + row * ldx + k0 * 4,
                    ldx,
                    w,
                    PANEL_BYTES,
                    kc,
                    start,
                    ldstart,
                    c,
                    ldout,
                    ahead,
                    share,
                )
                if b == k_blocks - 1:
                    if ldresidual != 0:
                        add_bias(c, ldout, height, bias + column)
                    if code != ACTIVATION_NONE:
                        activate(c, ldout, height, code)
