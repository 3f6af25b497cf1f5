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
from numba import types
from numba.extending import intrinsic

from ..isa import VECTORS
from .dot import DOTS, Dot
from .simd import BYTES, F32S, ROWS, call, i8, i32, i64, kernel, pointer, splat

ARGUMENTS = 12  # of a micro-kernel: rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step
TILE = ir.FunctionType(ir.VoidType(), [i64] * ARGUMENTS)


def function_of(module: Any, dtype: int) -> Any:
    """The micro-kernel of a dtype as a function of an LLVM module, emitted where it is not there yet."""
    name = f"micro_kernel_{dtype}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, TILE, name)
    function.linkage = "linkonce_odr"  # modules that are linked have one between them
    function.attributes.add("noinline")
    rows, *operands = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    done = function.append_basic_block("done")
    switch = builder.switch(rows, done)
    for height in range(1, ROWS + 1):
        block = function.append_basic_block(f"rows{height}")
        switch.add_case(ir.Constant(i64, height), block)
        builder.position_at_end(block)
        emit_tile(builder, DOTS[dtype], height, *operands)
        builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


@intrinsic
def address_of(typing_context: Any, dtype: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chosen = ir.Constant(i64, 0)
        for code in DOTS:
            address = builder.ptrtoint(function_of(builder.module, code), i64)
            chosen = builder.select(builder.icmp_signed("==", args[0], ir.Constant(i64, code)), address, chosen)
        return chosen

    return types.int64(types.int64), codegen


@kernel
def micro_kernel(dtype):  # type: ignore[no-untyped-def]
    """The address of a dtype's micro-kernel, for `tile`: to be asked for once, before the loops."""
    return address_of(dtype)


@intrinsic
def tile(
    typing_context: Any,
    micro_kernel: Any,
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
    """One micro-tile: rows in [1, ROWS], k >= 1 words; addresses, and strides in bytes.

    ldw is from one word of k to the next.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(pointer(builder, args[0], TILE), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * (1 + ARGUMENTS)), codegen


def emit_tile(
    builder: Any,
    dot: Dot,
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
    multiply = dot.multiply

    def number(value: int) -> Any:
        return ir.Constant(i64, value)

    def row_of(base: Any, stride: Any, i: int) -> Any:
        return builder.add(base, builder.mul(stride, number(i)))

    def vector_at(address: Any, v: int, kind: Any = F32S) -> Any:
        return pointer(builder, builder.add(address, number(v * BYTES)), kind)

    a_rows = [pointer(builder, row_of(a, lda, i), multiply.word) for i in range(height)]
    w_bytes, ahead_bytes = pointer(builder, w, i8), pointer(builder, ahead, i8)

    half_step = builder.ashr(ahead_step, number(1))
    # read, into all caches, data
    hints = (ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1))

    def step(i: Any, cells: list[Any]) -> list[Any]:
        """The cells after one k."""
        panel_row = builder.ptrtoint(builder.gep(w_bytes, [builder.mul(i, ldw)]), i64)
        vectors = [builder.load(vector_at(panel_row, v, multiply.words), align=4) for v in range(VECTORS)]
        panel = [multiply.of_w(builder, words) for words in vectors]
        ahead_at = builder.mul(i, ahead_step)
        for at in (ahead_at, builder.add(ahead_at, half_step)):
            call(builder, "llvm.prefetch.p0", ir.VoidType(), builder.gep(ahead_bytes, [at]), *hints)
        after = []
        for r, row in enumerate(a_rows):
            value = multiply.of_a(builder, splat(builder, builder.load(builder.gep(row, [i]), align=4)))
            mine = cells[r * VECTORS : (r + 1) * VECTORS]
            after += [multiply.add(builder, cell, value, p) for p, cell in zip(panel, mine, strict=True)]
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
    first_cells = dot.begin(builder, a_rows, w)
    builder.branch(loop)

    builder.position_at_end(loop)
    i = builder.phi(i64)
    cells = [builder.phi(multiply.sums) for _ in range(height * VECTORS)]
    after = step(i, cells)
    i_next = builder.add(i, number(1))
    for phi, first, later in zip([i, *cells], [begin, *first_cells], [i_next, *after], strict=True):
        phi.add_incoming(first, chain)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", i_next, stop), loop, end)

    builder.position_at_end(end)
    sums = dot.finish(builder, after, a_rows, w)
    for r in range(height):
        target, source = row_of(c, ldc, r), row_of(base, stride, r)
        for v in range(VECTORS):
            so_far = builder.load(vector_at(source, v), align=4)
            builder.store(builder.fadd(sums[r * VECTORS + v], so_far), vector_at(target, v), align=4)
    for phi, first, later in ((begin, number(0), stop), (base, start, c), (stride, ldstart, ldc)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, end)
    builder.cbranch(builder.icmp_signed("<", stop, k), chain, done)
    builder.position_at_end(done)
