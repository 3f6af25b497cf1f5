"""The micro-kernel: a tile of C stays in registers while k runs. Generated for every dtype and height from 1 to ROWS.

    C[rows, PANEL] = start[rows, PANEL] + A[rows, k] @ W[k, PANEL]

A and W are words of 32 bits: one float, two bfloat16 or four int8 (`dot` says how they are multiplied), and k counts
words. `start` is a bias (stride 0), C itself, a residual, or zeros (stride 0).

float32: the sum over k is made in chains of CHAIN terms that begin at zero, each added to what stands in C so far, the
first to start: one long chain, or one that begins with a residual, rounds each term to the size of the whole, which
cost two and three times torch's error. bfloat16: one chain, for its rounding of A and W is far larger.
int8: exact. A row of A has its scale and its zero point before it, a panel of W minus the sum of each column, and its
scale: C = start + float(A W - zero sum(W)) scale_w scale_a, two products and a sum, each rounded.

While it runs it prefetches `ahead_step` bytes from `ahead` at each k: at small T the weights stream from memory.
The whole contract stands in kernels/README.md.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from ..isa import VECTORS
from ..layout import BFLOAT16, FLOAT32, INT8, ROW_HEADER
from .dot import DOTS
from .simd import BYTES, F32S, I32S, OPTIONS, ROWS, call, f32, i8, i32, i64, pointer, splat


def micro_kernel(dtype: int) -> Any:
    """One copy of the micro-kernel for a dtype, called: it is too long to stand in each of its callers."""

    @intrinsic
    def switch_rows(
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
                emit_tile(builder, dtype, height, *operands)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 12), codegen

    @njit(types.void(*[types.int64] * 12), **OPTIONS)  # or each constant among its arguments would make one more
    def tile(rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step):  # type: ignore[no-untyped-def]
        switch_rows(rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step)

    return tile


def header_word(builder: Any, row: Any, index: int, kind: Any) -> Any:
    """A word of what stands before an int8 row of A."""
    at = builder.gep(builder.bitcast(row, kind.as_pointer()), [ir.Constant(i64, index - ROW_HEADER[INT8] // 4)])
    return builder.load(at, align=4)


def emit_tile(
    builder: Any,
    dtype: int,
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
    dot = DOTS[dtype]

    def number(value: int) -> Any:
        return ir.Constant(i64, value)

    def row_of(base: Any, stride: Any, i: int) -> Any:
        return builder.add(base, builder.mul(stride, number(i)))

    def vector_at(address: Any, v: int, kind: Any = F32S) -> Any:
        return pointer(builder, builder.add(address, number(v * BYTES)), kind)

    a_rows = [pointer(builder, row_of(a, lda, i), dot.word) for i in range(height)]
    w_bytes, ahead_bytes = pointer(builder, w, i8), pointer(builder, ahead, i8)

    half_step = builder.ashr(ahead_step, number(1))
    # read, into all caches, data
    hints = (ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1))

    def step(i: Any, cells: list[Any]) -> list[Any]:
        """The cells after one k."""
        panel_row = builder.ptrtoint(builder.gep(w_bytes, [builder.mul(i, ldw)]), i64)
        panel = [dot.of_w(builder, builder.load(vector_at(panel_row, v, dot.words), align=4)) for v in range(VECTORS)]
        ahead_at = builder.mul(i, ahead_step)
        for at in (ahead_at, builder.add(ahead_at, half_step)):
            call(builder, "llvm.prefetch.p0", ir.VoidType(), builder.gep(ahead_bytes, [at]), *hints)
        after = []
        for r, row in enumerate(a_rows):
            value = dot.of_a(builder, splat(builder, builder.load(builder.gep(row, [i]), align=4)))
            mine = cells[r * VECTORS : (r + 1) * VECTORS]
            after += [dot.add(builder, cell, value, p) for p, cell in zip(panel, mine, strict=True)]
        return after

    entry = builder.block
    chain, loop, end, done = (builder.append_basic_block(name) for name in ("chain", "k", "end", "complete"))
    builder.branch(chain)
    builder.position_at_end(chain)
    begin, base, stride = builder.phi(i64), builder.phi(i64), builder.phi(i64)
    stop = k
    if dot.chain is not None:
        rest, whole = builder.sub(k, begin), number(dot.chain)
        stop = builder.add(begin, builder.select(builder.icmp_signed("<", rest, whole), rest, whole))
    for r in range(height):  # what stands there is added at the end of the chain
        for v in range(VECTORS):
            at = builder.inttoptr(builder.add(row_of(base, stride, r), number(v * BYTES)), i8.as_pointer())
            call(builder, "llvm.prefetch.p0", ir.VoidType(), at, *hints)
    first_cells = [ir.Constant(dot.sums, None)] * (height * VECTORS)
    if dtype == INT8:
        sums = [builder.load(vector_at(w, v - 2 * VECTORS, I32S), align=4) for v in range(VECTORS)]
        zeros = [splat(builder, header_word(builder, row, 1, i32)) for row in a_rows]
        first_cells = [builder.mul(zero, column) for zero in zeros for column in sums]
    builder.branch(loop)

    builder.position_at_end(loop)
    i = builder.phi(i64)
    cells = [builder.phi(dot.sums) for _ in range(height * VECTORS)]
    after = step(i, cells)
    i_next = builder.add(i, number(1))
    for phi, first, later in zip([i, *cells], [begin, *first_cells], [i_next, *after], strict=True):
        phi.add_incoming(first, chain)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", i_next, stop), loop, end)

    builder.position_at_end(end)
    if dtype == INT8:
        scales = [builder.load(vector_at(w, v - VECTORS), align=4) for v in range(VECTORS)]
        by_column = [builder.fmul(builder.sitofp(cell, F32S), scales[n % VECTORS]) for n, cell in enumerate(after)]
        of_rows = [splat(builder, header_word(builder, row, 0, f32)) for row in a_rows]
        after = [builder.fmul(cell, of_rows[n // VECTORS]) for n, cell in enumerate(by_column)]
    for r in range(height):
        target, source = row_of(c, ldc, r), row_of(base, stride, r)
        for v in range(VECTORS):
            so_far = builder.load(vector_at(source, v), align=4)
            builder.store(builder.fadd(after[r * VECTORS + v], so_far), vector_at(target, v), align=4)
    for phi, first, later in ((begin, number(0), stop), (base, start, c), (stride, ldstart, ldc)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, end)
    builder.cbranch(builder.icmp_signed("<", stop, k), chain, done)
    builder.position_at_end(done)


tile = micro_kernel(FLOAT32)
tile_bfloat16 = micro_kernel(BFLOAT16)
tile_int8 = micro_kernel(INT8)
