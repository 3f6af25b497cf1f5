"""Whole folders, changed at random: a model that answers, or one error that says what was wanted and where."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import npbert

SMALL = {
    "vocab_size": 40,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 24,
}
CLASSES = {
    "BertForPreTraining": SMALL,
    "DistilBertForSequenceClassification": {
        "vocab_size": 40,
        "dim": 12,
        "n_layers": 2,
        "n_heads": 3,
        "hidden_dim": 20,
        "max_position_embeddings": 24,
    },
    "RobertaForMaskedLM": SMALL,
    "AlbertForQuestionAnswering": {**SMALL, "embedding_size": 8},
    "ElectraForMultipleChoice": {**SMALL, "embedding_size": 8},
    "MPNetForTokenClassification": SMALL,
}
OTHER_KEYS = (
    "pruned_heads",
    "num_labels",
    "num_hidden_groups",
    "inner_group_num",
    "position_embedding_type",
    "relative_attention_num_buckets",
    "torch_dtype",
    "quantization_config",
    "extra",
    "family",
    "attribute_map",
    "__class__",
    "self",
)
NUMBERS = (-1, 0, 1, 2, 3, 4, 6, 12, 2**31, 10**30, 1e-60, 0.5, float("nan"), float("inf"))
TEXTS = ("", "x" * 300, "\ud800", "gelu", "12", "relative_key")
NESTED: tuple[Any, ...] = ([], [1], {}, {"0": [0]}, {"1": [0, 1, 2]}, {"9": [0]}, {"0": "a"})
VALUES = st.sampled_from([None, True, False, *NUMBERS, *TEXTS, *NESTED])


def half_of(array: np.ndarray) -> np.ndarray:
    return array[: len(array) // 2]


def with_one(value: float, array: np.ndarray) -> np.ndarray:
    return np.concatenate([[value], array.ravel()[1:]]).reshape(array.shape).astype(np.float32)


CHANGES = {
    "gone": lambda name, array: {},
    "twice": lambda name, array: {name: array, f"module.{name}": array},
    "renamed": lambda name, array: {f"{name}\n": array},
    "without a prefix": lambda name, array: {name.partition(".")[2]: array},
    "transposed": lambda name, array: {name: array.T},
    "shorter": lambda name, array: {name: half_of(array)},
    "empty": lambda name, array: {name: array[:0]},
    "a number": lambda name, array: {name: array.ravel()[0]},
    "zeros": lambda name, array: {name: array * 0},
    "a NaN": lambda name, array: {name: with_one(np.nan, array)},
    "an Inf": lambda name, array: {name: with_one(np.inf, array)},
    "halves": lambda name, array: {name: array.astype(np.float16)},
    "doubles": lambda name, array: {name: array.astype(np.float64)},
    "integers": lambda name, array: {name: array.astype(np.int64)},
    "int8 without scales": lambda name, array: {name: array.astype(np.int8)},
    "int8": lambda name, array: {name: (array * 9).astype(np.int8), f"{name}_scale": np.ones(len(array), np.float32)},
    "int8, bad scales": lambda name, array: {name: array.astype(np.int8), f"{name}_scale": np.zeros(len(array))},
    "needless scales": lambda name, array: {name: array, f"{name}_scale": np.ones(len(array), np.float32)},
}
EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Class -> its config and tensors."""
    found = {}
    for name, config in CLASSES.items():
        torch.manual_seed(0)
        model_class = getattr(transformers, name)
        folder = tmp_path_factory.mktemp(name)
        model_class(model_class.config_class(**config)).save_pretrained(folder)
        tensors = load((folder / "model.safetensors").read_bytes())
        found[name] = json.loads((folder / "config.json").read_text()), tensors
    return found


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_an_error_or_harmless(folders: dict[str, Any], tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CLASSES)))
    config, tensors = (dict(part) for part in folders[name])
    part = data.draw(st.sampled_from(["config", "tensors", "bytes"]))
    if part == "config":
        config |= data.draw(st.dictionaries(st.sampled_from([*config, *OTHER_KEYS]), VALUES, min_size=1, max_size=2))
    if part == "tensors":
        changed, how = data.draw(st.tuples(st.sampled_from(sorted(tensors)), st.sampled_from(sorted(CHANGES))))
        tensors |= CHANGES[how](changed, tensors.pop(changed))
    content = bytearray(save({key: np.ascontiguousarray(array) for key, array in tensors.items()}))
    if part == "bytes":
        for place, byte in data.draw(EDITS):
            content[place % len(content)] = byte
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(content)
    ids, mask = np.array([[2, 5, 6], [7, 8, 3]]), np.array([[1, 1, 1], [1, 1, 0]])
    if name.endswith("Choice"):
        ids, mask = ids[None], mask[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            model = getattr(npbert, name).from_pretrained(tmp_path)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017 (changes may also be harmless)
            return
    output = model(ids % model.config.vocab_size, mask, output_hidden_states=True)
    assert all(np.isfinite(array).all() for array in (*output.to_tuple()[:1], *output.hidden_states))
