"""What the rest asks of a device: memory, a queue of work, a captured queue. A GPU through its driver, or simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .tiles import Key


class DeviceError(ValueError):
    """No GPU, nothing that makes code for it, or the driver refused. Says what is missing, in one line."""


class Memory(Protocol):
    """Device memory, freed when nothing refers to it."""

    at: int
    nbytes: int


class Queue(Protocol):
    """Work that is done in order; one thread uses it at a time."""

    def host(self, nbytes: int) -> NDArray[np.uint8]:
        """Host memory that copies are fast from and to; it lives as long as the queue."""

    def copy_in(self, at: int, source: NDArray[Any]) -> None:
        """From host memory of this queue."""

    def copy_out(self, target: NDArray[Any], at: int) -> None: ...

    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None: ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """What `work` queues, not done now but each time that what is returned is called."""

    def wait(self) -> None: ...


class Device(Protocol):
    name: str
    processors: int

    def allocate(self, nbytes: int) -> Memory: ...

    def zero(self, memory: Memory) -> None: ...

    def upload(self, at: int, array: NDArray[Any]) -> None: ...

    def prepare(self, key: Key) -> None:
        """Compiles a kernel and loads it, if that was not done yet."""

    def queue(self) -> Queue: ...
