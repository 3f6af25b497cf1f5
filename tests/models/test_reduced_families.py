"""bfloat16 and int8 in every family: close to float32, to the reference's own arithmetic, and saved as they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES

import npbert

LEAST = {"bfloat16": 0.9995, "int8": 0.995}  # of cosines, in these small models
LEAST_OF_GATED = {"bfloat16": 0.9995, "int8": 0.99}  # where two of them are multiplied


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    wanted: np.ndarray = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return wanted


@pytest.mark.parametrize("dtype", LEAST)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name: str, dtype: Any, family_folder: Callable[..., Path], tmp_path: Path) -> None:
    model_type, config = FAMILIES[name]
    folder = family_folder(model_type, **config)
    texts = [np.random.default_rng(n).integers(4, 61, n).tolist() for n in (30, 1, 17, 9)]

    def states(path: Path, **given: Any) -> list[np.ndarray]:
        return npbert.AutoModel.from_pretrained(path, **given).predict(texts)

    found, single = states(folder, dtype=dtype), states(folder)
    reference = states(folder, dtype=dtype, backend="reference")
    least = (LEAST_OF_GATED if name == "modernbert" else LEAST)[dtype]
    for rows, wanted, other in zip(found, single, reference, strict=True):
        assert cosines(rows, wanted).min() > least
        assert cosines(rows, other).min() > least
    assert np.abs(found[0] - single[0]).max() > 1e-4, "it is float32"
    npbert.AutoModel.from_pretrained(folder, dtype=dtype).save_pretrained(tmp_path)
    for rows, wanted in zip(states(tmp_path, dtype=dtype), found, strict=True):
        np.testing.assert_array_equal(rows, wanted)
