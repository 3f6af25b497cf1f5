"""The primitives as instructions: inline PTX in Numba intrinsics. `simulator` has the same names in NumPy.

Addresses are int64, of shared memory too. `ok` is a predicate: where it is false nothing is read or written, and 0 is
what a load gives. Inline assembly that touches memory is volatile for LLVM, not for ptxas, which orders it freely
within what barriers allow.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import cuda as cuda  # for its local.array, by the name that the simulator has too
from numba import types
from numba.cuda.core.targetconfig import ConfigStack
from numba.cuda.extending import intrinsic, register_jitable

f32, u32, i64 = types.float32, types.uint32, types.int64
exp, erf, tanh, sqrt = math.exp, math.erf, math.tanh, math.sqrt
LETTERS = {f32: ("f", ir.FloatType()), u32: ("r", ir.IntType(32)), i64: ("l", ir.IntType(64))}
VOID = types.void


def device_function(function):
    """A function that kernels call; LLVM inlines it."""
    return register_jitable(function)


def inlined(function):
    """One that is too long for LLVM to inline it of itself."""
    return cuda.jit(device=True, forceinline=True)(function)


def instruction(text, result, *operands, memory=True):
    """An intrinsic of one piece of PTX. result: a type, a UniTuple, or void; outputs are numbered before operands."""
    outputs = (
        [result.dtype] * result.count if isinstance(result, types.UniTuple) else [] if result is VOID else [result]
    )
    constraints = [f"={LETTERS[kind][0]}" for kind in outputs] + [LETTERS[kind][0] for kind in operands]
    if memory:
        constraints.append("~{memory}")
    kinds = [LETTERS[kind][1] for kind in outputs]
    returned = ir.VoidType() if not kinds else kinds[0] if len(kinds) == 1 else ir.LiteralStructType(kinds)
    wanted = ir.FunctionType(returned, [LETTERS[kind][1] for kind in operands])

    def codegen(context, builder, signature, args):
        assembly = ir.InlineAsm(wanted, text, ",".join(constraints), side_effect=memory)
        value = builder.call(assembly, args)
        if not kinds:
            return context.get_dummy_value()
        if len(kinds) == 1:
            return value
        return context.make_tuple(
            builder, signature.return_type, [builder.extract_value(value, i) for i in range(len(kinds))]
        )

    signature = result(*operands)
    names = ", ".join(f"a{i}" for i in range(len(operands)))
    scope = {"signature": signature, "codegen": codegen}  # an intrinsic takes named arguments only
    exec(f"def bare(typing_context{', ' + names if names else ''}):\n    return signature, codegen", scope)
    return intrinsic(scope["bare"])


def four(kind):
    return types.UniTuple(kind, 4)


def when(text, ok):
    return f"{{ .reg .pred p; setp.ne.s64 p, {ok}, 0; {text} }}"


lane = instruction("{ .reg .u32 t; mov.u32 t, %tid.x; and.b32 t, t, 31; cvt.u64.u32 $0, t; }", i64, memory=False)
warp = instruction("{ .reg .u32 t; mov.u32 t, %tid.x; shr.u32 t, t, 5; cvt.u64.u32 $0, t; }", i64, memory=False)
block_x = instruction("{ .reg .u32 t; mov.u32 t, %ctaid.x; cvt.u64.u32 $0, t; }", i64, memory=False)
block_y = instruction("{ .reg .u32 t; mov.u32 t, %ctaid.y; cvt.u64.u32 $0, t; }", i64, memory=False)
sync = instruction("bar.sync 0;", VOID)

load_int = instruction("ld.global.s64 $0, [$1];", i64, i64)
load_float = instruction(when("mov.f32 $0, 0f00000000; @p ld.global.f32 $0, [$2];", "$1"), f32, i64, i64)
load1 = instruction(when("mov.u32 $0, 0; @p ld.global.u32 $0, [$2];", "$1"), u32, i64, i64)
load4 = instruction(
    when(
        "mov.u32 $0, 0; mov.u32 $1, 0; mov.u32 $2, 0; mov.u32 $3, 0; @p ld.global.v4.u32 {$0, $1, $2, $3}, [$5];", "$4"
    ),
    four(u32),
    i64,
    i64,
)
load4_floats = instruction(
    when(
        "mov.f32 $0, 0f00000000; mov.f32 $1, 0f00000000; mov.f32 $2, 0f00000000; mov.f32 $3, 0f00000000; "
        "@p ld.global.v4.f32 {$0, $1, $2, $3}, [$5];",
        "$4",
    ),
    four(f32),
    i64,
    i64,
)
store_float = instruction(when("@p st.global.f32 [$1], $2;", "$0"), VOID, i64, i64, f32)
store1 = instruction(when("@p st.global.u32 [$1], $2;", "$0"), VOID, i64, i64, u32)
store4 = instruction(when("@p st.global.v4.u32 [$1], {$2, $3, $4, $5};", "$0"), VOID, i64, i64, u32, u32, u32, u32)


def half_load(convert):
    text = f".reg .b16 h; mov.b16 h, 0; @p ld.global.b16 h, [$2]; {convert}"
    return instruction(when(text, "$1"), f32, i64, i64)


load_float16 = half_load("cvt.f32.f16 $0, h;")
load_bfloat16 = half_load(".reg .b16 z; mov.b16 z, 0; mov.b32 $0, {z, h};")

store_float16 = instruction(
    when(".reg .b16 h; cvt.rn.f16.f32 h, $2; @p st.global.b16 [$1], h;", "$0"), VOID, i64, i64, f32
)
store_bfloat16 = instruction(
    when(".reg .b16 h; cvt.rn.bf16.f32 h, $2; @p st.global.b16 [$1], h;", "$0"), VOID, i64, i64, f32
)

load_shared_float = instruction("{ .reg .u32 s; cvt.u32.u64 s, $1; ld.shared.f32 $0, [s]; }", f32, i64)
store_shared_float = instruction("{ .reg .u32 s; cvt.u32.u64 s, $0; st.shared.f32 [s], $1; }", VOID, i64, f32)
store_shared2 = instruction("{ .reg .u32 s; cvt.u32.u64 s, $0; st.shared.v2.f32 [s], {$1, $2}; }", VOID, i64, f32, f32)
load_shared4 = instruction(
    "{ .reg .u32 s; cvt.u32.u64 s, $4; ld.shared.v4.f32 {$0, $1, $2, $3}, [s]; }", four(f32), i64
)

copy16 = instruction(
    "{ .reg .pred p; .reg .u32 s, n; setp.ne.s64 p, $0, 0; selp.u32 n, 16, 0, p; cvt.u32.u64 s, $1; "
    "cp.async.cg.shared.global [s], [$2], 16, n; }",
    VOID,
    i64,
    i64,
    i64,
)
copies_commit = instruction("cp.async.commit_group;", VOID)


def copies_wait(groups):
    """A primitive that waits until at most that many of the newest groups are under way."""
    return instruction(f"cp.async.wait_group {groups};", VOID)


def matrices(how):
    text = "{ .reg .u32 s; cvt.u32.u64 s, $4; ldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {$0, $1, $2, $3}, [s]; }"
    return instruction(text % how, four(u32), i64)


ldmatrix4, ldmatrix4_transposed = matrices(""), matrices(".trans")


def mma(kind):
    text = f"mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 "
    text += "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    return instruction(text, four(f32), *[u32] * 6, *[f32] * 4, memory=False)


mma_bfloat16, mma_float16 = mma("bf16"), mma("f16")
pack_bfloat16 = instruction("cvt.rn.bf16x2.f32 $0, $2, $1;", u32, f32, f32, memory=False)
pack_float16 = instruction("cvt.rn.f16x2.f32 $0, $2, $1;", u32, f32, f32, memory=False)
two = types.UniTuple(f32, 2)
unpack_bfloat16 = instruction("{ shl.b32 $0, $2, 16; and.b32 $1, $2, 0xffff0000; }", two, u32, memory=False)
unpack_float16 = instruction(
    "{ .reg .b16 l, h; mov.b32 {l, h}, $2; cvt.f32.f16 $0, l; cvt.f32.f16 $1, h; }", two, u32, memory=False
)
fma = instruction("fma.rn.f32 $0, $1, $2, $3;", f32, f32, f32, f32, memory=False)
float_bits = instruction("mov.b32 $0, $1;", u32, f32, memory=False)
shuffle_xor = instruction(
    "{ .reg .u32 m; cvt.u32.u64 m, $2; shfl.sync.bfly.b32 $0, $1, m, 31, 0xffffffff; }", f32, f32, i64
)
shuffle = instruction("{ .reg .u32 l; cvt.u32.u64 l, $2; shfl.sync.idx.b32 $0, $1, l, 31, 0xffffffff; }", f32, f32, i64)


@intrinsic
def after_previous(typing_context):
    """Waits until the kernels before have ended and what they wrote is to be seen; then lets the next be launched.

    Which waits as well. From compute capability 9.0 on; before, a kernel begins when those before it have ended.
    """

    def codegen(context, builder, signature, args):
        if ConfigStack().top().compute_capability >= (9, 0):
            text = "griddepcontrol.wait; griddepcontrol.launch_dependents;"
            builder.call(ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), text, "~{memory}", side_effect=True), [])
        return context.get_dummy_value()

    return VOID(), codegen


@device_function
def select(ok, x, y):
    return x if ok else y


def shared(nbytes):
    """A primitive that gives the address of the block's shared memory; used once in a kernel.

    How many bytes there are is said at the launch (`tiles.shared_bytes`): more than 48 KiB go no other way.
    """

    @intrinsic
    def base(typing_context):
        def codegen(context, builder, signature, args):
            kind = ir.ArrayType(ir.IntType(8), 0)
            memory = ir.GlobalVariable(builder.module, kind, builder.module.get_unique_name("tiles"), addrspace=3)
            memory.linkage, memory.align = "external", 128
            return builder.ptrtoint(memory, ir.IntType(64))

        return i64(), codegen

    return base
