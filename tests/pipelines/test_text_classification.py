"""text-classification and sentiment-analysis against transformers', and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import assert_as_oracle, assert_same_answer

import npbert
from npbert.models.scores import sigmoid
from npbert.text.inputs import TextError

TEXT = "A wonderful film, unbelievably good."
PAIR = {"text": TEXT, "text_pair": "And yet I left early."}
INPUTS = [TEXT, "", [TEXT], [TEXT, "Bad.", "日本 😀"], PAIR, [PAIR], [PAIR, TEXT, {"text": TEXT}]]
MODELS: dict[str, dict[str, Any]] = {
    "three labels": {"labels": ("NEGATIVE", "NEUTRAL", "POSITIVE")},
    "one label": {"labels": ("SCORE",)},
    "regression": {"labels": ("LOW", "HIGH"), "problem_type": "regression"},
    "multi-label": {"labels": ("A", "B", "C"), "problem_type": "multi_label_classification"},
}


@pytest.fixture(scope="module")
def make(task_folder: Callable[..., Path]) -> Callable[[str], Path]:
    return lambda name: task_folder("BertForSequenceClassification", **MODELS[name])


@pytest.fixture(scope="module")
def classify(make: Callable[[str], Path]) -> Any:
    return npbert.pipeline("sentiment-analysis", make("three labels"))


@pytest.mark.parametrize("inputs", INPUTS, ids=str)
@pytest.mark.parametrize(
    "arguments", [{}, {"top_k": None}, {"top_k": 1}, {"top_k": 2}, {"top_k": 9}, {"function_to_apply": "sigmoid"}]
)
def test_answers(
    make: Callable[[str], Path], classify: Any, oracle: Callable[..., Any], inputs: Any, arguments: dict[str, Any]
) -> None:
    wanted = oracle("text-classification", make("three labels"))
    assert_as_oracle(classify, wanted, inputs, **arguments)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("function", [None, "none", "sigmoid", "softmax", "SoftMax"])
def test_functions(make: Callable[[str], Path], oracle: Callable[..., Any], name: str, function: str | None) -> None:
    folder = make(name)
    classify = npbert.pipeline("text-classification", folder)
    wanted = oracle("text-classification", folder)
    assert_as_oracle(classify, wanted, TEXT, top_k=None, function_to_apply=function)


@pytest.mark.parametrize("inputs", [TEXT, [TEXT, TEXT], PAIR])
def test_top_k_of_the_pipeline(make: Callable[[str], Path], inputs: Any) -> None:
    import transformers

    folder = make("three labels")
    classify = npbert.pipeline("text-classification", folder, top_k=2)
    wanted = transformers.pipeline("text-classification", model=str(folder), tokenizer=str(folder), top_k=2)
    assert_as_oracle(classify, wanted, inputs)


def test_truncation(make: Callable[[str], Path], classify: Any, oracle: Callable[..., Any]) -> None:
    long = TEXT * 50
    wanted = oracle("text-classification", make("three labels"))
    for arguments in ({"truncation": True}, {"truncation": True, "max_length": 20, "padding": True}):
        assert_as_oracle(classify, wanted, long, **arguments)
    # With padding, a max_length alone cuts nothing off.
    for padding in (False, True, "max_length", "do_not_pad"):
        assert_same_answer(
            classify(TEXT, max_length=6, padding=padding), wanted(TEXT, max_length=6, padding=padding, verbose=False)
        )
    pair = {"text": TEXT, "text_pair": long}
    assert_as_oracle(classify, wanted, pair, truncation="only_second")


def test_sigmoid_of_what_is_far_out() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(np.array([-200, -20, 0, 20, 200], np.float32))
    truth = 1 / (1 + np.exp(-np.array([-200, -20, 0, 20, 200], np.float64)))
    np.testing.assert_allclose(found, truth, rtol=3e-6, atol=1e-38)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        (TEXT, {"top_k": 0}, "top_k: wanted a whole number, 1 or more, found 0"),
        (TEXT, {"top_k": "all"}, "top_k: wanted a whole number, 1 or more, found 'all'"),
        (TEXT, {"function_to_apply": "tanh"}, "function_to_apply: wanted one of 'none', 'sigmoid', 'softmax'"),
        (TEXT, {"function_to_apply": 1}, "function_to_apply: wanted one of"),
        (TEXT, {"return_all_scores": True}, "wanted arguments among .*, found 'return_all_scores'"),
        (TEXT, {"add_special_tokens": "no"}, "add_special_tokens: wanted True or False, found 'no'"),
        ("", {"add_special_tokens": False}, "inputs: wanted 1 to 128 tokens, .* found 0$"),
        ({"text_pair": TEXT}, {}, "inputs: wanted the keys text and text_pair, found 'text_pair'"),
        ({"text": TEXT, "pair": TEXT}, {}, "inputs: wanted the keys text and text_pair, found 'text', 'pair'"),
        ([PAIR, {"text": TEXT, "text_pair": 3}], {}, r"inputs\[1\]\['text_pair'\]: wanted a text \(str\), found int"),
        ([[TEXT, TEXT]], {}, r"inputs\[0\]: wanted a text, or a pair as .*, found a list"),
        (TEXT * 50, {}, "inputs: wanted 1 to 128 tokens, .*; truncation=True cuts it off"),
    ],
)
def test_refused(classify: Any, inputs: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classify(inputs, **arguments)


def test_what_is_no_text_is_a_type_error_too(classify: Any) -> None:
    with pytest.raises(TextError, match=r"^inputs\[0\]: wanted a text, or a pair as .*, found a list"):
        classify([[TEXT, TEXT]])
