"""How long a text may be where the tokenizer says nothing of it: as long as the model has positions for."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tasks import MAX_LENGTH, NER
from tokenizing import edit_json

import npbert

LONG = "Angela Merkel visited Wolfsburg. " * 60
MODELS = {
    "ner": ("BertForTokenClassification", {"labels": tuple(NER)}),
    "text-classification": ("BertForSequenceClassification", {"labels": ("a", "b")}),
    "zero-shot-classification": ("BertForSequenceClassification", {"labels": ("contradiction", "entailment")}),
    "question-answering": ("BertForQuestionAnswering", {}),
    "fill-mask": ("BertForMaskedLM", {}),
    "feature-extraction": ("BertModel", {}),
}
CALLS: list[tuple[str, Any, dict[str, Any], str | None]] = [
    ("ner", LONG, {}, "stride= reads it in windows"),
    ("ner", LONG, {"stride": 64, "aggregation_strategy": "simple"}, None),
    ("text-classification", LONG, {"truncation": True}, "shorter pieces of it are read whole"),
    ("text-classification", LONG, {"truncation": True, "max_length": 40}, None),
    ("zero-shot-classification", LONG, {"candidate_labels": "a, b"}, "shorter pieces of it are read whole"),
    ("question-answering", {"question": "Who?", "context": LONG}, {}, None),
    ("fill-mask", "[MASK]! " + LONG, {"tokenizer_kwargs": {"truncation": True}}, "shorter pieces"),
    ("feature-extraction", LONG, {"truncation": True}, "shorter pieces"),
]


@pytest.fixture(scope="module")
def make(task_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """make(task, limit) -> a pipeline whose tokenizer says so of the longest text."""

    def made(task: str, limit: int | None) -> Any:
        architecture, config = MODELS[task]
        folder = tmp_path_factory.mktemp(task)
        shutil.copytree(task_folder(architecture, **config), folder, dirs_exist_ok=True)
        edit_json(folder / "tokenizer_config.json", model_max_length=limit)
        return npbert.pipeline(task, folder)

    return made


@pytest.mark.parametrize(("task", "text", "arguments", "told"), CALLS, ids=range(len(CALLS)))
def test_the_models_own_length(
    make: Callable[..., Any], task: str, text: Any, arguments: dict[str, Any], told: str | None
) -> None:
    answers = []
    for limit in (MAX_LENGTH, None, 512):
        answer = make(task, limit)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", npbert.TruncationWarning)
            answers += [answer(text, **arguments), answer(text, **arguments)]
        messages = [str(warning.message) for warning in caught]
        assert len(messages) == (told is not None)
        assert told is None or told in messages[0]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(("limit", "message"), [(900, "max_length says where"), (None, "truncation=True cuts it off")])
def test_a_length_beyond_the_models(make: Callable[..., Any], limit: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"wanted 1 to {MAX_LENGTH} tokens, .*; {message}"):
        make("text-classification", None)(LONG, max_length=limit)
