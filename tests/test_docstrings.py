"""Every public name says what it is, and what loads or computes also what it raises."""

from __future__ import annotations

import inspect
import re

import pytest

import npbert

NAMES = sorted(set(npbert.__all__) - {"__version__"})
SAY_ERRORS = {"from_pretrained", "save_pretrained", "__call__", "rank", "prune_heads", "decode"}


@pytest.mark.parametrize("name", NAMES)
def test_docstrings(name: str) -> None:
    public = getattr(npbert, name)
    assert inspect.cleandoc(public.__doc__ or "")  # its own: editors look no further
    bases = [base for base in getattr(public, "__mro__", ()) if base.__module__.startswith("npbert")]
    methods = {method for base in bases for method in vars(base) if not method.startswith("_") or method == "__call__"}
    for method in methods:
        found = inspect.getattr_static(public, method)
        if isinstance(found, property):
            assert inspect.getdoc(found), method
        elif inspect.isroutine(getattr(public, method, None)):
            text = inspect.getdoc(getattr(public, method)) or ""
            assert text, method
            assert method not in SAY_ERRORS or re.search("raises|errors", text, re.IGNORECASE), method
