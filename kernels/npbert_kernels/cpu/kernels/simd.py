"""A vocabulary of vectors for kernels written in Python: one LLVM vector register as a Numba type.

A `Vector` holds `LANES` floats. Addresses are integers, in bytes. Arithmetic is `+ - * /` and the functions below;
a float beside a vector stands in all lanes. Nothing here checks anything.
"""

from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from ..isa import selected

llvm.initialize_native_asmparser()  # or inline assembly aborts the process
ISA = selected()
LANES, PANEL, ROWS = ISA.lanes, ISA.panel, ISA.rows
BYTES = 4 * LANES  # of a vector

i1, i8, i16, i32, i64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
f32 = ir.FloatType()
F32S, I8S, I32S, I64S, I1S = (ir.VectorType(t, LANES) for t in (f32, i8, i32, i64, i1))
ZEROS = ir.Constant(F32S, None)

# No wrappers: compiled code must not call into Python, which runs it without numba.
OPTIONS = {
    "error_model": "numpy",
    "boundscheck": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
kernel = njit(**OPTIONS)
inlined = njit(**OPTIONS, forceinline=True)


class VectorType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="Vector")


vector = VectorType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, F32S)


# -- what codegens share ---------------------------------------------------------------------------
def call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    function = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)


def splat(builder: Any, scalar: Any) -> Any:
    kind = ir.VectorType(scalar.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(i32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(I32S, [0] * LANES))


def multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, fused where that is one instruction (elsewhere it would be a call into the C library)."""
    if ISA.fma:
        return call(builder, f"llvm.fma.v{LANES}f32", F32S, x, y, z)
    return builder.fadd(builder.fmul(x, y), z)


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def lanes_below(builder: Any, count: Any) -> Any:
    return builder.icmp_signed("<", ir.Constant(I64S, list(range(LANES))), splat(builder, count))


def lift(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """A vector as it is, a number in all lanes."""
    if isinstance(kind, VectorType):
        return value
    return splat(builder, context.cast(builder, value, kind, types.float32))


def elementwise(emit: Any, operands: int) -> Any:
    """An intrinsic on vectors (or numbers) from what emits it on LLVM values."""

    def typed(context: Any, kinds: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, *(lift(context, builder, a, k) for a, k in zip(args, signature.args, strict=True)))

        return vector(*kinds), codegen

    if operands == 1:
        return intrinsic(lambda typing_context, x: typed(typing_context, (x,)))
    if operands == 2:
        return intrinsic(lambda typing_context, x, y: typed(typing_context, (x, y)))
    return intrinsic(lambda typing_context, x, y, z: typed(typing_context, (x, y, z)))


def unary(name: str) -> Any:
    return elementwise(lambda builder, x: call(builder, f"llvm.{name}.v{LANES}f32", F32S, x), 1)


# -- arithmetic ------------------------------------------------------------------------------------
fma = elementwise(multiply_add, 3)
sqrt = unary("sqrt")
round_even = unary("rint")
absolute = unary("fabs")
broadcast = elementwise(lambda builder, x: x, 1)
# as one instruction each: y where either is a NaN
minimum = elementwise(lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), x, y), 2)
maximum = elementwise(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y), 2)


def _maximum_or_nan(builder: Any, x: Any, y: Any) -> Any:
    larger = builder.select(builder.fcmp_ordered(">", x, y), x, y)
    return builder.select(builder.fcmp_unordered("uno", x, y), builder.fadd(x, y), larger)


maximum_or_nan = elementwise(_maximum_or_nan, 2)


def _operator(function: Any, emit: Any) -> None:
    class OnVectors(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            return signature(vector, *args) if any(isinstance(a, VectorType) for a in args) else None

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, *(lift(context, builder, a, k) for a, k in zip(args, signature.args, strict=True)))

    infer_global(function)(OnVectors)
    for kinds in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
        lower_builtin(function, *kinds)(lower)


_operator(operator.add, lambda builder, x, y: builder.fadd(x, y))
_operator(operator.sub, lambda builder, x, y: builder.fsub(x, y))
_operator(operator.mul, lambda builder, x, y: builder.fmul(x, y))
_operator(operator.truediv, lambda builder, x, y: builder.fdiv(x, y))


def _times_power_of_two(builder: Any, x: Any, n: Any) -> Any:
    exponent = builder.shl(builder.fptosi(n, I32S), ir.Constant(I32S, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(x, I32S), exponent), F32S)


times_power_of_two = elementwise(_times_power_of_two, 2)  # x 2 ** n for x near 1 and whole n in [-126, 127]


# -- memory ----------------------------------------------------------------------------------------
@intrinsic
def load(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(pointer(builder, args[0], F32S), align=4)

    return vector(types.int64), codegen


@intrinsic
def store(typing_context: Any, address: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], pointer(builder, args[0], F32S), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, vector), codegen


@intrinsic
def load_first(typing_context: Any, address: Any, count: Any) -> Any:
    """The first `count` floats at address, zeros in the other lanes; nothing behind them is read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = pointer(builder, args[0], F32S)
        mask = lanes_below(builder, args[1])
        name = f"llvm.masked.load.v{LANES}f32.p0"
        return call(builder, name, F32S, at, ir.Constant(i32, 4), mask, ZEROS)

    return vector(types.int64, types.int64), codegen


@intrinsic
def keep_first(typing_context: Any, value: Any, count: Any, other: Any) -> Any:
    """The first `count` lanes of value, `other` in the rest."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rest = lift(context, builder, args[2], signature.args[2])
        return builder.select(lanes_below(builder, args[1]), args[0], rest)

    return vector(vector, types.int64, other), codegen


@intrinsic
def load_float(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(pointer(builder, args[0], f32), align=4)

    return types.float32(types.int64), codegen


@intrinsic
def store_float(typing_context: Any, address: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], pointer(builder, args[0], f32), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), codegen


@intrinsic
def store_int32(typing_context: Any, address: Any, value: Any) -> Any:
    """The low 32 bits of value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(builder.trunc(args[1], i32), pointer(builder, args[0], i32), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def float_bits(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], i32), i64)

    return types.int64(types.float32), codegen


