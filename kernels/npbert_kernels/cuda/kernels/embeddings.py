"""Embeddings: gathered from up to three tables, summed in HF's order, then LayerNorm.

A warp a row; no shared memory.
"""

from __future__ import annotations

from ..tiles import ROW_WARPS
from .device import primitives as d
from .layernorm import norm_of, row_of, writer_of


def make_embed(name, width, padded, indexed, positioned, typed, normed):
    """indexed: words is a table [V, width] and ids say which rows; else words are the rows themselves.

    positioned, typed, normed: whether there are positions, token types and a LayerNorm.
    """
    (norm, count), (put, add) = norm_of(name, width, padded), row_of(name, name, padded)
    write = writer_of(name, padded)

    def embed(words, ids, positions, position_ids, types, type_ids, table_row, weight, bias, eps, out, out_row, sizes):
        d.after_previous()
        row, lane = d.block_x() * ROW_WARPS + d.warp(), d.lane()
        if row >= d.load_int(sizes):
            return
        word = d.load_int(ids + row * 8) if indexed else row
        values = d.cuda.local.array(count, d.f32)
        put(words + word * table_row, lane, values)
        if typed:
            add(types + d.load_int(type_ids + row * 8) * table_row, lane, values)
        if positioned:
            add(positions + d.load_int(position_ids + row * 8) * table_row, lane, values)
        if normed:
            norm(values, weight, bias, eps, out + row * out_row, lane)
        else:
            write(values, out + row * out_row, lane)

    return embed
