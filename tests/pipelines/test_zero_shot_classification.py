"""zero-shot-classification against transformers', and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tasks import assert_as_oracle
from tokenizing import edit_json

import npbert

TEXT = "The government raised the interest rates again, unbelievably early."
NLI = ("contradiction", "neutral", "entailment")
LABELS = ["politics", "public health", "science", "🎈"]


@pytest.fixture(scope="module")
def make(task_folder: Callable[..., Path]) -> Callable[..., Path]:
    return lambda *labels: task_folder("BertForSequenceClassification", labels=labels)


@pytest.fixture(scope="module")
def classify(make: Callable[..., Path]) -> Any:
    return npbert.pipeline("zero-shot-classification", make(*NLI))


@pytest.mark.parametrize("inputs", [TEXT, [TEXT], [TEXT, "日本", " "], TEXT * 20], ids=["text", "one", "list", "long"])
@pytest.mark.parametrize("labels", [LABELS, "politics, public health,science , ", "sport", ["sport"], ["a", "a"]])
@pytest.mark.parametrize("multi_label", [False, True])
def test_answers(
    make: Callable[..., Path],
    classify: Any,
    oracle: Callable[..., Any],
    inputs: Any,
    labels: Any,
    multi_label: bool,
) -> None:
    wanted = oracle("zero-shot-classification", make(*NLI))
    assert_as_oracle(classify, wanted, inputs, candidate_labels=labels, multi_label=multi_label)
    found = classify(inputs, candidate_labels=labels, multi_label=multi_label)
    assert classify(sequences=inputs, candidate_labels=labels, multi_label=multi_label) == found
    assert classify(inputs, labels, multi_label=multi_label) == found


@pytest.mark.parametrize("labels", [("ENTAILMENT", "not"), ("not", "entails", "other")])
@pytest.mark.parametrize("multi_label", [False, True])
def test_where_entailment_stands(
    make: Callable[..., Path], oracle: Callable[..., Any], labels: tuple[str, ...], multi_label: bool
) -> None:
    folder = make(*labels)
    arguments = {"candidate_labels": LABELS, "hypothesis_template": "It {}!", "multi_label": multi_label}
    classify = npbert.pipeline("zero-shot-classification", folder)
    assert_as_oracle(classify, oracle("zero-shot-classification", folder), TEXT, **arguments)


def test_without_entailment_the_last_label_counts(make: Callable[..., Path], oracle: Callable[..., Any]) -> None:
    folder = make("no", "maybe", "yes")
    with pytest.warns(UserWarning, match="no label of the model's begins with 'entail'; the last is taken, 'yes'"):
        classify = npbert.pipeline("zero-shot-classification", folder)
    assert_as_oracle(classify, oracle("zero-shot-classification", folder), TEXT, LABELS)


@pytest.mark.parametrize("index", [3, 10**60, -2])
def test_an_index_of_entailment_that_is_no_label(make: Callable[..., Path], tmp_path: Path, index: int) -> None:
    folder = shutil.copytree(make(*NLI), tmp_path, dirs_exist_ok=True)
    edit_json(folder / "config.json", label2id={"contradiction": 0, "neutral": 1, "entailment": index})
    with pytest.raises(ValueError, match="model: label2id: wanted an index below the 3 labels for entailment, found"):
        npbert.pipeline("zero-shot-classification", folder)


def test_a_hypothesis_that_leaves_no_room_is_read_with_the_whole_text(
    task_folder: Callable[..., Path], oracle: Callable[..., Any], make: Callable[..., Path]
) -> None:
    """As in transformers: where cutting the text off does not help, nothing is cut off."""
    folder = make(*NLI)
    tokenizer = npbert.AutoTokenizer.from_pretrained(folder, model_max_length=20)
    wanted = oracle("zero-shot-classification", folder)
    length = wanted.tokenizer.model_max_length
    labels = ["a " * 25, "short"]
    classify = npbert.pipeline("zero-shot-classification", folder, tokenizer)
    try:
        wanted.tokenizer.model_max_length = 20
        assert_as_oracle(classify, wanted, [TEXT, "b"], labels)
    finally:
        wanted.tokenizer.model_max_length = length


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        (TEXT, {}, "candidate_labels: wanted labels to choose from, found none"),
        (TEXT, {"candidate_labels": []}, r"candidate_labels: wanted at least one label, found \[\]"),
        (TEXT, {"candidate_labels": " , "}, "candidate_labels: wanted at least one label, found ' , '"),
        (TEXT, {"candidate_labels": ["a", " "]}, r"candidate_labels\[1\]: wanted a label, found ' '"),
        (TEXT, {"candidate_labels": ["a", None]}, r"candidate_labels\[1\]: wanted a text \(str\), found None"),
        (TEXT, {"candidate_labels": 3}, "candidate_labels: wanted a list of labels, found 3"),
        (TEXT, {"candidate_labels": "a", "hypothesis_template": "so"}, "hypothesis_template: wanted a text with {}"),
        (TEXT, {"candidate_labels": "a", "hypothesis_template": "{} {}"}, "hypothesis_template: wanted a text with {}"),
        (TEXT, {"candidate_labels": "a", "hypothesis_template": "{x}"}, "hypothesis_template: wanted a text with {}"),
        (TEXT, {"candidate_labels": "a", "hypothesis_template": 1}, r"hypothesis_template: wanted a text \(str\)"),
        (TEXT, {"candidate_labels": "a", "multi_label": "yes"}, "multi_label: wanted True or False, found 'yes'"),
        ("", {"candidate_labels": "a"}, "inputs: wanted a text, found an empty one"),
        ([TEXT, None], {"candidate_labels": "a"}, r"inputs\[1\]: wanted a text \(str\), found None"),
        (TEXT, {"candidate_labels": "a " * 200}, "inputs: wanted 1 to 128 tokens, .* leave no room"),
    ],
)
def test_refused(classify: Any, inputs: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classify(inputs, **arguments)


def test_a_model_with_one_label_is_refused(make: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="model: wanted two labels at least, entailment among them, found 1"):
        npbert.pipeline("zero-shot-classification", make("entailment"))
