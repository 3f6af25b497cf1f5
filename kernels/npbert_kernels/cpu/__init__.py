"""The CPU backend: ops recorded into a program that a pool of threads runs in one native call.

Nothing here imports numba; `compile` does, in a process of its own.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Collection

import numpy as np

from .. import object_store
from ..ops import Dtype, Floats, Forward
from . import layout, library
from .dtypes import CODES, FORMATS
from .isa import VECTORS, selected
from .launch import launch_steps
from .memory import address
from .program import Program, workspace_bytes
from .recorder import record
from .store import Store, round_up
from .thread_pool import get_num_threads, set_num_threads

__all__ = ["Cpu", "backend", "fma_rates", "get_num_threads", "set_num_threads", "warmup", "workspace_bytes"]


class Cpu:
    """ops.Backend on the CPU."""

    name = "cpu"

    def store(self, nbytes: int, *, dtype: Dtype = "float32") -> Store:
        return Store(nbytes, dtype)

    def cache(self, layers: int, sequences: int, heads: int, room: int, head_size: int) -> Floats:
        return np.empty((layers, sequences, 2, heads, room, round_up(head_size, selected().panel)), np.float32)

    def record(self, forward: Forward, given: Collection[str] = ()) -> Program:
        return Program(record(forward, given))


backend = Cpu()


def fma_rates(seconds: float = 0.2, dtype: Dtype = "float32") -> list[float]:
    """Operations a second, two a product, that one core's multiply-adds of a dtype reach on registers alone, of each of
    several short runs within about `seconds`. On an ISA without fused multiply-add, of multiply and add."""
    code = CODES[dtype]
    library.entry()
    isa = selected()
    target = np.zeros(isa.lanes, np.float32)
    step = np.zeros(layout.STEP_WORDS, np.int64)
    step[0], step[layout.RATE_ROUNDS], step[layout.RATE_TARGET] = layout.Op.RATE, 100_000, address(target)
    step[layout.RATE_DTYPE] = code
    flops = 2.0 * FORMATS[code].per_word * step[layout.RATE_ROUNDS] * isa.rows * VECTORS * isa.lanes
    rates: list[float] = []
    stop = time.perf_counter() + seconds
    while not rates or time.perf_counter() < stop:
        start = time.perf_counter()
        launch_steps(step[None], target, threads=1)
        rates.append(float(flops / (time.perf_counter() - start)))
    return rates


def warmup() -> pathlib.Path:
    """Compile and store the kernels where that was not done yet; a file that the next process loads them from.

    Raises:
        OSError: why the next process will compile again.
    """
    kernels = library.kernels()
    files, errors = [], []
    for place in object_store.places_to_warm():
        try:
            files.append(kernels.warmed(place))
        except OSError as error:
            errors.append(error)
    if not files:
        raise errors[-1]
    return files[0]
