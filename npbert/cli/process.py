"""What the running process has used so far: time since it started, and memory."""

from __future__ import annotations

import os
import sys
import time

_IMPORTED = time.perf_counter()


def seconds_since_start() -> float:
    """Since the process started, Python's own start included; off Linux, since this module was imported."""
    try:
        with open("/proc/self/stat") as file:
            # The name stands in parentheses and may hold anything; after it, the 20th is the start in ticks.
            start = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - start
    except (OSError, AttributeError, IndexError, ValueError):
        return time.perf_counter() - _IMPORTED
    # In some containers the two clocks do not count from the same moment.
    return since if 0 <= since < 3600 else time.perf_counter() - _IMPORTED


def peak_memory() -> int | None:
    """The most bytes that were resident at once; None where the system does not tell."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def megabytes(count: float) -> str:
    """1,234.5 MB: millions of bytes, as the sizes of files are given."""
    return f"{count / 1e6:,.1f} MB"
