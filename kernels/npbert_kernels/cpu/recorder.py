"""The ops that record: a forward pass called with these leaves a table of steps and a plan of its memory.

Sizes stay symbolic in T and B: a buffer has a row length, and rows by its axis. Buffers of one chunk of the batch
share memory as soon as nothing reads them any more.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import Activation, Along, Cached, Dtype, FileRows, Floats, Forward, Ints, Pooling, symbols
from . import layout
from .blocking import ROW_PADDING
from .dtypes import CODES, FLOAT32, FORMATS
from .isa import selected
from .layout import (
    ACTIVATION_CODES,
    ACTIVATION_NONE,
    LINE,
    NONE,
    POOL_CODES,
    STEP_WORDS,
    WORD,
    Axis,
    Op,
)
from .memory import address
from .store import Linear, Norm, Relative, Table, round_up


@dataclass(frozen=True)
class Symbol:
    """What an op returns, or what a batch brings: the name of a buffer, or of a row of it."""

    index: int
    row: int = 0

    def __getitem__(self, row: int) -> Symbol:
        return Symbol(self.index, row)


@dataclass(eq=False)
class Buffer:
    """What a symbol stands for. The recorder's own: only it changes one, until the recording is made."""

    index: int
    axis: Axis
    rows: Axis  # what its rows are, of a chunk or of all: tokens, sequences or selected rows
    width: int  # elements of a row that carry something; 0 of a batch's array until a step that reads it says so
    row_bytes: int
    source: str | None = None  # the Batch's field, if it comes from there
    table: Table | None = None
    flat: bool = False  # probabilities of `width` heads: no rows
    head_size: int | None = None
    written: int = 0  # the step that writes it
    last_read: int = 0  # the last step that reads it
    uses: int = 0  # how many steps have it
    offset: int = 0  # in a chunk's memory, in bytes a row


