"""The CPU backend: ops recorded into a program that a team of threads runs in one native call.

Nothing here imports numba; `compile` does, in a process of its own.
"""

from __future__ import annotations

import pathlib

from ..ops import Forward
from . import library, objects
from .isa import selected
from .program import Program
from .recorder import record
from .store import Store
from .team import get_num_threads, set_num_threads

__all__ = ["Cpu", "backend", "get_num_threads", "set_num_threads", "warmup"]


class Cpu:
    """ops.Backend on the CPU."""

    name = "cpu"

    def store(self, nbytes: int) -> Store:
        return Store(nbytes)

    def record(self, forward: Forward, *, inputs_embeds: bool = False, head_mask: bool = False) -> Program:
        return Program(record(forward, inputs_embeds=inputs_embeds, head_mask=head_mask))


backend = Cpu()


def warmup() -> pathlib.Path | None:
    """Compile and store the kernels where that was not done yet; their file, or None if it can't be written."""
    library.entry()
    path = objects.folder() / objects.name(selected())
    return path if path.exists() else None
