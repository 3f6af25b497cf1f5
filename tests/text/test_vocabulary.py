"""Ids to text, tokens to ids, special tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strings import random_texts
from tokenizers import AddedToken
from tokenizing import load_oracle

from npbert.text.auto import AutoTokenizer, BertTokenizer


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


ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@pytest.fixture
def pair(minilm: Path) -> tuple[BertTokenizer, Any]:
    """A tokenizer to change, and transformers'."""
    return AutoTokenizer.from_pretrained(minilm), load_oracle(minilm)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pad_token", "[UNK]"),
        ("pad_token", AddedToken("[unused7]")),
        ("pad_token_id", 5),
        ("pad_token", None),
        ("mask_token", "hello"),
        ("mask_token_id", 7592),
        ("mask_token", None),
        ("cls_token", "hello"),
        ("sep_token_id", None),
        ("bos_token", "[CLS]"),
        ("extra_special_tokens", ["hello", "world"]),
        ("additional_special_tokens", ["hello"]),
    ],
)
def test_special_tokens_are_set(name: str, value: Any, pair: tuple[BertTokenizer, Any], tmp_path: Path) -> None:
    own, oracle = pair
    setattr(own, name, value)
    setattr(oracle, name.replace("additional", "extra"), value)  # the older name does nothing any more
    for role in ROLES:
        assert getattr(own, f"{role}_token") == getattr(oracle, f"{role}_token")
        assert getattr(own, f"{role}_token_id") == getattr(oracle, f"{role}_token_id")
    assert {*own.all_special_tokens} == {*oracle.all_special_tokens}
    assert {*own.all_special_ids} == {*oracle.all_special_ids}
    assert own.special_tokens_map == {role: token for role, token in oracle.special_tokens_map.items() if token}
    texts = ["hello", "a hello world"]
    if own.pad_token is not None:
        for call in ({"padding": True}, {"padding": "max_length", "max_length": 9, "truncation": True}):
            assert own(texts, **call)["input_ids"] == oracle(texts, **call)["input_ids"]
        rows = {"input_ids": [[5], [6, 7]]}
        assert own.pad(rows)["input_ids"] == oracle.pad(rows)["input_ids"]
    else:
        with pytest.raises(ValueError, match=r"^padding: wanted False, since this tokenizer has no pad_token"):
            own(texts, padding=True)
    ids = own(texts[1])["input_ids"]
    assert own.decode(ids, skip_special_tokens=True) == oracle.decode(ids, skip_special_tokens=True)
    assert own.convert_ids_to_tokens(ids, True) == oracle.convert_ids_to_tokens(ids, True)
    own.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.special_tokens_map == own.special_tokens_map
    assert again.extra_special_tokens == own.extra_special_tokens


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pad_token", "<new>", "pad_token: wanted a token of the vocabulary, found '<new>'"),
        ("pad_token", 3, r"pad_token: wanted a token \(str\) or None, found 3"),
        ("pad_token", "\ud800", "pad_token: wanted valid Unicode"),
        ("mask_token_id", 10**6, "mask_token_id: wanted an id of the vocabulary, found 1000000"),
        ("mask_token_id", "5", "ids: wanted a token id"),
        ("mask_token_id", [5], "mask_token_id: wanted an id of the vocabulary"),
        ("extra_special_tokens", ["<new>"], "extra_special_tokens: wanted a token of the vocabulary"),
        ("extra_special_tokens", "hello", "extra_special_tokens: wanted a list of tokens, found 'hello'"),
    ],
)
def test_what_can_be_no_special_token(name: str, value: Any, message: str, pair: tuple[BertTokenizer, Any]) -> None:
    """transformers takes the first for [UNK], and pads with that."""
    before = pair[0].special_tokens_map
    with pytest.raises(ValueError, match=f"^{message}"):
        setattr(pair[0], name, value)
    assert pair[0].special_tokens_map == before


def test_special_tokens_are_split(pair: tuple[BertTokenizer, Any]) -> None:
    own, oracle = pair
    assert not own.split_special_tokens
    own.split_special_tokens = oracle.split_special_tokens = True
    assert own("a [MASK]")["input_ids"] == oracle("a [MASK]")["input_ids"] == [101, 1037, 1031, 7308, 1033, 102]
    with pytest.raises(ValueError, match=r"^split_special_tokens: wanted True or False, found 1"):
        own.split_special_tokens = 1  # type: ignore[assignment]
