"""One multiply-add of the micro-kernel, for each dtype: what a word of 32 bits holds, and how words are multiplied.

A word is one float, two bfloat16 or four int8, the first in the lowest bits. Each lane of a vector of W's words is
multiplied with a word of A that stands in all lanes, and the sum of its products goes into that lane's accumulator.

W's int8 are signed; A's are unsigned, but for "sdot", which wants them signed: BYTE_OFFSET is then taken off both them
and their zero point. Sums of up to MOST_K products are exact in 32 bits, so all ways give the same bits.
(pmaddubsw would not: its sums of two saturate at 16.)
"""

from __future__ import annotations

from typing import Any, Protocol

from llvmlite import ir

from ..blocking import CHAIN
from ..layout import BFLOAT16, FLOAT32, INT8
from .simd import F32S, I32S, ISA, LANES, call, f32, i16, i32, multiply_add

I16S = ir.VectorType(i16, 2 * LANES)
BYTE_OFFSET = 128 if ISA.int8 == "sdot" else 0


class Dot(Protocol):
    word: Any  # as A is read
    words: Any  # as W is read
    sums: Any  # the accumulators
    chain: int | None  # words after which a sum begins anew; None: never

    def of_a(self, builder: Any, words: Any) -> Any:
        """What is made of a word of A, in all lanes, before it is multiplied."""

    def of_w(self, builder: Any, words: Any) -> Any:
        """What is made of a vector of W before it is multiplied."""

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        """total + a w."""


def _each(number: int, kind: Any = I32S) -> Any:
    return ir.Constant(kind, [number] * kind.count)


class Float32:
    word, words, sums, chain = f32, F32S, F32S, CHAIN

    def of_a(self, builder: Any, words: Any) -> Any:
        return words

    of_w = of_a

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        return multiply_add(builder, a, w, total)


class Instruction:
    """One instruction, as assembly: LLVM's own functions for these have changed between its releases."""

    word, words, chain = i32, I32S, None

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

    word, words, sums, chain = i32, I32S, F32S, None

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

    word, words, sums, chain = i32, I32S, I32S, None
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

    word, words, sums, chain = i32, I32S, I32S, None

    def of_a(self, builder: Any, words: Any) -> Any:
        return [builder.and_(builder.lshr(words, _each(8 * i)), _each(0xFF)) for i in range(4)]

    def of_w(self, builder: Any, words: Any) -> Any:
        return [builder.ashr(builder.shl(words, _each(24 - 8 * i)), _each(24)) for i in range(4)]

    def add(self, builder: Any, total: Any, a: Any, w: Any) -> Any:
        for byte_a, byte_w in zip(a, w, strict=True):
            total = builder.add(total, builder.mul(byte_a, byte_w))
        return total


_WAYS: dict[str, Dot] = {
    "vdpbf16ps": Instruction(F32S, "vdpbf16ps $3, $2, $0", "v"),
    "widen": Widened(),
    "vpdpbusd": Instruction(I32S, "vpdpbusd $3, $2, $0", "v"),
    "{vex} vpdpbusd": Instruction(I32S, "{vex} vpdpbusd $3, $2, $0", "x"),
    "sdot": Instruction(I32S, "sdot $0.4s, $2.16b, $3.16b", "w"),
    "pmaddwd": Pairs(),
    "multiply": Bytes(),
}
DOTS: dict[int, Dot] = {FLOAT32: Float32(), BFLOAT16: _WAYS[ISA.bf16], INT8: _WAYS[ISA.int8]}
