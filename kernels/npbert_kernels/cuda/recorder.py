"""The ops that record: a forward pass called with these leaves launches of symbolic sizes, and buffers' lives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, cast

from .. import ops
from ..ops import Activation, Along, Forward, Ops, Pooling, symbols
from .device import Memory
from .formats import SIZES, Dtype, not_there, padded
from .store import Linear, Norm, Relative, Table
from .tiles import (
    BIAS,
    HALF_TILES,
    LARGEST_TENSOR_HEAD,
    NO_BIAS,
    NORMED_TILES,
    QUERIES,
    ROW_WARPS,
    SIMPLE_QUERIES,
    SINGLE_TILES,
    WARPS,
    Key,
    Tile,
)


class Axis(IntEnum):
    """What a buffer's rows are: where `sizes` says how many."""

    TOKENS = 0
    SEQUENCES = 1
    SELECTED = 2
    TILES = 3  # of attention's queries


@dataclass(frozen=True)
class Bucket:
    """Room for batches: at most so many of each. Whatever a batch has less of is told by `sizes`, on the device."""

    tokens: int
    sequences: int
    selected: int
    pairs: int  # of query and key, for probabilities
    processors: int  # of the device

    def rows(self, axis: Axis) -> int:
        return (self.tokens, self.sequences, self.selected)[axis]

    def tiles(self, queries: int) -> int:
        return self.tokens // queries + self.sequences


@dataclass(eq=False)
class Buffer:
    """What an op returns: rows of an axis; or flat probabilities of so many heads."""

    axis: Axis
    dtype: Dtype
    width: int  # columns that carry something; 0 up to the padded width, unless they are written by `alone`'s zeros
    flat: bool = False
    first: int = 0  # the step that writes it,
    last: int = 0  # and the last that reads it
    alone: bool = False  # shares its memory with no other, which is 0 before the first step
    head_size: int | None = None
    parts: Callable[[Bucket], int] = lambda bucket: 1  # float32 rows for each row, which it is the sum of,
    added: tuple[Memory | None, Buffer | None] = (None, None)  # with this row and these, if there are several
    only_normed: bool = True  # nothing else reads it


@dataclass(eq=False)
class Input:
    """A field of the batch."""

    source: str
    axis: Axis

    def __getitem__(self, row: int) -> HeadMask:
        return HeadMask(self, row)


@dataclass(frozen=True, eq=False)
class HeadMask:
    factors: Input
    layer: int


Operand: TypeAlias = int | float | Buffer | Input | HeadMask | Memory | None


@dataclass(frozen=True)
class Launch:
    """One kernel."""

    key: Callable[[Bucket], Key]
    grid: Callable[[Bucket], tuple[int, int]]
    threads: Callable[[Bucket], int]
    operands: tuple[Operand, ...]


# Inputs that every batch has on the device besides its own fields, by name.
SIZES_OF_BATCH, TILES, PROBS_AT = Input("sizes", Axis.TILES), Input("tiles", Axis.TILES), Input("probs_at", Axis.TILES)


@dataclass
class Recording:
    dtype: Dtype
    launches: list[Launch]
    buffers: list[Buffer]
    outputs: dict[str, Buffer]
    inputs: list[Input]
    queries: int  # of a tile
    mask_width: int  # of the rows of head_mask
    embeds_width: int  # of the rows of inputs_embeds
    keeps: list[Any] = field(default_factory=list)


