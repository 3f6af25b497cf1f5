"""Where a model's weights live: linear layers packed into panels, in the order in which they are placed.

The order matters: the micro-kernel prefetches what lies behind the panel that it reads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import Dtype, FileRows, Floats, Quantized, TableRows, checked_dtype
from . import layout
from .dtypes import CODES, FLOAT32, FORMATS, WORD_BYTES, Bytes, rows_of_int8
from .isa import ISA, selected
from .launch import launch_steps
from .layout import LINE, Op
from .memory import address, pages


class Linear(NamedTuple):
    """W packed [panels, words of k, PANEL] and the bias [panels PANEL]."""

    weight: Floats  # words of dtype, each panel behind its header
    bias: Floats
    dtype: int
    k: int
    panels: int
    width: int  # of the output; heads are padded to whole panels
    head_size: int | None = None  # of the heads in the output, as padded


class Norm(NamedTuple):
    weight: Floats  # zeros behind `width`, up to a whole panel
    bias: Floats | None
    width: int
    eps: float


class Table(NamedTuple):
    rows: Floats | NDArray[np.int8] | FileRows  # [V, H]
    scales: Floats | None  # [V], of int8

    @property
    def row_bytes(self) -> int:
        if isinstance(self.rows, FileRows):
            return self.rows.shape[1] * WORD_BYTES // FORMATS[CODES[self.rows.dtype]].per_word
        return self.rows.strides[0]


class Relative(NamedTuple):
    """What attention adds to scores, and how."""

    kind: int
    rows: Floats  # a bias [N, 2P - 1] with a panel behind each row, or keys [2P - 1, D] with D up to whole panels
    last: int  # P - 1


def round_up(n: int, multiple: int) -> int:
    return (n + multiple - 1) // multiple * multiple


class Store:
    """ops.Store on the CPU."""

    def __init__(self, nbytes: int, dtype: Dtype = "float32") -> None:
        self.isa: ISA = selected()
        self.dtype = CODES[checked_dtype(dtype)]
        self._arenas: list[NDArray[np.uint8]] = []
        self._left = 0
        nbytes //= FORMATS[self.dtype].per_word
        self._reserve = nbytes + nbytes // 16 + (4 << 20)  # edges and alignment; untouched pages cost nothing

    def linear(
        self,
        weight: Floats | Quantized,
        bias: Floats | None,
        *,
        heads_out: int | None = None,
        heads_in: int | None = None,
    ) -> Linear:
        values: NDArray[Any]
        scales: Floats | None
        if isinstance(weight, Quantized):
            dtype, values, scales = CODES["int8"], weight.values, weight.scales
        else:
            dtype, values, scales = self.dtype, weight, None
        panel, head_size = self.isa.panel, None
        if heads_out is not None:
            size = len(values) // (3 * heads_out)
            head_size = round_up(size, panel)
            values = _padded(values, 3 * heads_out, size, head_size, axis=0)
            scales = None if scales is None else _padded(scales, 3 * heads_out, size, head_size, axis=0)
            bias = None if bias is None else _padded(bias, 3 * heads_out, size, head_size, axis=0)
        if heads_in is not None:
            size = values.shape[1] // heads_in
            values = _padded(values, heads_in, size, round_up(size, panel), axis=1)
        n, k = values.shape
        form = FORMATS[dtype]
        if form.most_k is not None and k > form.most_k:
            raise ValueError(f"{form.name}: wanted at most {form.most_k} columns in a weight, found {k}")
        panels = round_up(n, panel) // panel
        words = form.panel_header + form.words(k)
        packed = self._take(panels * panel * words)
        self._pack(np.ascontiguousarray(values), scales, dtype, packed.reshape(panels, words, panel))
        return Linear(packed, self._vector(bias, panels * panel), dtype, k, panels, n, head_size)

    def norm(self, weight: Floats, bias: Floats | None, eps: float) -> Norm:
        width = round_up(len(weight), self.isa.panel)
        placed = None if bias is None else self._vector(bias, width)
        return Norm(self._vector(weight, width), placed, len(weight), eps)

    def table(self, rows: TableRows) -> Table:
        if isinstance(rows, FileRows):
            return Table(rows, rows.scales)
        return Table(rows.values, rows.scales) if isinstance(rows, Quantized) else Table(rows, None)

    def relative_bias(self, bias: Floats) -> Relative:
        heads, distances = bias.shape
        rows = self._take(heads * (distances + self.isa.panel)).reshape(heads, -1)
        rows[:, :distances] = bias
        return Relative(layout.RELATIVE_BIAS, rows, distances // 2)

    def relative_key(self, rows: Floats, *, query: bool, scaled: bool = True) -> Relative:
        distances, size = rows.shape
        wide = self._take(distances * round_up(size, self.isa.panel)).reshape(distances, -1)
        wide[:, :size] = rows if scaled else rows * np.float32(math.sqrt(size))
        kind = layout.RELATIVE_KEY_QUERY if query else layout.RELATIVE_KEY
        return Relative(kind, wide, distances // 2)

    def attention_dtype(self, qkv: Linear, relative: Relative | None = None) -> Dtype:
        if relative is not None and relative.kind != layout.RELATIVE_BIAS:
            return "float32"  # queries and keys are multiplied with the rows of distances as well
        return FORMATS[qkv.dtype].attention

    def _vector(self, values: Floats | None, length: int) -> Floats:
        kept = self._take(length)
        if values is not None:
            kept[: len(values)] = values
        return kept

    def _take(self, floats: int) -> Floats:
        """That many zeros, on a cache line of their own."""
        nbytes = round_up(floats * 4, LINE)
        if nbytes > self._left:
            self._arenas.append(pages(max(self._reserve, nbytes)))
            self._left = len(self._arenas[-1])
        begin = len(self._arenas[-1]) - self._left
        self._left -= nbytes
        return self._arenas[-1][begin : begin + floats * 4].view(np.float32)

    @staticmethod
    def _pack(values: NDArray[Any], scales: Floats | None, dtype: int, packed: Floats) -> None:
        """values [n, k], of float32 or, with their scales [n], int8 -> packed [panels, words, PANEL]."""
        n, k = values.shape
        panels, words, panel = packed.shape
        form = FORMATS[dtype]
        rows: NDArray[Any] = values  # [n, bytes], of words behind a header each; float32 is read as it stands
        if scales is not None:
            rows = rows_of_int8(values, scales)
        elif dtype != FLOAT32:
            rows = converted_rows(values, dtype)
        pack = np.zeros(layout.STEP_WORDS, np.int64)
        pack[0], pack[layout.PACK_TARGET], pack[layout.PACK_DTYPE] = Op.PACK, address(packed), dtype
        pack[layout.PACK_ROWS], pack[layout.PACK_WORDS] = n, words - form.panel_header
        pack[layout.PACK_SOURCE], pack[layout.PACK_STRIDE] = address(rows) + form.row_header, rows.strides[0]
        launch_steps(pack[None], rows, packed)
        for row, column in enumerate(form.panel_header_of(rows, k)):
            padded = np.zeros(panels * panel, column.dtype)
            padded[:n] = column
            packed[:, row] = padded.view(np.float32).reshape(panels, panel)


def converted_rows(values: Floats, dtype: int) -> Bytes:
    """A weight [n, k] of float32 as the kernels convert it, rows of words behind their headers: [n, bytes]."""
    n, k = values.shape
    rows = np.zeros((n, FORMATS[dtype].row_bytes(round_up(k, selected().lanes))), np.uint8)
    step = np.zeros(layout.STEP_WORDS, np.int64)
    step[0], step[layout.CONVERT_WEIGHT_DTYPE] = Op.CONVERT_WEIGHT, dtype
    step[layout.CONVERT_WEIGHT_SOURCE], step[layout.CONVERT_WEIGHT_SOURCE_STRIDE] = address(values), k * 4
    step[layout.CONVERT_WEIGHT_ROWS], step[layout.CONVERT_WEIGHT_K] = n, k
    step[layout.CONVERT_WEIGHT_TARGET], step[layout.CONVERT_WEIGHT_TARGET_STRIDE] = address(rows), rows.strides[0]
    launch_steps(step[None], values, rows)
    return rows


def _padded(array: NDArray[Any], heads: int, size: int, padded: int, *, axis: int) -> NDArray[Any]:
    """Zeros behind each head's `size` entries of an axis, up to `padded`."""
    if size == padded:
        return array
    shape = list(array.shape)
    split = [*shape[:axis], heads, size, *shape[axis + 1 :]]
    wide = np.zeros([*shape[:axis], heads, padded, *shape[axis + 1 :]], array.dtype)
    wide[(slice(None),) * (axis + 1) + (slice(size),)] = array.reshape(split)
    shape[axis] = heads * padded
    return wide.reshape(shape)
