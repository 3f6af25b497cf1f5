"""out [rows, N] = activation(x W^T + bias) or x W^T + bias + residual, for x [rows, K] and W [N, K].

K is a multiple of 64 and N one of the tile's width: weights are placed so, with zeros, and rows of x have zeros there.
Rows are the only edge. On entry `sizes` [axes] int64 says how many there are; blocks behind them leave at once.

Shared memory, both kernels: stage s % STAGES of a ring of copies. Who writes: the block's cp.async, each thread its
chunks. Who reads: all warps, after each thread has waited for its own copies of that step and the barrier behind that
wait. When it is written again: at the step after the one that read it, behind the next step's barrier, to which a warp
comes only when it has read. So one barrier a step stands both between write and read and between read and write.
"""

from __future__ import annotations

from dataclasses import dataclass

from .activation import ACTIVATIONS
from .device import primitives as d
from .elements import FORMATS


@dataclass(frozen=True)
class Tile:
    """A block's part of out, m x n, in steps of k, by warps_m x warps_n warps of m x n / warps, times warps_k of k."""

    m: int
    n: int
    k: int
    stages: int
    warps_m: int
    warps_n: int
    warps_k: int = 1

    @property
    def threads(self) -> int:
        return 32 * self.warps_m * self.warps_n * self.warps_k

    def shared(self, size: int) -> int:
        """Bytes of shared memory for elements of `size` bytes."""
        if size == 4:
            return self.stages * (self.m + self.n) * (self.k + 4) * 4
        ring = self.stages * (self.m + self.n) * self.k * 2
        return max(ring, (self.warps_k - 1) * self.m * self.n * 4)


# From the narrowest: few rows are shared out over K and many small tiles, so that all of the GPU reads weights.
HALF_TILES = (
    Tile(16, 16, 64, 8, 1, 1, 4),
    Tile(32, 32, 64, 4, 1, 1, 4),
    Tile(64, 64, 64, 3, 2, 2),
    Tile(128, 64, 32, 4, 4, 2),
)
SINGLE_TILES = (Tile(16, 32, 16, 4, 1, 4), Tile(64, 64, 16, 4, 1, 4))