class Recorder:
    """ops.Ops that records."""

    def __init__(self, dtype: Dtype) -> None:
        self.dtype: Dtype = dtype
        self.size = SIZES[dtype]
        self.chunk = 16 // self.size
        self.launches: list[Launch] = []
        self.buffers: list[Buffer] = []
        self.inputs: list[Input] = []
        self.keeps: list[Any] = []
        self.queries = 0
        self.mask_width = 0
        self.embeds_width = 0

    # -- ops -----------------------------------------------------------------------------------
    def embed(
        self,
        words: Table,
        ids: Input,
        positions: tuple[Table, Input] | None,
        token_types: tuple[Table, Input] | None,
        norm: Norm | None,
    ) -> Buffer:
        self.keeps.append(words)
        return self._embed(words.rows, words.width, ids, positions, token_types, norm)

    def embed_rows(
        self,
        inputs_embeds: Input,
        positions: tuple[Table, Input] | None,
        token_types: tuple[Table, Input] | None,
        norm: Norm | None,
    ) -> Buffer:
        tables = [part[0].width for part in (positions, token_types) if part is not None]
        self.embeds_width = tables[0] if norm is None else norm.width
        return self._embed(inputs_embeds, self.embeds_width, None, positions, token_types, norm)

    def _embed(
        self,
        words: Memory | Input,
        width: int,
        ids: Input | None,
        positions: tuple[Table, Input] | None,
        token_types: tuple[Table, Input] | None,
        norm: Norm | None,
    ) -> Buffer:
        out = self._buffer(Axis.TOKENS, width)
        parts = (ids is not None, positions is not None, token_types is not None, norm is not None)
        self._rows_of_warps(
            lambda bucket: ("embed", self.dtype, width, padded(width), *parts),
            out,
            (
                words,
                ids,
                *((None, None) if positions is None else (positions[0].rows, positions[1])),
                *((None, None) if token_types is None else (token_types[0].rows, token_types[1])),
                self._row(out),
                *((None, None, 1.0) if norm is None else (norm.weight, norm.bias, float(norm.eps))),
                out,
                self._row(out),
                SIZES_OF_BATCH,
            ),
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
        if x.width != weights.k:
            raise ValueError(f"linear: x has {x.width} columns, the weight wants {weights.k}")
        if activation is not None and residual is not None:
            raise ValueError("linear: an activation or a residual, not both")
        x, residual = self._narrow(x), None if residual is None else self._narrow(residual)
        single = self.dtype == "float32"
        # What a layer adds to what it got is not rounded before it is normed, and has float32's range.
        out = self._buffer(x.axis, weights.n, None if residual is None else "float32")
        out.head_size = weights.head_size
        axis, columns = x.axis, padded(weights.n)
        offered = SINGLE_TILES if single else HALF_TILES if residual is None else NORMED_TILES

        def blocks(tile: Tile, bucket: Bucket) -> tuple[int, int]:
            return columns // tile.n * tile.blocks_k, -(-bucket.rows(axis) // tile.m)

        def tile_of(bucket: Bucket) -> Tile:
            """The largest that gives a third of the processors something to do.

            A processor takes 64 bytes a cycle from the second-level cache, which has them for about so many at once:
            more and smaller tiles would only ask it for more.
            """
            tiles = [tile for tile in offered if columns % tile.n == 0 and (tile.blocks_k == 1 or out.only_normed)]
            for tile in reversed(tiles):
                x, y = blocks(tile, bucket)
                if 3 * x * y >= bucket.processors:
                    return tile
            return tiles[0]

        def key(bucket: Bucket) -> Key:
            end = (weights.n,) if activation == "sigmoid" else ()
            made = (tile_of(bucket), activation, residual is not None, *end)
            return ("gemm_single", *made) if single else ("gemm_half", self.dtype, *made)

        if residual is not None and not single:
            out.parts, out.added = lambda bucket: tile_of(bucket).blocks_k, (weights.bias, residual)
        self._launch(
            key,
            lambda bucket: blocks(tile_of(bucket), bucket),
            lambda bucket: tile_of(bucket).threads,
            x,
            self._row(x),
            weights.weight,
            padded(weights.k) * self.size,
            weights.bias,
            residual,
            self._row(residual) if residual is not None else 0,
            out,
            self._row(out),
            padded(weights.k),
            SIZES_OF_BATCH,
            int(axis),
        )
        return out

    def multiply(self, a: Buffer, b: Buffer) -> Buffer:
        raise not_there("multiply")

    def rotary(self, qkv: Buffer, table: Table, positions: Input, *, heads: int, head_size: int) -> Buffer:
        raise not_there("rotary positions")

    def attention(
        self,
        qkv: Buffer,
        cu_seqlens: Input,
        key_lens: Input,
        *,
        heads: int,
        head_size: int,
        head_mask: HeadMask | None = None,
        allowed: None = None,  # see Cuda.record
        probs: bool = False,
        relative: Relative | None = None,
        columns: Input | None = None,
        window: int | None = None,
        causal: bool = False,
        cached: None = None,  # Cuda.cache refuses
        dtype: ops.Dtype = "float32",  # the CPU's: here all products are of the backend's
    ) -> tuple[Buffer, Buffer | None]:
        if window is not None or causal:
            raise not_there("attention within a window" if window is not None else "causal attention")
        if qkv.head_size is None:
            raise ValueError("attention reads what linear gave with a weight placed with heads_out")
        size = qkv.head_size
        kind = 0 if relative is None else relative.kind
        # Dot products with rows of a table, one for each score, have no form for tensor cores.
        tensor = self.dtype != "float32" and size <= LARGEST_TENSOR_HEAD and kind in (NO_BIAS, BIAS)
        queries = QUERIES if tensor else SIMPLE_QUERIES
        self.queries = queries
        out = self._buffer(Axis.TOKENS, heads * size)
        out.alone = out.width != padded(out.width)
        shares = None
        if probs:
            shares = self._buffer(Axis.TOKENS, heads, flat=True)
        if head_mask is not None:
            self.mask_width = max(self.mask_width, heads)
        made = ("attention_tensor" if tensor else "attention_simple", self.dtype, size, head_size)
        if relative is not None and columns is None:
            raise ValueError("attention: relative wants columns")
        self._launch(
            lambda bucket: (*made, kind, probs),
            lambda bucket: (bucket.tiles(queries), heads),
            lambda bucket: 32 * WARPS,
            qkv,
            self._row(qkv),
            out,
            self._row(out),
            cu_seqlens,
            key_lens,
            TILES,
            SIZES_OF_BATCH,
            heads,
            head_size**-0.5,
            head_mask,
            shares,
            PROBS_AT if probs else None,
            relative.table if relative is not None else None,
            columns if relative is not None else None,
            relative.last if relative is not None else 0,
        )
        return out, shares

    def layer_norm(self, x: Buffer, norm: Norm) -> Buffer:
        if x.width != norm.width:
            raise ValueError(f"layer_norm: x has {x.width} columns, the norm {norm.width}")
        out = self._buffer(x.axis, norm.width)
        sums_bias, residual = x.added
        self._rows_of_warps(
            lambda bucket: ("layer_norm", x.dtype, self.dtype, norm.width, padded(norm.width), x.parts(bucket)),
            out,
            (
                x,
                self._row(x),
                sums_bias,
                residual,
                self._row(residual) if residual is not None else 0,
                norm.weight,
                norm.bias,
                float(norm.eps),
                out,
                self._row(out),
                SIZES_OF_BATCH,
                int(x.axis),
            ),
        )
        return out

    def normalize(self, x: Buffer) -> Buffer:
        x = self._narrow(x)
        out = self._buffer(x.axis, x.width)
        operands = (x, self._row(x), out, self._row(out), SIZES_OF_BATCH, int(x.axis))
        self._rows_of_warps(lambda bucket: ("normalize", self.dtype, padded(x.width)), out, operands)
        return out

    def take(self, x: Buffer, rows: Input) -> Buffer:
        x = self._narrow(x)
        out = self._buffer(rows.axis, x.width)
        operands = (x, self._row(x), rows, out, self._row(out), SIZES_OF_BATCH, int(rows.axis))
        self._warps_of_columns(("take", self.dtype, padded(x.width)), out, padded(x.width) // self.chunk, operands)
        return out

    def pool(
        self, x: Buffer, cu_seqlens: Input, key_lens: Input, mode: Pooling, *, first: Input | None = None
    ) -> Buffer:
        x = self._narrow(x)
        out = self._buffer(Axis.SEQUENCES, x.width)
        operands = (x, self._row(x), cu_seqlens, key_lens, first, out, self._row(out), SIZES_OF_BATCH)
        key = ("pool", self.dtype, mode, padded(x.width))
        self._warps_of_columns(key, out, padded(x.width) // self.chunk, operands)
        return out

    def concat(self, parts: Sequence[Buffer]) -> Buffer:
        out = self._buffer(parts[0].axis, sum(part.width for part in parts))
        begin = 0
        for part in parts:
            end = begin + part.width
            written = part.width + (padded(out.width) - out.width if end == out.width else 0)
            self._place(part, out, begin, written)
            begin = end
        return out

    def _place(self, x: Buffer, out: Buffer, begin: int, written: int) -> None:
        x.only_normed = False
        operands = (x, self._row(x), out, self._row(out), begin, SIZES_OF_BATCH, int(out.axis))
        self._warps_of_columns(("place", x.dtype, out.dtype, x.width, written), out, written, operands)

    def _narrow(self, x: Buffer) -> Buffer:
        """Rows in the backend's dtype, which all but layer_norm and concat read."""
        if x.dtype == self.dtype:
            return x
        out = self._buffer(x.axis, x.width)
        self._place(x, out, 0, padded(x.width))
        return out

    # -- bookkeeping ---------------------------------------------------------------------------
    def _buffer(self, axis: Axis, width: int, dtype: Dtype | None = None, *, flat: bool = False) -> Buffer:
        at = len(self.launches)
        buffer = Buffer(axis, dtype or self.dtype, width, flat, at, at)
        self.buffers.append(buffer)
        return buffer

    def _row(self, buffer: Buffer) -> int:
        return padded(buffer.width) * SIZES[buffer.dtype]

    def _rows_of_warps(self, key: Callable[[Bucket], Key], out: Buffer, operands: tuple[Operand, ...]) -> None:
        axis = out.axis
        self._launch(
            key,
            lambda bucket: (-(-bucket.rows(axis) // ROW_WARPS), 1),
            lambda bucket: 32 * ROW_WARPS,
            *operands,
        )

    def _warps_of_columns(self, key: Key, out: Buffer, columns: int, operands: tuple[Operand, ...]) -> None:
        axis = out.axis
        self._launch(
            lambda bucket: key,
            lambda bucket: (bucket.rows(axis), -(-columns // 32)),
            lambda bucket: 32,
            *operands,
        )

    def _launch(
        self,
        key: Callable[[Bucket], Key],
        grid: Callable[[Bucket], tuple[int, int]],
        threads: Callable[[Bucket], int],
        *operands: Operand,
    ) -> None:
        for operand in operands:
            if isinstance(operand, Buffer):
                operand.last = len(self.launches)
            elif isinstance(operand, HeadMask):
                self._reads(operand.factors)
            elif isinstance(operand, Input):
                self._reads(operand)
        self.launches.append(Launch(key, grid, threads, operands))

    def _reads(self, source: Input) -> None:
        if source not in self.inputs:
            self.inputs.append(source)


AXES = {Along.SEQUENCES: Axis.SEQUENCES, Along.BOUNDARIES: Axis.SEQUENCES, Along.SELECTED: Axis.SELECTED}


def record(forward: Forward, dtype: Dtype, given: Collection[str]) -> Recording:
    """Runs a forward pass on symbols."""
    recorder = Recorder(dtype)
    batch = symbols(lambda one: Input(one.name, AXES.get(one.along, Axis.TOKENS)), given)
    outputs: dict[str, Buffer] = forward(cast(Ops, recorder), batch)
    for buffer in outputs.values():
        buffer.last, buffer.only_normed = len(recorder.launches), False
    for buffer in recorder.buffers:
        if buffer.alone:
            buffer.first, buffer.last = 0, len(recorder.launches)
    return Recording(
        dtype,
        recorder.launches,
        recorder.buffers,
        outputs,
        recorder.inputs,
        recorder.queries,
        recorder.mask_width,
        recorder.embeds_width,
        recorder.keeps,
    )


def plan(recording: Recording, bucket: Bucket) -> tuple[dict[int, int], int]:
    """Each buffer's offset (by its id), which no other shares while both are alive; and the bytes of all."""
    placed: list[tuple[int, int, Buffer]] = []
    for buffer in sorted(recording.buffers, key=lambda b: -buffer_bytes(recording, b, bucket)):
        nbytes, at = buffer_bytes(recording, buffer, bucket), 0
        for begin, end, other in sorted(placed, key=lambda p: p[0]):
            apart = other.last < buffer.first or buffer.last < other.first
            if not apart and begin < at + nbytes and at < end:
                at = end
        placed.append((at, at + nbytes, buffer))
    return {id(buffer): at for at, _, buffer in placed}, max((end for _, end, _ in placed), default=0)


def buffer_bytes(recording: Recording, buffer: Buffer, bucket: Bucket) -> int:
    if buffer.flat:
        nbytes = buffer.width * bucket.pairs * 4
    else:
        nbytes = bucket.rows(buffer.axis) * padded(buffer.width) * SIZES[buffer.dtype] * buffer.parts(bucket)
    return (max(nbytes, 1) + 255) // 256 * 256
