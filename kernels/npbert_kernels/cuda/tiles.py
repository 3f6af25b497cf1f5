"""The sizes that kernels are made with: what a block computes, and what shared memory it takes. Imports no Numba."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Key: TypeAlias = tuple[Any, ...]  # which kernel: a name in `makers.MAKERS`, and what it is made with

# What a block may have on every GPU from compute capability 8.0 on, if it is asked for: 8.6, 8.9 and 12.0 have least.
LARGEST_SHARED = 99 * 1024

UNIT = 64  # columns of k: what rows of x and of weights have whole multiples of
PARTS = 4  # of k, in whole units: each is summed by itself, and their sums are added up in order


SUM_PADDING = 8  # floats behind each row of sums in shared memory


@dataclass(frozen=True)
class Tile:
    """A block's part of out, m x n, by warps_m x warps_n warps of m x n / warps; a step takes k columns.

    With warps_k = PARTS, as many warps have the same part of out, each another part of k, of which a step takes k
    columns. With 1 the parts come one after another. The order of each sum is the same.

    With blocks_k = PARTS, as many blocks have the same part of out, each another part of k: what they write are sums of
    parts, which the norm behind adds up.
    """

    m: int
    n: int
    k: int
    stages: int
    warps_m: int
    warps_n: int
    warps_k: int = 1
    blocks_k: int = 1

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}" + f"/{self.blocks_k}" * (self.blocks_k > 1)

    @property
    def threads(self) -> int:
        return 32 * self.warps_m * self.warps_n * self.warps_k

    def shared(self, size: int) -> int:
        """Bytes of shared memory for elements of `size` bytes."""
        if size == 4:
            return self.stages * (self.m + self.n) * (self.k + 4) * 4
        ring = self.stages * (self.m + self.n) * self.k * self.warps_k * 2
        return max(ring, self.warps_k * self.m * (self.n + SUM_PADDING) * 4)


# From the narrowest: few rows are shared out over K and many small tiles, so that all of the GPU reads weights, and
# as much of them as shared memory holds is under way at once.
HALF_TILES = (
    Tile(16, 16, 64, 5, 1, 1, PARTS),
    Tile(32, 32, 64, 3, 1, 1, PARTS),
    Tile(64, 64, 64, 4, 2, 2),
    Tile(128, 64, 64, 3, 4, 2),
    Tile(128, 128, 64, 3, 4, 2),
)
SPLIT_TILE = Tile(64, 64, 64, 4, 2, 2, blocks_k=PARTS)
NORMED_TILES = (*HALF_TILES[:2], SPLIT_TILE, *HALF_TILES[2:])  # of what a norm alone reads
SINGLE_TILES = (Tile(16, 32, 16, 4, 1, 4), Tile(64, 64, 16, 4, 1, 4))

# Attention
QUERIES, WARPS = 64, 4  # of a tile on tensor cores: 16 queries for each warp
SIMPLE_QUERIES = 4  # of a tile without: one for each warp
NO_BIAS, BIAS, KEY, KEY_QUERY = range(4)  # what a score gains by its columns
LARGEST_TENSOR_HEAD = 128  # its keys and values fill shared memory, and its scores the registers

ROW_WARPS = 4  # of a block that makes a row by each warp: embeddings and norms


def keys_per_step(size: int, relative: int) -> int:
    """What fits the registers that scores and a relative term's addresses share."""
    return 64 if size <= 64 and relative == NO_BIAS else 32


def attention_shared(size: int, relative: int) -> int:
    """Of one tile of queries, and two each of keys and values."""
    return (QUERIES + 4 * keys_per_step(size, relative)) * size * 2


_SHARED: dict[str, Callable[..., int]] = {
    "gemm_half": lambda name, tile, *made: tile.shared(2),
    "gemm_single": lambda tile, *made: tile.shared(4),
    "attention_tensor": lambda name, size, true_size, relative, probs: attention_shared(size, relative),
}


def shared_bytes(key: Key) -> int:
    """Of a block of that kernel."""
    return _SHARED[key[0]](*key[1:]) if key[0] in _SHARED else 0
