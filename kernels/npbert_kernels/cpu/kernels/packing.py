"""pack_panels: rows of a matrix into the panels that the micro-kernel reads. Weights at load, keys in attention.

source [n, words], row-major  ->  target [ceil(n / PANEL), words, PANEL], columns from n on zero

Words have 32 bits, whatever they hold. Panels of a dtype that has a panel header get room for it.
"""

from __future__ import annotations

from ..dtypes import PANEL_HEADER
from ..layout import PACK_DTYPE, PACK_ROWS, PACK_SOURCE, PACK_STRIDE, PACK_TARGET, PACK_WORDS
from .frame import next_of, word
from .simd import LANES, PANEL, broadcast, kernel, load_float, store, store_float, transpose_block

PANEL_BYTES = 4 * PANEL


@kernel
def pack_panel(source, stride, rows, words, target):
    """One panel: rows in [1, PANEL] of source, strides in bytes; zeros stand for the rows that are not there."""
    for lane in range(0, PANEL, LANES):
        at, there = source + lane * stride, rows - lane
        into = target + lane * 4
        whole = words // LANES * LANES
        if there <= 0:
            for i in range(words):
                store(into + i * PANEL_BYTES, broadcast(0.0))
            continue
        for i in range(0, whole, LANES):
            transpose_block(at + i * 4, stride, there, into + i * PANEL_BYTES, PANEL_BYTES)
        for i in range(whole, words):
            for j in range(LANES):
                value = load_float(at + j * stride + i * 4) if j < there else 0.0
                store_float(into + i * PANEL_BYTES + j * 4, value)


@kernel
def pack(frame, rank, step, slot):
    source, stride, target = word(step, PACK_SOURCE), word(step, PACK_STRIDE), word(step, PACK_TARGET)
    rows, words = word(step, PACK_ROWS), word(step, PACK_WORDS)
    header = PANEL_HEADER[word(step, PACK_DTYPE)]
    while True:
        panel = next_of(frame, rank, slot, (rows + PANEL - 1) // PANEL)
        if panel < 0:
            return
        there = min(PANEL, rows - panel * PANEL)
        into = target + (panel * (header + words) + header) * PANEL_BYTES
        pack_panel(source + panel * PANEL * stride, stride, there, words, into)
