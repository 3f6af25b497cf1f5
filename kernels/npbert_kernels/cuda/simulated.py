"""device.Device by the simulator: captured work is kept as it was queued, and done anew at each replay."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import simulator
from .device import Memory
from .makers import make
from .tiles import Key, shared_bytes

PROCESSORS = 4  # few, so that small shapes get tiles of all sizes


class SimulatedMemory:
    def __init__(self, nbytes: int) -> None:
        self.at, self.nbytes = simulator.memory.allocate(nbytes), nbytes
        weakref.finalize(self, simulator.memory.free, self.at, nbytes, simulator.memory.generation)


class SimulatedQueue:
    def __init__(self, device: Simulated) -> None:
        self.device = device
        self.captured: list[Callable[[], None]] | None = None

    def host(self, nbytes: int) -> NDArray[np.uint8]:
        return np.zeros(nbytes, np.uint8)

    def _do(self, work: Callable[[], None]) -> None:
        if self.captured is None:
            work()
        else:
            self.captured.append(work)

    def copy_in(self, at: int, source: NDArray[Any]) -> None:
        self._do(partial(self.device.upload, at, source))

    def copy_out(self, target: NDArray[Any], at: int) -> None:
        def copy() -> None:
            target.view(np.uint8).reshape(-1)[:] = simulator.memory.bytes[at : at + target.nbytes]

        self._do(copy)

    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None:
        given = [np.float32(arg) if isinstance(arg, float) else arg for arg in args]
        self._do(partial(simulator.launch, self.device.kernels[key], grid, threads, given, shared_bytes(key)))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        kept: list[Callable[[], None]] = []
        self.captured = kept
        work()
        self.captured = None

        def replay() -> None:
            for one in kept:
                one()

        return replay

    def wait(self) -> None:
        pass


class Simulated:
    name = "simulator"
    processors = PROCESSORS

    def __init__(self) -> None:
        self.kernels: dict[Key, Callable[..., None]] = {}

    def allocate(self, nbytes: int) -> Memory:
        return SimulatedMemory(nbytes)

    def zero(self, memory: Memory) -> None:
        simulator.memory.bytes[memory.at : memory.at + memory.nbytes] = 0

    def upload(self, at: int, array: NDArray[Any]) -> None:
        simulator.memory.bytes[at : at + array.nbytes] = array.view(np.uint8).reshape(-1)

    def prepare(self, key: Key) -> None:
        if key not in self.kernels:
            self.kernels[key] = make(key)

    def queue(self) -> SimulatedQueue:
        return SimulatedQueue(self)
