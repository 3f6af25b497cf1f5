"""Whether anything else uses the cores: engines that spin at barriers lose all speed if one is taken."""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")


def busy_cores(seconds: float = 0.1) -> float:
    """How many cores were at work during that time, this process asleep; 0 where there is no /proc."""
    if not STAT.exists():
        return 0.0
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def wait_for_quiet(longest: float) -> bool:
    """Waits until less than a third of a core is at work; False if that took too long."""
    end = time.perf_counter() + longest
    while busy_cores() > 0.34:
        if time.perf_counter() > end:
            return False
    return True


def _busy_ticks() -> int:
    """Of all cores together, in user, nice, system, irq and softirq; steal is not ours to wait for."""
    counters = STAT.read_text().split("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, counters)
    return user + nice + system + irq + softirq
