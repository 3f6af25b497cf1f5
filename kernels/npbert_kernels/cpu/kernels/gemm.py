"""linear: out = activation(x W^T + bias), or x W^T + bias + residual, from packed weights.

Loops around the micro-kernel, from the outside: items (a block of rows, a panel of columns), shared out among the
workers; blocks of k; micro-tiles of rows. A panel of W is read from memory once for each block of rows and meanwhile
comes from the second-level cache; the next one is prefetched while this one is used.

What is fixed for a whole step is decided before the loops: the micro-kernel, where its sums begin and where it leaves
them (`Tiles`), and what is done to a micro-tile whose sums are whole (`Epilogue`).
"""

from __future__ import annotations

from typing import NamedTuple

from ..blocking import BLOCK_TILES, KC
from ..dtypes import FLOAT32, FORMATS, PANEL_HEADER, PER_WORD, ROW_HEADER, WHOLE_ROWS
from ..layout import (
    ACTIVATION_NONE,
    FRAME_SCRATCH,
    FRAME_SCRATCH_BYTES,
    LINEAR_ACTIVATION,
    LINEAR_BIAS,
    LINEAR_DTYPE,
    LINEAR_K,
    LINEAR_OUT,
    LINEAR_OUT_DTYPE,
    LINEAR_PANELS,
    LINEAR_RESIDUAL,
    LINEAR_ROWS,
    LINEAR_W,
    LINEAR_WIDTH,
    LINEAR_X,
    NONE,
)
from .activation import SIGMOID, activate
from .dot import DOTS, by_dtype
from .frame import locate, next_of, row_bytes, rows_of, word
from .simd import BYTES, LANES, PANEL, ROWS, inlined, keep_first, kernel, load, store
from .ukernel import micro_kernel, tile

PANEL_BYTES = 4 * PANEL


class Tiles(NamedTuple):
    """Where the micro-tiles of a matrix lie. The one at a row and a panel: at + row row_step + panel panel_step."""

    at: int  # address
    ld: int  # bytes from a row of a micro-tile to the next
    row_step: int  # bytes
    panel_step: int  # bytes


class Epilogue(NamedTuple):
    """What is done to a micro-tile whose sums are whole, while the first-level cache holds it."""

    bias: int  # address, where the sums began with a residual; else 0
    activation: int
    width: int  # of the output; the columns behind it carry nothing
    dtype: int  # of the output: FLOAT32, or what each micro-tile is converted to
    converted: Tiles  # where, then


@inlined
def tile_at(tiles, row, panel):
    return tiles.at + row * tiles.row_step + panel * tiles.panel_step


@inlined
def add_bias(c, ldc, rows, bias):
    low, high = load(bias), load(bias + BYTES)
    for i in range(rows):
        at = c + i * ldc
        store(at, load(at) + low)
        store(at + BYTES, load(at + BYTES) + high)


@inlined
def clear_behind(c, ldc, rows, width):
    """Zeros behind the first `width` columns of a micro-tile."""
    for i in range(rows):
        at = c + i * ldc
        store(at, keep_first(load(at), min(width, LANES), 0.0))
        store(at + BYTES, keep_first(load(at + BYTES), max(width - LANES, 0), 0.0))


def tile_converter(row):  # type: ignore[no-untyped-def]
    """Of a conversion of rows, the conversion of a micro-tile."""

    @inlined
    def convert_rows(c, ldc, rows, out, ldout):  # type: ignore[no-untyped-def]
        for i in range(rows):
            row(c + i * ldc, PANEL, out + i * ldout)

    return convert_rows


convert_tile = by_dtype(
    {code: tile_converter(dot.row) for code, dot in DOTS.items() if dot.row and not FORMATS[code].whole_rows}
)


