"""What is no text, and arguments that don't go together, get a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npbert.text.auto import AutoTokenizer, BertTokenizer
from npbert.text.inputs import TextError


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (None, "found None"),
        (b"bytes", "found bytes"),
        (7, "found int"),
        (np.array(["a"]), "found ndarray"),
        ("x\ud800", r"a lone surrogate, U\+D800, at character 1"),
        ("\udfff" + "a " * 2000, r"a lone surrogate, U\+DFFF, at character 0"),
        ("é a " * 2000 + "\udc00", r"a lone surrogate, U\+DC00, at character 8000"),
    ],
)
def test_what_is_no_text_is_named_by_its_index(bad: Any, found: str, tokenizer: BertTokenizer) -> None:
    for call, where in (
        (lambda: tokenizer(["a", "b", bad]), r"text\[2\]"),
        (lambda: tokenizer(["a", bad], truncation=True, max_length=8), r"text\[1\]"),
        (lambda: tokenizer(["a", "b"], ["c", bad]), r"text_pair\[1\]"),
        (lambda: tokenizer(["a", "b"], ["c", bad], truncation=True, max_length=9), r"text_pair\[1\]"),
        (lambda: tokenizer([("a", "b"), ("c", bad)]), r"text(_pair)?\[1\](\[1\])?"),
        (lambda: tokenizer([["a"], ["b", bad]], is_split_into_words=True), r"text\[1\]\[1\]"),
        (lambda: tokenizer.encode_ids(["a", bad]), r"texts\[1\]"),
        (lambda: tokenizer.encode_ids(["a", bad], max_length=8, start=32), r"texts\[33\]"),
        (lambda: tokenizer.encode_ids(["a", "b"], ["c", bad], 8), r"pairs\[1\]"),
    ):
        with pytest.raises(TextError, match=f"^{where}: .*{found}") as raised:
            call()
        assert isinstance(raised.value, TypeError)
        assert isinstance(raised.value, ValueError)


def test_no_texts_at_all(tokenizer: BertTokenizer) -> None:
    for bad, found in ((None, "None"), (b"x", "bytes"), (3, "int"), ({"a": 1}, "dict")):
        with pytest.raises(TextError, match=f"^text: wanted a text.*found {found}"):
            tokenizer(bad)
    with pytest.raises(TextError, match=r"^text: wanted valid Unicode, found a lone surrogate"):
        tokenizer("\ud800")
    with pytest.raises(TextError, match=r"^text_pair: wanted a text"):
        tokenizer("a", 3)
    with pytest.raises(TextError, match=r"^text_pair: wanted a list as long as text, 1 items, found str"):
        tokenizer(["a"], "b")
    with pytest.raises(ValueError, match=r"^text_pair: wanted a list as long as text, 1 items, found 2"):
        tokenizer(["a"], ["b", "c"])
    with pytest.raises(TextError, match=r"^text: wanted a list of words, found str"):
        tokenizer("a", is_split_into_words=True)
    with pytest.raises(TextError, match=r"^texts: wanted a list of texts, found one text"):
        tokenizer.encode_ids("abc")
    for bad, found in ((None, "None"), (3, "int"), ({"a": 1}, "dict"), ({"a"}, "set, which has no order")):
        with pytest.raises(TextError, match=f"^texts: wanted a list of texts, found {found}"):
            tokenizer.encode_ids(bad)
        if bad is not None:
            with pytest.raises(TextError, match=f"^pairs: wanted a list of texts, found {found}"):
                tokenizer.encode_ids(["a"], bad)
    with pytest.raises(TextError, match=r"^text: wanted a text \(str\), found list"):
        tokenizer.tokenize(["a", "b"])
    with pytest.raises(TextError, match=r"^text_pair: wanted a text \(str\), found list"):
        tokenizer("a", np.array([1, 2]))
    with pytest.raises(ValueError, match=r"^pairs: wanted as many as texts, 2, found 1"):
        tokenizer.encode_ids(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"return_tensors": "pt"}, "^return_tensors: wanted 'np' .*found 'pt'; torch.from_numpy"),
        ({"return_tensors": "tf"}, "^return_tensors: wanted 'np' .*found 'tf'$"),
        ({"return_tensors": np.array(["np", "pt"])}, r"^return_tensors: wanted 'np' .*found array\("),
        ({"add_special_tokens": None}, "^add_special_tokens: wanted True or False, found None"),
        ({"is_split_into_words": 1}, "^is_split_into_words: wanted True or False, found 1"),
        ({"return_offsets_mapping": "yes"}, "^return_offsets_mapping: wanted True or False, found 'yes'"),
        ({"return_attention_mask": 0}, "^return_attention_mask: wanted one of True, False, None, found 0"),
        ({"padding": 1}, "^padding: wanted True, False, 'longest' or 'max_length', found 1"),
        ({"padding": np.array([1, 2])}, "^padding: wanted True, False, .*found array"),
        ({"truncation": np.array([1, 2])}, "^truncation: wanted True, False, .*found array"),
        ({"padding": "long"}, "^padding: wanted True, False, 'longest' or 'max_length', found 'long'"),
        ({"truncation": "all"}, "^truncation: wanted True, False, 'longest_first'.*found 'all'"),
        ({"padding_side": "up", "padding": True}, "^padding_side: wanted 'left' or 'right', found 'up'"),
        ({"max_length": -1}, "^max_length: wanted a whole number, 0 or more, found -1"),
        ({"max_length": 8.0}, "^max_length: wanted a whole number, 0 or more, found 8.0"),
        ({"max_length": 1}, "^max_length: wanted at least 2, the special tokens alone, found 1"),
        ({"max_length": 2**63, "truncation": True}, "^max_length: wanted a whole number, 0 to 9223372036854775807"),
        ({"max_length": 2**20 + 1, "padding": "max_length"}, "^max_length: wanted at most 1048576, to pad to, found"),
        ({"pad_to_multiple_of": 2**40, "padding": True}, "^pad_to_multiple_of: wanted at most 1048576.*found"),
        ({"max_length": True}, "^max_length: wanted a whole number, 0 or more, found True"),
        ({"stride": -1}, "^stride: wanted a whole number, 0 or more, found -1"),
        (
            {"max_length": 8, "stride": 6, "return_overflowing_tokens": True},
            "^stride: wanted less than the 6 tokens that fit.*found 6",
        ),
        ({"pad_to_multiple_of": 0}, "^pad_to_multiple_of: wanted a whole number, 1 or more, found 0"),
        (
            {"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 8},
            "^max_length: wanted a multiple of pad_to_multiple_of, 8.*found 9",
        ),
        ({"max_length": 4, "truncation": "only_second"}, "^text: can't be tokenized: .*[Ss]econd"),
    ],
)
def test_bad_arguments(given: dict[str, Any], message: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer("a text of some ten tokens, or so it is said", **given)


@pytest.mark.parametrize("limit", [None, "512", 512.0, True, 0, float("nan")])
def test_a_longest_length_that_is_none(limit: Any, minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.model_max_length = limit
    with pytest.raises(ValueError, match=r"^model_max_length: wanted a whole number, 1 or more, found "):
        tokenizer("a", truncation=True)
    assert tokenizer("a", truncation=True, max_length=9)["input_ids"] == [101, 1037, 102]


def test_rows_of_several_lengths_are_no_array(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=r"wants rows of one length, found 3 to 5 tokens; padding=True"):
        tokenizer(["a", "a b c"], return_tensors="np")


def test_a_pattern_that_gives_up_is_a_value_error(
    minilm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`tokenizers` panics where a pattern of tokenizer.json takes too many steps for a text."""
    values = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    values["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "^(a|a)*$"},
        "behavior": "Isolated",
        "invert": False,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for call in (tokenizer, lambda text: tokenizer.encode_ids([text])):
        with pytest.raises(ValueError, match=r"^text: can't be tokenized: .*retry-limit-in-match over"):
            call("a" * 40 + "!")
    assert tokenizer("a")["input_ids"] == [101, 1037, 102]


def test_a_panic_of_the_backend_is_a_value_error(tokenizer: BertTokenizer, capfd: pytest.CaptureFixture[str]) -> None:
    """`tokenizers` asserts that the stride is less than what stays of each text of a pair."""
    with pytest.raises(ValueError, match=r"^text: can't be tokenized: `stride` must be strictly less"):
        tokenizer("a b c d e f", "g h i j k l", truncation=True, max_length=8, stride=2, return_overflowing_tokens=True)
    # Where nothing that overflows is wanted, nothing is repeated.
    row = tokenizer("a b c d e f", "g h i j k l", truncation=True, max_length=8, stride=2)["input_ids"]
    assert row == tokenizer("a b c d e f", "g h i j k l", truncation=True, max_length=8)["input_ids"]
    assert tokenizer("a")["input_ids"] == [101, 1037, 102]
