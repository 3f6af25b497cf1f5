"""out [rows, N] = activation(x W^T + bias) or x W^T + bias + residual, for x [rows, K] and W [N, K].

K is a multiple of 64 and N one of the tile's width: weights are placed so, with zeros, and rows of x have zeros there.
Rows are the only edge, and no row's bits depend on the others, nor on the tile: the order of its sums goes by K alone.
On entry `sizes` [axes] int64 says how many there are; blocks behind them leave when they know.

Shared memory, both kernels: stage s % STAGES of a ring of copies. Who writes: the block's cp.async, each thread its
chunks. Who reads: all warps, after each thread has waited for its own copies of that step and the barrier behind that
wait. When it is written again: at the step after the one that read it, behind the next step's barrier, to which a warp
comes only when it has read. So one barrier a step stands both between write and read and between read and write. The
first stages' weights are copied by `make_half` before the rest of the first group, and belong to it.
"""

from __future__ import annotations

from ..tiles import PARTS, SUM_PADDING, UNIT
from .activation import ACTIVATIONS
from .device import primitives as d
from .elements import FORMATS


def activated(activation, columns):
    """(y, its column) -> what the activation makes of it. With `columns`, 0 from there on, as 0 would not stay 0."""
    act = ACTIVATIONS[activation]

    def everywhere(y, column):
        return act(y)

    def before_the_end(y, column):
        return d.select(column < columns, act(y), d.f32(0))

    return d.device_function(everywhere if columns is None else before_the_end)


