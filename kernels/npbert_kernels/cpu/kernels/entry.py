"""The one native entry: every member calls it once a launch and goes through the steps, with a barrier after each."""

from __future__ import annotations

from numba import types

from ..layout import (
    ABORTED,
    COMPLETE,
    FRAME_CHUNK,
    FRAME_CU_SEQLENS,
    FRAME_MEMBERS,
    FRAME_PROFILE,
    FRAME_SEQUENCES,
    FRAME_STEP_COUNT,
    FRAME_STEPS,
    FRAME_SYNC,
    LINE,
    STEP_WORDS,
    WORD,
    Op,
)
from .attention import attention
from .embeddings import embed
from .frame import shares_of, word
from .gemm import linear
from .layernorm import layer_norm, normalize
from .packing import pack
from .pooling import pool, take
from .rate import rate
from .simd import kernel, store_int
from .sync import atomic_store, barrier, cycles

EMBED, LINEAR, ATTENTION, LAYER_NORM, TAKE, POOL, NORMALIZE, PACK, RATE = (int(op) for op in Op)


@kernel
def end_of_chunk(cu_seqlens, sequences, first, tokens):
    """Where the chunk that begins at sequence `first` ends: what is left is cut into equal chunks of about `tokens`."""
    begin, left = word(cu_seqlens, first), word(cu_seqlens, sequences) - word(cu_seqlens, first)
    target = begin + left // max(1, (left + tokens // 2) // tokens)
    end = first + 1
    while end < sequences and word(cu_seqlens, end) < target:
        after = word(cu_seqlens, end + 1)
        if after - target > target - word(cu_seqlens, end):
            break
        end += 1
    return end


@kernel
def run(frame, rank):
    sync, members, sequences = (
        word(frame, FRAME_SYNC),
        word(frame, FRAME_MEMBERS),
        word(frame, FRAME_SEQUENCES),
    )
    cu_seqlens, profile = word(frame, FRAME_CU_SEQLENS), word(frame, FRAME_PROFILE)
    first, count = 0, 0
    while first < sequences:
        last = end_of_chunk(cu_seqlens, sequences, first, word(frame, FRAME_CHUNK))
        begin = word(cu_seqlens, first)
        chunk = (begin, word(cu_seqlens, last) - begin, first, last - first)
        for s in range(word(frame, FRAME_STEP_COUNT)):
            if rank == 0:  # the other counters: all have left the step before, none is in the next
                for member in range(members):
                    atomic_store(shares_of(frame, count + 1) + member * LINE, 0)
            started = cycles() if profile != 0 else 0
            step, shares = word(frame, FRAME_STEPS) + s * STEP_WORDS * WORD, shares_of(frame, count)
            op = word(step, 0)
            if op == LINEAR:
                linear(frame, rank, chunk, step, shares)
            elif op == ATTENTION:
                attention(frame, rank, chunk, step, shares)
            elif op == LAYER_NORM:
                layer_norm(frame, rank, chunk, step, shares)
            elif op == EMBED:
                embed(frame, rank, chunk, step, shares)
            elif op == TAKE:
                take(frame, rank, chunk, step, shares)
            elif op == POOL:
                pool(frame, rank, chunk, step, shares)
            elif op == NORMALIZE:
                normalize(frame, rank, chunk, step, shares)
            elif op == PACK:
                pack(frame, rank, step, shares)
            else:
                rate(step)
            count += 1
            if not barrier(sync, members):
                return ABORTED
            if profile != 0 and rank == 0:
                store_int(profile + s * WORD, word(profile, s) + cycles() - started)
        first = last
    if rank == 0:  # all have left the last step
        for member in range(members):
            atomic_store(shares_of(frame, count + 1) + member * LINE, 0)
    return COMPLETE


ENTRY_SIGNATURE = types.int64(types.int64, types.int64)
