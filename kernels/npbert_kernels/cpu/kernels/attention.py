"""attention: one head of one sequence after another; scores, softmax and context of ROWS queries stay in the caches.

For each item (sequence, head): keys packed into panels; then for each micro-tile of queries: scores = q k^T,
probabilities, context = probs v, divided by the row's sum at the end. Values are read where they stand; bfloat16 ones
are packed too, since a word then holds the same column of two rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..blocking import CHAIN, ROW_PADDING
from ..dtypes import FLOAT32, PER_WORD
from ..layout import (
    ATTENTION_ALLOWED,
    ATTENTION_CACHE,
    ATTENTION_CAUSAL,
    ATTENTION_COLUMNS,
    ATTENTION_DTYPE,
    ATTENTION_HEADS,
    ATTENTION_LAST,
    ATTENTION_MASK,
    ATTENTION_MASK_ROW,
    ATTENTION_OUT,
    ATTENTION_PROBS,
    ATTENTION_QKV,
    ATTENTION_RELATIVE,
    ATTENTION_SCALE,
    ATTENTION_SIZE,
    ATTENTION_STRIDE,
    ATTENTION_TABLE,
    ATTENTION_WINDOW,
    FRAME_CACHE,
    FRAME_CACHE_AT,
    FRAME_CACHE_LAYER_BYTES,
    FRAME_CACHE_ROOM,
    FRAME_CU_SEQLENS,
    FRAME_KEY_LENS,
    FRAME_PAIRS_AT,
    FRAME_PAST_LENS,
    FRAME_SCRATCH,
    FRAME_SCRATCH_BYTES,
    NONE,
    RELATIVE_BIAS,
    RELATIVE_KEY_QUERY,
    RELATIVE_NONE,
)
from .activation import LOG2_E, power_of_two
from .convert import convert_row
from .frame import locate, next_of, number, row_bytes, word
from .packing import pack_panel
from .simd import (
    BYTES,
    LANES,
    PANEL,
    ROWS,
    broadcast,
    fma,
    horizontal_max,
    horizontal_sum,
    keep_first,
    kernel,
    load,
    load_float,
    load_int,
    maximum,
    store,
    store_float,
    store_pairs,
)
from .ukernel import micro_kernel, tile

PANEL_BYTES = 4 * PANEL
LARGE = np.float32(2.0**20)  # scores whose scaled maximum, rounded, is off by more than a power of two can be


class Relative(NamedTuple):
    """How the distance of query and key matters to a head in one sequence: to its scores, and how far it reaches."""

    kind: int
    columns: int  # address: of the sequence's columns
    table: int  # address: the head's bias, or the rows of all distances
    last: int  # P - 1
    window: int  # columns, or NONE
    causal: int  # 0 or 1
    past: int  # keys of earlier calls, which stand before all columns


@kernel
def softmax_row(row, n, scale):
    """In place: e^(scale (x - max)) over n floats, 0 up to the next whole vector; returns the sum."""
    whole = n // LANES * LANES
    tail = n - whole
    highest = broadcast(-3.0e38)
    for i in range(0, whole, LANES):
        highest = maximum(highest, load(row + i * 4))
    if tail > 0:
        highest = maximum(highest, keep_first(load(row + whole * 4), tail, -3.0e38))
    scales = broadcast(scale * LOG2_E)
    top = horizontal_max(highest)
    if not -LARGE < top * scale < LARGE:
        for i in range(0, n, LANES):
            store(row + i * 4, load(row + i * 4) - broadcast(top))
        top = np.float32(0.0)
    shift = broadcast(top) * scales * -1.0
    total = broadcast(0.0)
    for i in range(0, whole, LANES):
        value = power_of_two(fma(load(row + i * 4), scales, shift))
        store(row + i * 4, value)
        total = total + value
    if tail > 0:
        value = keep_first(power_of_two(fma(load(row + whole * 4), scales, shift)), tail, 0.0)
        store(row + whole * 4, value)
        total = total + value
    return horizontal_sum(total)


@kernel
def scale_row(row, size, factor):
    for i in range(0, size, LANES):
        store(row + i * 4, load(row + i * 4) * factor)


@kernel
def add_bias(row, columns, i, n, table, last, scale):
    """To a row's n scores, before they are scaled: table[j - i + last] / scale, i and j the columns of query and key.

    May write up to the next whole vector; the table has a panel behind its end.
    """
    own, first, factor = load_int(columns + i * 8), load_int(columns), np.float32(1.0) / scale
    if load_int(columns + (n - 1) * 8) - first == n - 1:  # no hole in the mask
        bias = table + (first - own + last) * 4
        for j in range(0, n * 4, LANES * 4):
            store(row + j, fma(load(bias + j), factor, load(row + j)))
    else:
        for j in range(n):
            bias = load_float(table + (load_int(columns + j * 8) - own + last) * 4)
            store_float(row + j * 4, load_float(row + j * 4) + bias * factor)


@kernel
def add_distances(row, columns, i, n, q, keys, ldkeys, size, table, last, with_keys):
    """To a row's n scores, before they are scaled: (q [+ key]) . table[i - j + last]; q [size], keys [n, size]."""
    own = load_int(columns + i * 8)
    for j in range(n):
        distance = table + (own - load_int(columns + j * 8) + last) * size * 4
        total = broadcast(0.0)
        for d in range(0, size * 4, LANES * 4):
            x = load(q + d)
            if with_keys:
                x = x + load(keys + j * ldkeys + d)
            total = fma(x, load(distance + d), total)
        store_float(row + j * 4, load_float(row + j * 4) + horizontal_sum(total))


