"""How kernels read a launch: words of the frame, operands of a step, rows of a buffer."""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from ..layout import (
    BUFFER_AXIS,
    BUFFER_BASE,
    BUFFER_ROW_BYTES,
    BUFFER_WORDS,
    FRAME_BUFFERS,
    FRAME_GROUPS,
    FRAME_SYNC,
    FRAME_THREADS,
    WORD,
    Axis,
)
from .simd import f32, inlined, load_int
from .sync import next_item

LOCAL, TOKENS, SEQUENCES, SELECTED, FIXED = (int(axis) for axis in Axis)


class Chunk(NamedTuple):
    """The part of a batch that goes through the steps together: whole sequences, with the rows of each axis."""

    first_token: int
    tokens: int
    first_sequence: int
    sequences: int
    first_selected: int
    selected: int
    slot_offset: int  # bytes from the first slot's buffers to the chunk's


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
    """The address of the chunk's first row in a buffer."""
    entry = word(frame, FRAME_BUFFERS) + buffer * BUFFER_WORDS * WORD
    axis = word(entry, BUFFER_AXIS)
    if axis == LOCAL:
        return word(entry, BUFFER_BASE) + chunk.slot_offset
    row = 0
    if axis == TOKENS:
        row = chunk.first_token
    elif axis == SEQUENCES:
        row = chunk.first_sequence
    elif axis == SELECTED:
        row = chunk.first_selected
    return word(entry, BUFFER_BASE) + row * word(entry, BUFFER_ROW_BYTES)


@inlined
def rows_of(chunk, axis):
    """How many rows of an axis the chunk has."""
    return chunk.tokens if axis == TOKENS else chunk.sequences if axis == SEQUENCES else chunk.selected


@inlined
def next_of(frame, rank, slot, items):
    return next_item(word(frame, FRAME_SYNC), slot, word(frame, FRAME_THREADS), word(frame, FRAME_GROUPS), rank, items)
