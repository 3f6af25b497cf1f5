"""feature-extraction against transformers', and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import assert_same_answer

import npbert

TEXT = "A short text."
LONG = "A text that is too long. " * 40


@pytest.fixture(scope="module")
def folder(task_folder: Callable[..., Path]) -> Path:
    return task_folder("BertModel")


@pytest.fixture(scope="module")
def extract(folder: Path) -> Any:
    return npbert.pipeline("feature-extraction", folder)


@pytest.mark.parametrize("inputs", [TEXT, [TEXT], [TEXT, "", "日本 😀 and a longer one"]], ids=["text", "one", "list"])
def test_answers(folder: Path, extract: Any, oracle: Callable[..., Any], inputs: Any) -> None:
    assert_same_answer(extract(inputs), oracle("feature-extraction", folder)(inputs))


def test_truncation(folder: Path, extract: Any, oracle: Callable[..., Any]) -> None:
    for arguments in ({"truncation": True}, {"tokenize_kwargs": {"truncation": True, "max_length": 9}}):
        assert_same_answer(extract(LONG, **arguments), oracle("feature-extraction", folder)(LONG, **arguments))


def test_arrays(extract: Any) -> None:
    found = extract([TEXT, LONG], return_tensors=True, truncation=True)
    assert [array.shape for array in found] == [(1, 6, 32), (1, 128, 32)]
    assert all(array.dtype == np.float32 and array.base is None for array in found)
    np.testing.assert_array_equal(found[0], np.array(extract(TEXT), np.float32))


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        (TEXT, {"return_tensors": "pt"}, "return_tensors: wanted True or False, found 'pt'"),
        (TEXT, {"truncation": "some"}, "truncation: wanted True, False"),
        (TEXT, {"truncation": True, "tokenize_kwargs": {"truncation": True}}, "truncation: wanted once"),
        (TEXT, {"tokenize_kwargs": {"padding": "max_length"}}, "tokenize_kwargs: padding: wanted one of"),
        (TEXT, {"tokenize_kwargs": {"stride": 3}}, "tokenize_kwargs: wanted keys among .*, found 'stride'"),
        (LONG, {}, "inputs: wanted 1 to 128 tokens, .*; truncation=True cuts it off"),
    ],
)
def test_refused(extract: Any, inputs: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extract(inputs, **arguments)
