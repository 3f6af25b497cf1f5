"""Where a model's weights live: linear layers packed into panels, in the order in which they are placed.

The order matters: the micro-kernel prefetches what lies behind the panel that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ops import Floats
from . import layout
from .isa import ISA, selected
from .launch import launch_steps
from .layout import LINE, Op
from .memory import address, pages


@dataclass(frozen=True, eq=False)
class Linear:
    """W packed [panels, k, PANEL] and the bias [panels PANEL]."""

    weight: Floats
    bias: Floats
    k: int
    panels: int
    columns: int  # of the output that carry something; heads are padded to whole panels
    head_size: int | None = None  # of the heads in the output, as padded


@dataclass(frozen=True, eq=False)
class Norm:
    weight: Floats  # zeros behind `width`, up to a whole panel
    bias: Floats
    width: int
    eps: float


@dataclass(frozen=True, eq=False)
class Table:
    rows: Floats  # [V, H]


@dataclass(frozen=True, eq=False)
class Relative:
    """What attention adds to scores, and how."""

    kind: int
    rows: Floats  # a bias [N, 2P - 1] with a panel behind each row, or keys [2P - 1, D] with D up to whole panels
    last: int  # P - 1


def round_up(n: int, multiple: int) -> int:
    return (n + multiple - 1) // multiple * multiple


class Store:
    """ops.Store on the CPU."""

    def __init__(self, nbytes: int) -> None:
        self.isa: ISA = selected()
        self._arenas: list[NDArray[np.uint8]] = []
        self._left = 0
        self._reserve = nbytes + nbytes // 16 + (4 << 20)  # edges and alignment; untouched pages cost nothing

    def linear(
        self,
        weight: Floats,
        bias: Floats | None,
        *,
        heads_out: int | None = None,
        heads_in: int | None = None,
    ) -> Linear:
        panel = self.isa.panel
        head_size = None
        if heads_out is not None:
            size = len(weight) // (3 * heads_out)
            head_size = round_up(size, panel)
            if head_size != size:
                weight = _padded(weight, 3 * heads_out, size, head_size, axis=0)
                bias = None if bias is None else _padded(bias, 3 * heads_out, size, head_size, axis=0)
        if heads_in is not None:
            size = weight.shape[1] // heads_in
            weight = _padded(weight, heads_in, size, round_up(size, panel), axis=1)
        n, k = weight.shape
        panels = round_up(n, panel) // panel
        packed = self._take(panels * panel * k)
        self._pack(weight, packed)
        return Linear(packed, self._vector(bias, panels * panel), k, panels, n, head_size)

    def norm(self, weight: Floats, bias: Floats, eps: float) -> Norm:
        width = round_up(len(weight), self.isa.panel)
        return Norm(self._vector(weight, width), self._vector(bias, width), len(weight), eps)

    def table(self, rows: Floats) -> Table:
        return Table(rows)

    def relative_bias(self, bias: Floats) -> Relative:
        heads, distances = bias.shape
        rows = self._take(heads * (distances + self.isa.panel)).reshape(heads, -1)
        rows[:, :distances] = bias
        return Relative(layout.RELATIVE_BIAS, rows, distances // 2)

    def relative_key(self, rows: Floats, *, query: bool) -> Relative:
        distances, size = rows.shape
        wide = self._take(distances * round_up(size, self.isa.panel)).reshape(distances, -1)
        wide[:, :size] = rows
        kind = layout.RELATIVE_KEY_QUERY if query else layout.RELATIVE_KEY
        return Relative(kind, wide, distances // 2)

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
    def _pack(weight: Floats, packed: Floats) -> None:
        weight = np.ascontiguousarray(weight)
        n, k = weight.shape
        step = np.zeros(layout.STEP_WORDS, np.int64)
        step[0] = Op.PACK
        step[layout.PACK_SOURCE], step[layout.PACK_STRIDE] = address(weight), k * 4
        step[layout.PACK_ROWS], step[layout.PACK_K] = n, k
        step[layout.PACK_TARGET] = address(packed)
        launch_steps(step[None], weight, packed)


def _padded(array: Floats, heads: int, size: int, padded: int, *, axis: int) -> Floats:
    """Zeros behind each head's `size` entries of an axis, up to `padded`."""
    if size == padded:
        return array
    shape = list(array.shape)
    split = [*shape[:axis], heads, size, *shape[axis + 1 :]]
    wide = np.zeros([*shape[:axis], heads, padded, *shape[axis + 1 :]], np.float32)
    wide[(slice(None),) * (axis + 1) + (slice(size),)] = array.reshape(split)
    shape[axis] = heads * padded
    return wide.reshape(shape)