@kernel
def add_relative(relative, row, i, n, q, keys, ldkeys, size, scale):
    columns, table, last = relative.columns, relative.table, relative.last
    if relative.kind == RELATIVE_BIAS:
        add_bias(row, columns, i, n, table, last, scale)
    else:
        add_distances(row, columns, i, n, q, keys, ldkeys, size, table, last, relative.kind == RELATIVE_KEY_QUERY)


@kernel
def forbid(row, n, allowed):
    """A row's scores, where `allowed` [n] is 0, lower than any other, and finite when they are scaled."""
    for j in range(n):
        if load_float(allowed + j * 4) == 0:
            store_float(row + j * 4, -1.0e38)


@kernel
def zero_forbidden(row, n, allowed):
    """Of e^(...) the ones that `allowed` [n] has 0 for; returns whether there are others."""
    others = False
    for j in range(n):
        if load_float(allowed + j * 4) == 0:
            store_float(row + j * 4, 0.0)
        else:
            others = True
    return others


@kernel
def first_beyond(columns, n, limit):
    """The first of n ascending columns that is greater than a limit; n if there is none."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if load_int(columns + middle * 8) > limit:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def keys_of(relative, i, n):
    """The keys that a query attends to, from the first to before the last: their columns ascend."""
    columns, window, past = relative.columns, relative.window, relative.past
    own = load_int(columns + i * 8)
    begin = first_beyond(columns, n, own - window - 1) if window != NONE else 0
    last = own if relative.causal != 0 else own + window
    return begin, max(begin, past + first_beyond(columns, n - past, last))


@kernel
def reach_of(relative, row, height, n):
    """What the queries of a micro-tile attend to, all of them together: from a chain's beginning to before the last."""
    low, high = n, 0
    for i in range(height):
        begin, end = keys_of(relative, row + i, n)
        if begin < end:
            low, high = min(low, begin), max(high, end)
    low = low // CHAIN * CHAIN if low < high else 0
    return low, max(high, low + 1)


@kernel
def keep(keys, values, ld, count, size, held_keys, held_values):
    """Keys and values [count, size], rows ld apart, into those that outlive the call, whose rows lie end to end."""
    for i in range(count):
        for j in range(0, size * 4, LANES * 4):
            store(held_keys + i * size * 4 + j, load(keys + i * ld + j))
            store(held_values + i * size * 4 + j, load(values + i * ld + j))


@kernel
def fill(row, begin, end, value):
    """A row's numbers from `begin` to before `end`."""
    for j in range(begin, end):
        store_float(row + j * 4, value)


@kernel
def pack_pairs(v, ldv, n, size, target):
    """bfloat16 v [n, size] -> words [n / 2 rounded up, size], each of two rows' numbers in one column."""
    for j in range(0, n, 2):
        low, both = v + j * ldv, j + 1 < n
        high = low + ldv if both else low
        for i in range(0, size, LANES):
            store_pairs(target + i * 4, low + i * 2, high + i * 2, both)
        target += size * 4