def make_half(name, tile, activation, residual, columns=None):
    """bfloat16 or float16, on tensor cores: mma.sync m16n8k16, sums in float32. With residual, out is float32 rows.

    K has units of 64; part r of PARTS are the units from r U / PARTS on, up to (r + 1) U / PARTS, whatever the tile. A
    part's products are added in the order of k, from 0 on; then the parts' sums in order; then bias and residual.

    With warps_k, each of the warps of a tile has a part, and a step has a unit of each, or zeros behind a part's end.
    At the end, behind a barrier that all reach when they have read the ring and none of their copies is under way, each
    warp writes its sums into it; behind another, each thread reads those of 8 columns of a row, of all parts, and
    writes 16 bytes of out.

    With blocks_k a block has one part, and writes its sums as they are: out is [rows, PARTS, N] float32.
    """
    f = FORMATS[name]
    mma, act, load_chunk, store_chunk = f.mma, activated(activation, columns), f.load_chunk, f.store_chunk
    store_floats = FORMATS["float32"].store_chunk
    m, n, stages, warps_n, warps_k = tile.m, tile.n, tile.stages, tile.warps_n, tile.warps_k
    threads, chunks = tile.threads, UNIT * warps_k // 8  # of 16 bytes in a row of a stage
    blocks_k, one_part = tile.blocks_k, warps_k > 1 or tile.blocks_k > 1
    chunk_bits = chunks.bit_length() - 1
    per_m, per_n = m // tile.warps_m, n // warps_n
    mt, nt = per_m // 16, per_n // 8
    copies_a, copies_b = m * chunks // threads, n * chunks // threads
    a_bytes, stage_bytes = m * chunks * 16, (m + n) * chunks * 16
    sums, b_words = mt * nt * 4, nt * 2
    # Rows of sums are 8 floats longer than n: half a warp writes 8 of each of 4 rows, which fill all banks once.
    sum_row, outs, out_bits = (n + SUM_PADDING) * 4, -(-m * n // 8 // threads), (n // 8).bit_length() - 1
    shared, wait, drain = d.shared(tile.shared(2)), d.copies_wait(stages - 2), d.copies_wait(0)

    @d.device_function
    def source_column(column, fill, units):
        """Where a stage's chunk of a row comes from, in 16 bytes, and whether its part goes so far."""
        if warps_k == 1:
            return fill * chunks + column, column >= 0
        part = column >> 3
        unit = part * units // PARTS + fill
        there = unit < (part + 1) * units // PARTS
        return d.select(there, unit, 0) * 8 + (column & 7), there

    @d.device_function
    def part_behind(ended, end, units):
        """The next part's number, and where it ends, behind those up to `end`. One without units would add nothing."""
        found = end
        while found == end and ended < PARTS:
            ended += 1
            found = ended * units // PARTS
        return ended, found

    @d.device_function
    def place(row, column):
        """Of 16 bytes in a tile: a column's, of 8 rows in a row, begin in 8 different 16-byte places of 128."""
        return (row * chunks + (column ^ (row & 7))) * 16

    @d.device_function
    def copy_x(fill, tile_a, thread, x, x_row, rows, units):
        """From x, of `rows` rows; behind them zeros, from an address that is never read."""
        for i in range(copies_a):
            chunk = thread + i * threads
            row, column = chunk >> chunk_bits, chunk & (chunks - 1)
            at, there = source_column(column, fill, units)
            inside = row < rows
            d.copy16(there & inside, tile_a + place(row, column), x + d.select(inside, row, 0) * x_row + at * 16)

    @d.device_function
    def copy_w(fill, tile_b, thread, w, w_row, units):
        for i in range(copies_b):
            chunk = thread + i * threads
            row, column = chunk >> chunk_bits, chunk & (chunks - 1)
            at, there = source_column(column, fill, units)
            d.copy16(there, tile_b + place(row, column), w + row * w_row + at * 16)

    @d.inlined
    def multiply(s, tile_a, tile_b, lane, at_k, warp_m, warp_n, part, b):
        """Slice s of a unit: 16 columns of k. Unrolled, one's fragments can be read while another's are multiplied."""
        column0 = at_k * 8 + s * 2
        for j in range(nt // 2):
            row = warp_n + j * 16 + (lane & 7) + ((lane >> 4) & 1) * 8
            column = column0 + ((lane >> 3) & 1)
            words = d.ldmatrix4(tile_b + place(row, column))
            for i in range(4):
                b[j * 4 + i] = words[i]
        for i in range(mt):
            row, column = warp_m + i * 16 + (lane & 15), column0 + (lane >> 4)
            a = d.ldmatrix4(tile_a + place(row, column))
            for j in range(nt):
                o = (i * nt + j) * 4
                c = mma(
                    a[0],
                    a[1],
                    a[2],
                    a[3],
                    b[j * 2],
                    b[j * 2 + 1],
                    part[o],
                    part[o + 1],
                    part[o + 2],
                    part[o + 3],
                )
                for e in range(4):
                    part[o + e] = c[e]

    def gemm(x, x_row, w, w_row, bias, other, other_row, out, out_row, depth, sizes, axis):
        units, block, at_part = depth // UNIT, d.block_x() // blocks_k, d.block_x() % blocks_k
        first = at_part * units // blocks_k
        # of the longest part, or of all that this block has
        steps = units - (PARTS - 1) * units // PARTS if warps_k > 1 else (at_part + 1) * units // blocks_k - first
        m0, n0 = d.block_y() * m, block * n
        lane, warp, base = d.lane(), d.warp(), shared()
        thread, w_at = warp * 32 + lane, w + n0 * w_row
        # Weights need not wait: no kernel writes them.
        for fill in range(stages - 1):
            if fill < steps:
                copy_w(first + fill, base + fill * stage_bytes + a_bytes, thread, w_at, w_row, units)
        d.after_previous()
        rows = d.load_int(sizes + axis * 8)
        if m0 >= rows:
            d.copies_commit()
            drain()
            return
        at_k, at_mn = warp % warps_k, warp // warps_k
        warp_m, warp_n = (at_mn // warps_n) * per_m, (at_mn % warps_n) * per_n
        total = d.cuda.local.array(sums, d.f32)
        part = d.cuda.local.array(sums, d.f32)
        b = d.cuda.local.array(b_words, d.u32)
        for i in range(sums):
            total[i] = d.f32(0)
            part[i] = d.f32(0)
        fill_stage, stage = 0, 0
        ended, end = part_behind(0, 0, units)
        for step in range(1 - stages, steps):
            if step >= 0:
                wait()
                d.sync()
            fill = step + stages - 1
            if fill < steps:
                tile_a = base + fill_stage * stage_bytes
                copy_x(first + fill, tile_a, thread, x + m0 * x_row, x_row, rows - m0, units)
                if step >= 0:
                    copy_w(first + fill, tile_a + a_bytes, thread, w_at, w_row, units)
                fill_stage += 1
                if fill_stage == stages:
                    fill_stage = 0
            d.copies_commit()
            if step >= 0:
                tile_a = base + stage * stage_bytes
                tile_b = tile_a + a_bytes
                multiply(0, tile_a, tile_b, lane, at_k, warp_m, warp_n, part, b)
                multiply(1, tile_a, tile_b, lane, at_k, warp_m, warp_n, part, b)
                multiply(2, tile_a, tile_b, lane, at_k, warp_m, warp_n, part, b)
                multiply(3, tile_a, tile_b, lane, at_k, warp_m, warp_n, part, b)
                if not one_part and step + 1 == end:
                    ended, end = part_behind(ended, end, units)
                    for i in range(sums):
                        total[i] += part[i]
                        part[i] = d.f32(0)
                stage += 1
                if stage == stages:
                    stage = 0
        drain()
        d.sync()
        corner = base + at_k * m * sum_row + (warp_m + (lane >> 2)) * sum_row + (warp_n + (lane & 3) * 2) * 4
        for i in range(mt):
            for j in range(nt):
                for h in range(2):
                    o, to = (i * nt + j) * 4 + h * 2, corner + (i * 16 + h * 8) * sum_row + j * 32
                    if one_part:
                        d.store_shared2(to, part[o], part[o + 1])
                    else:
                        d.store_shared2(to, total[o], total[o + 1])
        d.sync()
        y = d.cuda.local.array(8, d.f32)
        more = d.cuda.local.array(8, d.f32)
        for i in range(outs):
            if outs * threads == m * n // 8 or warp * 32 < m * n // 8:
                chunk = thread + i * threads
                at, column = chunk >> out_bits, (chunk & (n // 8 - 1)) * 8
                row, inside = m0 + at, m0 + at < rows
                for r in range(warps_k):
                    for half in range(2):
                        words = d.load_shared4(base + (r * m + at) * sum_row + (column + half * 4) * 4)
                        for e in range(4):
                            if r > 0:
                                y[half * 4 + e] += words[e]
                            else:
                                y[half * 4 + e] = words[e]
                column += n0
                if blocks_k == 1:
                    for half in range(2):
                        words = d.load4_floats(inside, bias + (column + half * 4) * 4)
                        for e in range(4):
                            y[half * 4 + e] += words[e]
                if blocks_k > 1:
                    to = out + (row * blocks_k + at_part) * out_row + column * 4
                    store_floats(inside, to, y, 0)
                    store_floats(inside, to + 16, y, 4)
                elif residual:
                    load_chunk(inside, other + row * other_row + column * 2, more, 0)
                    for e in range(8):
                        y[e] += more[e]
                    store_floats(inside, out + row * out_row + column * 4, y, 0)
                    store_floats(inside, out + row * out_row + column * 4 + 16, y, 4)
                else:
                    for e in range(8):
                        y[e] = act(y[e], column + e)
                    store_chunk(inside, out + row * out_row + column * 2, y, 0)

    return gemm


# Steps of k = 16 whose sum begins at 0: as in the CPU's micro-kernel, so that errors stay those of short sums.
CHAIN = 8


def make_single(tile, activation, residual, columns=None):
    """float32 by fused multiply-adds: 16 x 8 threads, each with m / 8 rows and n / 16 columns.

    Rows in shared memory are 4 floats longer than k: 8 of them in a row begin in 8 different 16-byte places of 128.
    """
    act = activated(activation, columns)
    m, n, k, stages = tile.m, tile.n, tile.k, tile.stages
    threads, chunks = tile.threads, k // 4
    rm, rn, row_bytes = m // 8, n // 16, (k + 4) * 4
    copies_a, copies_b = -(-m * chunks // threads), -(-n * chunks // threads)
    stage_bytes, sums, b_floats = (m + n) * row_bytes, rm * rn, rn * 4
    shared, wait = d.shared(tile.shared(4)), d.copies_wait(stages - 2)

    def gemm(x, x_row, w, w_row, bias, other, other_row, out, out_row, depth, sizes, axis):
        d.after_previous()
        steps = depth // k
        rows = d.load_int(sizes + axis * 8)
        m0, n0 = d.block_y() * m, d.block_x() * n
        if m0 >= rows:
            return
        lane, warp, base = d.lane(), d.warp(), shared()
        thread = warp * 32 + lane
        tx, ty = thread & 15, thread >> 4
        total = d.cuda.local.array(sums, d.f32)
        part = d.cuda.local.array(sums, d.f32)
        b = d.cuda.local.array(b_floats, d.f32)
        for i in range(sums):
            total[i] = d.f32(0)
            part[i] = d.f32(0)
        fill_stage, stage, chain = 0, 0, 0
        for step in range(1 - stages, steps):
            if step >= 0:
                wait()
                d.sync()
            fill = step + stages - 1
            if fill < steps:
                tile_a = base + fill_stage * stage_bytes
                tile_b = tile_a + m * row_bytes
                for i in range(copies_a):
                    chunk = thread + i * threads
                    row, column = chunk >> 2, chunk & 3
                    if copies_a * threads == m * chunks or warp * 32 < m * chunks:
                        there = m0 + row < rows
                        source = x + d.select(there, m0 + row, 0) * x_row + (fill * chunks + column) * 16
                        d.copy16(there, tile_a + row * row_bytes + column * 16, source)
                for i in range(copies_b):
                    chunk = thread + i * threads
                    row, column = chunk >> 2, chunk & 3
                    source = w + (n0 + row) * w_row + (fill * chunks + column) * 16
                    d.copy16(row >= 0, tile_b + row * row_bytes + column * 16, source)
                fill_stage += 1
                if fill_stage == stages:
                    fill_stage = 0
            d.copies_commit()
            if step >= 0:
                tile_a = base + stage * stage_bytes
                tile_b = tile_a + m * row_bytes
                for q in range(chunks):
                    for j in range(rn):
                        words = d.load_shared4(tile_b + (tx + j * 16) * row_bytes + q * 16)
                        for e in range(4):
                            b[j * 4 + e] = words[e]
                    for i in range(rm):
                        a = d.load_shared4(tile_a + (ty + i * 8) * row_bytes + q * 16)
                        for j in range(rn):
                            for e in range(4):
                                part[i * rn + j] = d.fma(a[e], b[j * 4 + e], part[i * rn + j])
                chain += 1
                if chain == CHAIN or step == steps - 1:
                    chain = 0
                    for i in range(sums):
                        total[i] += part[i]
                        part[i] = d.f32(0)
                stage += 1
                if stage == stages:
                    stage = 0
        for j in range(rn):
            column = n0 + tx + j * 16
            start = d.load_float(lane >= 0, bias + column * 4)
            for i in range(rm):
                row = m0 + ty + i * 8
                y = total[i * rn + j] + start
                if residual:
                    y += d.load_float(row < rows, other + row * other_row + column * 4)
                d.store_float(row < rows, out + row * out_row + column * 4, act(y, column))

    return gemm
