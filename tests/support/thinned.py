"""Which cases of a long list a change is tested with; `make test-all` has the others too.

The CUDA kernels take half of all the time that tests need: here they are simulated thread by thread, or compiled by
the real compilers. What stays has each kernel and each way through it; what waits is more of dtypes and tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def thinned(cases: Iterable[Any], stays: Callable[[Any], bool], *, one_argument: bool = False) -> list[Any]:
    """The cases of a test: the ones that do not stay are marked `exhaustive`.

    one_argument: a case that is a tuple is one argument all the same.
    """

    def marked(case: Any) -> Any:
        values = case if isinstance(case, tuple) and not one_argument else (case,)
        return pytest.param(*values, marks=pytest.mark.exhaustive)

    return [case if stays(case) else marked(case) for case in cases]
