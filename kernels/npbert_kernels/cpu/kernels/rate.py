"""What the machine's multiply-adds reach on registers alone: the limit that benchmarks measure shares of."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..isa import VECTORS
from ..layout import RATE_ROUNDS, RATE_TARGET
from .frame import next_of, word
from .simd import F32S, ROWS, ZEROS, f32, i64, kernel, multiply_add, pointer, splat


@intrinsic
def _multiply_adds(typing_context: Any, rounds: Any, target: Any) -> Any:
    """rounds times one multiply-add on each accumulator of a whole micro-tile; the last goes to target."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rounds, target = args
        entry = builder.block
        loop, end = builder.append_basic_block("round"), builder.append_basic_block("end")
        factor = splat(builder, builder.uitofp(rounds, f32))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(i64)
        cells = [builder.phi(F32S) for _ in range(ROWS * VECTORS)]
        after = [multiply_add(builder, cell, factor, factor) for cell in cells]
        i_next = builder.add(i, ir.Constant(i64, 1))
        for phi, first, later in zip(
            [i, *cells], [ir.Constant(i64, 0)] + [ZEROS] * len(cells), [i_next, *after], strict=True
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", i_next, rounds), loop, end)
        builder.position_at_end(end)
        total = after[0]
        for value in after[1:]:
            total = builder.fadd(total, value)
        builder.store(total, pointer(builder, target, F32S), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@kernel
def rate(frame, rank, step, slot):
    if next_of(frame, rank, slot, 1) == 0:
        _multiply_adds(word(step, RATE_ROUNDS), word(step, RATE_TARGET))
