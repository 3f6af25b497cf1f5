"""The micro-kernel: a tile of C stays in registers while k runs. Generated for every height from 1 to ROWS.

    C[rows, PANEL] = start[rows, PANEL] + A[rows, k] @ W[k, PANEL]

`start` is what the accumulators hold at first: a bias (stride 0), C itself, a residual, zeros (stride 0).
While it runs it prefetches `ahead_step` bytes from `ahead` at each k: at small T the weights stream from memory.
The whole contract stands in kernels/README.md.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..isa import VECTORS
from .simd import BYTES, F32S, ROWS, call, f32, i8, i32, i64, kernel, multiply_add, pointer, splat


@intrinsic
def _tile(
    typing_context: Any,
    rows: Any,
    a: Any,
    lda: Any,
    w: Any,
    ldw: Any,
    k: Any,
    start: Any,
    ldstart: Any,
    c: Any,
    ldc: Any,
    ahead: Any,
    ahead_step: Any,
) -> Any:
    """rows in [1, ROWS], k >= 1; addresses and strides in bytes; ldw is from one k to the next."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, *operands = args
        done = builder.append_basic_block("done")
        switch = builder.switch(rows, done)
        for height in range(1, ROWS + 1):
            block = builder.append_basic_block(f"rows{height}")
            switch.add_case(ir.Constant(rows.type, height), block)
            builder.position_at_end(block)
            emit_tile(builder, height, *operands)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), codegen


def emit_tile(
    builder: Any,
    height: int,
    a: Any,
    lda: Any,
    w: Any,
    ldw: Any,
    k: Any,
    start: Any,
    ldstart: Any,
    c: Any,
    ldc: Any,
    ahead: Any,
    ahead_step: Any,
) -> None:
    def row_of(base: Any, stride: Any, i: int) -> Any:
        return builder.add(base, builder.mul(stride, ir.Constant(i64, i)))

    def vector_at(address: Any, v: int) -> Any:
        return pointer(builder, builder.add(address, ir.Constant(i64, v * BYTES)), F32S)

    a_rows = [pointer(builder, row_of(a, lda, i), f32) for i in range(height)]
    starts = [row_of(start, ldstart, i) for i in range(height)]
    first = [[builder.load(vector_at(s, v), align=4) for v in range(VECTORS)] for s in starts]
    w_bytes, ahead_bytes = pointer(builder, w, i8), pointer(builder, ahead, i8)

    entry = builder.block
    loop, end = builder.append_basic_block("k"), builder.append_basic_block("end")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(i64)
    i.add_incoming(ir.Constant(i64, 0), entry)
    cells = [[builder.phi(F32S) for _ in range(VECTORS)] for _ in range(height)]
    panel_row = builder.ptrtoint(builder.gep(w_bytes, [builder.mul(i, ldw)]), i64)
    panel = [builder.load(vector_at(panel_row, v), align=4) for v in range(VECTORS)]
    # read, into the second-level cache, data
    hints = (ir.Constant(i32, 0), ir.Constant(i32, 2), ir.Constant(i32, 1))
    call(builder, "llvm.prefetch.p0", ir.VoidType(), builder.gep(ahead_bytes, [builder.mul(i, ahead_step)]), *hints)
    after = []
    for row, accumulators in zip(a_rows, cells, strict=True):
        value = splat(builder, builder.load(builder.gep(row, [i]), align=4))
        after.append([multiply_add(builder, value, p, cell) for p, cell in zip(panel, accumulators, strict=True)])
    i_next = builder.add(i, ir.Constant(i64, 1))
    i.add_incoming(i_next, loop)
    for accumulators, before, behind in zip(cells, first, after, strict=True):
        for cell, s, e in zip(accumulators, before, behind, strict=True):
            cell.add_incoming(s, entry)
            cell.add_incoming(e, loop)
    builder.cbranch(builder.icmp_signed("<", i_next, k), loop, end)
    builder.position_at_end(end)
    for row, values in enumerate(after):
        target = row_of(c, ldc, row)
        for v, value in enumerate(values):
            builder.store(value, vector_at(target, v), align=4)


@kernel
def tile(rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step):
    """One copy of the micro-kernel, called: it is too long to stand in each of its callers."""
    _tile(rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step)
