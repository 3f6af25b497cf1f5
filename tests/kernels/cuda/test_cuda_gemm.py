"""The GEMMs themselves, each tile, with copies that land late or at once and warps in either order."""

from __future__ import annotations

from simulated import FEW_DTYPES, ROUNDING, RULES, as_stored, placed, rules, simulator, stored

# isort: split
import numpy as np
import pytest
from npbert_kernels.cuda.formats import DTYPES, SIZES, Dtype, narrowed
from npbert_kernels.cuda.kernels.gemm import CHAIN
from npbert_kernels.cuda.makers import make
from npbert_kernels.cuda.tiles import (
    HALF_TILES,
    LARGEST_SHARED,
    NORMED_TILES,
    PARTS,
    SINGLE_TILES,
    SPLIT_TILE,
    Key,
    Tile,
)
from npbert_kernels.ops import ACTIVATIONS
from npbert_kernels.reference import ACTIVATIONS as REFERENCE
from thinned import thinned

CASES = [(dtype, tile) for dtype in DTYPES for tile in (SINGLE_TILES if dtype == "float32" else HALF_TILES)]
FEW_CASES = thinned(CASES, lambda case: case[0] != "float16")
FEW_RULES = thinned(RULES, lambda rule: rule[0] == rule[1], one_argument=True)  # each of the two either way


def launch(key: Key, grid: tuple[int, int], threads: int, operands: list[int]) -> None:
    simulator.launch(make(key), grid, threads, operands)


def operands_of(dtype: Dtype, rows: int, n: int, k: int) -> list[np.ndarray]:
    """x, W, residual and bias."""
    rng = np.random.default_rng((rows, n, k))
    matrices = [as_stored(rng.standard_normal(s), dtype) for s in ((rows, k), (n, k), (rows, n))]
    return [*matrices, rng.standard_normal(n).astype(np.float32)]


