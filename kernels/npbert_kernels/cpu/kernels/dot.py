"""The arithmetic of each dtype: how words are multiplied, how a sum begins and ends, how rows become words.

A word is one float, two bfloat16 or four int8, the first in the lowest bits (`dtypes` has what else a dtype is). Each
lane of a vector of W's words is multiplied with a word of A that stands in all lanes, and the sum of its products goes
into that lane's accumulator.

bfloat16: converted to the nearest, ties to even.
int8: the row's scale and its zero point stand before its bytes, and x is about (byte - zero) scale. The least and the
largest of a row (and 0, which is exact) span STEPS steps; a weight's row is symmetric instead, its zero point 0. All of
it is a fixed order of roundings without fused multiply-add, so every ISA makes the same bytes. An element that isn't
finite makes its row's scale NaN, and so all that the row goes into.
W's int8 are signed; A's are unsigned, but for "sdot", which wants them signed: BYTE_OFFSET is then taken off both them
and their zero point. Sums of up to most_k products are exact in 32 bits, so all ways to multiply give the same bits.
(pmaddubsw would not: its sums of two saturate at 16.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from llvmlite import ir

from ..blocking import CHAIN
from ..dtypes import CODES, INT8_HEADER
from ..isa import VECTORS
from .simd import (
    BYTES,
    F32S,
    I32S,
    ISA,
    LANES,
    absolute,
    broadcast,
    call,
    f32,
    float_bits,
    horizontal_max,
    horizontal_min,
    horizontal_sum,
    i16,
    i32,
    i64,
    inlined,
    load,
    load_first,
    maximum,
    minimum,
    multiply_add,
    pointer,
    splat,
    store_bfloat16,
    store_bytes,
    store_float,
    store_int32,
)

I16S = ir.VectorType(i16, 2 * LANES)
BYTE_OFFSET = 128 if ISA.int8 == "sdot" else 0


# -- how words are multiplied ----------------------------------------------------------------------
class Multiply(Protocol):
    word: Any  # as A is read
    words: Any  # as W is read
    sums: Any  # the accumulators

    def of_a(self, builder: Any, words: Any) -> Any:
        """What is made of a word of A, in all lanes, before it is multiplied."""

    def of_w(self, builder: Any, words: Any) -> Any:
        """What is made of a vector of W before it is multiplied."""

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        """total + a w."""


def _each(number: int, kind: Any = I32S) -> Any:
    return ir.Constant(kind, [number] * kind.count)


class Floats:
    word, words, sums = f32, F32S, F32S

    def of_a(self, builder: Any, words: Any) -> Any:
        return words

    of_w = of_a

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        return multiply_add(builder, a, w, total)


class Instruction:
    """One instruction, as assembly: LLVM's own functions for these have changed between its releases."""

    word, words = i32, I32S

    def __init__(self, sums: Any, assembly: str, registers: str) -> None:
        self.sums, self.assembly, self.constraints = sums, assembly, f"={registers},0,{registers},{registers}"

    def of_a(self, builder: Any, words: Any) -> Any:
        return words

    of_w = of_a

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        kind = ir.FunctionType(self.sums, [self.sums, I32S, I32S])
        return builder.call(ir.InlineAsm(kind, self.assembly, self.constraints), [total, a, w])


class Widened:
    """bfloat16 is the upper half of a float32."""

    word, words, sums = i32, I32S, F32S

    def of_a(self, builder: Any, words: Any) -> Any:
        low, high = builder.shl(words, _each(16)), builder.and_(words, _each(0xFFFF0000))
        return builder.bitcast(low, F32S), builder.bitcast(high, F32S)

    of_w = of_a

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        for half_a, half_w in zip(a, w, strict=True):
            total = multiply_add(builder, half_a, half_w, total)
        return total


