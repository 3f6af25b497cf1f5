"""The largest resident memory of this process so far."""

from __future__ import annotations

import sys
from pathlib import Path


def largest_resident_bytes() -> int:
    """VmHWM where there is /proc; elsewhere `ru_maxrss`, which on Linux would start from the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
