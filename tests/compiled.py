"""The CUDA backend by its kernels' PTX: what a GPU is given, run by `ptx_machine`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import assembling
import ptx_machine
from npbert_kernels.cuda.simulated import Simulated, SimulatedQueue
from npbert_kernels.cuda.tiles import Key, shared_bytes


@cache
def kernel(key: Key) -> ptx_machine.Kernel:
    return ptx_machine.Kernel(assembling.ptx(key))


class CompiledQueue(SimulatedQueue):
    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None:
        self._do(partial(kernel(key).launch, grid, threads, list(args), shared_bytes(key)))


class Compiled(Simulated):
    """device.Device whose kernels are compiled as for a GPU."""

    name = "PTX"

    def prepare(self, key: Key) -> None:
        kernel(key)

    def queue(self) -> CompiledQueue:
        return CompiledQueue(self)
