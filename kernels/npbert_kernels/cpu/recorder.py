"""The ops that record: a forward pass called with these leaves a table of steps and a plan of its memory.

Sizes stay symbolic in T and B: a buffer has a row length, and rows by its axis. Buffers of one chunk of the batch
share memory as soon as nothing reads them any more.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import Activation, Along, BatchField, Dtype, FileRows, Floats, Forward, Ints, Placed, Pooling, symbols
from . import layout
from .blocking import ROW_PADDING
from .isa import selected
from .layout import (
    ACTIVATION_CODES,
    ACTIVATION_NONE,
    BFLOAT16,
    FLOAT32,
    LINE,
    NONE,
    POOL_CODES,
    STEP_WORDS,
    Axis,
    Op,
)
from .memory import address
from .store import Linear, Norm, Relative, Table, round_up, row_bytes


@dataclass(eq=False)
class Buffer:
    """What an op returns, or what a batch brings. `columns` carry something, a row is row_bytes long."""

    axis: Axis
    columns: int
    row_bytes: int
    rows: Axis = Axis.TOKENS  # what its rows are, of a chunk or of all: tokens, sequences or selected rows
    source: str | None = None  # the Batch's field, if it comes from there
    table: Table | None = None
    flat: bool = False  # probabilities of so many heads: no rows
    first: int = 0  # the step that writes it
    last: int = 0  # the last step that reads it
    offset: int = 0  # in a chunk's memory, in bytes a row
    head_size: int | None = None
    index: int = NONE
    uses: int = 0  # how many steps have it

    def __getitem__(self, row: int) -> tuple[Buffer, int]:
        return self, row


@dataclass
class Recording:
    """Steps [steps, STEP_WORDS]; buffers [n, BUFFER_WORDS] with no addresses yet; what to fill in at each call."""

    steps: Ints
    buffers: list[Buffer]
    outputs: dict[str, Buffer]
    local_bytes: int  # of a chunk's memory, a row
    flops: dict[Axis, float]  # a row of each axis
    flops_per_pair: float  # of a query and a key
    head_size: int
    keeps: list[NDArray[Any]]  # what steps have the address of
    file: FileRows | None  # the words, where they are read from a file
    file_row_bytes: int


def bits(value: float) -> int:
    return int(struct.unpack("q", struct.pack("d", value))[0])


class Recorder:
    """ops.Ops that records."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.buffers: list[Buffer] = []
        self.panel = selected().panel
        self.flops = dict.fromkeys((Axis.TOKENS, Axis.SEQUENCES, Axis.SELECTED), 0.0)
        self.flops_per_pair = 0.0
        self.head_size = 0
        self.keeps: list[NDArray[Any]] = []
        self.file: FileRows | None = None
        self.file_row_bytes = 0
        self._conversions: dict[tuple[int, int], Buffer] = {}  # of a buffer into a dtype

    # -- ops -----------------------------------------------------------------------------------
    def embed(
        self,
        words: Table,
        ids: Buffer,
        positions: tuple[Table, Buffer] | None,
        token_types: tuple[Table, Buffer] | None,
        norm: Norm | None,
    ) -> Buffer:
        table = self._buffer(Buffer(Axis.FIXED, words.rows.shape[1], words.row_bytes, table=words))
        stored = None
        if isinstance(words.rows, FileRows):
            assert self.file in (None, words.rows), "wanted words of one file"
            self.file, self.file_row_bytes = words.rows, words.row_bytes
            stored = layout.STORED_CODES[words.rows.dtype]
        return self._embed(table, ids, positions, token_types, norm, words.scales, stored)

    def embed_rows(
        self,
        inputs_embeds: Buffer,
        positions: tuple[Table, Buffer] | None,
        token_types: tuple[Table, Buffer] | None,
        norm: Norm | None,
    ) -> Buffer:
        tables = [part[0].rows.shape[1] for part in (positions, token_types) if part is not None]
        width = tables[0] if norm is None else norm.width
        inputs_embeds.columns, inputs_embeds.row_bytes = width, width * 4
        return self._embed(inputs_embeds, None, positions, token_types, norm)

    def _embed(
        self,
        words: Buffer,
        ids: Buffer | None,
        positions: tuple[Table, Buffer] | None,
        token_types: tuple[Table, Buffer] | None,
        norm: Norm | None,
        scales: Floats | None = None,
        stored: int | None = None,
    ) -> Buffer:
        out = self._local(words.columns)
        position_table, position_ids = (0, None) if positions is None else (self._floats(positions[0]), positions[1])
        type_table, type_ids = (0, None) if token_types is None else (self._floats(token_types[0]), token_types[1])
        self._step(
            Op.EMBED,
            {
                layout.EMBED_WORDS: words,
                layout.EMBED_IDS: ids,
                layout.EMBED_POSITION_TABLE: position_table,
                layout.EMBED_POSITIONS: position_ids,
                layout.EMBED_TYPE_TABLE: type_table,
                layout.EMBED_TYPES: type_ids,
                layout.EMBED_WEIGHT: 0 if norm is None else self._weight(norm.weight),
                layout.EMBED_BIAS: 0 if norm is None else self._weight(norm.bias),
                layout.EMBED_EPS: 0 if norm is None else bits(norm.eps),
                layout.EMBED_WIDTH: words.columns,
                layout.EMBED_OUT: out,
                layout.EMBED_CONVERTED: None,
                layout.EMBED_SCALES: 0 if scales is None else self._weight(scales),
                layout.EMBED_STORED: stored,
            },
        )
        return out

    def linear(
        self,
        x: Buffer,
        weights: Linear,
        *,
        activation: Activation | None = None,
        residual: Buffer | None = None,
    ) -> Buffer:
        if x.columns != weights.k:
            raise ValueError(f"linear: x has {x.columns} columns, the weight wants {weights.k}")
        words = self._converted(x, weights.dtype)
        out = self._local(weights.columns, rows=x.rows)
        out.head_size = weights.head_size
        self.flops[x.rows] += 2.0 * weights.k * weights.columns
        self._step(
            Op.LINEAR,
            {
                layout.LINEAR_X: words,
                layout.LINEAR_W: self._weight(weights.weight),
                layout.LINEAR_K: weights.k,
                layout.LINEAR_PANELS: weights.panels,
                layout.LINEAR_BIAS: self._weight(weights.bias),
                layout.LINEAR_RESIDUAL: residual,
                layout.LINEAR_ACTIVATION: ACTIVATION_CODES[activation] if activation else ACTIVATION_NONE,
                layout.LINEAR_OUT: out,
                layout.LINEAR_ROWS: x.rows,
                layout.LINEAR_DTYPE: weights.dtype,
                layout.LINEAR_OUT_DTYPE: FLOAT32,
                layout.LINEAR_COLUMNS: weights.columns,
            },
        )
        return out

    def _converted(self, x: Buffer, dtype: int) -> Buffer:
        """x in another dtype: made with its rows where one step makes whole rows, else by a step of its own."""
        if dtype == FLOAT32:
            return x
        if (known := self._conversions.get((x.index, dtype))) is not None:
            return known
        lines = round_up(row_bytes(x.columns, dtype, self.panel), LINE) // LINE | 1  # odd: as ROW_PADDING has it
        out = Buffer(Axis.LOCAL, x.columns, lines * LINE, x.rows, first=len(self.steps), last=len(self.steps))
        self._conversions[x.index, dtype] = self._buffer(out)
        whole = {
            int(Op.EMBED): (layout.EMBED_CONVERTED, layout.EMBED_DTYPE),
            int(Op.LAYER_NORM): (layout.NORM_CONVERTED, layout.NORM_DTYPE),
        }
        maker = self.steps[x.first] if x.axis is Axis.LOCAL else [NONE]
        at, at_dtype = whole.get(maker[0], (0, 0))
        if at and maker[at] == NONE:
            maker[at], maker[at_dtype], out.first = out.index, dtype, x.first
        else:
            self._step(
                Op.CONVERT,
                {
                    layout.CONVERT_X: x,
                    layout.CONVERT_WIDTH: x.columns,
                    layout.CONVERT_DTYPE: dtype,
                    layout.CONVERT_OUT: out,
                    layout.CONVERT_ROWS: x.rows,
                },
            )
        return out

    def attention(
        self,
        qkv: Buffer,
        cu_seqlens: Buffer,
        key_lens: Buffer,
        *,
        heads: int,
        head_size: int,
        head_mask: tuple[Buffer, int] | None = None,
        allowed: Buffer | None = None,
        probs: bool = False,
        relative: Relative | None = None,
        columns: Buffer | None = None,
        dtype: Dtype = "float32",
    ) -> tuple[Buffer, Buffer | None]:
        assert qkv.head_size is not None, "attention reads what linear gave with a weight placed with heads_out"
        assert relative is None or columns is not None, "relative attention needs columns"
        code = layout.DTYPE_CODES[dtype]
        distances = relative is not None and relative.kind != layout.RELATIVE_BIAS
        assert code == FLOAT32 or (code == BFLOAT16 and not distances), "wanted float32 (or bfloat16)"
        self.head_size = max(self.head_size, qkv.head_size)
        self.flops_per_pair += 4.0 * heads * head_size
        words = self._converted(qkv, code)
        out = self._local(heads * qkv.head_size)
        shares = self._buffer(Buffer(Axis.FIXED, heads, 0, flat=True)) if probs else None
        mask, row = head_mask if head_mask is not None else (None, 0)
        if mask is not None:
            mask.columns = max(mask.columns, heads)  # its rows are as long as the layer with most heads wants
            mask.row_bytes = mask.columns * 4
        self._step(
            Op.ATTENTION,
            {
                layout.ATTENTION_QKV: words,
                layout.ATTENTION_DTYPE: code,
                layout.ATTENTION_OUT: out,
                layout.ATTENTION_HEADS: heads,
                layout.ATTENTION_SIZE: qkv.head_size,
                layout.ATTENTION_SCALE: bits(head_size**-0.5),
                layout.ATTENTION_MASK: mask,
                layout.ATTENTION_MASK_ROW: row,
                layout.ATTENTION_ALLOWED: allowed,
                layout.ATTENTION_PROBS: shares,
                layout.ATTENTION_COLUMNS: None if relative is None else columns,
                layout.ATTENTION_RELATIVE: layout.RELATIVE_NONE if relative is None else relative.kind,
                layout.ATTENTION_TABLE: 0 if relative is None else self._weight(relative.rows),
                layout.ATTENTION_STRIDE: 0 if relative is None else relative.rows.strides[0],
                layout.ATTENTION_LAST: 0 if relative is None else relative.last,
            },
        )
        return out, shares

    def layer_norm(self, x: Buffer, norm: Norm) -> Buffer:
        out = self._local(norm.width, rows=x.rows)
        self._step(
            Op.LAYER_NORM,
            {
                layout.NORM_X: x,
                layout.NORM_WEIGHT: self._weight(norm.weight),
                layout.NORM_BIAS: self._weight(norm.bias),
                layout.NORM_EPS: bits(norm.eps),
                layout.NORM_WIDTH: norm.width,
                layout.NORM_OUT: out,
                layout.NORM_ROWS: x.rows,
                layout.NORM_CONVERTED: None,
            },
        )
        return out

    def take(self, x: Buffer, rows: Buffer) -> Buffer:
        out = self._local(x.columns, rows=rows.rows)
        self._step(
            Op.TAKE,
            {
                layout.TAKE_X: x,
                layout.TAKE_INDEX: rows,
                layout.TAKE_WIDTH: x.columns,
                layout.TAKE_OUT: out,
                layout.TAKE_ROWS: rows.rows,
            },
        )
        return out

    def concat(self, parts: Sequence[Buffer]) -> Buffer:
        """A step for each part; the last also zeroes what lies behind, up to a whole panel."""
        columns = sum(part.columns for part in parts)
        out = self._local(columns, rows=parts[0].rows)
        column = 0
        for number, part in enumerate(parts, 1):
            zeros = round_up(columns, self.panel) - columns if number == len(parts) else 0
            self._step(
                Op.CONCAT,
                {
                    layout.CONCAT_X: part,
                    layout.CONCAT_WIDTH: part.columns,
                    layout.CONCAT_OUT: out,
                    layout.CONCAT_COLUMN: column,
                    layout.CONCAT_ZEROS: zeros,
                    layout.CONCAT_ROWS: out.rows,
                },
            )
            column += part.columns
        return out

    def pool(
        self, x: Buffer, cu_seqlens: Buffer, key_lens: Buffer, mode: Pooling, *, first: Buffer | None = None
    ) -> Buffer:
        out = self._local(x.columns, rows=Axis.SEQUENCES)
        self._step(
            Op.POOL,
            {
                layout.POOL_X: x,
                layout.POOL_MODE: POOL_CODES[mode],
                layout.POOL_WIDTH: x.columns,
                layout.POOL_OUT: out,
                layout.POOL_FIRST: first,
            },
        )
        return out

    def normalize(self, x: Buffer) -> Buffer:
        out = self._local(x.columns, rows=x.rows)
        self._step(
            Op.NORMALIZE,
            {
                layout.NORMALIZE_X: x,
                layout.NORMALIZE_WIDTH: x.columns,
                layout.NORMALIZE_OUT: out,
                layout.NORMALIZE_ROWS: x.rows,
            },
        )
        return out

    # -- bookkeeping ---------------------------------------------------------------------------
    def _buffer(self, buffer: Buffer) -> Buffer:
        buffer.index = len(self.buffers)
        self.buffers.append(buffer)
        return buffer

    def _local(self, columns: int, *, rows: Axis = Axis.TOKENS) -> Buffer:
        row_bytes = (round_up(columns, self.panel) + ROW_PADDING) * 4
        buffer = Buffer(Axis.LOCAL, columns, row_bytes, rows, first=len(self.steps))
        buffer.last = buffer.first
        return self._buffer(buffer)

    def _weight(self, array: NDArray[Any]) -> int:
        """Its address; the recording keeps it alive."""
        self.keeps.append(array)
        return address(array)

    def _floats(self, table: Table) -> int:
        """The address of a table of float32 in memory."""
        assert not isinstance(table.rows, FileRows), "in a file: wanted of words alone"
        assert table.scales is None, "int8: wanted of words alone"
        return self._weight(table.rows)

    def _step(self, op: Op, operands: dict[int, int | Buffer | None]) -> None:
        step = [0] * STEP_WORDS
        step[0] = int(op)
        for at, operand in operands.items():
            if isinstance(operand, Buffer):
                operand.last = len(self.steps)
                operand.uses += 1
                step[at] = operand.index
            else:
                step[at] = NONE if operand is None else operand
        self.steps.append(step)

    def fuse(self, wanted: set[int]) -> None:
        """A linear whose output only a conversion to bfloat16 reads leaves that at once."""
        for at in reversed(range(len(self.steps))):
            step = self.steps[at]
            if step[0] != Op.CONVERT or step[layout.CONVERT_DTYPE] != BFLOAT16:
                continue
            x, out = self.buffers[step[layout.CONVERT_X]], self.buffers[step[layout.CONVERT_OUT]]
            maker = self.steps[x.first]
            if x.index in wanted or x.uses != 2 or maker[0] != Op.LINEAR or maker[layout.LINEAR_DTYPE] == FLOAT32:
                continue
            maker[layout.LINEAR_OUT], maker[layout.LINEAR_OUT_DTYPE] = out.index, BFLOAT16
            out.first, x.uses, x.axis = x.first, 0, Axis.FIXED
            del self.steps[at]
            for buffer in self.buffers:
                buffer.first -= buffer.first > at
                buffer.last -= buffer.last > at


