"""token-classification and ner against transformers', and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import NER, assert_as_oracle

import npbert
from npbert.pipelines.entities import STRATEGIES, Token, entities_of, without_overlaps

TEXT = "Angela Merkel visited the headquarters of Volkswagen in Wolfsburg, unbelievably early."
OTHER = "Wolfgang lives in 日本 and works for the electroencephalographical institute. 😀 naïve café"
LONG = " ".join([TEXT, OTHER, TEXT, TEXT] * 4)


@pytest.fixture(scope="module")
def folder(task_folder: Callable[..., Path]) -> Path:
    return task_folder("BertForTokenClassification", labels=tuple(NER), seed=44)  # one that gives every label


@pytest.fixture(scope="module")
def ner(folder: Path) -> Any:
    return npbert.pipeline("ner", folder)


@pytest.mark.parametrize("inputs", [TEXT, [TEXT], [TEXT, OTHER, ""], "", LONG], ids=["text", "one", "list", "", "long"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ignored", [None, [], ["O", "LOC", "I-PER", "ORG"]])
def test_answers(
    folder: Path, ner: Any, oracle: Callable[..., Any], inputs: Any, strategy: str, ignored: list[str] | None
) -> None:
    arguments = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    assert_as_oracle(ner, oracle("ner", folder), inputs, **arguments)


def test_the_answers_are_worth_comparing(ner: Any) -> None:
    tokens = ner(LONG, ignore_labels=[])
    assert {token["entity"] for token in tokens} == set(NER)
    groups = ner(LONG, aggregation_strategy="simple")
    assert any(" " in group["word"] for group in groups)
    answers = [ner(LONG, aggregation_strategy=strategy) for strategy in STRATEGIES]
    assert all(a != b for index, a in enumerate(answers) for b in answers[:index])


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
@pytest.mark.parametrize("stride", [0, 7, 100])
def test_windows(folder: Path, ner: Any, oracle: Callable[..., Any], strategy: str, stride: int) -> None:
    texts = [LONG, TEXT, LONG[:900]]
    arguments = {"aggregation_strategy": strategy, "stride": stride}
    assert_as_oracle(ner, oracle("ner", folder), texts, **arguments)
    assert ner(LONG, **arguments)[-1]["end"] > len(LONG) - 60  # the end is read, too
    assert_as_oracle(ner, oracle("ner", folder), LONG, **arguments)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("delimiter", [" ", "", " - "])
def test_words(folder: Path, ner: Any, oracle: Callable[..., Any], strategy: str, delimiter: str) -> None:
    arguments = {"aggregation_strategy": strategy, "is_split_into_words": True, "delimiter": delimiter}
    wanted = oracle("ner", folder)
    for inputs in (TEXT.split(), [TEXT.split(), OTHER.split(), ["one"]]):
        assert_as_oracle(ner, wanted, inputs, **arguments)


def test_the_older_name_of_simple(ner: Any) -> None:
    assert ner(TEXT, grouped_entities=True) == ner(TEXT, aggregation_strategy="simple")
    assert ner(TEXT, grouped_entities=False) == ner(TEXT)
    assert ner(TEXT, aggregation_strategy="MAX") == ner(TEXT, aggregation_strategy="max", grouped_entities=True)


def test_positions_are_of_the_text(ner: Any) -> None:
    for token in ner(OTHER, ignore_labels=[]):
        written = OTHER[token["start"] : token["end"]].lower()
        # The tokenizer drops accents, and a token that it lacks is given as it is written.
        assert token["word"].removeprefix("##") in (written, written.translate(str.maketrans("ïé", "ie")), written)


def test_a_group_ends_where_another_begins() -> None:
    labels = dict(enumerate(["O", "B-PER", "I-PER", "B-ORG", "MISC"]))
    wanted = [["B-PER", "I-PER"], ["B-PER"], ["I-PER"], ["O"], ["MISC", "MISC"], ["B-ORG"]]
    names = ["B-PER", "I-PER", "B-PER", "O", "MISC", "MISC", "B-ORG"]
    tokens = [
        Token(index, name, index, index + 1, False, np.eye(5, dtype=np.float32)[list(labels.values()).index(name)])
        for index, name in enumerate(names)
    ]
    found = entities_of(tokens, "simple", labels, " ".join)
    wanted = ["B-PER I-PER", "B-PER", "O", "MISC MISC", "B-ORG"]
    assert [group["word"] for group in found] == wanted
    assert [group["entity_group"] for group in found] == ["PER", "PER", "O", "MISC", "ORG"]


def test_of_entities_that_overlap_the_longest_stays() -> None:
    def entity(start: int, end: int, score: float) -> dict[str, Any]:
        return {"entity_group": "X", "score": score, "word": "", "start": start, "end": end}

    given = [entity(0, 4, 0.5), entity(2, 9, 0.1), entity(2, 9, 0.3), entity(9, 10, 0.2), entity(9, 10, 0.1)]
    assert without_overlaps(given[::-1]) == [given[2], given[3]]
    assert without_overlaps([]) == []


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        (TEXT, {"aggregation_strategy": "mean"}, "aggregation_strategy: wanted one of 'none', 'simple', 'first'"),
        (TEXT, {"aggregation_strategy": 2}, "aggregation_strategy: wanted one of"),
        (TEXT, {"ignore_labels": "O"}, "ignore_labels: wanted a list of labels, found 'O'"),
        (TEXT, {"ignore_labels": [0]}, r"ignore_labels: wanted a list of labels, found \[0\]"),
        (TEXT, {"stride": 3}, "stride: wanted with an aggregation_strategy other than 'none'"),
        (TEXT, {"stride": -1, "aggregation_strategy": "max"}, "stride: wanted a whole number, 0 or more, found -1"),
        (TEXT, {"stride": 126, "aggregation_strategy": "max"}, "stride: wanted less than 126, .* found 126"),
        (TEXT, {"grouped_entities": "yes"}, "grouped_entities: wanted True or False"),
        (TEXT, {"is_split_into_words": 1}, "is_split_into_words: wanted True or False"),
        (TEXT, {"delimiter": 1}, r"delimiter: wanted a text \(str\), found int"),
        (TEXT, {"is_split_into_words": True}, "inputs: wanted a list of words, since is_split_into_words, found str"),
        (["a", 3], {"is_split_into_words": True}, r"inputs\[1\]: wanted a text \(str\), found int"),
        ([["a"], ["b", None]], {"is_split_into_words": True}, r"inputs\[1\]\[1\]: wanted a text \(str\), found None"),
        ([TEXT, ["a"]], {}, r"inputs\[1\]: wanted a text \(str\), found list"),
    ],
)
def test_refused(ner: Any, inputs: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ner(inputs, **arguments)
