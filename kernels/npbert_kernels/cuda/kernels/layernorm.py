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


def reader(source, name):
    """A device function: as many elements as `name` has in 16 bytes, of a row in the format `source`."""
    f, loads = FORMATS[source], FORMATS[name].chunk // FORMATS[source].chunk
    load_chunk, step = f.load_chunk, f.chunk

    @d.device_function
    def read(inside, row, at, values, begin):
        """The at-th of them."""
        for i in range(loads):
            load_chunk(inside, row + (at * loads + i) * 16, values, begin + i * step)

    return read


def row_of(source, name, padded):
    """Device functions: a row in the format `source` into registers, as lanes hold one in `name`; and added to one."""
    read, chunk, per_lane = reader(source, name), FORMATS[name].chunk, chunks_per_lane(name, padded)

    @d.device_function
    def put(row, lane, values):
        for i in range(per_lane):
            at = i * 32 + lane
            read(at * chunk < padded, row, at, values, i * chunk)

    @d.device_function
    def add(row, lane, values):
        more = d.cuda.local.array(chunk, d.f32)
        for i in range(per_lane):
            at = i * 32 + lane
            read(at * chunk < padded, row, at, more, 0)
            for e in range(chunk):
                values[i * chunk + e] += more[e]

    return put, add


def writer_of(name, padded):
    """A device function: a row in registers, written as `name`."""
    store, chunk, per_lane = FORMATS[name].store_chunk, FORMATS[name].chunk, chunks_per_lane(name, padded)

    @d.device_function
    def write(values, out, lane):
        for i in range(per_lane):
            at = i * 32 + lane
            store(at * chunk < padded, out + at * 16, values, i * chunk)

    return write


def norm_of(name, width, padded):
    """A device function: the norm of a row in registers, written as `name`. And how many elements a lane has of it.

    Two passes as in `reference`. out is 0 from width to padded. Of more than 1,024 columns, in half formats 2,048, NVVM
    does not unroll the loops: then the row lies in local memory.
    """
    f = FORMATS[name]
    store, chunk, read, total = f.store_chunk, f.chunk, reader("float32", name), row_sum()
    per_lane = chunks_per_lane(name, padded)
    count, whole = per_lane * chunk, width == padded == per_lane * 32 * chunk

    @d.device_function
    def norm(values, weight, bias, eps, out, lane):
        more = d.cuda.local.array(chunk, d.f32)
        gain = d.cuda.local.array(chunk, d.f32)
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
            read(inside, weight, at, gain, 0)
            read(inside, bias, at, more, 0)
            for e in range(chunk):
                gain[e] = (values[i * chunk + e] - mean) * scale * gain[e] + more[e]
                if not whole:  # 0 in rows that are not finite, too
                    gain[e] = d.select(at * chunk + e < width, gain[e], d.f32(0))
            store(inside, out + at * 16, gain, 0)

    return norm, count


def make_layer_norm(source, name, width, padded, parts):
    """x [rows, width] -> out [rows, width]; columns from width to padded become 0. source: x's format, name: out's.

    parts > 1: x is [rows, parts, width], sums of a GEMM's parts. They, its bias `sums_bias` and its residual `other`,
    in out's format, are added up as the GEMM itself would.
    """
    (norm, count), (put, add) = norm_of(name, width, padded), row_of(source, name, padded)
    _, add_other = row_of(name, name, padded)

    def layer_norm(x, x_row, sums_bias, other, other_row, weight, bias, eps, out, out_row, sizes, axis):
        d.after_previous()
        row, lane = d.block_x() * ROW_WARPS + d.warp(), d.lane()
        if row >= d.load_int(sizes + axis * 8):
            return
        values = d.cuda.local.array(count, d.f32)
        at = x + row * (x_row * parts)
        put(at, lane, values)
        if parts > 1:
            for i in range(1, parts):
                add(at + i * x_row, lane, values)
            add(sums_bias, lane, values)
            add_other(other + row * other_row, lane, values)
        norm(values, weight, bias, eps, out + row * out_row, lane)

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