def gemm(
    dtype: Dtype, tile: Tile, rows: int, n: int, k: int, activation: str | None, residual: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What it gave, the truth, and the bound of the error."""
    simulator.memory.allocate(16)
    simulator.memory.clear()
    x, w, other, bias = operands_of(dtype, rows, n, k)
    size = SIZES[dtype]
    stored_as: Dtype = "float32" if residual else dtype
    out = simulator.memory.allocate(rows * n * SIZES[stored_as])
    made = (tile, activation, residual)
    operands = [placed(narrowed(x, dtype)), k * size, placed(narrowed(w, dtype)), k * size, placed(bias)]
    operands += [placed(narrowed(other, dtype)) if residual else 0, n * size, out, n * SIZES[stored_as], k]
    operands += [placed(np.array([-1, rows])), 1]
    key = ("gemm_single", *made) if size == 4 else ("gemm_half", dtype, *made)
    launch(key, (n // tile.n, -(-rows // tile.m)), tile.threads, operands)
    wide = x.astype(np.float64) @ w.astype(np.float64).T + bias + (other if residual else 0)
    absolute = np.abs(x) @ np.abs(w).T + np.abs(bias) + (np.abs(other) if residual else 0)
    # Sums of products in float32: a chain, then chains; on tensor cores one chain of all. Then the format's rounding.
    terms = tile.k * CHAIN + k / (tile.k * CHAIN) + 3 if size == 4 else k + 3
    bound = terms * ROUNDING["float32"] * absolute
    truth = wide if activation is None else REFERENCE[activation](wide)
    # No activation is steeper than 1.2; libdevice and NumPy are within some units in the last place.
    roundings = ROUNDING[dtype] if stored_as != "float32" else 8 * ROUNDING["float32"]
    bound = 1.2 * bound + roundings * (np.abs(truth) + bound) + 1e-7
    return stored(out, (rows, n), stored_as), truth, bound


@pytest.mark.parametrize("rule", FEW_RULES)
@pytest.mark.parametrize(("dtype", "tile"), FEW_CASES, ids=str)
def test_every_tile(dtype: Dtype, tile: Tile, rule: tuple[bool, bool]) -> None:
    """Two blocks of rows, of which the second has one row; more steps of k than the ring has stages."""
    k = (tile.stages + 1) * tile.k * tile.warps_k
    with rules(*rule):
        found, truth, bound = gemm(dtype, tile, tile.m + 1, max(64, tile.n), k, None, True)
    assert (np.abs(found - truth) <= bound).all()


@pytest.mark.parametrize("k", [64, 128])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 33])
@pytest.mark.parametrize(("dtype", "tile"), [CASES[0], CASES[2], CASES[3], CASES[-1]], ids=str)
def test_edges(dtype: Dtype, tile: Tile, rows: int, k: int) -> None:
    found, truth, bound = gemm(dtype, tile, rows, max(64, tile.n), k, None, False)
    assert (np.abs(found - truth) <= bound).all()


@pytest.mark.parametrize("k", [64, 128, 192, 320, 448])  # parts without a unit, with one, with one or two
@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_a_row_s_bits_do_not_depend_on_the_tile(dtype: Dtype, k: int) -> None:
    """Nor on which of a tile's rows it is: then not on the batch that it came in."""
    tiles = SINGLE_TILES if dtype == "float32" else HALF_TILES
    results = [gemm(dtype, tile, 20, 128, k, "gelu_erf", False)[0] for tile in tiles]
    for found in results[1:]:
        np.testing.assert_array_equal(found, results[0])


@pytest.mark.parametrize("rule", FEW_RULES)
@pytest.mark.parametrize("k", [64, 320, 448])
def test_blocks_that_have_a_part_each(k: int, rule: tuple[bool, bool]) -> None:
    """What they write, added up as LayerNorm does, are the bits of a block that has all parts."""
    with rules(*rule):
        whole = gemm("bfloat16", HALF_TILES[0], 70, 128, k, None, True)[0]
    x, w, other, bias = operands_of("bfloat16", 70, 128, k)
    out = simulator.memory.allocate(70 * PARTS * 128 * 4)
    given = [placed(narrowed(x, "bfloat16")), k * 2, placed(narrowed(w, "bfloat16")), k * 2, 0, 0, 0, out, 128 * 4, k]
    given += [placed(np.array([-1, 70])), 1]
    with rules(*rule):
        launch(("gemm_half", "bfloat16", SPLIT_TILE, None, True), (2 * PARTS, 2), SPLIT_TILE.threads, given)
    total, *others = stored(out, (70, PARTS, 128), "float32").swapaxes(0, 1)
    for one in (*others, bias, other):
        total = total + one
    np.testing.assert_array_equal(total, whole)


def test_tiles_fit_every_gpu_s_shared_memory() -> None:
    assert all(tile.shared(2) <= LARGEST_SHARED for tile in NORMED_TILES)
    assert all(tile.shared(4) <= LARGEST_SHARED for tile in SINGLE_TILES)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tile"), [CASES[0], CASES[2]], ids=str)
def test_activations(dtype: Dtype, tile: Tile, activation: str) -> None:
    found, truth, bound = gemm(dtype, tile, 5, 64, 64, activation, False)
    assert (np.abs(found - truth) <= bound).all()


def test_blocks_behind_the_rows_leave() -> None:
    """The grid is a bucket's; the rows are told on the device. What lies behind them is neither read nor written."""
    tile = HALF_TILES[0]
    simulator.memory.allocate(16)
    simulator.memory.clear()
    x, w, bias = np.ones((3, 64), np.float16), np.ones((64, 64), np.float16), np.zeros(64, np.float32)
    out = simulator.memory.allocate(3 * 128)
    operands = [placed(x), 128, placed(w), 128, placed(bias), 0, 0, out, 128, 64, placed(np.array([3])), 0]
    launch(("gemm_half", "float16", tile, None, False), (4, 5), tile.threads, operands)
    assert (stored(out, (3, 64), "float16") == 64).all()
