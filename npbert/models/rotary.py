"""Rotary positions (https://arxiv.org/abs/2104.09864): their tables, and what a config says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from npbert_kernels.ops import Floats

from npbert.checks import check_int, check_number, show, wrong

# A table is made of a config alone: one that asks for more would end in memory, and not in a line.
MAX_POSITIONS = 2**20


def rotary_table(positions: int, head_size: int, theta: float) -> Floats:
    """[P, D]: of each position the cosines, then the sines, of its D / 2 angles; float32, as transformers has them."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies = np.float32(1) / np.float32(theta) ** exponents
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def settled_parameters(given: Any, bases: Mapping[str, Any], positions: int) -> dict[str, dict[str, Any]]:
    """A config's `rope_parameters`, complete: kind of layer -> {"rope_type": "default", "rope_theta": ...}.

    Args:
        bases: kind of layer -> the base of its angles, where `given`, an object or None, has none.
        positions: how many the config asks for.

    Raises:
        ValueError: angles that are not computed here are asked for, or too many.
    """
    check_int("max_position_embeddings", positions, 1, MAX_POSITIONS)
    if given is not None and (not isinstance(given, dict) or given.keys() - bases.keys()):
        raise wrong("rope_parameters", f"an object of {' and '.join(bases)}", given)
    return {kind: _settled(f"rope_parameters: {kind}", (given or {}).get(kind), base) for kind, base in bases.items()}


def _settled(key: str, given: Any, base: Any) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise wrong(key, "an object", given)
    found = {"rope_type": "default", "rope_theta": base, **(given or {})}
    if found["rope_type"] != "default":
        raise wrong(f"{key}: rope_type", "'default'", found["rope_type"])
    if others := found.keys() - {"rope_type", "rope_theta"}:
        raise ValueError(f"{key}: wanted rope_type and rope_theta alone, found {show(sorted(others))}")
    check_number(f"{key}: rope_theta", found["rope_theta"], 1.0, 1e12)
    return found
