"""Real English sentences of all lengths: the docstrings of Python's standard library."""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path

END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
NODES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def sentences(count: int) -> list[str]:
    """So many different texts, from the shortest to the longest in even steps of rank.

    They are single sentences and whole docstrings; some of these are longer than any model reads.
    """
    library = Path(sysconfig.get_path("stdlib"))
    texts: set[str] = set()
    for path in sorted(library.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, NODES) and (text := ast.get_docstring(node)):
                texts |= {text.strip(), *END.split(" ".join(text.split()))}
    ranked = sorted(texts - {""}, key=lambda text: (len(text), text))
    assert len(ranked) >= count, f"the standard library has {len(ranked)} sentences only"
    step = (len(ranked) - 1) / (count - 1)
    return [ranked[round(index * step)] for index in range(count)]
