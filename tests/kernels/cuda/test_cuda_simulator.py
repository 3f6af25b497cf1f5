"""The simulator shows what a GPU may do to a kernel that is wrong; its warp operations are those of the manual."""

from __future__ import annotations

from simulated import RULES, placed, rules, simulator, stored

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from npbert_kernels.cuda.simulator import launch
from simulator_kernels import copied, handed_on, ring


@pytest.fixture(autouse=True)
def memory() -> None:
    simulator.memory.allocate(16)
    simulator.memory.clear()


def source(count: int) -> tuple[np.ndarray, int, int]:
    values = np.arange(count, dtype=np.float32)
    return values, placed(values), simulator.memory.allocate(values.nbytes)


@pytest.mark.parametrize("rule", RULES)
def test_a_copy_that_is_waited_for_is_there(rule: tuple[bool, bool]) -> None:
    values, at, out = source(128)
    with rules(*rule):
        launch(copied(wait=True), (1, 1), 32, (at, out))
    np.testing.assert_array_equal(stored(out, (128,), "float32"), values)


def test_a_copy_that_is_not_waited_for_is_not() -> None:
    _, at, out = source(128)
    launch(copied(wait=False), (1, 1), 32, (at, out))
    assert np.isnan(stored(out, (128,), "float32")).all()


@pytest.mark.parametrize("backwards", [False, True])
def test_a_missing_barrier_shows(backwards: bool) -> None:
    """One warp reads what another writes: without a barrier between, one of the two orders gives NaN."""
    values, at, out = source(64)
    wrong = []
    for barrier in (True, False):
        with rules(False, backwards):
            launch(handed_on(barrier), (1, 1), 64, (at, out))
        wrong.append(not np.array_equal(stored(out, (64,), "float32"), values.reshape(2, 32)[::-1].ravel()))
    assert wrong == [False, True]


@pytest.mark.parametrize("barrier", [True, False])
def test_a_buffer_filled_while_others_read_shows(barrier: bool) -> None:
    """A ring of one buffer: the barrier behind the read is what keeps the next copy out of it."""
    values, at, out = source(512)
    right = True
    for rule in RULES:
        with rules(*rule):
            launch(ring(barrier), (1, 1), 64, (at, out, 4))
        right &= np.array_equal(stored(out, (512,), "float32"), values)
    assert right == barrier


def primitive(work: Callable[..., Any]) -> Callable[..., None]:
    """It as a kernel: what it gives is let go."""

    def kernel(*args: Any) -> None:
        work(*args)

    return kernel


def refused(kernel: Callable[..., None], message: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=message):
        launch(kernel, (1, 1), 64, ())


def test_wrong_addresses_are_refused() -> None:
    at = simulator.memory.allocate(64)
    refused(lambda: simulator.store_float(True, at + 4 * simulator.lane(), 1.0), "outside")
    refused(lambda: primitive(simulator.load4)(True, at + 8 * (simulator.lane() % 4)), "misaligned")
    simulator.store_float(simulator.lane() < 16, at + 4 * simulator.lane(), 1.0)
    assert (stored(at, (16,), "float32") == 1).all()
    shared = simulator.shared(64)
    refused(lambda: primitive(simulator.load_shared_float)(shared() + 4 * simulator.lane()), "outside")


def test_a_branch_within_a_warp_is_refused() -> None:
    def kernel() -> None:
        if simulator.lane() < 16:
            simulator.sync()

    refused(kernel, "ambiguous")


def test_a_barrier_that_a_warp_leaves_out_is_refused() -> None:
    def kernel() -> None:
        if simulator.warp() == 0:
            simulator.sync()

    refused(kernel, "a barrier that some warps did not come to")


def test_mma_is_the_manual_s() -> None:
    """PTX ISA, mma.m16n8k16: groupID = lane >> 2, threadID = lane % 4, and the rows and columns of each fragment."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 16), (16, 8), (16, 8)))
    a, b = a.astype(np.float16), b.astype(np.float16)
    words = np.zeros((6, 32, 2), np.float16)
    sums, want = np.zeros((4, 32), np.float32), np.zeros((4, 32), np.float32)
    product = a.astype(np.float64) @ b.astype(np.float64) + c
    for lane in range(32):
        group, thread = lane >> 2, lane % 4
        for i in range(8):  # a_i
            row = group if i in (0, 1, 4, 5) else group + 8
            words[i // 2, lane, i % 2] = a[row, thread * 2 + (i & 1) + (8 if i >= 4 else 0)]
        for i in range(4):  # b_i
            words[4 + i // 2, lane, i % 2] = b[thread * 2 + (i & 1) + (8 if i >= 2 else 0), group]
        for i in range(4):  # c_i
            row, column = group + (8 if i >= 2 else 0), thread * 2 + (i & 1)
            sums[i, lane], want[i, lane] = c[row, column], product[row, column]
    found = simulator.mma_float16(*words.view(np.uint32)[..., 0], *sums)
    np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_is_the_manual_s(transposed: bool) -> None:
    """Lane l has the address of row l % 8 of matrix l / 8, and gets of row l / 4 elements 2 (l % 4) and the next."""
    matrices = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    found: list[Any] = []

    def kernel() -> None:
        simulator.shared(512)()
        simulator.here.block.shared[:] = matrices.view(np.uint8).reshape(-1)
        load = simulator.ldmatrix4_transposed if transposed else simulator.ldmatrix4
        found.append(load(simulator.lane() * 16))

    launch(kernel, (1, 1), 32, ())
    for i, words in enumerate(found[0]):
        wanted = matrices[i].T if transposed else matrices[i]
        for lane in range(32):
            pair = wanted[lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2]
            assert words[lane] == int(pair[0]) | int(pair[1]) << 16
