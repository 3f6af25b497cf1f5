"""How threads share the work of a launch. Words are 64-bit, and those that several write have a cache line each.

A chunk of the batch is under way in a slot, one step after another. A thread takes items of the step, and adds how many
it has done to the slot's count; who makes that count whole opens the next step. So nobody waits for a thread, only for
items: one that the system has put aside between two items holds nobody up. A ticket carries the serial number of its
step, so that a thread who comes late takes nothing of a step that it does not mean.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..layout import (
    LINE,
    SLOT_DONE,
    SLOT_SERIAL,
    SLOT_TICKETS,
    SYNC_ABORT,
    SYNC_THREADS,
    THREAD_DONE,
    THREAD_GROUP,
    THREAD_ITEMS,
    THREAD_SERIAL,
    TICKET_BITS,
    WORD,
)
from .simd import i64, kernel, load_int, pointer, store_int

SPINS = 400  # before a waiting thread yields its processor: some microseconds, for it may be one that another needs
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


@intrinsic
def compare_exchange(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Whether the word was as expected, and is now value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = pointer(builder, args[0], i64)
        return builder.extract_value(builder.cmpxchg(word, args[1], args[2], "acq_rel", "acquire"), 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@kernel
def next_item(sync, slot, threads, groups, rank, items):
    """The next of a step's items for this thread, or -1: none is left, the step is over, or the launch is aborted.

    A thread of group g begins with that group's share, items [n g / groups, n (g + 1) / groups), so that it meets the
    panels that its caches hold; when that is empty it helps the next. A step without items gets one dummy item, so
    that some thread still finishes it.
    """
    thread = sync + SYNC_THREADS + rank * LINE
    store_int(thread + THREAD_ITEMS * WORD, max(items, 1))
    if atomic_load(sync + SYNC_ABORT) != 0:
        return -1
    done = load_int(thread + THREAD_DONE * WORD)
    if threads == 1:
        if done < max(items, 1):
            store_int(thread + THREAD_DONE * WORD, done + 1)
        return done if done < items else -1
    none_taken, group = (
        load_int(thread + THREAD_SERIAL * WORD) << TICKET_BITS,
        load_int(thread + THREAD_GROUP * WORD),
    )
    for turn in range(groups):
        share = (group + turn) % groups
        first, end = items * share // groups, items * (share + 1) // groups
        if items == 0 and share == 0:
            end = 1
        ticket = slot + SLOT_TICKETS + share * LINE
        while True:
            seen = atomic_load(ticket)
            taken = seen - none_taken  # out of range where the ticket is of another step
            if taken < 0 or taken >= end - first:
                break
            if compare_exchange(ticket, seen, seen + 1):
                store_int(thread + THREAD_DONE * WORD, done + 1)
                return first + taken if items > 0 else -1
    return -1


@kernel
def finish_step(sync, slot, groups, serial):
    """Open the slot's next step. Only the thread that did the last item of a step calls this."""
    atomic_store(slot + SLOT_DONE, 0)
    for group in range(groups):
        atomic_store(slot + SLOT_TICKETS + group * LINE, serial << TICKET_BITS)
    atomic_store(slot + SLOT_SERIAL, serial)


@kernel
def wait(spins):
    """A moment; the longer, the more there were of them."""
    if spins > SPINS:
        _yield()
    else:
        pause()
