"""Answers of the older transformers and sentence-transformers, written to a file by `make record` and read by tests.

Each `record_*.py` here runs in an environment of its own (`.venv-v4`: transformers 4.57.6 and sentence-transformers
5.1.2), imports nothing of npbert, and writes one JSON file beside it, with the versions that answered.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("transformers", "sentence-transformers", "tokenizers", "torch")


def write_recorded(path: Path, cases: list[dict[str, Any]]) -> None:
    """cases: what was given and what was answered, as JSON takes it."""
    assert version("transformers").startswith("4.57."), version("transformers")
    versions = {package: version(package) for package in PACKAGES}
    text = json.dumps({"versions": versions, "cases": cases}, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_recorded(path: Path) -> list[dict[str, Any]]:
    """The cases of a file."""
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases
