"""The CUDA backend on the simulator. Its kernels are imported with the simulator's primitives, here, first of all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from thinned import thinned

before = os.environ.get("NUMBA_ENABLE_CUDASIM")
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
from npbert_kernels.cuda.kernels.device import SIMULATED  # noqa: E402

if before is None:
    del os.environ["NUMBA_ENABLE_CUDASIM"]
assert SIMULATED, "the kernels were imported with a GPU's primitives"

from npbert_kernels.cuda import Cuda, simulator  # noqa: E402
from npbert_kernels.cuda.formats import DTYPES, SIZES, STORED, Dtype, narrowed, widened  # noqa: E402
from npbert_kernels.cuda.simulated import Simulated  # noqa: E402

ROUNDING = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # of half a unit in the last place
# float16 differs from bfloat16 in how numbers are rounded, and in nothing else.
FEW_DTYPES = thinned(DTYPES, lambda dtype: dtype != "float16")
RULES = [(at_once, backwards) for at_once in (False, True) for backwards in (False, True)]


def backend(dtype: Dtype) -> Cuda:
    return Cuda(Simulated(), dtype)


@contextmanager
def rules(land_at_once: bool, backwards: bool) -> Iterator[None]:
    simulator.rules.land_at_once, simulator.rules.backwards = land_at_once, backwards
    try:
        yield
    finally:
        simulator.rules.land_at_once = simulator.rules.backwards = False


def placed(array: np.ndarray) -> int:
    """Its bytes in the simulated device's memory."""
    at = simulator.memory.allocate(array.nbytes)
    simulator.memory.bytes[at : at + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return at


def stored(at: int, shape: tuple[int, ...], dtype: Dtype) -> np.ndarray:
    nbytes = int(np.prod(shape)) * SIZES[dtype]
    return widened(simulator.memory.bytes[at : at + nbytes].view(STORED[dtype]).reshape(shape), dtype)


def as_stored(array: np.ndarray, dtype: Dtype) -> np.ndarray:
    """Rounded to a format and back."""
    return widened(narrowed(array, dtype), dtype)
