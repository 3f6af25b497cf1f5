"""Models with heads: folders that transformers made, inputs and labels, and what torch makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch
import transformers
from conftest import NORM_WEIGHTS, TABLES, add_distances
from families import FAMILIES, STEMS
from npbert_kernels.ops import Backend
from safetensors.numpy import load_file, save_file

import npbert

HEADS_OF = {"modernbert": ("ForMaskedLM",)}
"""The heads that npbert has, of families that it does not have all heads of."""
KINDS = (
    "ForPreTraining",
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
MODELS = [
    (family, kind)
    for family, stem in STEMS.items()
    for kind in HEADS_OF.get(family, KINDS)
    if hasattr(transformers, stem + kind)
]
RELATIVE = [
    ("bert, relative_key", "ForSequenceClassification"),
    ("bert, relative_key", "ForPreTraining"),
    ("bert, relative_key_query", "ForMaskedLM"),
    ("roberta, relative_key", "ForTokenClassification"),
    ("albert, relative_key_query", "ForQuestionAnswering"),
]
LABELS = 5
V = 61

Folders = Callable[..., Path]


def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """folders(...)(family, kind, **config) -> a folder with random weights; one for each."""

    @cache
    def make(family: str, kind: str, items: tuple[tuple[str, Any], ...]) -> Path:
        model_type, config = FAMILIES[family]
        torch.manual_seed(0)
        labelled = kind in ("ForSequenceClassification", "ForTokenClassification")
        given = {**config, **({"num_labels": LABELS} if labelled else {}), **dict(items)}
        model = getattr(transformers, class_name(family, kind))(transformers.AutoConfig.for_model(model_type, **given))
        add_distances(model)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                scale = 1.5 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.1
                parameter.normal_(0, 1.0 if TABLES.search(name) and parameter.ndim == 2 else scale)
                if name.lower().endswith(NORM_WEIGHTS):
                    parameter.add_(1)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        return folder

    return lambda family, kind, **config: make(family, kind, tuple(sorted(config.items())))


def class_name(family: str, kind: str) -> str:
    return STEMS[FAMILIES[family][0]] + kind


def torch_model(folder: Path, name: str, dtype: torch.dtype) -> Any:
    return parity.torch_model(folder, dtype, getattr(transformers, name))


def torch_output(folder: Path, name: str, dtype: torch.dtype, arguments: dict[str, Any]) -> dict[str, np.ndarray]:
    tensors = {key: torch.as_tensor(np.array(value)) for key, value in arguments.items()}
    with torch.no_grad():
        return {key: value.numpy() for key, value in torch_model(folder, name, dtype)(**tensors).items()}


def load(folder: Path, family: str, kind: str, backend: str | Backend = "cpu") -> Any:
    return getattr(npbert, class_name(family, kind)).from_pretrained(folder, backend=backend)


def draw(family: str, kind: str, B: int, S: int, *, masked: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (B, 3, S) if kind == "ForMultipleChoice" else (B, S)
    arguments = {"input_ids": rng.integers(5, V, shape)}  # none that RoBERTa's kin take for padding
    if masked:
        arguments["attention_mask"] = (np.arange(S) < rng.integers(1, S + 1, (*shape[:-1], 1))).astype(np.int64)
    if FAMILIES[family][1].get("type_vocab_size") == 2:
        arguments["token_type_ids"] = rng.integers(0, 2, shape)
    return arguments


def draw_labels(family: str, kind: str, B: int, S: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    of_tokens = rng.integers(0, V if kind == "ForMaskedLM" else LABELS, (B, S))
    of_tokens[rng.random((B, S)) < 0.4] = -100
    if kind == "ForQuestionAnswering":  # beyond S and below 0 as well
        return {name: rng.integers(-3, S + 9, B) for name in ("start_positions", "end_positions")}
    if kind == "ForPreTraining" and family != "electra":
        name = "sentence_order_label" if family == "albert" else "next_sentence_label"
        return {"labels": of_tokens, name: rng.integers(0, 2, B)}
    if kind == "ForPreTraining":
        return {"labels": rng.integers(0, 2, (B, S))}
    limits = {"ForNextSentencePrediction": 2, "ForMultipleChoice": 3}
    return {"labels": of_tokens if kind in TOKENS else rng.integers(0, limits.get(kind, LABELS), B)}


TOKENS = ("ForMaskedLM", "ForTokenClassification")


@cache
def torch_errors(folder: Path, family: str, kind: str) -> dict[str, float]:
    """The largest error of torch's own float32 in each output.

    A few rows in a thousand are off by twenty times the median, in torch and here alike: where norms divide by little.
    So torch is tried on ten times as many rows as are compared.
    """
    given = {**draw(family, kind, 1000, 23, seed=7), **draw_labels(family, kind, 1000, 23)}
    name = class_name(family, kind)
    truth, found = (torch_output(folder, name, dtype, given) for dtype in (torch.float64, torch.float32))
    return {key: float(np.abs(found[key] - wanted).max()) for key, wanted in truth.items()}


def rewritten(folder: Path, target: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Path:
    """The folder with other tensors."""
    (target / "config.json").write_text((folder / "config.json").read_text())
    tensors = change(load_file(folder / "model.safetensors"))
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, target / "model.safetensors")
    return target
