"""Pooling, and copies of rows. A warp has 32 times 16 bytes of columns of one row of out; no shared memory."""

from __future__ import annotations

from .device import primitives as d
from .elements import FORMATS

AT_ONCE = 8  # rows that are under way from memory


def make_pool(name, mode, padded):
    """out [B, padded], one row for each sequence's first key_lens[b] rows, or those of them from row starts[b] of x on
    where starts is not 0; 0 where there are none."""
    f = FORMATS[name]
    load, store, chunk = f.load_chunk, f.store_chunk, f.chunk
    count_at_once = AT_ONCE * chunk
    largest, weighted, last = mode == "max", mode == "weightedmean", mode == "lasttoken"
    divided, rooted = mode == "mean", mode == "mean_sqrt_len_tokens"

    @d.device_function
    def load_rows(inside, at, x_row, left, rows):
        """0 behind the last."""
        for i in range(AT_ONCE):
            load(inside & (i < left), at + i * x_row, rows, i * chunk)

    def pool(x, x_row, cu_seqlens, key_lens, starts, out, out_row, sizes):
        d.after_previous()
        b, at = d.block_x(), d.block_y() * 32 + d.lane()
        if b >= d.load_int(sizes + 8):
            return
        begin, keys = d.load_int(cu_seqlens + b * 8), d.load_int(key_lens + b * 8)
        inside = at * chunk < padded
        total = d.cuda.local.array(chunk, d.f32)
        rows = d.cuda.local.array(count_at_once, d.f32)
        for e in range(chunk):
            total[e] = d.f32(0)
        skipped = 0
        if starts != 0:
            skipped = d.load_int(starts + b * 8) - begin
        count = keys - skipped
        for t in range(max(keys - 1, skipped) if last else skipped, keys, AT_ONCE):
            load_rows(inside, x + (begin + t) * x_row + at * 16, x_row, keys - t, rows)
            for i in range(AT_ONCE):
                for e in range(chunk):
                    value = rows[i * chunk + e]
                    if largest:
                        more = (value > total[e]) | (value != value) | (t + i == skipped)  # NaN stays
                        total[e] = d.select(more & (t + i < keys), value, total[e])
                    elif weighted:
                        total[e] += d.f32(t + i + 1) * value
                    else:
                        total[e] += value
        if count > 0:
            for e in range(chunk):
                if divided:
                    total[e] /= d.f32(count)
                elif rooted:
                    total[e] /= d.sqrt(d.f32(count))
                elif weighted:
                    total[e] /= d.f32(count) * d.f32(skipped + 1 + keys) / d.f32(2)
        store(inside, out + b * out_row + at * 16, total, 0)

    return pool


def make_take(name, padded):
    """out [rows, padded] = x[indices]."""
    chunk = FORMATS[name].chunk

    def take(x, x_row, indices, out, out_row, sizes, axis):
        d.after_previous()
        row, at = d.block_x(), d.block_y() * 32 + d.lane()
        if row >= d.load_int(sizes + axis * 8):
            return
        inside = at * chunk < padded
        words = d.load4(inside, x + d.load_int(indices + row * 8) * x_row + at * 16)
        d.store4(inside, out + row * out_row + at * 16, words[0], words[1], words[2], words[3])

    return take


def make_place(source, name, width, written):
    """out[:, begin : begin + width] = x[:, :width], an element at a time; then 0 up to begin + written.

    source: x's format, name: out's.
    """
    f, g = FORMATS[source], FORMATS[name]
    load, store, size, out_size = f.load, g.store, f.size, g.size

    def place(x, x_row, out, out_row, begin, sizes, axis):
        d.after_previous()
        row, column = d.block_x(), d.block_y() * 32 + d.lane()
        if row >= d.load_int(sizes + axis * 8):
            return
        value = load(column < width, x + row * x_row + column * size)
        store(column < written, out + row * out_row + (begin + column) * out_size, value)

    return place
