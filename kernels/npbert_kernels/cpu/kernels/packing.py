"""pack_panels: rows of a matrix into the panels that the micro-kernel reads. Weights at load, keys in attention.

source [n, k], row-major  ->  target [ceil(n / PANEL), k, PANEL], columns from n on zero

k counts words of 32 bits, whatever they hold; panels of int8 weights have room for their header.
"""

from __future__ import annotations

from ..layout import PACK_DTYPE, PACK_K, PACK_ROWS, PACK_SOURCE, PACK_STRIDE, PACK_TARGET, PANEL_HEADER
from .frame import next_of, word
from .simd import LANES, PANEL, broadcast, kernel, load_float, store, store_float, transpose_block

PANEL_BYTES = 4 * PANEL


@kernel
def pack_panel(source, stride, rows, k, target):
    """One panel: rows in [1, PANEL] of source, strides in bytes; zeros stand for the rows that are not there."""
    for lane in range(0, PANEL, LANES):
        at, there = source + lane * stride, rows - lane
        into = target + lane * 4
        whole = k // LANES * LANES
        if there <= 0:
            for i in range(k):
                store(into + i * PANEL_BYTES, broadcast(0.0))
            continue
        for i in range(0, whole, LANES):
            transpose_block(at + i * 4, stride, there, into + i * PANEL_BYTES, PANEL_BYTES)
        for i in range(whole, k):
            for j in range(LANES):
                value = load_float(at + j * stride + i * 4) if j < there else 0.0
                store_float(into + i * PANEL_BYTES + j * 4, value)


@kernel
def pack(frame, rank, step, slot):
    source, stride, target = word(step, PACK_SOURCE), word(step, PACK_STRIDE), word(step, PACK_TARGET)
    rows, k = word(step, PACK_ROWS), word(step, PACK_K)
    header = PANEL_HEADER[word(step, PACK_DTYPE)]
    while True:
        panel = next_of(frame, rank, slot, (rows + PANEL - 1) // PANEL)
        if panel < 0:
            return
        there = min(PANEL, rows - panel * PANEL)
        pack_panel(
            source + panel * PANEL * stride, stride, there, k, target + (panel * (k + header) + header) * PANEL_BYTES
        )
