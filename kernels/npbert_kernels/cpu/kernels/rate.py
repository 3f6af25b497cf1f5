"""What the machine's multiply-adds reach on registers alone: the limit that benchmarks measure shares of."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..isa import VECTORS
from ..layout import RATE_DTYPE, RATE_ROUNDS, RATE_TARGET
from .dot import DOTS, Multiply, by_dtype
from .frame import next_of, word
from .simd import F32S, ROWS, f32, i64, kernel, pointer, splat


def multiply_adds(multiply: Multiply) -> Any:
    @intrinsic
    def repeated(typing_context: Any, rounds: Any, target: Any) -> Any:
        """rounds times one multiply-add on each accumulator of a whole micro-tile; the last goes to target."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rounds, target = args
            entry = builder.block
            loop, end = builder.append_basic_block("round"), builder.append_basic_block("end")
            factor = builder.bitcast(splat(builder, builder.uitofp(rounds, f32)), multiply.words)
            a, w = multiply.of_a(builder, factor), multiply.of_w(builder, factor)
            builder.branch(loop)
            builder.position_at_end(loop)
            i = builder.phi(i64)
            cells = [builder.phi(multiply.sums) for _ in range(ROWS * VECTORS)]
            after = [multiply.add(builder, cell, a, w) for cell in cells]
            i_next = builder.add(i, ir.Constant(i64, 1))
            firsts = [ir.Constant(i64, 0)] + [ir.Constant(multiply.sums, None)] * len(cells)
            for phi, first, later in zip([i, *cells], firsts, [i_next, *after], strict=True):
                phi.add_incoming(first, entry)
                phi.add_incoming(later, loop)
            builder.cbranch(builder.icmp_signed("<", i_next, rounds), loop, end)
            builder.position_at_end(end)
            values = [builder.bitcast(value, F32S) for value in after]
            total = values[0]
            for value in values[1:]:
                total = builder.fadd(total, value)
            builder.store(total, pointer(builder, target, F32S), align=4)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return repeated


_repeated = by_dtype({code: multiply_adds(dot.multiply) for code, dot in DOTS.items()})


@kernel
def rate(frame, rank, step, slot):
    if next_of(frame, rank, slot, 1) == 0:
        _repeated(word(step, RATE_DTYPE), word(step, RATE_ROUNDS), word(step, RATE_TARGET))