class Recording(NamedTuple):
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
        self.buffers: list[Buffer] = []  # by a symbol's index
        self.panel = selected().panel
        self.flops = dict.fromkeys((Axis.TOKENS, Axis.SEQUENCES, Axis.SELECTED), 0.0)
        self.flops_per_pair = 0.0
        self.head_size = 0
        self.keeps: list[NDArray[Any]] = []
        self.file: FileRows | None = None
        self.file_row_bytes = 0
        self._conversions: dict[tuple[int, int], Symbol] = {}  # of a buffer into a dtype

    # -- ops -----------------------------------------------------------------------------------
    def embed(
        self,
        words: Table,
        ids: Symbol,
        positions: tuple[Table, Symbol] | None,
        token_types: tuple[Table, Symbol] | None,
        norm: Norm | None,
    ) -> Symbol:
        table = self._buffer(Axis.FIXED, words.rows.shape[1], words.row_bytes, table=words)
        stored = None
        if isinstance(words.rows, FileRows):
            assert self.file in (None, words.rows), "wanted words of one file"
            self.file, self.file_row_bytes = words.rows, words.row_bytes
            stored = CODES[words.rows.dtype]
        return self._embed(table, ids, positions, token_types, norm, words.scales, stored)

    def embed_rows(
        self,
        inputs_embeds: Symbol,
        positions: tuple[Table, Symbol] | None,
        token_types: tuple[Table, Symbol] | None,
        norm: Norm | None,
    ) -> Symbol:
        tables = [part[0].rows.shape[1] for part in (positions, token_types) if part is not None]
        self._expect(inputs_embeds, tables[0] if norm is None else norm.width, "embed_rows")
        return self._embed(inputs_embeds, None, positions, token_types, norm)

    def _embed(
        self,
        words: Symbol,
        ids: Symbol | None,
        positions: tuple[Table, Symbol] | None,
        token_types: tuple[Table, Symbol] | None,
        norm: Norm | None,
        scales: Floats | None = None,
        stored: int | None = None,
    ) -> Symbol:
        width = self.buffers[words.index].width
        out = self._local(width)
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
                layout.EMBED_BIAS: 0 if norm is None or norm.bias is None else self._weight(norm.bias),
                layout.EMBED_EPS: 0 if norm is None else bits(norm.eps),
                layout.EMBED_WIDTH: width,
                layout.EMBED_OUT: out,
                layout.EMBED_CONVERTED: None,
                layout.EMBED_SCALES: 0 if scales is None else self._weight(scales),
                layout.EMBED_STORED: stored,
            },
        )
        return out

    def linear(
        self,
        x: Symbol,
        weights: Linear,
        *,
        activation: Activation | None = None,
        residual: Symbol | None = None,
    ) -> Symbol:
        self._expect(x, weights.k, "linear")
        rows = self.buffers[x.index].rows
        words = self._converted(x, weights.dtype)
        out = self._local(weights.width, rows=rows, head_size=weights.head_size)
        self.flops[rows] += 2.0 * weights.k * weights.width
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
                layout.LINEAR_ROWS: rows,
                layout.LINEAR_DTYPE: weights.dtype,
                layout.LINEAR_OUT_DTYPE: FLOAT32,
                layout.LINEAR_WIDTH: weights.width,
            },
        )
        return out

    def multiply(self, a: Symbol, b: Symbol) -> Symbol:
        width, rows = self._width(a), self.buffers[a.index].rows
        self._expect(b, width, "multiply")
        out = self._local(width, rows=rows)
        self._step(
            Op.MULTIPLY,
            {
                layout.MULTIPLY_A: a,
                layout.MULTIPLY_B: b,
                layout.MULTIPLY_WIDTH: width,
                layout.MULTIPLY_OUT: out,
                layout.MULTIPLY_ROWS: rows,
            },
        )
        return out

    def rotary(self, qkv: Symbol, table: Table, positions: Symbol, *, heads: int, head_size: int) -> Symbol:
        padded = self.buffers[qkv.index].head_size
        assert padded is not None, "rotary reads what linear gave with a weight placed with heads_out"
        out = self._local(3 * heads * padded, head_size=padded)
        self._step(
            Op.ROTARY,
            {
                layout.ROTARY_X: qkv,
                layout.ROTARY_TABLE: self._floats(table),
                layout.ROTARY_POSITIONS: positions,
                layout.ROTARY_HEADS: heads,
                layout.ROTARY_SIZE: padded,
                layout.ROTARY_HALF: head_size // 2,
                layout.ROTARY_OUT: out,
            },
        )
        return out

    def attention(
        self,
        qkv: Symbol,
        cu_seqlens: Symbol,
        key_lens: Symbol,
        *,
        heads: int,
        head_size: int,
        head_mask: Symbol | None = None,
        allowed: Symbol | None = None,
        probs: bool = False,
        relative: Relative | None = None,
        columns: Symbol | None = None,
        window: int | None = None,
        causal: bool = False,
        cached: Cached | None = None,
        dtype: Dtype = "float32",
    ) -> tuple[Symbol, Symbol | None]:
        padded = self.buffers[qkv.index].head_size
        assert padded is not None, "attention reads what linear gave with a weight placed with heads_out"
        by_columns = relative is not None or window is not None or causal
        assert not by_columns or columns is not None, "attention by distance needs columns"
        code = CODES[dtype]
        assert any(dtype == form.attention for form in FORMATS), f"attention multiplies no {dtype}"
        distances = relative is not None and relative.kind != layout.RELATIVE_BIAS
        assert code == FLOAT32 or not distances, "relative keys: wanted float32"
        if cached is not None:
            assert relative is None, "earlier calls' keys have no columns"
            assert window is None, "earlier calls' keys have no columns"
            assert code == FLOAT32, "keys and values that outlive a call: wanted float32"
        self.head_size = max(self.head_size, padded)
        self.flops_per_pair += 4.0 * heads * head_size
        words = self._converted(qkv, code)
        out = self._local(heads * padded)
        shares = self._buffer(Axis.FIXED, heads, 0, flat=True) if probs else None
        if head_mask is not None:  # its rows are as long as the layer with most heads wants
            mask = self.buffers[head_mask.index]
            mask.width = max(mask.width, heads)
            mask.row_bytes = mask.width * 4
        self._step(
            Op.ATTENTION,
            {
                layout.ATTENTION_QKV: words,
                layout.ATTENTION_DTYPE: code,
                layout.ATTENTION_OUT: out,
                layout.ATTENTION_HEADS: heads,
                layout.ATTENTION_SIZE: padded,
                layout.ATTENTION_SCALE: bits(head_size**-0.5),
                layout.ATTENTION_MASK: head_mask,
                layout.ATTENTION_MASK_ROW: 0 if head_mask is None else head_mask.row,
                layout.ATTENTION_ALLOWED: allowed,
                layout.ATTENTION_PROBS: shares,
                layout.ATTENTION_COLUMNS: columns if by_columns else None,
                layout.ATTENTION_RELATIVE: layout.RELATIVE_NONE if relative is None else relative.kind,
                layout.ATTENTION_TABLE: 0 if relative is None else self._weight(relative.rows),
                layout.ATTENTION_STRIDE: 0 if relative is None else relative.rows.strides[0],
                layout.ATTENTION_LAST: 0 if relative is None else relative.last,
                layout.ATTENTION_WINDOW: window,
                layout.ATTENTION_CAUSAL: int(causal),
                layout.ATTENTION_CACHE: None if cached is None else cached.floats.row,
            },
        )
        return out, shares

    def layer_norm(self, x: Symbol, norm: Norm) -> Symbol:
        rows = self.buffers[x.index].rows
        out = self._local(norm.width, rows=rows)
        self._step(
            Op.LAYER_NORM,
            {
                layout.NORM_X: x,
                layout.NORM_WEIGHT: self._weight(norm.weight),
                layout.NORM_BIAS: 0 if norm.bias is None else self._weight(norm.bias),
                layout.NORM_EPS: bits(norm.eps),
                layout.NORM_WIDTH: norm.width,
                layout.NORM_OUT: out,
                layout.NORM_ROWS: rows,
                layout.NORM_CONVERTED: None,
            },
        )
        return out

    def take(self, x: Symbol, rows: Symbol) -> Symbol:
        width, axis = self._width(x), self.buffers[rows.index].rows
        out = self._local(width, rows=axis)
        self._step(
            Op.TAKE,
            {
                layout.TAKE_X: x,
                layout.TAKE_INDEX: rows,
                layout.TAKE_WIDTH: width,
                layout.TAKE_OUT: out,
                layout.TAKE_ROWS: axis,
            },
        )
        return out

    def concat(self, parts: Sequence[Symbol]) -> Symbol:
        """A step for each part; the last also zeroes what lies behind, up to a whole panel."""
        widths = [self._width(part) for part in parts]
        whole, rows = sum(widths), self.buffers[parts[0].index].rows
        out = self._local(whole, rows=rows)
        column = 0
        for part, width in zip(parts, widths, strict=True):
            is_last = column + width == whole
            self._step(
                Op.CONCAT,
                {
                    layout.CONCAT_X: part,
                    layout.CONCAT_WIDTH: width,
                    layout.CONCAT_OUT: out,
                    layout.CONCAT_COLUMN: column,
                    layout.CONCAT_ZEROS: round_up(whole, self.panel) - whole if is_last else 0,
                    layout.CONCAT_ROWS: rows,
                },
            )
            column += width
        return out

    def pool(
        self, x: Symbol, cu_seqlens: Symbol, key_lens: Symbol, mode: Pooling, *, first: Symbol | None = None
    ) -> Symbol:
        width = self._width(x)
        out = self._local(width, rows=Axis.SEQUENCES)
        self._step(
            Op.POOL,
            {
                layout.POOL_X: x,
                layout.POOL_MODE: POOL_CODES[mode],
                layout.POOL_WIDTH: width,
                layout.POOL_OUT: out,
                layout.POOL_FROM: first,
            },
        )
        return out

    def normalize(self, x: Symbol) -> Symbol:
        width, rows = self._width(x), self.buffers[x.index].rows
        out = self._local(width, rows=rows)
        self._step(
            Op.NORMALIZE,
            {
                layout.NORMALIZE_X: x,
                layout.NORMALIZE_WIDTH: width,
                layout.NORMALIZE_OUT: out,
                layout.NORMALIZE_ROWS: rows,
            },
        )
        return out

    # -- bookkeeping ---------------------------------------------------------------------------
    def _buffer(self, axis: Axis, width: int, row_bytes: int, *, rows: Axis = Axis.TOKENS, **facts: Any) -> Symbol:
        index, step = len(self.buffers), len(self.steps)
        self.buffers.append(Buffer(index, axis, rows, width, row_bytes, written=step, last_read=step, **facts))
        return Symbol(index)

    def input(self, source: str, axis: Axis, width: int = 1) -> Any:
        """The symbol of a batch's field: integers, or, with width 0, floats in rows whose width a step tells."""
        return self._buffer(axis, width, WORD, rows=axis, source=source)

    def _local(self, width: int, *, rows: Axis = Axis.TOKENS, head_size: int | None = None) -> Symbol:
        row_bytes = (round_up(width, self.panel) + ROW_PADDING) * 4
        return self._buffer(Axis.LOCAL, width, row_bytes, rows=rows, head_size=head_size)

    def _width(self, x: Symbol) -> int:
        width = self.buffers[x.index].width
        assert width, "the first step that reads a batch's array must know how wide it is"
        return width

    def _expect(self, x: Symbol, width: int, op: str) -> None:
        """Raises ValueError where rows are of another width than an op's weights take."""
        buffer = self.buffers[x.index]
        if not buffer.width:
            buffer.width, buffer.row_bytes = width, width * 4
        if buffer.width != width:
            raise ValueError(f"{op}: x has {buffer.width} columns, the weight wants {width}")

    def _converted(self, x: Symbol, dtype: int) -> Symbol:
        """x in another dtype: made with its rows where one step makes whole rows, else by a step of its own."""
        if dtype == FLOAT32:
            return x
        if (known := self._conversions.get((x.index, dtype))) is not None:
            return known
        width, source = self._width(x), self.buffers[x.index]
        nbytes = FORMATS[dtype].row_bytes(round_up(width, self.panel))
        lines = round_up(nbytes, LINE) // LINE | 1  # odd: as ROW_PADDING has it
        out = self._conversions[x.index, dtype] = self._buffer(Axis.LOCAL, width, lines * LINE, rows=source.rows)
        whole = {
            int(Op.EMBED): (layout.EMBED_CONVERTED, layout.EMBED_DTYPE),
            int(Op.LAYER_NORM): (layout.NORM_CONVERTED, layout.NORM_DTYPE),
        }
        maker = self.steps[source.written] if source.axis is Axis.LOCAL else [NONE]
        at, at_dtype = whole.get(maker[0], (0, 0))
        if at and maker[at] == NONE:
            maker[at], maker[at_dtype], self.buffers[out.index].written = out.index, dtype, source.written
        else:
            self._step(
                Op.CONVERT,
                {
                    layout.CONVERT_X: x,
                    layout.CONVERT_WIDTH: width,
                    layout.CONVERT_DTYPE: dtype,
                    layout.CONVERT_OUT: out,
                    layout.CONVERT_ROWS: source.rows,
                },
            )
        return out

    def _weight(self, array: NDArray[Any]) -> int:
        """Its address; the recording keeps it alive."""
        self.keeps.append(array)
        return address(array)

    def _floats(self, table: Table) -> int:
        """The address of a table of float32 in memory."""
        assert not isinstance(table.rows, FileRows), "in a file: wanted of words alone"
        assert table.scales is None, "int8: wanted of words alone"
        return self._weight(table.rows)

    def _step(self, op: Op, operands: dict[int, int | Symbol | None]) -> None:
        step = [0] * STEP_WORDS
        step[0] = int(op)
        for at, operand in operands.items():
            if isinstance(operand, Symbol):
                buffer = self.buffers[operand.index]
                buffer.last_read = len(self.steps)
                buffer.uses += 1
                step[at] = operand.index
            else:
                step[at] = NONE if operand is None else operand
        self.steps.append(step)

    def fuse(self, wanted: set[int]) -> None:
        """A linear whose output only a conversion reads converts it at once, if it converts element by element."""
        for at in reversed(range(len(self.steps))):
            step = self.steps[at]
            if step[0] != Op.CONVERT or FORMATS[step[layout.CONVERT_DTYPE]].whole_rows:
                continue
            x, out = self.buffers[step[layout.CONVERT_X]], self.buffers[step[layout.CONVERT_OUT]]
            maker = self.steps[x.written]
            if x.index in wanted or x.uses != 2 or maker[0] != Op.LINEAR or maker[layout.LINEAR_DTYPE] == FLOAT32:
                continue
            maker[layout.LINEAR_OUT], maker[layout.LINEAR_OUT_DTYPE] = out.index, step[layout.CONVERT_DTYPE]
            out.written, x.uses, x.axis = x.written, 0, Axis.FIXED
            del self.steps[at]
            for buffer in self.buffers:
                buffer.written -= buffer.written > at
                buffer.last_read -= buffer.last_read > at


AXES = {Along.TOKENS: Axis.TOKENS, Along.SEQUENCES: Axis.SEQUENCES, Along.SELECTED: Axis.SELECTED}
"""What of a batch's arrays chunks share out; the others are read as they are."""


def record(forward: Forward, given: Collection[str]) -> Recording:
    """Runs a forward pass on symbols."""
    recorder = Recorder()
    batch = symbols(lambda one: recorder.input(one.name, AXES.get(one.along, Axis.FIXED), int(not one.optional)), given)
    found: dict[str, Symbol] = forward(recorder, batch)
    outputs = {name: recorder.buffers[symbol.index] for name, symbol in found.items()}
    for buffer in outputs.values():
        if not buffer.flat:  # rows of the whole batch, in the caller's own array
            buffer.axis = buffer.rows
            buffer.row_bytes = round_up(buffer.width, recorder.panel) * 4
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
            apart = other.last_read < buffer.written or buffer.last_read < other.written
            if not apart and other.offset < at + buffer.row_bytes:
                at = max(at, other.offset + other.row_bytes)
        buffer.offset = at
        placed.append(buffer)
    return max((b.offset + b.row_bytes for b in placed), default=0)
