"""Where a model's weights live: in device memory, uploaded once, in rows of whole multiples of 64 elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import Floats, Quantized, TableRows
from .device import Device, Memory
from .formats import SIZES, STORED, Dtype, checked, not_there, padded
from .tiles import BIAS, KEY, KEY_QUERY, LARGEST_TENSOR_HEAD

TABLE_ROWS = 4096  # are converted and uploaded at a time


@dataclass(frozen=True, eq=False)
class Linear:
    weight: Memory  # [padded n, padded k]
    bias: Memory  # [padded n] float32
    n: int
    k: int
    head_size: int | None = None  # of the heads in the output, as placed


@dataclass(frozen=True, eq=False)
class Norm:
    weight: Memory  # [padded width] float32
    bias: Memory
    width: int
    eps: float


@dataclass(frozen=True, eq=False)
class Table:
    rows: Memory  # [V, padded width]
    width: int


@dataclass(frozen=True, eq=False)
class Relative:
    table: Memory  # float32
    last: int  # P - 1
    kind: int  # BIAS, KEY or KEY_QUERY


def placed_head_size(size: int, dtype: Dtype) -> int:
    """What an attention kernel takes: a power of two from 32 on tensor cores, else a multiple of 32."""
    if dtype == "float32" or size > LARGEST_TENSOR_HEAD:
        return (size + 31) // 32 * 32
    return max(32, 1 << (size - 1).bit_length())


class Store:
    """ops.Store on a device. Weights that float16 has no room for are a ValueError."""

    def __init__(self, device: Device, dtype: Dtype) -> None:
        self.device, self.dtype = device, dtype

    def linear(
        self,
        weight: Floats | Quantized,
        bias: Floats | None,
        *,
        heads_out: int | None = None,
        heads_in: int | None = None,
    ) -> Linear:
        # There is no int8 product here: what a file has quantized is multiplied as the numbers that it stands for.
        matrix: Floats = weight[:] if isinstance(weight, Quantized) else weight
        head_size = None
        bias = np.zeros(len(matrix), np.float32) if bias is None else bias
        if heads_out is not None:
            size = len(matrix) // (3 * heads_out)
            head_size = placed_head_size(size, self.dtype)
            matrix = _spread(matrix, 3 * heads_out, head_size)
            bias = _spread(bias, 3 * heads_out, head_size)
        if heads_in is not None:
            size = placed_head_size(matrix.shape[1] // heads_in, self.dtype)
            matrix = _spread(matrix.T, heads_in, size).T
        n, k = matrix.shape
        wide = np.zeros((padded(n), padded(k)), STORED[self.dtype])
        wide[:n, :k] = checked("weight", matrix, self.dtype)
        return Linear(self._uploaded(wide), self._row(bias), n, k, head_size)

    def norm(self, weight: Floats, bias: Floats | None, eps: float) -> Norm:
        if bias is None:
            raise not_there("a norm without a bias")
        return Norm(self._row(weight), self._row(bias), len(weight), eps)

    def table(self, rows: TableRows) -> Table:
        count, width = rows.shape
        row_bytes = padded(width) * SIZES[self.dtype]
        memory = self.device.allocate(count * row_bytes)
        for begin in range(0, count, TABLE_ROWS):  # what stays in a file is never held whole
            part = rows[begin : begin + TABLE_ROWS]
            wide = np.zeros((len(part), padded(width)), STORED[self.dtype])
            wide[:, :width] = checked("embeddings", part, self.dtype)
            self.device.upload(memory.at + begin * row_bytes, wide)
        return Table(memory, width)

    def relative_bias(self, bias: Floats) -> Relative:
        return Relative(self._uploaded(bias), bias.shape[1] // 2, BIAS)

    def relative_key(self, rows: Floats, *, query: bool, scaled: bool = True) -> Relative:
        rows = rows if scaled else rows * np.float32(math.sqrt(rows.shape[1]))
        return Relative(self._uploaded(rows), len(rows) // 2, KEY_QUERY if query else KEY)

    def attention_dtype(self, qkv: Linear, relative: Relative | None = None) -> Dtype:
        return self.dtype

    def _row(self, values: Floats) -> Memory:
        wide = np.zeros(padded(len(values)), np.float32)
        wide[: len(values)] = values
        return self._uploaded(wide)

    def _uploaded(self, array: NDArray[Any]) -> Memory:
        memory = self.device.allocate(max(array.nbytes, 16))
        self.device.upload(memory.at, np.ascontiguousarray(array))
        return memory


def _spread(array: Floats, heads: int, size: int) -> Floats:
    """Zeros behind each head's rows, up to `size` of them."""
    split = array.reshape(heads, len(array) // heads, *array.shape[1:])
    wide = np.zeros((heads, size, *array.shape[1:]), np.float32)
    wide[:, : split.shape[1]] = split
    return wide.reshape(heads * size, *array.shape[1:])