@intrinsic
def store_bytes(typing_context: Any, address: Any, value: Any) -> Any:
    """The lowest 8 bits of each lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low = builder.trunc(builder.bitcast(args[1], I32S), I8S)
        builder.store(low, pointer(builder, args[0], I8S), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, vector), codegen


@intrinsic
def load_bytes(typing_context: Any, address: Any) -> Any:
    """LANES signed bytes, as floats."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bytes_ = builder.load(pointer(builder, args[0], I8S), align=1)
        return builder.sitofp(builder.sext(bytes_, I32S), F32S)

    return vector(types.int64), codegen


@intrinsic
def load_first_bytes(typing_context: Any, address: Any, count: Any) -> Any:
    """The first `count` signed bytes at address as floats, zeros in the other lanes; nothing behind them is read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at, mask = pointer(builder, args[0], I8S), lanes_below(builder, args[1])
        name = f"llvm.masked.load.v{LANES}i8.p0"
        bytes_ = call(builder, name, I8S, at, ir.Constant(i32, 1), mask, ir.Constant(I8S, None))
        return builder.sitofp(builder.sext(bytes_, I32S), F32S)

    return vector(types.int64, types.int64), codegen


@intrinsic
def store_bfloat16(typing_context: Any, address: Any, value: Any) -> Any:
    """Each lane's nearest bfloat16, ties to even."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(i16, LANES)
        if ISA.bf16 == "vdpbf16ps":
            convert = ir.InlineAsm(ir.FunctionType(kind, [F32S]), "vcvtneps2bf16 $1, $0", "=v,v")
            low = builder.call(convert, [args[1]])
        else:
            low = _nearest_bfloat16(builder, args[1], kind)
        builder.store(low, pointer(builder, args[0], kind), align=2)
        return context.get_dummy_value()

    return types.void(types.int64, vector), codegen


@intrinsic
def store_pairs(typing_context: Any, address: Any, low: Any, high: Any, both: Any) -> Any:
    """Words of the 16 bits at low and, above these, the ones at high, or zeros if not both."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, low, high, both = args
        kind = ir.VectorType(i16, LANES)
        halves = [builder.zext(builder.load(pointer(builder, at, kind), align=2), I32S) for at in (low, high)]
        upper = builder.shl(halves[1], ir.Constant(I32S, [16] * LANES))
        upper = builder.select(splat(builder, both), upper, ir.Constant(I32S, None))
        builder.store(builder.or_(halves[0], upper), pointer(builder, address, I32S), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.boolean), codegen


def _nearest_bfloat16(builder: Any, x: Any, kind: Any) -> Any:
    def each(number: int) -> Any:
        return ir.Constant(I32S, [number] * LANES)

    bits = builder.bitcast(x, I32S)
    odd = builder.and_(builder.lshr(bits, each(16)), each(1))
    rounded = builder.lshr(builder.add(bits, builder.add(odd, each(0x7FFF))), each(16))
    quiet = builder.or_(builder.lshr(bits, each(16)), each(0x40))  # or a NaN might round to a number
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", x, x), quiet, rounded), kind)


@intrinsic
def load_bfloat16(typing_context: Any, address: Any) -> Any:
    """LANES bfloat16, as floats."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _load_halves(builder, args[0])
        return builder.bitcast(builder.shl(bits, ir.Constant(I32S, [16] * LANES)), F32S)

    return vector(types.int64), codegen


