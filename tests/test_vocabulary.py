"""Ids to text, tokens to ids, special tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from strings import random_texts

from npbert.tokenizer import BertTokenizer


def test_decode(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    texts = random_texts(4, 300)
    rows = tokenizer(texts)["input_ids"]
    for skip in (False, True):
        for clean in (None, False, True):
            given = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert tokenizer.batch_decode(rows, **given) == tokenizer_oracle.batch_decode(rows, **given)
            assert tokenizer.decode(rows[7], **given) == tokenizer_oracle.decode(rows[7], **given)
    text = "He said: i don't , we 're ' here ' !"
    ids = tokenizer.encode(text)
    cleaned = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
    assert cleaned == tokenizer_oracle.decode(ids, clean_up_tokenization_spaces=True)
    assert tokenizer.decode(7592) == "hello"
    assert tokenizer.decode(np.array([7592, 2088])) == "hello world"
    assert tokenizer.decode(np.array([[7592], [2088]])) == ["hello", "world"]
    assert tokenizer.batch_decode([np.array([7592]), np.array([2088, 102])]) == ["hello", "world [SEP]"]
    assert tokenizer.decode(tokenizer("hello")) == "[CLS] hello [SEP]"
    assert tokenizer.batch_decode([]) == []
    assert tokenizer.decode([7592, 10**6]) == tokenizer_oracle.decode([7592, 10**6])
    assert tokenizer.convert_tokens_to_string(["un", "##bel", "x", "."]) == "unbel x."


@pytest.mark.parametrize("bad", [[7592, -1], [7592, 2**32], [7592, 1.5], [7592, "a"], [7592, None], [7592, True]])
def test_no_ids(bad: list[Any], tokenizer: BertTokenizer) -> None:
    for call, where in (
        (lambda: tokenizer.decode(bad), r"token_ids\[1\]"),
        (lambda: tokenizer.batch_decode([[1], bad]), r"token_ids\[1\]\[1\]"),
        (lambda: tokenizer.convert_ids_to_tokens(bad), r"ids\[1\]"),
        (lambda: tokenizer.convert_ids_to_tokens(bad[1] if bad[1] != "a" else 2.5), "ids"),
    ):
        with pytest.raises(ValueError, match=f"^{where}: wanted a token id.*found"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.decode({"ids": [1]}), "token_ids: wanted ids, or a dict with the key input_ids, found {'ids': "),
        (lambda t: t.decode([1], skip_special_tokens=1), "skip_special_tokens: wanted True or False, found 1"),
        (lambda t: t.decode([1], False, "yes"), "clean_up_tokenization_spaces: wanted one of True, False, None"),
        (lambda t: t.convert_ids_to_tokens("12"), "ids: wanted a token id or a list of them, found '12'"),
        (lambda t: t.convert_ids_to_tokens([1], 1), "skip_special_tokens: wanted True or False, found 1"),
        (lambda t: t.convert_tokens_to_ids(None), r"tokens: wanted a token \(str\) or a list of them, found None"),
        (lambda t: t.convert_tokens_to_ids(["a", b"b"]), r"tokens: wanted a token \(str\) or .*found bytes"),
        (lambda t: t.convert_tokens_to_ids("\ud800"), "tokens: wanted valid Unicode, found a lone surrogate"),
        (lambda t: t.convert_tokens_to_string("ab"), "tokens: wanted a list of texts, found one text"),
        (lambda t: t.convert_tokens_to_string(["a", 1]), r"tokens\[1\]: wanted a text \(str\), found int"),
        (lambda t: t.num_special_tokens_to_add(None), "pair: wanted True or False, found None"),
    ],
)
def test_refused(call: Any, message: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call(tokenizer)


def test_vocabulary(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer_oracle) == 30522
    assert tokenizer.get_vocab() == tokenizer.vocab == tokenizer_oracle.get_vocab()
    assert tokenizer.get_added_vocab() == tokenizer_oracle.get_added_vocab()
    assert tokenizer.added_tokens_decoder == tokenizer_oracle.added_tokens_decoder
    assert tokenizer.special_tokens_map == tokenizer_oracle.special_tokens_map
    assert sorted(tokenizer.all_special_tokens) == sorted(tokenizer_oracle.all_special_tokens)
    assert sorted(tokenizer.all_special_ids) == [0, 100, 101, 102, 103]
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(tokenizer, f"{role}_token") == getattr(tokenizer_oracle, f"{role}_token")
        assert getattr(tokenizer, f"{role}_token_id") == getattr(tokenizer_oracle, f"{role}_token_id")
    for pair in (False, True):
        assert tokenizer.num_special_tokens_to_add(pair) == tokenizer_oracle.num_special_tokens_to_add(pair)
    tokens = ["hello", "##ing", "[MASK]", "no such token", ""]
    assert tokenizer.convert_tokens_to_ids(tokens) == tokenizer_oracle.convert_tokens_to_ids(tokens)
    assert tokenizer.convert_tokens_to_ids("hello") == 7592
    ids = [101, 7592, 103, 40000]
    assert tokenizer.convert_ids_to_tokens(ids) == tokenizer_oracle.convert_ids_to_tokens(ids)
    assert tokenizer.convert_ids_to_tokens(np.array(ids), True) == tokenizer_oracle.convert_ids_to_tokens(ids, True)
    assert tokenizer.convert_ids_to_tokens(7592) == "hello"
    assert bool(tokenizer)
    assert "vocab_size=30522" in repr(tokenizer)
