"""Arguments have the names, order and defaults that transformers and sentence-transformers give them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import npbert

# Where the other library has an argument that is not here, it says why not.
GENERATION = {"text_target", "text_pair_target", "tokenizer_kwargs"}  # for sequence to sequence
PROCESSES = {"pool", "chunk_size"}  # threads share a model here
HUB = {"trust_remote_code", "use_auth_token", "model_card_data"}  # code and cards of the hub
TORCH = {"modules", "model_kwargs", "processor_kwargs", "config_kwargs", "keep_in_fp32_modules"}
FORMATS = {"legacy_format", "filename_prefix", "push_to_hub", "save_format"}
DIFFERENT = {"text", "backend", "model_name_or_path"}  # without a default here, or with another
CARDS = {"model_name", "create_model_card", "train_datasets", "safe_serialization"}


def tokenizer(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import transformers

    return getattr(npbert.PreTrainedTokenizerFast, name), getattr(transformers.BertTokenizer, name)


def sentences(kind: str, name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    import sentence_transformers

    return getattr(getattr(npbert, kind), name), getattr(getattr(sentence_transformers, kind), name)


@pytest.mark.parametrize(
    ("pair", "left_out"),
    [
        (lambda: tokenizer("__call__"), GENERATION),
        (lambda: tokenizer("pad"), set()),
        (lambda: tokenizer("tokenize"), set()),
        (lambda: tokenizer("decode"), set()),
        (lambda: tokenizer("batch_decode"), set()),
        (lambda: tokenizer("convert_ids_to_tokens"), set()),
        (lambda: tokenizer("convert_tokens_to_ids"), set()),
        (lambda: tokenizer("convert_tokens_to_string"), set()),
        (lambda: tokenizer("num_special_tokens_to_add"), set()),
        (lambda: tokenizer("save_pretrained"), FORMATS),
        (lambda: sentences("SentenceTransformer", "encode"), {*PROCESSES, "inputs"}),
        (lambda: sentences("SentenceTransformer", "similarity"), set()),
        (lambda: sentences("SentenceTransformer", "similarity_pairwise"), set()),
        (lambda: sentences("SentenceTransformer", "save_pretrained"), CARDS),
        (lambda: sentences("SentenceTransformer", "__init__"), HUB | TORCH),
        (lambda: sentences("CrossEncoder", "predict"), PROCESSES),
        (lambda: sentences("CrossEncoder", "rank"), PROCESSES),
        (lambda: sentences("CrossEncoder", "save_pretrained"), CARDS),
        (lambda: sentences("CrossEncoder", "__init__"), HUB | TORCH),
    ],
)
def test_as_the_other_library(
    pair: Callable[[], tuple[Callable[..., Any], Callable[..., Any]]], left_out: set[str]
) -> None:
    own, other = map(parameters, pair())
    assert {*other} - {*own} == left_out & {*other}
    shared = [name for name in own if name in other and name not in DIFFERENT]
    assert {name: own[name] for name in shared} == {name: other[name] for name in shared}
    by_place = [name for name in shared if own[name][1]]
    assert by_place == [name for name in other if name in by_place]


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """Name -> default, whether it may be given by its place."""
    found = inspect.signature(function).parameters.values()
    return {
        entry.name: (entry.default, entry.kind is entry.POSITIONAL_OR_KEYWORD)
        for entry in found
        if entry.kind not in (entry.VAR_KEYWORD, entry.VAR_POSITIONAL) and entry.name != "self"
    }
