"""How the members of a team share a step and meet after it. Words are 64-bit, each on a cache line of its own."""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..layout import LINE, SYNC_ABORT, SYNC_ARRIVED, SYNC_GENERATION
from .simd import i64, kernel, pointer

SPINS = 400  # before a waiting member yields its processor: some microseconds, for it may be one that another needs
_yield = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())
_PAUSE = {"x86_64": "pause", "amd64": "pause", "aarch64": "yield", "arm64": "yield"}.get(platform.machine().lower())


@intrinsic
def atomic_add(typing_context: Any, address: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", pointer(builder, args[0], i64), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def atomic_load(typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(pointer(builder, args[0], i64), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def atomic_store(typing_context: Any, address: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], pointer(builder, args[0], i64), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def pause(typing_context: Any) -> Any:
    """Tells the core that this is a spin loop."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _PAUSE:
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(ir.InlineAsm(nothing, _PAUSE, "", side_effect=True), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def cycles(typing_context: Any) -> Any:
    """The processor's time stamp counter."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = ir.FunctionType(i64, [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), function), [])

    return types.int64(), codegen


@kernel
def next_item(sync, shares, rank, members, items):
    """The next of a step's items for this member, or -1: none is left, or the launch is aborted.

    Member r begins with its own share, items [n r / members, n (r + 1) / members), so that it meets the rows and
    panels that its caches hold; when that is empty it helps the next.
    """
    if atomic_load(sync + SYNC_ABORT) != 0:
        return -1
    for turn in range(members):
        group = (rank + turn) % members
        first = items * group // members
        size = items * (group + 1) // members - first
        counter = shares + group * LINE
        if atomic_load(counter) < size:
            taken = atomic_add(counter, 1)
            if taken < size:
                return first + taken
    return -1


@kernel
def barrier(sync, members):
    """Wait until every member is here; False if the launch is aborted."""
    if members > 1:
        generation = atomic_load(sync + SYNC_GENERATION)
        if atomic_add(sync + SYNC_ARRIVED, 1) == members - 1:
            atomic_store(sync + SYNC_ARRIVED, 0)
            atomic_add(sync + SYNC_GENERATION, 1)
        else:
            spins = 0
            while atomic_load(sync + SYNC_GENERATION) == generation:
                if atomic_load(sync + SYNC_ABORT) != 0:
                    return False
                spins += 1
                if spins > SPINS:
                    _yield()
                else:
                    pause()
    return atomic_load(sync + SYNC_ABORT) == 0