AXES = {Along.TOKENS: Axis.TOKENS, Along.SEQUENCES: Axis.SEQUENCES, Along.SELECTED: Axis.SELECTED}
"""What of a batch's arrays chunks share out; the others are read as they are."""


def record(forward: Forward, given: Collection[str]) -> Recording:
    """Runs a forward pass on symbols."""
    recorder = Recorder()

    def symbol(one: BatchField) -> Buffer:
        axis = AXES.get(one.along, Axis.FIXED)
        return recorder._buffer(Buffer(axis, 1, 8, axis, one.name))

    batch = symbols(symbol, given)
    outputs: dict[str, Placed] = forward(recorder, batch)
    for buffer in outputs.values():
        if not buffer.flat:  # rows of the whole batch, in the caller's own array
            buffer.axis = buffer.rows
            buffer.row_bytes = round_up(buffer.columns, recorder.panel) * 4
    wanted = {buffer.index for buffer in outputs.values()}
    recorder.fuse(wanted)
    for step in recorder.steps:  # probabilities that the forward pass let go are not written
        if step[0] == Op.ATTENTION and step[layout.ATTENTION_PROBS] not in wanted:
            step[layout.ATTENTION_PROBS] = NONE
    return Recording(
        np.array(recorder.steps, np.int64),
        recorder.buffers,
        outputs,
        _plan([b for b in recorder.buffers if b.axis is Axis.LOCAL]),
        recorder.flops,
        recorder.flops_per_pair,
        recorder.head_size,
        recorder.keeps,
        recorder.file,
        recorder.file_row_bytes,
    )


def _plan(buffers: list[Buffer]) -> int:
    """Give each buffer an offset that none shares while both are alive; returns the bytes a row of them all."""
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: -b.row_bytes):
        at = 0
        for other in sorted(placed, key=lambda b: b.offset):
            apart = other.last < buffer.first or buffer.last < other.first
            if not apart and other.offset < at + buffer.row_bytes:
                at = max(at, other.offset + other.row_bytes)
        buffer.offset = at
        placed.append(buffer)
    return max((b.offset + b.row_bytes for b in placed), default=0)