@intrinsic
def load_float16(typing_context: Any, address: Any) -> Any:
    """LANES finite float16, as floats: fraction and exponent moved to their places, then their biases' difference."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def each(number: int) -> Any:
            return ir.Constant(I32S, [number] * LANES)

        bits = _load_halves(builder, args[0])
        magnitude = builder.bitcast(builder.shl(builder.and_(bits, each(0x7FFF)), each(13)), F32S)
        scaled = builder.fmul(magnitude, ir.Constant(F32S, [2.0**112] * LANES))  # exact, of those below 2^-14 too
        sign = builder.shl(builder.and_(bits, each(0x8000)), each(16))
        return builder.bitcast(builder.or_(builder.bitcast(scaled, I32S), sign), F32S)

    return vector(types.int64), codegen


def _load_halves(builder: Any, address: Any) -> Any:
    """LANES times 16 bits, in the lower halves of integers."""
    return builder.zext(builder.load(pointer(builder, address, ir.VectorType(i16, LANES)), align=2), I32S)


@intrinsic
def load_int32(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sext(builder.load(pointer(builder, args[0], i32), align=4), i64)

    return types.int64(types.int64), codegen


@intrinsic
def load_int(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(pointer(builder, args[0], i64), align=8)

    return types.int64(types.int64), codegen


@intrinsic
def store_int(typing_context: Any, address: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], pointer(builder, args[0], i64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


# -- across lanes ----------------------------------------------------------------------------------
@intrinsic
def horizontal_sum(typing_context: Any, x: Any) -> Any:
    """The sum of all lanes, as a tree: always the same one."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return reduce_lanes(builder, args[0], builder.fadd)

    return types.float32(vector), codegen


@intrinsic
def horizontal_max(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def greater(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        return reduce_lanes(builder, args[0], greater)

    return types.float32(vector), codegen


@intrinsic
def horizontal_min(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def lesser(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered("<", a, b), a, b)

        return reduce_lanes(builder, args[0], lesser)

    return types.float32(vector), codegen


def reduce_lanes(builder: Any, value: Any, combine: Any) -> Any:
    half = LANES
    while half > 1:
        half //= 2
        kind = ir.VectorType(i32, half)
        low, high = (ir.Constant(kind, list(range(at, at + half))) for at in (0, half))
        undefined = ir.Constant(value.type, ir.Undefined)
        value = combine(builder.shuffle_vector(value, undefined, low), builder.shuffle_vector(value, undefined, high))
    return builder.extract_element(value, ir.Constant(i32, 0))


@intrinsic
def transpose_block(typing_context: Any, source: Any, stride: Any, rows: Any, target: Any, target_stride: Any) -> Any:
    """A LANES x LANES block: target[j, i] = source[i, j]; rows of source from `rows` on count as zeros.

    Strides in bytes. The rows that count as zeros are not read.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, stride, rows, target, target_stride = args
        block = []
        last = builder.sub(rows, ir.Constant(i64, 1))
        for i in range(LANES):
            index = ir.Constant(i64, i)
            inside = builder.icmp_signed("<", index, rows)
            row = builder.select(inside, index, last)  # a row that may be read in any case
            at = builder.add(source, builder.mul(row, stride))
            value = builder.load(pointer(builder, at, F32S), align=4)
            block.append(builder.select(splat(builder, inside), value, ZEROS))
        for i, value in enumerate(transposed(builder, block)):
            at = builder.add(target, builder.mul(ir.Constant(i64, i), target_stride))
            builder.store(value, pointer(builder, at, F32S), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


def transposed(builder: Any, block: list[Any]) -> list[Any]:
    """log2(LANES) rounds; a round swaps the halves of 2h x 2h blocks that lie off their diagonal."""
    half = 1
    while half < LANES:
        low = [i if i & half == 0 else LANES + i - half for i in range(LANES)]
        high = [i + half if i & half == 0 else LANES + i for i in range(LANES)]
        after = list(block)
        for i in range(LANES):
            if i & half == 0:
                pair = block[i], block[i + half]
                after[i] = builder.shuffle_vector(*pair, ir.Constant(I32S, low))
                after[i + half] = builder.shuffle_vector(*pair, ir.Constant(I32S, high))
        block, half = after, half * 2
    return block
