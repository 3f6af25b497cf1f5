"""Pairs of texts whose answers hang on token types, or on a switch: as transformers 4.57 gave them, recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_pairs import FAMILIES, LABELS, NLI, PAIRS, RECORDED, TEXTS, make
from recording import read_recorded
from tasks import assert_answer

import npbert

RECORD = {(case["given"]["family"], case["given"]["task"]): case["answer"] for case in read_recorded(RECORDED)}
CLASSES = [*((family, {}) for family in FAMILIES), ("Bert", {"tokenizer_class": "TokenizersBackend"})]
TYPED = [(family, config) for family, config in CLASSES if family != "XLMRoberta"]
UNTYPED = {"model_input_names": ["input_ids", "attention_mask"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """folder(family, head, labels, **config) -> the folder that was recorded, made again, once for each."""

    @cache
    def made(family: str, head: str, labels: tuple[str, ...], config: tuple[tuple[str, Any], ...]) -> Path:
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in config}
        return make(tmp_path_factory.mktemp(family), family, head, labels, **given)

    def keyed(family: str, head: str, labels: tuple[str, ...] = (), **config: Any) -> Path:
        items = [(key, tuple(value) if isinstance(value, list) else value) for key, value in config.items()]
        return made(family, head, labels, tuple(sorted(items)))

    return keyed


@pytest.mark.parametrize(("family", "config"), CLASSES)
def test_a_reranker(family: str, config: dict[str, Any], folder: Callable[..., Path]) -> None:
    path = folder(family, "SequenceClassification", ("SCORE",), **config)
    wanted = np.array(RECORD[family, "rerank"], np.float32)
    model = npbert.CrossEncoder(path, activation_fn=lambda logits: logits)
    np.testing.assert_allclose(model.predict(PAIRS), wanted, rtol=0, atol=1e-5)
    for first in TEXTS:
        scores = {second: score for (text, second), score in zip(PAIRS, wanted.tolist(), strict=True) if text == first}
        ranked = [TEXTS[answer["corpus_id"]] for answer in model.rank(first, TEXTS)]
        assert ranked == sorted(TEXTS, key=lambda text: -scores[text])
    inputs = model.tokenizer(PAIRS, padding=True, return_tensors="np")
    np.testing.assert_allclose(model.model(**inputs).logits[:, 0], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("family", "config"), CLASSES)
def test_pipelines(family: str, config: dict[str, Any], folder: Callable[..., Path]) -> None:
    path = folder(family, "SequenceClassification", NLI, **config)
    classify = npbert.pipeline("text-classification", path)
    pairs = [{"text": first, "text_pair": second} for first, second in PAIRS[:4]]
    assert_answer(classify, RECORD[family, "classify"], pairs, top_k=None)
    assert_answer(npbert.pipeline("zero-shot-classification", path), RECORD[family, "zero-shot"], TEXTS, LABELS)
    ask = npbert.pipeline("question-answering", folder(family, "QuestionAnswering", **config))
    assert_answer(ask, RECORD[family, "ask"], question=TEXTS, context=TEXTS[2], top_k=2)


@pytest.mark.parametrize(("family", "config"), TYPED)
def test_a_folder_that_wants_no_types(family: str, config: dict[str, Any], folder: Callable[..., Path]) -> None:
    """Where tokenizer_config.json leaves them out of model_input_names, nothing gives them to the model."""
    path = folder(family, "SequenceClassification", ("SCORE",), **config, **UNTYPED)
    model = npbert.CrossEncoder(path, activation_fn=lambda logits: logits)
    found = model.predict(PAIRS)
    assert np.abs(found - np.array(RECORD[family, "rerank"])).max() > 1e-3
    inputs = model.tokenizer(PAIRS, padding=True, return_tensors="np")
    assert "token_type_ids" not in inputs
    np.testing.assert_array_equal(model.model(**inputs).logits[:, 0], found)
    classify = npbert.pipeline("text-classification", path, function_to_apply="none")
    pairs = [{"text": first, "text_pair": second} for first, second in PAIRS]
    np.testing.assert_array_equal([answer["score"] for answer in classify(pairs)], found.astype(float))