class Pairs:
    """The even bytes and the odd ones as 16 bits: products, and sums of two, are exact in 32."""

    word, words, sums = i32, I32S, I32S
    function = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}.get(LANES)

    def of_a(self, builder: Any, words: Any) -> Any:
        halves = builder.bitcast(words, I16S)
        return builder.and_(halves, _each(0xFF, I16S)), builder.lshr(halves, _each(8, I16S))

    def of_w(self, builder: Any, words: Any) -> Any:
        halves, eight = builder.bitcast(words, I16S), _each(8, I16S)
        return builder.ashr(builder.shl(halves, eight), eight), builder.ashr(halves, eight)

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        for half_a, half_w in zip(a, w, strict=True):
            total = builder.add(total, call(builder, self.function, I32S, half_a, half_w))
        return total


class Bytes:
    """Each byte as 32 bits: for any machine."""

    word, words, sums = i32, I32S, I32S

    def of_a(self, builder: Any, words: Any) -> Any:
        return [builder.and_(builder.lshr(words, _each(8 * i)), _each(0xFF)) for i in range(4)]

    def of_w(self, builder: Any, words: Any) -> Any:
        return [builder.ashr(builder.shl(words, _each(24 - 8 * i)), _each(24)) for i in range(4)]

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        for byte_a, byte_w in zip(a, w, strict=True):
            total = builder.add(total, builder.mul(byte_a, byte_w))
        return total


_WAYS: dict[str, Multiply] = {
    "vdpbf16ps": Instruction(F32S, "vdpbf16ps $3, $2, $0", "v"),
    "widen": Widened(),
    "vpdpbusd": Instruction(I32S, "vpdpbusd $3, $2, $0", "v"),
    "{vex} vpdpbusd": Instruction(I32S, "{vex} vpdpbusd $3, $2, $0", "x"),
    "sdot": Instruction(I32S, "sdot $0.4s, $2.16b, $3.16b", "w"),
    "pmaddwd": Pairs(),
    "multiply": Bytes(),
}


# -- how rows of float32 become words --------------------------------------------------------------
STEPS = np.float32(254)  # from the least to the largest of a row of activations: both ends of 255 may round outward
WEIGHT_STEPS = np.float32(127)  # from 0 to a weight's largest magnitude
LEAST = np.float32(2.0**-119)  # of a row's span: a smaller one has no inverse
MAGIC = np.float32(1.5 * 2**23)  # x + MAGIC is x rounded to even, as an integer in the lowest bits


@inlined
def bfloat16_row(x, width, out):
    whole = width // LANES * LANES
    for i in range(0, whole, LANES):
        store_bfloat16(out + i * 2, load(x + i * 4))
    if whole < width:
        store_bfloat16(out + whole * 2, load_first(x + whole * 4, width - whole))


@inlined
def bytes_of_row(x, width, inverse, base, out):
    """rint(x inverse + zero), with zero in base: MAGIC + zero."""
    whole = width // LANES * LANES
    for i in range(0, whole, LANES):
        store_bytes(out + i, load(x + i * 4) * inverse + base)
    if whole < width:
        store_bytes(out + whole, load_first(x + whole * 4, width - whole) * inverse + base)


@inlined
def int8_row(x, width, out):
    lowest, highest, strange = broadcast(0.0), broadcast(0.0), broadcast(0.0)
    whole = width // LANES * LANES
    for i in range(0, whole, LANES):
        value = load(x + i * 4)
        lowest, highest, strange = minimum(value, lowest), maximum(value, highest), strange + value * 0.0
    if whole < width:
        value = load_first(x + whole * 4, width - whole)
        lowest, highest, strange = minimum(value, lowest), maximum(value, highest), strange + value * 0.0
    low = horizontal_min(lowest)
    span = max(horizontal_max(highest) - low, LEAST)
    inverse = STEPS / span
    base = MAGIC - low * inverse - np.float32(BYTE_OFFSET)
    store_float(out, span / STEPS + horizontal_sum(strange))
    store_int32(out + 4, float_bits(base) - float_bits(MAGIC))
    bytes_of_row(x, width, inverse, base, out + INT8_HEADER)


