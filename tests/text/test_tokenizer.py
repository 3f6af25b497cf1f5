"""BERT's tokenizer against transformers', token for token, with all arguments of a call."""

from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strings import PIECES, random_texts
from tokenizing import EVERYTHING, assert_same, assert_same_with_all_arguments, load_oracle

from npbert.text.auto import AutoTokenizer, BertTokenizer


def test_many_thousand_texts_of_every_script(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    texts = [*PIECES, *random_texts(0, 20_000, most=8)]
    assert_same(tokenizer(texts, **EVERYTHING), tokenizer_oracle(texts, **EVERYTHING))


@given(text=st.text(), pair=st.none() | st.text())
@example(text="\x00", pair="a\x00b")
@example(text="", pair="")
@example(text="\u202eabc\u202c", pair="👩\u200d👩\u200d👧")
def test_any_text(text: str, pair: str | None, tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    assert_same(tokenizer(text, pair, **EVERYTHING), tokenizer_oracle(text, pair, **EVERYTHING))
    assert tokenizer.encode_ids([text]) == [tokenizer_oracle(text)["input_ids"]]
    assert tokenizer.tokenize(text) == tokenizer_oracle.tokenize(text)


def test_every_character(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    """Each character, between letters, so that it joins or separates; and some code points that are none yet."""
    points = (c for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    characters = [chr(c) for c in points if c % 32 == 0 or unicodedata.category(chr(c)) not in ("Cn", "Co")]
    texts = ["".join(f"a{c}b " for c in characters[i : i + 64]) for i in range(0, len(characters), 64)]
    assert tokenizer.encode_ids(texts) == tokenizer_oracle(texts)["input_ids"]


@pytest.mark.parametrize("text", ["a" * 1_000_000, "é" * 100_000, "😀" * 100_000, "." * 100_000])
def test_a_megabyte_without_a_space(text: str, tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    assert tokenizer(text)["input_ids"] == tokenizer_oracle(text)["input_ids"]
    cut = {"truncation": True, "max_length": 64}
    assert tokenizer(text, **cut)["input_ids"] == tokenizer_oracle(text, **cut)["input_ids"]


@pytest.mark.parametrize("truncation_side", ["right", "left"])
@pytest.mark.parametrize("words", [False, True])
def test_all_arguments_together(
    words: bool, truncation_side: str, minilm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(minilm), load_oracle(minilm)
    tokenizer.truncation_side = oracle.truncation_side = truncation_side
    assert_same_with_all_arguments(tokenizer, oracle, 300, words, truncation_side)


def test_lists_and_arrays(tokenizer: BertTokenizer) -> None:
    one = tokenizer("hello world")
    assert one == {
        "input_ids": [101, 7592, 2088, 102],
        "token_type_ids": [0, 0, 0, 0],
        "attention_mask": [1, 1, 1, 1],
    }
    assert one.input_ids is one["input_ids"]
    arrays = tokenizer(["hello world", "hi"], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert arrays.input_ids.tolist() == [[101, 7592, 2088, 102], [101, 7632, 102, 0]]
    assert arrays.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert arrays.offset_mapping.shape == (2, 4, 2)
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.int64)}
    assert tokenizer("hi", return_tensors="np").input_ids.shape == (1, 3)
    assert tokenizer("hi", add_special_tokens=False, return_tensors="np").input_ids.shape == (1, 1)
    assert tokenizer("", add_special_tokens=False, return_tensors="np").input_ids.shape == (1, 0)


def test_an_empty_batch(tokenizer: BertTokenizer) -> None:
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    given = {"padding": True, "truncation": True, "return_tensors": "np", "return_offsets_mapping": True}
    arrays = tokenizer([], **given)
    assert arrays.input_ids.shape == (0, 0)
    assert arrays.offset_mapping.shape == (0, 0, 2)
    assert tokenizer.encode_ids([]) == []
    assert tokenizer.encode_ids([], [], 8) == ([], [])


@pytest.mark.parametrize("max_length", [None, 2, 3, 8, 9, 40])
def test_encode_ids_are_those_of_a_call(max_length: int | None, tokenizer: BertTokenizer) -> None:
    texts = random_texts(1, 100, most=40)
    cut = {"truncation": max_length is not None, "max_length": max_length}
    assert tokenizer.encode_ids(texts, max_length=max_length) == tokenizer(texts, **cut)["input_ids"]
    if max_length == 2:
        return  # a pair has three special tokens
    pairs = random_texts(2, 100, most=40)
    ids, types = tokenizer.encode_ids(texts, pairs, max_length)
    wanted = tokenizer(texts, pairs, **cut)
    assert ids == wanted["input_ids"]
    assert types == wanted["token_type_ids"]


def test_encode_ids_cut_on_the_left(minilm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm, truncation_side="left")
    texts = random_texts(3, 100, most=40)
    for length in (2, 7):
        found = tokenizer.encode_ids(texts, max_length=length)
        assert found == tokenizer(texts, truncation=True, max_length=length)["input_ids"]


def test_other_ways_to_call(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    assert tokenizer.encode("hello", "world") == tokenizer_oracle.encode("hello", "world")
    assert tokenizer.encode("hello", return_tensors="np").tolist() == [[101, 7592, 102]]
    assert tokenizer.encode_plus("hello", "world") == tokenizer("hello", "world")
    assert tokenizer.batch_encode_plus([("a", "b"), "c"]) == tokenizer([("a", "b"), "c"])
    assert tokenizer.tokenize("unbelievable", "pair", True) == tokenizer_oracle.tokenize("unbelievable", "pair", True)
    # An empty second text is none, unless it is one of a batch.
    assert tokenizer("a", "") == tokenizer("a")
    assert tokenizer(["a"], [""])["input_ids"] == tokenizer_oracle(["a"], [""])["input_ids"]


def test_max_length_without_truncation(tokenizer: BertTokenizer) -> None:
    assert len(tokenizer("a " * 50, max_length=9)["input_ids"]) == 9
    assert len(tokenizer("a " * 50, max_length=9, truncation=False)["input_ids"]) == 52
    assert len(tokenizer("a " * 600, truncation=True)["input_ids"]) == tokenizer.model_max_length == 512
    with pytest.warns(UserWarning, match=r"max_length has no effect"):
        assert len(tokenizer("a " * 50, max_length=9, padding=True)["input_ids"]) == 52


def test_tokens_and_characters(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    """BatchEncoding's ways between tokens, words and characters."""
    texts, pairs = ["Unbelievable, naïve ﬁn", "漢字 x"], ["electroencephalography", "👩‍👩‍👧 y"]
    found, wanted = tokenizer(texts, pairs), tokenizer_oracle(texts, pairs)
    for row in range(2):
        assert found.tokens(row) == wanted.tokens(row)
        assert found.word_ids(row) == wanted.word_ids(row)
        assert found.sequence_ids(row) == wanted.sequence_ids(row)
        for token in range(len(found["input_ids"][row])):
            assert found.token_to_word(row, token) == wanted.token_to_word(row, token)
            assert found.token_to_chars(row, token) == wanted.token_to_chars(row, token)
            if wanted.sequence_ids(row)[token] is not None:
                assert found.token_to_sequence(row, token) == wanted.token_to_sequence(row, token)
        for sequence, text in enumerate((texts[row], pairs[row])):
            for index in range(len(text)):
                assert found.char_to_token(row, index, sequence) == wanted.char_to_token(row, index, sequence)
                assert found.char_to_word(row, index, sequence) == wanted.char_to_word(row, index, sequence)
            assert found.word_to_tokens(row, 0, sequence) == wanted.word_to_tokens(row, 0, sequence)
            assert found.word_to_chars(row, 0, sequence) == wanted.word_to_chars(row, 0, sequence)
        assert found.token_to_chars(row, -2) == found.token_to_chars(row, len(found.tokens(row)) - 2)
    assert found.token_to_chars(2) == found.token_to_chars(0, 2)
    assert found[0].ids == found["input_ids"][0]
    assert [row.ids for row in found[:]] == found["input_ids"]
    assert found.n_sequences == 2
    assert dict(**found) == found.data == dict(wanted)
    assert not hasattr(found, "pixel_values")
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.word_ids(1) == found.word_ids(1)
