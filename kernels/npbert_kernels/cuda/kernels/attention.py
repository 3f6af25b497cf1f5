"""Attention over packed sequences: scores, softmax as one goes, context; probabilities only where asked for.

The work is cut into tiles, [tiles, 2] int64: a sequence and its first query of the tile. sizes[3] is their number;
blocks behind it leave at once. qkv has rows of 3 heads D' elements, query heads, key heads, value heads, D' as placed
(zeros behind D). Keys are the first key_lens[b] rows of a sequence; without keys the context is 0.

relative: NO_BIAS, or what a score gains by the columns i and j of query and key. BIAS: table[head, j - i + last],
before the softmax and not scaled. KEY: q . E[i - j + last], scaled as the score is;
KEY_QUERY: (q + k) . E[i - j + last].
The tables are float32, [heads, 2 last + 1] and [2 last + 1, size].
"""

from __future__ import annotations

from ..tiles import BIAS, KEY_QUERY, NO_BIAS, QUERIES, WARPS, attention_shared, keys_per_step
from .device import primitives as d
from .elements import FORMATS
from .layernorm import row_sum


def relative_term(name, relative, true_size):
    """A device function: what one score gains. q and k are addresses, of the head's first element."""
    load, size = FORMATS[name].load, FORMATS[name].size
    bias, both = relative == BIAS, relative == KEY_QUERY

    @d.device_function
    def term(ok, q, k, apart, head, table, last, scale):
        """apart: i - j."""
        if bias:
            return d.load_float(ok, table + (head * (2 * last + 1) + last - apart) * 4)
        gained = d.f32(0)
        row = table + (apart + last) * (true_size * 4)
        for e in range(true_size):
            x = load(ok, q + e * size)
            if both:
                x += load(ok, k + e * size)
            gained += x * d.load_float(ok, row + e * 4)
        return gained * scale

    return term


