"""The primitives that kernels are written with: instructions, or under NUMBA_ENABLE_CUDASIM=1 the simulator's."""

from __future__ import annotations

import os

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"

if SIMULATED:
    from .. import simulator as primitives
else:
    from . import ptx as primitives

__all__ = ["SIMULATED", "primitives"]
