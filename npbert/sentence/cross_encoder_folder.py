"""What a cross-encoder's folder asks for, whether it is one of sentence-transformers' or a bare classifier's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from npbert_kernels.ops import Floats

from npbert.checks import show
from npbert.files.hub import Folder
from npbert.files.names import CONFIG_FILE, MODULES_FILE
from npbert.models.auto import read_config
from npbert.models.config import read_values
from npbert.models.scores import sigmoid
from npbert.sentence.folder import (
    SETTINGS_FILE,
    TRANSFORMER_FILES,
    read_modules,
    read_prompts,
    read_transformer,
)
from npbert.sentence.modules import torch_name

# The name of torch.nn -> what makes scores of logits [n, labels].
SCORES: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda x: x,
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
}


class CrossEncoderFolder(NamedTuple):
    """The settings of a folder, checked."""

    transformer: str  # the folder of config.json, the weights and the tokenizer, as from this one
    max_seq_length: int
    activation: str  # one of SCORES
    do_lower_case: bool
    prompts: dict[str, str]
    default_prompt_name: str | None
    sources: dict[str, str]  # a field's name -> the file and key that set it


def read_cross_encoder_folder(folder: Folder) -> CrossEncoderFolder:
    """The settings of a folder. One without modules.json is a bare classifier, whose config.json may name a function.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is malformed, or asks for what is not supported; it is named.
    """
    modules = read_modules(folder)
    if modules and [kind for kind, _ in modules] != ["Transformer"]:
        found = ", ".join(kind for kind, _ in modules)
        raise ValueError(f"{folder / MODULES_FILE}: wanted a Transformer alone, found {found}")
    sources: dict[str, str] = {}
    inner = modules[0][1] if modules else ""
    transformer = folder.inner(inner)
    config = read_config(transformer)
    values: dict[str, Any] = {}
    named: tuple[Path, str, Any] | None = None
    if modules and folder.has(SETTINGS_FILE):
        file, values = folder / SETTINGS_FILE, folder.values(SETTINGS_FILE)
        kind = values.get("model_type", "CrossEncoder")
        if kind != "CrossEncoder":
            raise ValueError(f"{file}: model_type: wanted 'CrossEncoder', found {show(kind)}")
        if values.get("activation_fn") is not None:
            named = file, "activation_fn", values["activation_fn"]
    prompts = read_prompts(folder / SETTINGS_FILE, values, sources)
    named = named or _named_by_config(transformer)
    if named is None:
        activation = "Sigmoid" if config.num_labels == 1 else "Identity"
        sources["activation"] = f"{CONFIG_FILE}: {config.num_labels} labels: sentence-transformers' default"
    else:
        activation = torch_name(*named, SCORES)
        sources["activation"] = f"{named[0].name}: {named[1]}"

    limit, do_lower_case = read_transformer(
        transformer, TRANSFORMER_FILES if modules else (), sources, "sequence-classification", "scores"
    )
    longest: int = config.max_tokens
    if limit is None or limit > longest:
        limit = longest
        sources["max_seq_length"] = f"{CONFIG_FILE}: max_position_embeddings"
    return CrossEncoderFolder(inner, limit, activation, do_lower_case, sources=sources, **prompts)


def _named_by_config(folder: Folder) -> tuple[Path, str, Any] | None:
    """The function that config.json names: (file, key, value)."""
    file, values = read_values(folder)
    newer = values.get("sentence_transformers")
    if newer is not None and not isinstance(newer, Mapping):
        raise ValueError(f"{file}: sentence_transformers: wanted an object, found {show(newer)}")
    if newer and newer.get("activation_fn") is not None:
        return file, "sentence_transformers: activation_fn", newer["activation_fn"]
    key = "sbert_ce_default_activation_function"  # before sentence-transformers 4
    return None if values.get(key) is None else (file, key, values[key])