def make_half(name, tile, activation, residual):
    """bfloat16 or float16, on tensor cores: mma.sync m16n8k16, sums in float32.

    With warps_k, the warps of a tile each take every warps_k-th slice of 16 of k. At the end, behind a barrier that all
    reach when they have read the ring, those but the first write their sums into it; behind another, the first adds
    them up.
    """
    f = FORMATS[name]
    mma, pack, unpack, act = f.mma, f.pack, f.unpack, ACTIVATIONS[activation]
    m, n, k, stages, warps_m, warps_n, warps_k = (
        tile.m,
        tile.n,
        tile.k,
        tile.stages,
        tile.warps_m,
        tile.warps_n,
        tile.warps_k,
    )
    threads, chunks = tile.threads, k // 8  # of 16 bytes in a row of a stage
    chunk_bits = {4: 2, 8: 3}[chunks]
    swizzle = {4: 1, 8: 0}[chunks]  # rows that share a chunk's place: 8 rows in a row have 8 places in 128 bytes
    per_m, per_n = m // warps_m, n // warps_n
    mt, nt, slices = per_m // 16, per_n // 8, k // 16 // warps_k
    copies_a, copies_b = -(-m * chunks // threads), -(-n * chunks // threads)
    stage_bytes, sums, b_words = (m + n) * k * 2, mt * nt * 4, nt * 2
    shared, wait = d.shared(tile.shared(2)), d.copies_wait(stages - 2)
    drain = d.copies_wait(0)

    def gemm(x, x_row, w, w_row, bias, other, other_row, out, out_row, depth, sizes, axis):
        steps = depth // k
        rows = d.load_int(sizes + axis * 8)
        m0, n0 = d.block_y() * m, d.block_x() * n
        if m0 >= rows:
            return
        lane, warp, base = d.lane(), d.warp(), shared()
        thread = warp * 32 + lane
        at_k, at_mn = warp % warps_k, warp // warps_k
        warp_m, warp_n = (at_mn // warps_n) * per_m, (at_mn % warps_n) * per_n
        total = d.cuda.local.array(sums, d.f32)
        b = d.cuda.local.array(b_words, d.u32)
        for i in range(sums):
            total[i] = d.f32(0)
        fill_stage, stage = 0, 0
        for step in range(1 - stages, steps):
            if step >= 0:
                wait()
                d.sync()
            fill = step + stages - 1
            if fill < steps:
                tile_a = base + fill_stage * stage_bytes
                tile_b = tile_a + m * k * 2
                for i in range(copies_a):
                    chunk = thread + i * threads
                    row, column = chunk >> chunk_bits, chunk & (chunks - 1)
                    to = tile_a + (row * chunks + (column ^ ((row >> swizzle) & (chunks - 1)))) * 16
                    # behind the rows: zeros, from an address that is never read
                    there = m0 + row < rows
                    source = x + d.select(there, m0 + row, 0) * x_row + (fill * chunks + column) * 16
                    d.copy16(there, to, source)
                for i in range(copies_b):
                    chunk = thread + i * threads
                    row, column = chunk >> chunk_bits, chunk & (chunks - 1)
                    to = tile_b + (row * chunks + (column ^ ((row >> swizzle) & (chunks - 1)))) * 16
                    d.copy16(row >= 0, to, w + (n0 + row) * w_row + (fill * chunks + column) * 16)
                fill_stage += 1
                if fill_stage == stages:
                    fill_stage = 0
            d.copies_commit()
            if step >= 0:
                tile_a = base + stage * stage_bytes
                tile_b = tile_a + m * k * 2
                for s in range(slices):
                    column0 = (s * warps_k + at_k) * 2
                    for j in range(nt // 2):
                        row = warp_n + j * 16 + (lane & 7) + ((lane >> 4) & 1) * 8
                        column = column0 + ((lane >> 3) & 1)
                        words = d.ldmatrix4(tile_b + (row * chunks + (column ^ ((row >> swizzle) & (chunks - 1)))) * 16)
                        for i in range(4):
                            b[j * 4 + i] = words[i]
                    for i in range(mt):
                        row, column = warp_m + i * 16 + (lane & 15), column0 + (lane >> 4)
                        a = d.ldmatrix4(tile_a + (row * chunks + (column ^ ((row >> swizzle) & (chunks - 1)))) * 16)
                        for j in range(nt):
                            o = (i * nt + j) * 4
                            c = mma(
                                a[0],
                                a[1],
                                a[2],
                                a[3],
                                b[j * 2],
                                b[j * 2 + 1],
                                total[o],
                                total[o + 1],
                                total[o + 2],
                                total[o + 3],
                            )
                            for e in range(4):
                                total[o + e] = c[e]
                stage += 1
                if stage == stages:
                    stage = 0
        if warps_k > 1:
            drain()
            d.sync()
            if at_k > 0:
                for i in range(sums):
                    d.store_shared_float(base + (((at_k - 1) * sums + i) * 32 + lane) * 4, total[i])
            d.sync()
            if at_k > 0:
                return
            for other_k in range(warps_k - 1):
                for i in range(sums):
                    total[i] += d.load_shared_float(base + ((other_k * sums + i) * 32 + lane) * 4)
        for j in range(nt):
            column = n0 + warp_n + j * 8 + (lane & 3) * 2
            bias_0, bias_1 = d.load_float(lane >= 0, bias + column * 4), d.load_float(lane >= 0, bias + column * 4 + 4)
            for i in range(mt):
                for h in range(2):
                    row = m0 + warp_m + i * 16 + h * 8 + (lane >> 2)
                    o = (i * nt + j) * 4 + h * 2
                    y0, y1 = total[o] + bias_0, total[o + 1] + bias_1
                    if residual:
                        pair = unpack(d.load1(row < rows, other + row * other_row + column * 2))
                        y0 += pair[0]
                        y1 += pair[1]
                    d.store1(row < rows, out + row * out_row + column * 2, pack(act(y0), act(y1)))

    return gemm


CHAIN = (
    8  # steps of k = 16 whose sum begins at 0: as in the CPU's micro-kernel, so that errors stay those of short sums
)


def make_single(tile, activation, residual):
    """float32 by fused multiply-adds: 16 x 8 threads, each with m / 8 rows and n / 16 columns.

    Rows in shared memory are 4 floats longer than k: 8 of them in a row begin in 8 different 16-byte places of 128.
    """
    act = ACTIVATIONS[activation]
    m, n, k, stages = tile.m, tile.n, tile.k, tile.stages
    threads, chunks = tile.threads, k // 4
    rm, rn, row_bytes = m // 8, n // 16, (k + 4) * 4
    copies_a, copies_b = -(-m * chunks // threads), -(-n * chunks // threads)
    stage_bytes, sums, b_floats = (m + n) * row_bytes, rm * rn, rn * 4
    shared, wait = d.shared(tile.shared(4)), d.copies_wait(stages - 2)

    def gemm(x, x_row, w, w_row, bias, other, other_row, out, out_row, depth, sizes, axis):
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
                                part[i * rn + j] += a[e] * b[j * 4 + e]
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
                d.store_float(row < rows, out + row * out_row + column * 4, act(y))

    return gemm