@inlined
def int8_weight_row(x, width, out):
    """A weight's elements are finite."""
    highest = broadcast(0.0)
    whole = width // LANES * LANES
    for i in range(0, whole, LANES):
        highest = maximum(absolute(load(x + i * 4)), highest)
    if whole < width:
        highest = maximum(absolute(load_first(x + whole * 4, width - whole)), highest)
    span = max(horizontal_max(highest), LEAST)
    store_float(out, span / WEIGHT_STEPS)
    store_int32(out + 4, 0)
    bytes_of_row(x, width, WEIGHT_STEPS / span, MAGIC, out + INT8_HEADER)


# -- the table -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Dot:
    """A dtype's arithmetic. A sum of a micro-tile is a vector in each cell, VECTORS of them for each row of A."""

    multiply: Multiply
    chain: int | None = None  # words after which a sum begins anew; None: never
    row: Any = None  # (x, width, out): a row of activations into words, behind their header; None: they are words
    weight_row: Any = None  # the same of a weight's row

    def begin(self, builder: Any, a_rows: Sequence[Any], w: Any) -> list[Any]:
        """The cells before the first k.

        a_rows: where the words of each row of A begin. w: the address where the panel's words begin.
        """
        return [ir.Constant(self.multiply.sums, None)] * (len(a_rows) * VECTORS)

    def finish(self, builder: Any, cells: list[Any], a_rows: Sequence[Any], w: Any) -> list[Any]:
        """The cells after the last k, as floats."""
        return cells


class Scaled(Dot):
    """int8: float(sum of bytes and values - zero sum of values) scale_w scale_a, each product rounded."""

    def begin(self, builder: Any, a_rows: Sequence[Any], w: Any) -> list[Any]:
        sums = [_before_panel(builder, w, 2, v, I32S) for v in range(VECTORS)]  # minus the sums of values
        zeros = [splat(builder, _before_row(builder, row, 1, i32)) for row in a_rows]
        return [builder.mul(zero, column) for zero in zeros for column in sums]

    def finish(self, builder: Any, cells: list[Any], a_rows: Sequence[Any], w: Any) -> list[Any]:
        scales = [_before_panel(builder, w, 1, v, F32S) for v in range(VECTORS)]
        by_column = [builder.fmul(builder.sitofp(cell, F32S), scales[n % VECTORS]) for n, cell in enumerate(cells)]
        of_rows = [splat(builder, _before_row(builder, row, 0, f32)) for row in a_rows]
        return [builder.fmul(cell, of_rows[n // VECTORS]) for n, cell in enumerate(by_column)]


def _before_row(builder: Any, row: Any, index: int, kind: Any) -> Any:
    """A word of the header of an int8 row of A."""
    at = builder.gep(builder.bitcast(row, kind.as_pointer()), [ir.Constant(i64, index - INT8_HEADER // 4)])
    return builder.load(at, align=4)


def _before_panel(builder: Any, w: Any, rows: int, v: int, kind: Any) -> Any:
    """A vector of the header of an int8 panel, so many rows of words before the panel's first."""
    at = builder.add(w, ir.Constant(i64, (v - rows * VECTORS) * BYTES))
    return builder.load(pointer(builder, at, kind), align=4)


DOTS: dict[int, Dot] = {
    CODES["float32"]: Dot(Floats(), CHAIN),
    CODES["bfloat16"]: Dot(_WAYS[ISA.bf16], None, bfloat16_row, bfloat16_row),
    CODES["int8"]: Scaled(_WAYS[ISA.int8], None, int8_row, int8_weight_row),
}


def by_dtype(functions: dict[int, Any]) -> Any:
    """f(dtype, *arguments), which calls the dtype's function; it must have one."""
    (code, function), *others = functions.items()
    if not others:

        @inlined
        def last(dtype, *arguments):  # type: ignore[no-untyped-def]
            return function(*arguments)

        return last
    rest = by_dtype(dict(others))

    @inlined
    def chosen(dtype, *arguments):  # type: ignore[no-untyped-def]
        if dtype == code:
            return function(*arguments)
        return rest(dtype, *arguments)

    return chosen
