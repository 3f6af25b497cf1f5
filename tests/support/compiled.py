"""The CUDA backend by its kernels' PTX: what a GPU is given, run by `ptx_machine`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import assembling
import ptx_machine
from npbert_kernels.cuda.simulated import Simulated, SimulatedQueue
from npbert_kernels.cuda.tiles import Key, shared_bytes


@cache
def kernel(key: Key, capability: tuple[int, int] = (9, 0)) -> ptx_machine.Kernel:
    return ptx_machine.Kernel(assembling.ptx(key, capability))


class CompiledQueue(SimulatedQueue):
    device: Compiled

    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None:
        run = kernel(key, self.device.capability).launch
        self._do(partial(run, grid, threads, list(args), shared_bytes(key)))


class Compiled(Simulated):
    """device.Device whose kernels are compiled as for a GPU."""

    name = "PTX"

    def __init__(self, capability: tuple[int, int] = (9, 0)) -> None:
        super().__init__()
        self.capability = capability

    def prepare(self, key: Key) -> None:
        kernel(key, self.capability)

    def queue(self) -> CompiledQueue:
        return CompiledQueue(self)
