"""Which processors this process may use, and on which one a thread runs."""

from __future__ import annotations

import ctypes
import functools
import math
import os
from collections.abc import Callable

from . import cgroups


def usable() -> int:
    """How many: the process's affinity or its cgroups' quotas, whichever is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cgroups.quota())))


@functools.cache
def _current() -> Callable[[], int] | None:
    """The C library's sched_getcpu, where it has one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        function: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
        return function
    except (OSError, AttributeError):
        return None


def current() -> int:
    """The processor that this thread runs on; -1 where the system does not tell."""
    function = _current()
    return -1 if function is None else function()


def leave(processor: int) -> None:
    """Move this thread to another processor if it runs on that one.

    A thread that was just woken may stand behind the one that woke it for a whole time slice.
    """
    if processor >= 0 and current() == processor:
        allowed = os.sched_getaffinity(0)
        others = allowed - {processor}
        if others:
            try:
                os.sched_setaffinity(0, others)
                os.sched_setaffinity(0, allowed)
            except OSError:  # the allowed processors changed just now
                pass
