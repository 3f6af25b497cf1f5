"""LayerNorm and normalize: a warp a row. No shared memory."""

from __future__ import annotations

from ..tiles import ROW_WARPS
from .device import primitives as d
from .elements import FORMATS


def chunks_per_lane(name, width):
    """How many times 16 bytes of a row of `width` elements each lane holds."""
    return -(-width // (32 * FORMATS[name].chunk))


def row_sum():
    """The sum over a warp, in every lane, in one order."""

    @d.device_function
    def total(x):
        for bit in range(5):
            x = x + d.shuffle_xor(x, 1 << bit)
        return x

    return total


def norm_of(source, name, width, padded, parts):
    """A device function: the norm of a row in the format `source`, or of the sum of three, written as `name`.

    Two passes as in `reference`, and a third that writes. Each reads the row anew, from the first-level cache: rows of
    any width then fit the registers, and the sum of three is never rounded to the format before it is normed.
    """
    f, g = FORMATS[source], FORMATS[name]
    store, chunk, loads = g.store_chunk, g.chunk, g.chunk // f.chunk
    load_some, step = f.load_chunk, f.chunk
    per_lane, total = chunks_per_lane(name, padded), row_sum()

    @d.device_function
    def load(inside, at, values):
        for i in range(loads):
            load_some(inside, at + i * 16, values, i * step)

    @d.device_function
    def read(inside, x, y, z, column, values, more):
        load(inside, x + column, values)
        if parts == 3:
            load(inside, y + column, more)
            for e in range(chunk):
                values[e] += more[e]
            load(inside, z + column, more)
            for e in range(chunk):
                values[e] += more[e]

    @d.device_function
    def norm(x, y, z, weight, bias, eps, out, lane):
        values = d.cuda.local.array(chunk, d.f32)
        more = d.cuda.local.array(chunk, d.f32)
        part = d.f32(0)
        for i in range(per_lane):
            at = i * 32 + lane
            read(at * chunk < padded, x, y, z, at * (16 * loads), values, more)
            for e in range(chunk):
                part += d.select(at * chunk + e < width, values[e], d.f32(0))
        mean = total(part) / d.f32(width)
        part = d.f32(0)
        for i in range(per_lane):
            at = i * 32 + lane
            read(at * chunk < padded, x, y, z, at * (16 * loads), values, more)
            for e in range(chunk):
                centred = d.select(at * chunk + e < width, values[e] - mean, d.f32(0))
                part += centred * centred
        deviation = d.sqrt(total(part) / d.f32(width) + eps)
        for i in range(per_lane):
            at = i * 32 + lane
            read(at * chunk < padded, x, y, z, at * (16 * loads), values, more)
            for e in range(chunk):
                column = at * chunk + e
                inside = column < width
                scaled = (values[e] - mean) / deviation * d.load_float(inside, weight + column * 4)
                values[e] = d.select(inside, scaled + d.load_float(inside, bias + column * 4), d.f32(0))
            store(at * chunk < padded, out + at * 16, values, 0)

    return norm


def make_layer_norm(source, name, width, padded):
    """x [rows, width] -> out [rows, width]; columns from width to padded become 0. source: x's format, name: out's."""
    norm = norm_of(source, name, width, padded, 1)

    def layer_norm(x, x_row, weight, bias, eps, out, out_row, sizes, axis):
        d.after_previous()
        row, lane = d.block_x() * ROW_WARPS + d.warp(), d.lane()
        if row >= d.load_int(sizes + axis * 8):
            return
        at = x + row * x_row
        norm(at, at, at, weight, bias, eps, out + row * out_row, lane)

    return layer_norm


def make_normalize(name, padded):
    """x / max(|x|, 1e-12), of rows whose columns behind the last are 0."""
    f = FORMATS[name]
    load, store, chunk, per_lane, total = f.load_chunk, f.store_chunk, f.chunk, chunks_per_lane(name, padded), row_sum()

    def normalize(x, x_row, out, out_row, sizes, axis):
        d.after_previous()
        row, lane = d.block_x() * ROW_WARPS + d.warp(), d.lane()
        if row >= d.load_int(sizes + axis * 8):
            return
        values = d.cuda.local.array(chunk, d.f32)
        part = d.f32(0)
        for i in range(per_lane):
            at = i * 32 + lane
            load(at * chunk < padded, x + row * x_row + at * 16, values, 0)
            for e in range(chunk):
                part += values[e] * values[e]
        norm = d.sqrt(total(part))
        norm = d.select(norm < d.f32(1e-12), d.f32(1e-12), norm)
        for i in range(per_lane):
            at = i * 32 + lane
            load(at * chunk < padded, x + row * x_row + at * 16, values, 0)
            for e in range(chunk):
                values[e] = values[e] / norm
            store(at * chunk < padded, out + row * out_row + at * 16, values, 0)

    return normalize
