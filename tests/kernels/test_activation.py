"""The functions on vectors against float64: the errors that activation.py states, over all of float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from npbert_kernels.cpu.kernels import activation
from npbert_kernels.cpu.kernels.simd import ISA, LANES, load, store
from npbert_kernels.cpu.memory import address
from npbert_kernels.ops import ACTIVATIONS
from numba import njit

GELU_ERF_ERROR = 2.2e-7 if ISA.fma else 3e-7
TANH_ULPS = 5 if ISA.fma else 6
LARGEST = float(np.finfo(np.float32).max)
EDGES = np.array([0, 1e-45, 1e-39, 1.2e-38, 1e-20, 1, 5.5, 9, 87, 88, 89, 126, 127, 1e4, 1e13, 1e20, LARGEST])


@cache
def compiled(name: str) -> Any:
    """function(source, target, n): a function on vectors over n floats, in place of the loops that call it."""
    function = getattr(activation, name)

    @njit
    def run(source, target, n):  # type: ignore[no-untyped-def]
        for at in range(0, n * 4, LANES * 4):
            store(target + at, function(load(source + at)))

    return run


def computed(name: str, x: np.ndarray) -> np.ndarray:
    padded = np.zeros(-(-len(x) // LANES) * LANES, np.float32)
    padded[: len(x)] = x
    y = np.empty_like(padded)
    compiled(name)(address(padded), address(y), len(padded))
    return y[: len(x)]


def all_floats(low: float = -LARGEST, high: float = LARGEST) -> np.ndarray:
    """Every 1021st float32 between two bounds, a prime, so that all kinds of mantissas come; and the edges."""
    bits = np.arange(0, 0x7F800000, 1021, dtype=np.uint32).view(np.float32)
    x = np.concatenate([bits, -bits, EDGES, -EDGES, [low, high]]).astype(np.float32)
    return x[(x >= low) & (x <= high)]


def wide(function: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> np.ndarray:
    return function(torch.from_numpy(x.astype(np.float64))).numpy()


def gelu_erf(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * torch.special.erfc(-(0.5**0.5) * x)


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))


TRUTH = {
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "relu": torch.relu,
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "gelu_10": lambda x: torch.clip(gelu_erf(x), -10, 10),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "mish": torch.nn.functional.mish,
    "sigmoid": torch.sigmoid,
}


def assert_within(name: str, x: np.ndarray, y: np.ndarray, wanted: np.ndarray, bound: np.ndarray) -> None:
    excess = np.where(np.isnan(y), np.inf, np.abs(y - wanted) - bound)
    worst = np.argmax(excess)
    assert excess[worst] <= 0, (
        f"{name}({x[worst]!r}) is {wanted[worst]:.9g}, found {y[worst]:.9g}, allowed {bound[worst]:.3g}"
    )


def ulp(y: np.ndarray) -> np.ndarray:
    """A unit in the last place of float32 at y."""
    return np.spacing(np.abs(y).astype(np.float32)).astype(np.float64)


def test_every_activation_is_there() -> None:
    assert set(TRUTH) == set(ACTIVATIONS)
    for name in ACTIVATIONS:
        assert hasattr(activation, name)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("gelu_erf", GELU_ERF_ERROR),
        ("gelu_tanh", 3e-7),
        ("silu", 3e-7),
        ("gelu_10", GELU_ERF_ERROR),
        ("quick_gelu", 3e-7),
        ("mish", 3e-7),
    ],
)
def test_error_beside_the_size_of_x(name: str, error: float) -> None:
    x = all_floats()
    assert_within(name, x, computed(name, x), wide(TRUTH[name], x), error * np.maximum(1, np.abs(x.astype(np.float64))))


def test_tanh() -> None:
    x = all_floats()
    wanted = wide(torch.tanh, x)
    y = computed("tanh", x)
    assert_within("tanh", x, y, wanted, TANH_ULPS * ulp(wanted))
    assert (np.abs(y) <= 1).all()
    np.testing.assert_array_equal(np.sign(y), np.sign(x))


def test_sigmoid() -> None:
    x = all_floats()
    y = computed("sigmoid", x)
    assert_within("sigmoid", x, y, wide(torch.sigmoid, x), np.full(len(x), 3e-7))
    assert ((y >= 0) & (y <= 1)).all()


def test_relu_is_exact() -> None:
    x = all_floats()
    np.testing.assert_array_equal(computed("relu", x), np.maximum(x, 0))


def test_exponential() -> None:
    x = all_floats(-87, 87)
    wanted = wide(torch.exp, x)
    assert_within("exponential", x, computed("exponential", x), wanted, 2 * ulp(wanted))


def test_exponential_stops_at_its_ends() -> None:
    ends = computed("exponential", np.array([-87, 87], np.float32))
    far = computed("exponential", np.array([-88, -1e30, -np.inf, 88, 1e30, np.inf], np.float32))
    np.testing.assert_array_equal(far, ends.repeat(3))


def test_power_of_two() -> None:
    x = all_floats(-126, 126)
    wanted = wide(torch.exp2, x)
    assert_within("power_of_two", x, computed("power_of_two", x), wanted, 2 * ulp(wanted))
    whole = np.arange(-126, 127, dtype=np.float32)
    np.testing.assert_array_equal(computed("power_of_two", whole), np.ldexp(np.float32(1), whole.astype(int)))
    far = computed("power_of_two", np.array([-127, -1e30, -np.inf], np.float32))
    assert (far == 2.0**-126).all()


@pytest.mark.parametrize("name", sorted({*ACTIVATIONS} - {"sigmoid"}))
def test_zero_stays_zero(name: str) -> None:
    """Columns behind a row's end are 0, and every op relies on it that they stay 0. `linear` clears sigmoid's."""
    assert not computed(name, np.array([0.0, -0.0], np.float32)).any()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_far_ends(name: str) -> None:
    """What overflows within a function does not reach its result."""
    y = computed(name, np.array([-LARGEST, LARGEST, np.inf], np.float32))
    assert np.isfinite(y[:2]).all()
    if name == "tanh":
        assert y[2] == y[1] == -y[0]
    elif name in ("sigmoid", "gelu_10"):
        assert y[2] == y[1] == (1 if name == "sigmoid" else 10)
    else:
        assert y[1] == np.float32(LARGEST)
        assert y[2] == np.inf


@pytest.mark.parametrize("name", [*ACTIVATIONS, "exponential", "power_of_two"])
def test_nan_stays_nan(name: str) -> None:
    """Clamped to a range, a NaN would come out as a number that looks right."""
    x = np.tile(np.array([1, np.nan, -1, 2], np.float32), LANES)
    np.testing.assert_array_equal(np.isnan(computed(name, x)), np.isnan(x))


@pytest.mark.parametrize("name", [*ACTIVATIONS, "exponential", "power_of_two"])
def test_lanes_do_not_mix(name: str) -> None:
    """Each lane gives what it gives alone: the same number, the same bits, wherever it stands."""
    x = np.linspace(-10, 10, 4 * LANES + 1, dtype=np.float32)
    alone = np.concatenate([computed(name, np.full(LANES, value, np.float32))[:1] for value in x])
    np.testing.assert_array_equal(computed(name, x), alone)