@kernel
def attend(
    dtype, q, ldq, keys, v, ldkv, queries, n, size, scale, factor, scratch, out, ldout, probs, relative, allowed
):
    """One head: q [queries, size], keys and v [n, size] of a dtype -> out [queries, size]; probs [queries, n] or 0.

    n >= 1, size a multiple of PANEL.
    allowed: [queries, n] of 0 and 1, or 0 where every query attends to every key.
    scratch: panels of keys, bfloat16 values, then the scores of ROWS queries, then PANEL zeros.

    Of a micro-tile only those keys are looked at that one of its queries reaches. Where they begin is where a chain of
    the sum over keys does, and keys that a query does not reach add 0 to it: so its bits are its own.
    """
    panels = (n + PANEL - 1) // PANEL
    ldscores = (panels * PANEL + ROW_PADDING) * 4
    scores = scratch + panels * size * PANEL_BYTES
    zeros = scores + ROWS * ldscores
    store(zeros, broadcast(0.0))
    store(zeros + BYTES, broadcast(0.0))
    words = size // PER_WORD[dtype]  # of a query or key
    multiply = micro_kernel(dtype)
    for p in range(panels):
        there = min(PANEL, n - p * PANEL)
        pack_panel(keys + p * PANEL * ldkv, ldkv, there, words, scratch + p * words * PANEL_BYTES)
    values, ldvalues, per_row = v, ldkv, 1
    if PER_WORD[dtype] == 2:
        values, ldvalues, per_row = scratch + panels * words * PANEL_BYTES, size * 4, 2
        pack_pairs(v, ldkv, n, size, values)
    reaches = relative.window != NONE or relative.causal != 0
    tiles = (queries + ROWS - 1) // ROWS
    for t in range(tiles):
        row = queries * t // tiles
        height = queries * (t + 1) // tiles - row
        low, high = 0, n
        if reaches and relative.kind == RELATIVE_NONE and allowed == 0:
            low, high = reach_of(relative, row, height, n)
        for p in range(low // PANEL, (high + PANEL - 1) // PANEL):
            w = scratch + p * words * PANEL_BYTES
            c = scores + p * PANEL_BYTES
            tile(multiply, height, q + row * ldq, ldq, w, PANEL_BYTES, words, zeros, 0, c, ldscores, w, 0)
        c = out + row * ldout
        for i in range(height):
            at = scores + i * ldscores
            if relative.kind != RELATIVE_NONE:
                add_relative(relative, at, row + i, n, q + (row + i) * ldq, keys, ldkv, size, scale)
            if allowed != 0:
                forbid(at, n, allowed + (row + i) * n * 4)
            begin, end = low, high
            if reaches:
                begin, end = keys_of(relative, row + i, n)
                if begin == end:
                    begin = end = low
                fill(at, low, begin, -1.0e38)
                fill(at, end, high, -1.0e38)
            share = factor / softmax_row(at + low * 4, high - low, scale)
            # A forbidden key has no more than 2^-126 in the sum, which the largest of the others makes 1 at least.
            if allowed != 0 and not zero_forbidden(at, n, allowed + (row + i) * n * 4):
                share = np.float32(0.0)
            if begin == end:
                share = np.float32(0.0)
            fill(at, low, begin, 0.0)
            fill(at, end, high, 0.0)
            store_float(at + panels * PANEL_BYTES, share)
            if probs != 0:  # the context is made as without them, to the bit
                mine = probs + (row + i) * n * 4
                fill(mine, 0, low, 0.0)
                for j in range(low, high):
                    store_float(mine + j * 4, load_float(at + j * 4) * share)
                fill(mine, high, n, 0.0)
            if dtype != FLOAT32:
                convert_row(at + low * 4, high - low, dtype, at + low * 4)  # in place, from the front
        k, first = (high - low + per_row - 1) // per_row, values + low // per_row * ldvalues
        for p in range(0, size * 4, PANEL_BYTES):
            w = first + p
            tile(multiply, height, scores + low * 4, ldscores, w, ldvalues, k, zeros, 0, c + p, ldout, w, 0)
        for i in range(height):
            scale_row(c + i * ldout, size, load_float(scores + i * ldscores + panels * PANEL_BYTES))


@kernel
def attention(frame, rank, chunk, step, slot):
    qkv_buffer, out_buffer = word(step, ATTENTION_QKV), word(step, ATTENTION_OUT)
    qkv, ldqkv = locate(frame, qkv_buffer, chunk), row_bytes(frame, qkv_buffer)
    out, ldout = locate(frame, out_buffer, chunk), row_bytes(frame, out_buffer)
    heads, size, scale = (
        word(step, ATTENTION_HEADS),
        word(step, ATTENTION_SIZE),
        number(word(step, ATTENTION_SCALE)),
    )
    cu_seqlens, key_lens = word(frame, FRAME_CU_SEQLENS), word(frame, FRAME_KEY_LENS)
    dtype = word(step, ATTENTION_DTYPE)
    head_bytes = size * 4 // PER_WORD[dtype]
    scratch = word(frame, FRAME_SCRATCH) + rank * word(frame, FRAME_SCRATCH_BYTES)
    mask, probs_buffer, allowed_buffer = (
        word(step, ATTENTION_MASK),
        word(step, ATTENTION_PROBS),
        word(step, ATTENTION_ALLOWED),
    )
    kind, table, columns = word(step, ATTENTION_RELATIVE), word(step, ATTENTION_TABLE), 0
    window, causal, layer = word(step, ATTENTION_WINDOW), word(step, ATTENTION_CAUSAL), word(step, ATTENTION_CACHE)
    if kind != RELATIVE_NONE or window != NONE or causal != 0:
        columns = locate(frame, word(step, ATTENTION_COLUMNS), chunk)
    while True:
        item = next_of(frame, rank, slot, chunk.sequences * heads)
        if item < 0:
            return
        sequence, head = chunk.first_sequence + item // heads, item % heads
        begin = word(cu_seqlens, sequence)
        past = word(word(frame, FRAME_PAST_LENS), sequence) if layer != NONE else 0
        queries, n = word(cu_seqlens, sequence + 1) - begin, past + word(key_lens, sequence)
        q = qkv + (begin - chunk.first_token) * ldqkv + head * head_bytes
        c = out + (begin - chunk.first_token) * ldout + head * size * 4
        if n == 0:
            for i in range(queries):
                for j in range(0, size, LANES):
                    store(c + i * ldout + j * 4, broadcast(0.0))
            continue
        factor = np.float32(1.0)
        if mask != NONE:
            factor = load_float(
                locate(frame, mask, chunk) + word(step, ATTENTION_MASK_ROW) * row_bytes(frame, mask) + head * 4
            )
        probs = 0
        if probs_buffer != NONE:
            at = word(word(frame, FRAME_PAIRS_AT), sequence) * heads + head * queries * n
            probs = locate(frame, probs_buffer, chunk) + at * 4
        allowed = 0
        if allowed_buffer != NONE:
            allowed = locate(frame, allowed_buffer, chunk) + word(word(frame, FRAME_PAIRS_AT), sequence) * 4
        keys = q + heads * head_bytes
        v, ldkv = keys + heads * head_bytes, ldqkv
        if layer != NONE:  # [2, heads, room, size] of each sequence
            room = word(word(frame, FRAME_CACHE_ROOM), sequence) * size * 4
            held = word(frame, FRAME_CACHE) + layer * word(frame, FRAME_CACHE_LAYER_BYTES)
            held += word(word(frame, FRAME_CACHE_AT), sequence) * 4 + head * room
            own = past * size * 4
            keep(keys, v, ldqkv, n - past, size, held + own, held + heads * room + own)
            keys, v, ldkv = held, held + heads * room, size * 4
        relative = Relative(
            kind,
            columns + (begin - chunk.first_token) * 8,
            table + (head * word(step, ATTENTION_STRIDE) if kind == RELATIVE_BIAS else 0),
            word(step, ATTENTION_LAST),
            window,
            causal,
            past,
        )
        attend(
            dtype, q, ldqkv, keys, v, ldkv, queries, n, size, scale, factor, scratch, c, ldout, probs, relative, allowed
        )
