"""npbert: the BERT family without a framework. NumPy arrays in, NumPy arrays out.

The public names stand in `__init__.pyi`. Each is loaded when it is first used, so that `import npbert` costs next to
nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_modules: dict[str, str] = {}  # public name -> the module that defines it, read from __init__.pyi at the first one


def _public() -> dict[str, str]:
    if not _modules:
        with open(f"{__file__.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:
            for words in map(str.split, stub):
                if words[:1] == ["from"]:  # from MODULE import NAME as NAME
                    _modules[words[3]] = words[1]
    return _modules


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return ["__version__", *_public()]
    if name.startswith("__") or name not in _public():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _modules[name]
    value = importlib.import_module("npbert.util") if name == "util" else getattr(importlib.import_module(module), name)
    globals()[name] = value  # not asked for again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})
