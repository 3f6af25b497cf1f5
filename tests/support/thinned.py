"""Which cases of a long list a change is tested with; `make test-all` has the others too.

The CUDA kernels take half of all the time that tests need: here they are simulated thread by thread, or compiled by
the real compilers. What stays has each kernel and each way through it; what waits is more of dtypes and tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def thinned(cases: Iterable[Any], stays: Callable[[Any], bool]) -> list[Any]:
    """The parameters of a test: those that do not stay are marked `exhaustive`."""
    return [one if stays(one) else _marked(one) for one in cases]


def _marked(one: Any) -> Any:
    return pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.exhaustive)
