"""The one native entry: every thread calls it once a launch, and works on chunks of the batch until all are finished.

Each slot takes a chunk through all steps, then the next. Threads begin in a slot of their own, so that with many chunks
they do not meet, and help in the others when theirs is empty; with one chunk all share each of its steps.
"""

from __future__ import annotations

from numba import types

from ..layout import (
    ABORTED,
    COMPLETE,
    FRAME_CHUNK_COUNT,
    FRAME_CHUNKS,
    FRAME_CU_SELECTED,
    FRAME_CU_SEQLENS,
    FRAME_GROUPS,
    FRAME_PROFILE,
    FRAME_SLOT_BYTES,
    FRAME_SLOTS,
    FRAME_STEP_COUNT,
    FRAME_STEPS,
    FRAME_SYNC,
    FRAME_THREADS,
    LINE,
    SLOT_CHUNK,
    SLOT_DONE,
    SLOT_SERIAL,
    SLOT_TICKETS,
    STEP_WORDS,
    SYNC_ABORT,
    SYNC_BEGUN,
    SYNC_FINISHED,
    SYNC_THREADS,
    THREAD_CLOCK,
    THREAD_DONE,
    THREAD_GROUP,
    THREAD_ITEMS,
    THREAD_SERIAL,
    WORD,
    Op,
)
from .attention import attention
from .convert import convert, convert_weight
from .elementwise import multiply, rotary
from .embeddings import embed
from .frame import Chunk, word
from .gemm import linear
from .layernorm import layer_norm, normalize
from .packing import pack
from .pooling import concat, pool, take
from .rate import rate
from .simd import kernel, load_int, store_int
from .sync import atomic_add, atomic_load, atomic_store, cycles, finish_step, wait


@kernel
def do_items(frame, rank, chunk, step, slot):
    """Items of a step, until none is left to take."""
    op = word(step, 0)
    if op == Op.LINEAR:
        linear(frame, rank, chunk, step, slot)
    elif op == Op.ATTENTION:
        attention(frame, rank, chunk, step, slot)
    elif op == Op.LAYER_NORM:
        layer_norm(frame, rank, chunk, step, slot)
    elif op == Op.EMBED:
        embed(frame, rank, chunk, step, slot)
    elif op == Op.TAKE:
        take(frame, rank, chunk, step, slot)
    elif op == Op.POOL:
        pool(frame, rank, chunk, step, slot)
    elif op == Op.NORMALIZE:
        normalize(frame, rank, chunk, step, slot)
    elif op == Op.CONCAT:
        concat(frame, rank, chunk, step, slot)
    elif op == Op.CONVERT:
        convert(frame, rank, chunk, step, slot)
    elif op == Op.CONVERT_WEIGHT:
        convert_weight(frame, rank, step, slot)
    elif op == Op.MULTIPLY:
        multiply(frame, rank, chunk, step, slot)
    elif op == Op.ROTARY:
        rotary(frame, rank, chunk, step, slot)
    elif op == Op.PACK:
        pack(frame, rank, step, slot)
    else:
        rate(frame, rank, step, slot)


@kernel
def work(frame, rank, index):
    """What there is to do in a slot's step; False if that is nothing."""
    sync, slots, groups = word(frame, FRAME_SYNC), word(frame, FRAME_SLOTS), word(frame, FRAME_GROUPS)
    thread = sync + SYNC_THREADS + rank * LINE
    slot = sync + SYNC_THREADS + word(frame, FRAME_THREADS) * LINE + index * (SLOT_TICKETS + groups * LINE)
    serial = atomic_load(slot + SLOT_SERIAL)
    if serial < 0:
        return False
    steps = word(frame, FRAME_STEP_COUNT)
    bounds = word(frame, FRAME_CHUNKS) + (index + atomic_load(slot + SLOT_CHUNK)) * WORD
    first, last = word(bounds, 0), word(bounds, 1)
    begin, end = word(word(frame, FRAME_CU_SEQLENS), first), word(word(frame, FRAME_CU_SEQLENS), last)
    begin_selected = end_selected = 0
    if word(frame, FRAME_CU_SELECTED) != 0:
        begin_selected = word(word(frame, FRAME_CU_SELECTED), first)
        end_selected = word(word(frame, FRAME_CU_SELECTED), last)
    chunk = Chunk(
        begin,
        end - begin,
        first,
        last - first,
        begin_selected,
        end_selected - begin_selected,
        index * word(frame, FRAME_SLOT_BYTES),
    )
    store_int(thread + THREAD_SERIAL * WORD, serial)
    store_int(thread + THREAD_GROUP * WORD, rank // slots % groups)
    store_int(thread + THREAD_DONE * WORD, 0)
    do_items(frame, rank, chunk, word(frame, FRAME_STEPS) + serial % steps * STEP_WORDS * WORD, slot)
    done = word(thread, THREAD_DONE)
    if done == 0:
        return False
    if atomic_add(slot + SLOT_DONE, done) + done == word(thread, THREAD_ITEMS):
        if (serial + 1) % steps != 0:
            finish_step(sync, slot, groups, serial + 1)
        else:
            following = atomic_add(sync + SYNC_BEGUN, 1) + slots
            if following < word(frame, FRAME_CHUNK_COUNT):
                atomic_store(slot + SLOT_CHUNK, following - index)
                finish_step(sync, slot, groups, serial + 1)
            else:
                atomic_store(slot + SLOT_SERIAL, -1)
            atomic_add(sync + SYNC_FINISHED, 1)
    profile = word(frame, FRAME_PROFILE)
    if profile != 0 and rank == 0:
        now, at = cycles(), profile + serial % steps * WORD
        store_int(at, load_int(at) + now - word(thread, THREAD_CLOCK))
        store_int(thread + THREAD_CLOCK * WORD, now)
    return True


@kernel
def run(frame, rank):
    sync, slots = word(frame, FRAME_SYNC), word(frame, FRAME_SLOTS)
    store_int(sync + SYNC_THREADS + rank * LINE + THREAD_CLOCK * WORD, cycles())
    spins = 0
    while atomic_load(sync + SYNC_ABORT) == 0:
        worked = False
        for turn in range(slots):  # the thread's own slot first
            worked = work(frame, rank, (rank + turn) % slots)
            if worked:
                break
        if worked:
            spins = 0
        elif atomic_load(sync + SYNC_FINISHED) == word(frame, FRAME_CHUNK_COUNT):
            return COMPLETE
        else:
            spins += 1
            wait(spins)
    return ABORTED


ENTRY_SIGNATURE = types.int64(types.int64, types.int64)
