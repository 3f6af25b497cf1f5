"""`pad` against transformers', and what it refuses."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strings import random_texts
from tokenizing import assert_same, load_oracle

from npbert.text.auto import AutoTokenizer, BertTokenizer

ROWS = {"input_ids": [[5, 6, 7], [8], []]}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_as_transformers(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    folder = tokenizer_folder(kind)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    texts = random_texts(30, 6)
    several = dict(tokenizer(texts, return_special_tokens_mask=True, return_token_type_ids=True))
    one = {key: column[1] for key, column in several.items()}
    apart = [{key: column[row] for key, column in several.items()} for row in range(len(texts))]
    labelled = {"input_ids": several["input_ids"], "labels": [0.5] * len(texts)}
    arrays = {key: np.array([column[2]]) for key, column in several.items()}
    compared = 0
    for given, padding, length, multiple, side, mask, tensors in itertools.product(
        (several, one, apart, labelled, arrays, ROWS),
        (True, "longest", "max_length", False),
        (None, 4, 70),
        (None, 8),
        (None, "left"),
        (None, False),
        (None, "np"),
    ):
        arguments = {
            "padding": padding,
            "max_length": length,
            "pad_to_multiple_of": multiple,
            "padding_side": side,
            "return_attention_mask": mask,
            "return_tensors": tensors,
            "verbose": False,
        }
        try:
            wanted = oracle.pad(copy.deepcopy(given), **arguments)
        except ValueError:  # rows of several lengths
            with pytest.raises(ValueError, match="'np' wants rows of one length"):
                tokenizer.pad(given, **arguments)
            continue
        if any(isinstance(column, np.ndarray) and column.dtype == object for column in wanted.values()):
            continue
        found = tokenizer.pad(given, **arguments)
        labels = found.pop("labels", None)
        np.testing.assert_array_equal(labels, wanted.pop("labels", None))
        assert_same(found, wanted)
        compared += 1
    assert compared > 700


def test_nothing_that_is_given_changes(tokenizer: BertTokenizer) -> None:
    given = copy.deepcopy(ROWS)
    found = tokenizer.pad(given)
    assert given == ROWS
    assert found == {"input_ids": [[5, 6, 7], [8, 0, 0], [0, 0, 0]], "attention_mask": [[1, 1, 1], [1, 0, 0], [0] * 3]}
    calls = [tokenizer("a b c"), tokenizer("a")]
    assert_same(tokenizer.pad(calls, return_tensors="np"), tokenizer(["a b c", "a"], padding=True, return_tensors="np"))
    assert tokenizer.pad({"input_ids": []}) == {"input_ids": [], "attention_mask": []}


@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        (None, {}, "encoded_inputs: wanted a dict with the key input_ids, or a list of such, found None"),
        ([1, 2], {}, r"encoded_inputs: wanted a dict with the key input_ids, or a list of such, found \[1, 2\]"),
        ({"ids": [1]}, {}, "encoded_inputs: wanted a dict with the key input_ids"),
        ([{"input_ids": [1]}, {}], {}, r"encoded_inputs\[1\]: wanted the keys input_ids, found"),
        ({"input_ids": 3}, {}, "encoded_inputs: input_ids: wanted a list as long as input_ids, found 3"),
        ({"input_ids": [1, "a"]}, {}, r"encoded_inputs: input_ids\[1\]: wanted a token id, found 'a'"),
        ({"input_ids": [[1], 2]}, {}, r"encoded_inputs: input_ids\[1\]: wanted a row of ids, found 2"),
        ({"input_ids": [[1], [-2]]}, {}, r"encoded_inputs: input_ids\[1\]\[0\]: wanted a token id, .* found -2"),
        ({**ROWS, "labels": [1]}, {}, r"encoded_inputs: labels: wanted a list as long as input_ids, found \[1\]"),
        ({**ROWS, "attention_mask": [[1]] * 3}, {}, r"attention_mask\[0\]: wanted 3 numbers, found \[1\]"),
        (ROWS, {"padding": "long"}, "padding: wanted True, False"),
        (ROWS, {"padding_side": "top"}, "padding_side: wanted 'left' or 'right', found 'top'"),
        (ROWS, {"return_tensors": "pt"}, "return_tensors: wanted 'np'"),
        (ROWS, {"return_attention_mask": 1}, "return_attention_mask: wanted one of True, False, None, found 1"),
        (ROWS, {"max_length": 2**40, "padding": "max_length"}, "max_length: wanted at most 1048576, to pad to"),
    ],
)
def test_refused(given: Any, arguments: dict[str, Any], message: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer.pad(given, **arguments)


def test_without_a_pad_token(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm, pad_token=None)
    assert tokenizer.pad({"input_ids": [[1]]}, padding=False) == {"input_ids": [[1]], "attention_mask": [[1]]}
    with pytest.raises(ValueError, match=r"^padding: wanted False, since this tokenizer has no pad_token"):
        tokenizer.pad({"input_ids": [[1]]})
