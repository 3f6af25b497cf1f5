"""How kernels read a launch: words of the frame, operands of a step, rows of a buffer."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from ..layout import (
    BUFFER_AXIS,
    BUFFER_BASE,
    BUFFER_ROW_BYTES,
    BUFFER_WORDS,
    FRAME_BUFFERS,
    FRAME_GROUPS,
    FRAME_MEMBERS,
    FRAME_SYNC,
    WORD,
    Axis,
)
from .simd import f32, inlined, load_int
from .sync import next_item

LOCAL, TOKENS, SEQUENCES, SELECTED, FIXED = (int(axis) for axis in Axis)


@inlined
def word(table, index):
    return load_int(table + index * WORD)


@intrinsic
def number(typing_context: Any, bits: Any) -> Any:
    """The float32 nearest to the float64 of these bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from llvmlite import ir

        return builder.fptrunc(builder.bitcast(args[0], ir.DoubleType()), f32)

    return types.float32(types.int64), codegen


@inlined
def row_bytes(frame, buffer):
    return word(word(frame, FRAME_BUFFERS) + buffer * BUFFER_WORDS * WORD, BUFFER_ROW_BYTES)


@inlined
def locate(frame, buffer, chunk):
    """The address of the chunk's first row in a buffer.

    chunk: (first token, tokens, first sequence, sequences, first selected row, selected rows, bytes from the first
    slot's buffers to this chunk's).
    """
    entry = word(frame, FRAME_BUFFERS) + buffer * BUFFER_WORDS * WORD
    axis = word(entry, BUFFER_AXIS)
    if axis == LOCAL:
        return word(entry, BUFFER_BASE) + chunk[6]
    row = chunk[0] if axis == TOKENS else chunk[2] if axis == SEQUENCES else chunk[4] if axis == SELECTED else 0
    return word(entry, BUFFER_BASE) + row * word(entry, BUFFER_ROW_BYTES)


@inlined
def rows_of(chunk, axis):
    """How many rows of an axis the chunk has."""
    return chunk[1] if axis == TOKENS else chunk[3] if axis == SEQUENCES else chunk[5]


@inlined
def next_of(frame, rank, slot, items):
    return next_item(word(frame, FRAME_SYNC), slot, word(frame, FRAME_MEMBERS), word(frame, FRAME_GROUPS), rank, items)
