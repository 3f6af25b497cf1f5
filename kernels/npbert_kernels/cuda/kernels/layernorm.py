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

    Two passes as in `reference`, over the row in registers. weight and bias are 0 from width to padded, and so is out.
    """
    f, g = FORMATS[source], FORMATS[name]
    store, chunk, loads = g.store_chunk, g.chunk, g.chunk // f.chunk
    load_some, step, load_floats = f.load_chunk, f.chunk, FORMATS["float32"].load_chunk
    per_lane, total = chunks_per_lane(name, padded), row_sum()
    count, whole = per_lane * chunk, width == padded == per_lane * 32 * chunk

    @d.device_function
    def load(inside, at, values, begin):
        for i in range(loads):
            load_some(inside, at + i * 16, values, begin + i * step)

    @d.device_function
    def load_row(inside, at, values):
        for i in range(chunk // 4):
            load_floats(inside, at + i * 16, values, i * 4)

    @d.device_function
    def norm(x, y, z, weight, bias, eps, out, lane):
        values = d.cuda.local.array(count, d.f32)
        more = d.cuda.local.array(chunk, d.f32)
        gain = d.cuda.local.array(chunk, d.f32)
        for i in range(per_lane):
            at = i * 32 + lane
            load(at * chunk < padded, x + at * (16 * loads), values, i * chunk)
        if parts == 3:
            for row in (y, z):
                for i in range(per_lane):
                    at = i * 32 + lane
                    load(at * chunk < padded, row + at * (16 * loads), more, 0)
                    for e in range(chunk):
                        values[i * chunk + e] += more[e]
        part = d.f32(0)
        for i in range(count):
            part += values[i]
        mean = total(part) / d.f32(width)
        part = d.f32(0)
        for i in range(per_lane):
            for e in range(chunk):
                centred = values[i * chunk + e] - mean
                if not whole:
                    centred = d.select((i * 32 + lane) * chunk + e < width, centred, d.f32(0))
                part += centred * centred
        scale = d.f32(1) / d.sqrt(total(part) / d.f32(width) + eps)
        for i in range(per_lane):
            at = i * 32 + lane
            inside = at * chunk < padded
            load_row(inside, weight + at * (chunk * 4), gain)
            load_row(inside, bias + at * (chunk * 4), more)
            for e in range(chunk):
                gain[e] = (values[i * chunk + e] - mean) * scale * gain[e] + more[e]
            store(inside, out + at * 16, gain, 0)

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