def make_tensor(name, size, true_size, relative, probs):
    """bfloat16 or float16, size 32, 64 or 128, NO_BIAS or BIAS: both products on tensor cores.

    Shared memory: queries, written once before the loop. Keys and values have two buffers each: those of step s are in
    number s % 2, written by cp.async that is issued at step s - 1 behind its barrier, and read by all warps at step s
    behind the wait and the barrier there. The barrier of step s is also what tells that all have read buffer
    (s - 1) % 2, which is written next. A pass for the probabilities begins anew, behind a barrier.
    """
    f = FORMATS[name]
    mma, pack = f.mma, f.pack
    chunks = size // 8
    chunk_bits = {4: 2, 8: 3, 16: 4}[chunks]
    swizzle, places = {4: 1, 8: 0, 16: 0}[chunks], min(chunks, 8) - 1
    step_keys = keys_per_step(size, relative)
    key_tiles, slices, value_tiles = step_keys // 8, size // 16, size // 8
    q_words, score_count, sums = slices * 4, key_tiles * 4, value_tiles * 4
    tile_bytes, threads = step_keys * size * 2, 32 * WARPS
    copies_q, copies_k = QUERIES * chunks // threads, step_keys * chunks // threads
    shared, drain = d.shared(attention_shared(size, relative)), d.copies_wait(0)
    relative_used, passes = relative != NO_BIAS, 2 if probs else 1
    term = relative_term(name, relative, true_size)
    infinity = float("inf")

    def attention(
        qkv,
        row_bytes,
        out,
        out_row,
        cu_seqlens,
        key_lens,
        tiles,
        sizes,
        heads,
        scale,
        head_mask,
        shares,
        shares_at,
        table,
        columns,
        last,
    ):
        d.after_previous()
        if d.block_x() >= d.load_int(sizes + 24):
            return
        lane, warp, base, head = d.lane(), d.warp(), shared(), d.block_y()
        thread = warp * 32 + lane
        b, q0 = d.load_int(tiles + d.block_x() * 16), d.load_int(tiles + d.block_x() * 16 + 8)
        begin, keys = d.load_int(cu_seqlens + b * 8), d.load_int(key_lens + b * 8)
        length = d.load_int(cu_seqlens + b * 8 + 8) - begin
        q_at = qkv + begin * row_bytes + head * (size * 2)
        k_at = q_at + heads * (size * 2)
        v_at = k_at + heads * (size * 2)
        for i in range(copies_q):
            chunk = thread + i * threads
            row, column = chunk >> chunk_bits, chunk & (chunks - 1)
            there = q0 + row < length
            source = q_at + d.select(there, q0 + row, 0) * row_bytes + column * 16
            d.copy16(there, base + (row * chunks + (column ^ ((row >> swizzle) & places))) * 16, source)
        q = d.cuda.local.array(q_words, d.u32)
        scores = d.cuda.local.array(score_count, d.f32)
        total = d.cuda.local.array(sums, d.f32)
        top = d.cuda.local.array(2, d.f32)  # of the two rows that a lane has scores of: the largest,
        below = d.cuda.local.array(2, d.f32)  # and the sum of exponentials
        for i in range(sums):
            total[i] = d.f32(0)
        for h in range(2):
            top[h] = d.f32(-infinity)
            below[h] = d.f32(0)
        factor = d.f32(1)
        if head_mask != 0:
            factor = d.load_float(lane >= 0, head_mask + head * 4)
        tile_k = base + QUERIES * size * 2
        tile_v = tile_k + 2 * tile_bytes
        steps = (keys + step_keys - 1) // step_keys
        for phase in range(passes):
            for step in range(-1, steps):
                if step >= 0:
                    drain()
                    d.sync()
                if step + 1 < steps:
                    buffer = ((step + 1) & 1) * tile_bytes
                    for i in range(copies_k):
                        chunk = thread + i * threads
                        row, column = chunk >> chunk_bits, chunk & (chunks - 1)
                        key = (step + 1) * step_keys + row
                        there = key < keys
                        source = d.select(there, key, 0) * row_bytes + column * 16
                        to = buffer + (row * chunks + (column ^ ((row >> swizzle) & places))) * 16
                        d.copy16(there, tile_k + to, k_at + source)
                        if phase == 0:
                            d.copy16(there, tile_v + to, v_at + source)
                d.copies_commit()
                if step >= 0:
                    if step == 0 and phase == 0:
                        for s in range(slices):
                            row, column = warp * 16 + (lane & 15), s * 2 + (lane >> 4)
                            words = d.ldmatrix4(base + (row * chunks + (column ^ ((row >> swizzle) & places))) * 16)
                            for i in range(4):
                                q[s * 4 + i] = words[i]
                    buffer = (step & 1) * tile_bytes
                    for i in range(score_count):
                        scores[i] = d.f32(0)
                    for pair in range(key_tiles // 2):
                        for s in range(slices):
                            row = pair * 16 + (lane & 7) + ((lane >> 4) & 1) * 8
                            column = s * 2 + ((lane >> 3) & 1)
                            k = d.ldmatrix4(
                                tile_k + buffer + (row * chunks + (column ^ ((row >> swizzle) & places))) * 16
                            )
                            for j in range(2):
                                o = (pair * 2 + j) * 4
                                c = mma(
                                    q[s * 4],
                                    q[s * 4 + 1],
                                    q[s * 4 + 2],
                                    q[s * 4 + 3],
                                    k[j * 2],
                                    k[j * 2 + 1],
                                    scores[o],
                                    scores[o + 1],
                                    scores[o + 2],
                                    scores[o + 3],
                                )
                                for e in range(4):
                                    scores[o + e] = c[e]
                    for j in range(key_tiles):
                        for h in range(2):
                            row = q0 + warp * 16 + h * 8 + (lane >> 2)
                            for e in range(2):
                                key = step * step_keys + j * 8 + (lane & 3) * 2 + e
                                score = scores[j * 4 + h * 2 + e] * scale
                                if relative_used:
                                    ok = (key < keys) & (row < length)
                                    mine = d.select(ok, row, 0)
                                    asked = d.select(ok, key, 0)
                                    apart = d.load_int(columns + (begin + mine) * 8) - d.load_int(
                                        columns + (begin + asked) * 8
                                    )
                                    score += term(
                                        ok,
                                        q_at + mine * row_bytes,
                                        k_at + asked * row_bytes,
                                        apart,
                                        head,
                                        table,
                                        last,
                                        scale,
                                    )
                                scores[j * 4 + h * 2 + e] = d.select(key < keys, score, d.f32(-infinity))
                    if phase == 0:
                        for h in range(2):
                            most = top[h]
                            for j in range(key_tiles):
                                for e in range(2):
                                    score = scores[j * 4 + h * 2 + e]
                                    most = d.select(score > most, score, most)
                            for bit in range(2):
                                other = d.shuffle_xor(most, 1 << bit)
                                most = d.select(other > most, other, most)
                            shrink = d.exp(top[h] - most)
                            top[h] = most
                            below[h] = below[h] * shrink
                            for j in range(key_tiles):
                                for e in range(2):
                                    p = d.exp(scores[j * 4 + h * 2 + e] - most)
                                    scores[j * 4 + h * 2 + e] = p
                                    below[h] += p
                            for j in range(value_tiles):
                                for e in range(2):
                                    total[j * 4 + h * 2 + e] *= shrink
                        for pair in range(key_tiles // 2):
                            o = pair * 8
                            p0 = pack(scores[o], scores[o + 1])
                            p1 = pack(scores[o + 2], scores[o + 3])
                            p2 = pack(scores[o + 4], scores[o + 5])
                            p3 = pack(scores[o + 6], scores[o + 7])
                            for two in range(value_tiles // 2):
                                row = pair * 16 + (lane & 7) + ((lane >> 3) & 1) * 8
                                column = two * 2 + (lane >> 4)
                                v = d.ldmatrix4_transposed(
                                    tile_v + buffer + (row * chunks + (column ^ ((row >> swizzle) & places))) * 16
                                )
                                for j in range(2):
                                    u = (two * 2 + j) * 4
                                    c = mma(
                                        p0,
                                        p1,
                                        p2,
                                        p3,
                                        v[j * 2],
                                        v[j * 2 + 1],
                                        total[u],
                                        total[u + 1],
                                        total[u + 2],
                                        total[u + 3],
                                    )
                                    for e in range(4):
                                        total[u + e] = c[e]
                    else:
                        for h in range(2):
                            row = q0 + warp * 16 + h * 8 + (lane >> 2)
                            to = shares + (d.load_int(shares_at + b * 8) * heads + (head * length + row) * keys) * 4
                            for j in range(key_tiles):
                                for e in range(2):
                                    key = step * step_keys + j * 8 + (lane & 3) * 2 + e
                                    p = d.exp(scores[j * 4 + h * 2 + e] - top[h]) * factor / below[h]
                                    d.store_float((row < length) & (key < keys), to + key * 4, p)
            if phase == 0:
                for h in range(2):
                    for bit in range(2):
                        below[h] += d.shuffle_xor(below[h], 1 << bit)
                    row = q0 + warp * 16 + h * 8 + (lane >> 2)
                    scaled = d.select(below[h] == d.f32(0), d.f32(0), factor / below[h])
                    for j in range(value_tiles):
                        to = out + (begin + row) * out_row + (head * size + j * 8 + (lane & 3) * 2) * 2
                        word = pack(total[j * 4 + h * 2] * scaled, total[j * 4 + h * 2 + 1] * scaled)
                        d.store1(row < length, to, word)
            drain()
            d.sync()

    return attention


def make_simple(name, size, true_size, relative, probs):
    """Any format, size a multiple of 32: multiply-adds in float32, a warp a query. No shared memory.

    A step has 32 keys, one for each lane; then each lane has size / 32 columns of the context.
    """
    f = FORMATS[name]
    load, store, load_chunk, chunk, element = f.load, f.store, f.load_chunk, f.chunk, f.size
    per_lane, size_chunks = size // 32, size // chunk
    relative_used, passes = relative != NO_BIAS, 2 if probs else 1
    term, add = relative_term(name, relative, true_size), row_sum()
    infinity = float("inf")

    def attention(
        qkv,
        row_bytes,
        out,
        out_row,
        cu_seqlens,
        key_lens,
        tiles,
        sizes,
        heads,
        scale,
        head_mask,
        shares,
        shares_at,
        table,
        columns,
        last,
    ):
        d.after_previous()
        if d.block_x() >= d.load_int(sizes + 24):
            return
        lane, head = d.lane(), d.block_y()
        b, row = d.load_int(tiles + d.block_x() * 16), d.load_int(tiles + d.block_x() * 16 + 8) + d.warp()
        begin, keys = d.load_int(cu_seqlens + b * 8), d.load_int(key_lens + b * 8)
        length = d.load_int(cu_seqlens + b * 8 + 8) - begin
        if row >= length:
            return
        q_at = qkv + (begin + row) * row_bytes + head * (size * element)
        k_at = qkv + begin * row_bytes + (heads + head) * (size * element)
        v_at = k_at + heads * (size * element)
        total = d.cuda.local.array(per_lane, d.f32)
        q = d.cuda.local.array(chunk, d.f32)
        k = d.cuda.local.array(chunk, d.f32)
        for i in range(per_lane):
            total[i] = d.f32(0)
        top, below = d.f32(-infinity), d.f32(0)
        factor = d.f32(1)
        if head_mask != 0:
            factor = d.load_float(lane >= 0, head_mask + head * 4)
        for phase in range(passes):
            for step in range((keys + 31) // 32):
                key = step * 32 + lane
                there = key < keys
                at = k_at + d.select(there, key, 0) * row_bytes
                score = d.f32(0)
                for c in range(size_chunks):
                    load_chunk(lane >= 0, q_at + c * 16, q, 0)
                    load_chunk(there, at + c * 16, k, 0)
                    for e in range(chunk):
                        score += q[e] * k[e]
                score *= scale
                if relative_used:
                    mine = d.load_int(columns + (begin + row) * 8)
                    apart = mine - d.load_int(columns + (begin + d.select(there, key, 0)) * 8)
                    score += term(there, q_at, at, apart, head, table, last, scale)
                score = d.select(there, score, d.f32(-infinity))
                if phase == 0:
                    most = d.select(score > top, score, top)
                    for bit in range(5):
                        other = d.shuffle_xor(most, 1 << bit)
                        most = d.select(other > most, other, most)
                    shrink, p = d.exp(top - most), d.exp(score - most)
                    top, below = most, below * shrink + p
                    for i in range(per_lane):
                        total[i] *= shrink
                    for j in range(32):
                        if step * 32 + j < keys:
                            weight = d.shuffle(p, j)
                            value_at = v_at + (step * 32 + j) * row_bytes
                            for i in range(per_lane):
                                total[i] += weight * load(lane >= 0, value_at + (i * 32 + lane) * element)
                else:
                    to = shares + (d.load_int(shares_at + b * 8) * heads + (head * length + row) * keys + key) * 4
                    d.store_float(there, to, d.exp(score - top) * factor / below)
            if phase == 0:
                below = add(below)
                scaled = d.select(below == d.f32(0), d.f32(0), factor / below)
                for i in range(per_lane):
                    to = out + (begin + row) * out_row + (head * size + i * 32 + lane) * element
                    store(lane >= 0, to, total[i] * scaled)

    return attention