@inlined
def finish(c, ldc, rows, row, panel, epilogue):
    """A micro-tile whose sums are whole: its first row and its panel in the output."""
    if epilogue.bias != 0:
        add_bias(c, ldc, rows, epilogue.bias + panel * PANEL_BYTES)
    if epilogue.activation != ACTIVATION_NONE:
        activate(c, ldc, rows, epilogue.activation)
    if epilogue.activation == SIGMOID and epilogue.width < (panel + 1) * PANEL:  # 0 becomes 1/2
        clear_behind(c, ldc, rows, epilogue.width - panel * PANEL)
    if epilogue.dtype != FLOAT32:
        convert_tile(epilogue.dtype, c, ldc, rows, tile_at(epilogue.converted, row, panel), epilogue.converted.ld)


@kernel
def linear(frame, rank, chunk, step, slot):
    """x [rows, k] W [panels, words of k, PANEL] -> out [rows, panels PANEL], each element summed in the order of k."""
    x_buffer, out_buffer, residual_buffer = (
        word(step, LINEAR_X),
        word(step, LINEAR_OUT),
        word(step, LINEAR_RESIDUAL),
    )
    dtype, out_dtype = word(step, LINEAR_DTYPE), word(step, LINEAR_OUT_DTYPE)
    multiply = micro_kernel(dtype)
    x, ldx = locate(frame, x_buffer, chunk) + ROW_HEADER[dtype], row_bytes(frame, x_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    rows, panels = rows_of(chunk, word(step, LINEAR_ROWS)), word(step, LINEAR_PANELS)
    words = (word(step, LINEAR_K) + PER_WORD[dtype] - 1) // PER_WORD[dtype]  # of a row of x
    header = PANEL_HEADER[dtype]
    weights, bias = word(step, LINEAR_W), word(step, LINEAR_BIAS)

    begin, added_bias = Tiles(bias, 0, 0, PANEL_BYTES), 0
    if residual_buffer != NONE:
        ldresidual = row_bytes(frame, residual_buffer)
        begin, added_bias = Tiles(locate(frame, residual_buffer, chunk), ldresidual, ldresidual, PANEL_BYTES), bias
    sums = Tiles(out, ldout, ldout, PANEL_BYTES)
    if out_dtype != FLOAT32:
        sums = Tiles(word(frame, FRAME_SCRATCH) + rank * word(frame, FRAME_SCRATCH_BYTES), PANEL_BYTES, 0, 0)
    epilogue = Epilogue(
        added_bias,
        word(step, LINEAR_ACTIVATION),
        word(step, LINEAR_WIDTH),
        out_dtype,
        Tiles(out, ldout, ldout, PANEL_BYTES // PER_WORD[out_dtype]),
    )

    blocks = (rows + BLOCK_TILES * ROWS - 1) // (BLOCK_TILES * ROWS)
    tiles = (rows + blocks * ROWS - 1) // (blocks * ROWS) * blocks  # as many in each block: workers get the same
    # What is converted has no place for the sums of the first blocks of k.
    k_blocks = 1 if WHOLE_ROWS[dtype] or out_dtype != FLOAT32 else (words + KC - 1) // KC
    while True:
        item = next_of(frame, rank, slot, blocks * panels)
        if item < 0:
            return
        block, panel = item // panels, item % panels
        first, last = tiles // blocks * block, tiles // blocks * (block + 1)
        share = (PANEL_BYTES + last - first - 1) // (last - first)  # of the next panel, in bytes a word of k
        for b in range(k_blocks):
            k0 = words * b // k_blocks
            kc = words * (b + 1) // k_blocks - k0
            w = weights + (panel * (header + words) + header + k0) * PANEL_BYTES
            start = begin if b == 0 else sums
            for t in range(first, last):
                row = rows * t // tiles
                height = rows * (t + 1) // tiles - row
                a, c = x + row * ldx + k0 * 4, tile_at(sums, row, panel)
                ahead = w + kc * (PANEL_BYTES + (t - first) * share)
                tile(
                    multiply,
                    height,
                    a,
                    ldx,
                    w,
                    PANEL_BYTES,
                    kc,
                    tile_at(start, row, panel),
                    start.ld,
                    c,
                    sums.ld,
                    ahead,
                    share,
                )
                if b == k_blocks - 1:
                    finish(c, sums.ld, height, row, panel, epilogue)
