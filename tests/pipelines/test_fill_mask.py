"""fill-mask against transformers', and what it refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tasks import assert_as_oracle, assert_same_answer

import npbert

ONE = "The capital of France is [MASK]."
TWO = "[MASK] went to the [MASK] yesterday, unbelievably early."


@pytest.fixture(scope="module")
def folder(task_folder: Callable[..., Path]) -> Path:
    return task_folder("BertForMaskedLM")


@pytest.fixture(scope="module")
def fill(folder: Path) -> Any:
    return npbert.pipeline("fill-mask", folder)


@pytest.mark.parametrize(
    "inputs",
    [ONE, TWO, [ONE], [TWO], [ONE, TWO, ONE], [ONE] * 3, "[MASK]", "[MASK]日本[MASK] naïve 😀"],
    ids=["text", "two masks", "list of one", "list of one with two", "list", "same", "mask alone", "scripts"],
)
@pytest.mark.parametrize("arguments", [{}, {"top_k": 1}, {"top_k": 40}, {"targets": ["paris", "london", "berlin"]}])
def test_answers(folder: Path, fill: Any, oracle: Callable[..., Any], inputs: Any, arguments: dict[str, Any]) -> None:
    assert_as_oracle(fill, oracle("fill-mask", folder), inputs, **arguments)


def test_targets(folder: Path, fill: Any, oracle: Callable[..., Any]) -> None:
    wanted = oracle("fill-mask", folder)
    assert_as_oracle(fill, wanted, ONE, targets="paris")
    answers = fill(ONE, targets=["paris", "rome", "paris"], top_k=9)
    assert_as_oracle(fill, wanted, ONE, targets=["paris", "rome", "paris"], top_k=9)
    assert len(answers) == 2
    # Scores are shares among all words, not among the targets.
    assert sum(answer["score"] for answer in answers) < 0.9


def test_a_target_that_is_no_token_gives_its_first_one(folder: Path, fill: Any, oracle: Callable[..., Any]) -> None:
    with pytest.warns(UserWarning, match=r"targets\[1\]: 'Lyonnaise' is no token of the vocabulary; 'lyon' stands"):
        answers = fill(ONE, targets=["paris", "Lyonnaise"])
    assert_same_answer(answers, oracle("fill-mask", folder)(ONE, targets=["paris", "Lyonnaise"]))
    with pytest.warns(UserWarning, match=r"targets\[0\]: '' has no tokens, and is left out"):
        assert len(fill(ONE, targets=["", "paris"])) == 1


def test_arguments_of_the_pipeline_hold_unless_a_call_gives_others(folder: Path, fill: Any) -> None:
    one = npbert.pipeline("fill-mask", folder, top_k=1)
    assert len(one(ONE)) == 1
    assert len(one(ONE, top_k=2)) == 2
    assert len(one(ONE, top_k=None)) == 1  # as if it weren't given


def test_truncation(folder: Path, fill: Any, oracle: Callable[..., Any]) -> None:
    long = ONE + " and so on" * 200
    arguments = {"tokenizer_kwargs": {"truncation": True}}
    assert_as_oracle(fill, oracle("fill-mask", folder), long, **arguments)


def test_all_words_can_be_asked_for(fill: Any) -> None:
    answers = fill(ONE, top_k=fill.model.config.vocab_size)
    assert len({answer["token"] for answer in answers}) == fill.model.config.vocab_size
    assert abs(sum(answer["score"] for answer in answers) - 1) < 1e-4


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        ("no mask", {}, r"inputs: wanted at least one mask token, \[MASK\], found none"),
        ([ONE, "no <mask>"], {}, r"inputs\[1\]: wanted at least one mask token, \[MASK\], found none"),
        (ONE, {"top_k": 0}, "top_k: wanted a whole number, 1 or more, found 0"),
        (ONE, {"top_k": 30523}, "top_k: wanted 1 to 30522, the size of the vocabulary, found 30523"),
        (ONE, {"top_k": 2.0}, "top_k: wanted a whole number"),
        (ONE, {"targets": []}, r"targets: wanted a word or a list of words, found \[\]"),
        (ONE, {"targets": 3}, "targets: wanted a word or a list of words, found 3"),
        (ONE, {"targets": ["a", None]}, r"targets\[1\]: wanted a text \(str\), found None"),
        (ONE, {"tokenizer_kwargs": {"trunc": True}}, "tokenizer_kwargs: wanted keys among truncation, .*'trunc'"),
        (ONE, {"tokenizer_kwargs": "truncation"}, "tokenizer_kwargs: wanted a dict"),
        (ONE, {"tokenizer_kwargs": {"truncation": "most"}}, "truncation: wanted True, False"),
        (ONE, {"tokenizer_kwargs": {"padding": "some"}}, "padding: wanted one of False, True"),
        (ONE + " so" * 200, {}, "inputs: wanted 1 to 128 tokens, .* found 209; tokenizer_kwargs="),
    ],
)
def test_refused(fill: Any, inputs: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill(inputs, **arguments)


def test_targets_without_any_token_are_refused(fill: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="targets: wanted at least one word with tokens"):
            fill(ONE, targets="")


def test_a_tokenizer_without_a_mask_is_refused(folder: Path) -> None:
    tokenizer = npbert.AutoTokenizer.from_pretrained(folder, mask_token=None)
    with pytest.raises(ValueError, match=": wanted a tokenizer with a mask token, found none"):
        npbert.pipeline("fill-mask", folder, tokenizer)
