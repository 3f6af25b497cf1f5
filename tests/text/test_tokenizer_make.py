"""Tokenizers that are made by calling their class, with the arguments of transformers 4 and 5."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strings import PIECES, random_texts
from tokenizers import Tokenizer
from tokenizing import EVERYTHING, assert_same

import npbert
from npbert.text.auto import BertTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

TEXTS = [*PIECES, *random_texts(12, 200)]


def small_vocabulary(minilm: Path) -> dict[str, int]:
    tokens = (minilm / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    return {token: index for index, token in enumerate(tokens)}


@pytest.mark.parametrize("switches", [{}, {"do_lower_case": False}, {"tokenize_chinese_chars": False}])
def test_a_vocabulary(switches: dict[str, Any], minilm: Path) -> None:
    """By transformers 5, which knows the first argument alone; 4 calls it vocab_file."""
    import transformers

    file = minilm / "vocab.txt"
    oracle = transformers.BertTokenizer(str(file), **switches)
    assert len(oracle) == 30522
    wanted = oracle(TEXTS, **EVERYTHING)
    for made in (
        BertTokenizer(str(file), **switches),
        BertTokenizer(vocab=file, **switches),
        npbert.BertTokenizerFast(vocab_file=str(file), **switches),
        BertTokenizer(small_vocabulary(minilm), **switches),
    ):
        assert_same(made(TEXTS, **EVERYTHING), wanted)
        assert made.special_tokens_map == oracle.special_tokens_map
        assert made.model_max_length == oracle.model_max_length
        assert made(["a", "a b"], padding=True)["input_ids"] == [[101, 1037, 102, 0], [101, 1037, 1038, 102]]
        made.check_vocabulary(30522)


def test_vocabulary_and_merges(tokenizer_folder: Callable[[str], Path], tmp_path: Path) -> None:
    import transformers

    folder = tokenizer_folder("roberta")
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    wanted = transformers.RobertaTokenizer(str(vocab), str(merges))(TEXTS, **EVERYTHING)
    values = json.loads(vocab.read_text(encoding="utf-8"))
    pairs = [line.split(" ") for line in merges.read_text(encoding="utf-8").split("\n")[1:-1]]
    for made in (
        RobertaTokenizer(str(vocab), str(merges)),
        npbert.RobertaTokenizerFast(vocab_file=vocab, merges_file=merges),
        RobertaTokenizer(vocab=values, merges=pairs),
        RobertaTokenizer(values, merges),
        RobertaTokenizer(vocab, [" ".join(pair) for pair in pairs]),
    ):
        assert_same(made(TEXTS, **EVERYTHING), wanted)
        assert made.mask_token_id == values["<mask>"]


def test_a_tokenizer_json_or_object(minilm: Path) -> None:
    import transformers

    file = str(minilm / "tokenizer.json")
    given = {"unk_token": "[UNK]", "mask_token": "<m>", "model_max_length": 9, "padding_side": "left"}
    oracle = transformers.PreTrainedTokenizerFast(tokenizer_file=file, **given)
    backend = Tokenizer.from_file(file)
    before = backend.to_str()
    texts = [*TEXTS[:50], "a <m>b"]
    for made in (
        PreTrainedTokenizerFast(tokenizer_file=file, **given),
        PreTrainedTokenizerFast(tokenizer_object=backend, **given),
    ):
        assert made.special_tokens_map == oracle.special_tokens_map
        assert made.get_added_vocab() == oracle.get_added_vocab()  # <m> is a new one
        assert (made.model_max_length, made.padding_side, made.mask_token_id) == (9, "left", 30522)
        for call in ({"truncation": True, "padding": True}, {}):
            wanted = oracle(texts, **call, **EVERYTHING)
            assert_same(made(texts, **call, **EVERYTHING), wanted)
        again = pickle.loads(pickle.dumps(made))
        assert again(texts) == made(texts)
    assert backend.to_str() == before  # it was copied
    assert BertTokenizer(tokenizer_file=file).mask_token_id == 103


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("BertTokenizer", {}, r"wanted tokenizer_file or .* or vocab or vocab_file, found none; .*from_pretrained"),
        ("BertTokenizer", {"vocab": "a", "merges": "b"}, "found vocab and merges"),
        ("BertTokenizer", {"vocab": "a", "vocab_file": "b"}, "found vocab and vocab_file"),
        ("BertTokenizer", {"vocab": "a", "tokenizer_file": "b"}, "found vocab and tokenizer_file"),
        ("RobertaTokenizer", {"vocab_file": "a"}, "vocab or vocab_file and merges or merges_file, found vocab_file"),
        ("PreTrainedTokenizerFast", {"vocab": "a"}, "wanted tokenizer_file or tokenizer_object, found vocab"),
        ("PreTrainedTokenizerFast", {"tokenizer_object": "a"}, "wanted a tokenizers.Tokenizer, found 'a'"),
    ],
)
def test_what_makes_no_tokenizer(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{kind}: .*{message}"):
        getattr(npbert, kind)(**given)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (5, "^vocab: wanted a path or a dict of tokens and their ids, found 5"),
        ([("a", 0)], "^vocab: wanted a path or a dict"),
        ({"[UNK]": "0"}, r"^vocab: '\[UNK\]': wanted an id, a whole number, found '0'"),
        ({"[UNK]": -1}, r"^vocab: '\[UNK\]': wanted an id"),
        ({"[UNK]": True}, r"^vocab: '\[UNK\]': wanted an id"),
        ({1: 1}, r"^vocab: wanted tokens \(str\), found 1"),
        ({"a\ud800": 1}, r"^vocab: wanted valid Unicode, found a lone surrogate"),
        ({}, "^vocab: wanted a token on each line, found none|wanted"),
        ({"[UNK]": 0}, r"^BertTokenizer: wanted cls_token '\[CLS\]' in the vocabulary"),
    ],
)
def test_what_is_no_vocabulary(vocab: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BertTokenizer(vocab)


def test_a_path_that_is_no_vocabulary(minilm: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        BertTokenizer(tmp_path / "nowhere.txt")
    with pytest.raises(
        OSError, match=r"^BertTokenizer: vocab: wanted a file, found the folder .*, which BertTokenizer.from_pretrained"
    ):
        BertTokenizer(str(minilm))
    os.mkfifo(tmp_path / "pipe")
    for name in ("vocab_file", "tokenizer_file"):
        with pytest.raises(OSError, match=r"pipe: wanted a regular file"):
            BertTokenizer(**{name: tmp_path / "pipe"})


def test_models_are_made_by_from_pretrained() -> None:
    with pytest.raises(TypeError, match=r"^BertModel: wanted BertModel\.from_pretrained\(name\), which has weights"):
        npbert.BertModel(npbert.BertConfig())
