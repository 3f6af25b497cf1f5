"""The micro-kernel alone: every height, k around its chains, where the sum starts, strides, and nothing outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from npbert_kernels.cpu.blocking import CHAIN
from npbert_kernels.cpu.dtypes import FLOAT32
from npbert_kernels.cpu.kernels.simd import LANES, PANEL, ROWS
from npbert_kernels.cpu.kernels.ukernel import micro_kernel, tile
from npbert_kernels.cpu.memory import address
from numba import njit

UNIT = 2.0**-24  # the largest relative error of one rounding
STARTS = ("zeros", "bias", "residual", "C")
KS = (1, 2, 3, LANES + 1, CHAIN - 1, CHAIN, CHAIN + 1, 3 * CHAIN + 7)
UNTOUCHED = np.float32(-77.25)


@njit
def call(rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step):  # type: ignore[no-untyped-def]
    tile(micro_kernel(FLOAT32), rows, a, lda, w, ldw, k, start, ldstart, c, ldc, ahead, ahead_step)


@dataclass
class Matrix:
    """rows x columns floats somewhere in a larger array: `before` floats in, `behind` floats after each row."""

    memory: np.ndarray
    before: int
    stride: int  # floats
    shape: tuple[int, int]

    @classmethod
    def of(cls, values: np.ndarray, before: int = 0, behind: int = 0) -> Matrix:
        rows, columns = values.shape
        made = cls(np.full(before + rows * (columns + behind), UNTOUCHED), before, columns + behind, values.shape)
        made.view[:] = values
        return made

    @property
    def view(self) -> np.ndarray:
        whole = self.memory[self.before :].reshape(self.shape[0], self.stride)
        return whole[:, : self.shape[1]]

    @property
    def address(self) -> int:
        return address(self.memory) + 4 * self.before

    @property
    def ld(self) -> int:
        return 4 * self.stride

    def untouched(self) -> bool:
        """Whether all around the matrix is as it was."""
        rest = self.memory.copy()
        Matrix(rest, self.before, self.stride, self.shape).view[:] = UNTOUCHED
        return bool((rest == UNTOUCHED).all())


def run(
    a: np.ndarray, w: np.ndarray, start: np.ndarray, kind: str, before: int = 0, behind: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """C as the micro-kernel makes it, and the start [rows, PANEL] that it began with."""
    rows, k = a.shape
    A, W = Matrix.of(a, before, behind), Matrix.of(w, before, behind)
    C = Matrix.of(start if kind == "C" else np.full((rows, PANEL), np.nan, np.float32), before, behind)
    if kind == "zeros":
        start = np.zeros_like(start)
    elif kind == "bias":
        start = start[:1].repeat(rows, 0)
    S = C if kind == "C" else Matrix.of(start, before, behind)
    ldstart = 0 if kind in ("zeros", "bias") else S.ld
    call(rows, A.address, A.ld, W.address, W.ld, k, S.address, ldstart, C.address, C.ld, W.address, 64)
    assert C.untouched(), "written outside of the tile"
    for given_array, value in ((A, a), (W, w)):
        np.testing.assert_array_equal(given_array.view, value)
    return C.view.copy(), start


def operands(rows: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape, np.float32) for shape in ((rows, k), (k, PANEL), (rows, PANEL)))  # type: ignore[return-value]


def assert_within_bound(c: np.ndarray, a: np.ndarray, w: np.ndarray, start: np.ndarray) -> None:
    """A sum in chains rounds each term at most once a term of its chain and once a chain, and its product."""
    k = a.shape[1]
    roundings = min(k, CHAIN) + -(-k // CHAIN) + 1
    wide = a.astype(np.float64) @ w.astype(np.float64) + start
    size = np.abs(a).astype(np.float64) @ np.abs(w).astype(np.float64) + np.abs(start)
    error = np.where(np.isnan(c), np.inf, np.abs(c - wide)) / size
    assert error.max() <= 1.01 * roundings * UNIT, f"off by {error.max() / UNIT:.1f} roundings, allowed {roundings}"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("rows", range(1, ROWS + 1))
def test_every_height_and_chain(rows: int, k: int, start: str) -> None:
    a, w, first = operands(rows, k)
    c, began = run(a, w, first, start)
    assert_within_bound(c, a, w, began)


@given(
    st.integers(1, ROWS),
    st.integers(1, 2 * CHAIN + 40),
    st.sampled_from(STARTS),
    st.integers(0, 2 * PANEL),
    st.integers(0, 2 * PANEL),
    st.integers(0, 99),
)
def test_strides_and_alignment(rows: int, k: int, start: str, before: int, behind: int, seed: int) -> None:
    a, w, first = operands(rows, k, seed)
    c, began = run(a, w, first, start, before, behind)
    assert_within_bound(c, a, w, began)
    np.testing.assert_array_equal(c, run(a, w, first, start)[0])


@pytest.mark.parametrize("k", [5, CHAIN, 2 * CHAIN + 9])
def test_the_order_of_the_sum(k: int) -> None:
    """With factors that are powers of two all products are exact, and float32 additions give the very bits."""
    rows = ROWS
    rng = np.random.default_rng(k)
    a = np.ldexp(rng.choice(np.array([-1, 1], np.float32), (rows, k)), rng.integers(-3, 4, (rows, k)))
    _, w, start = operands(rows, k, k)
    wanted = start.copy()
    for begin in range(0, k, CHAIN):
        chain = np.zeros_like(wanted)
        for i in range(begin, min(k, begin + CHAIN)):
            chain += a[:, i : i + 1] * w[i]
        wanted += chain
    np.testing.assert_array_equal(run(a, w, start, "residual")[0], wanted)


@pytest.mark.parametrize("k", [7, CHAIN + 5])
def test_a_row_does_not_depend_on_its_tile(k: int) -> None:
    a, w, start = operands(ROWS, k)
    alone = np.concatenate([run(a[i : i + 1], w, start[i : i + 1], "C")[0] for i in range(ROWS)])
    for rows in range(1, ROWS + 1):
        np.testing.assert_array_equal(run(a[:rows], w, start[:rows], "C")[0], alone[:rows])


def test_prefetch_may_leave_memory() -> None:
    """At the end of the weights it runs into what is no memory at all."""
    a, w, start = operands(2, 9)
    c = np.empty_like(start)
    operand_addresses: list[Any] = [
        address(a),
        a.strides[0],
        address(w),
        w.strides[0],
        9,
        address(start),
        start.strides[0],
    ]
    for ahead in (0, 1 << 62, -(1 << 40)):
        call(2, *operand_addresses, address(c), c.strides[0], ahead, 1 << 20)
        np.testing.assert_array_equal(c, run(a, w, start, "residual")[0])


def test_nan_and_infinity_stay_in_their_row_and_column() -> None:
    a, w, start = operands(3, 5)
    a[1, 2] = np.nan
    w[4, 3] = np.inf
    c, _ = run(a, w, start, "zeros")
    strange = ~np.isfinite(c)
    wanted = np.zeros_like(strange)
    wanted[1], wanted[:, 3] = True, True
    np.testing.assert_array_equal(strange, wanted)
