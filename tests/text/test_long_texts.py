"""Long texts are cut by characters before they are tokenized, and nobody can tell."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken
from tokenizing import EVERYTHING, assert_same, copy_files, edit_json, load_oracle

from npbert.text.auto import AutoTokenizer, BertTokenizer
from npbert.text.long_texts import CHARS_PER_TOKEN, LongTexts


def added_tokens_folder(minilm: Path, folder: Path, tokens: list[AddedToken]) -> Path:
    """A tokenizer with added tokens, as transformers saves it."""
    oracle = load_oracle(minilm)
    oracle.add_tokens(tokens)
    oracle.save_pretrained(folder)
    return folder


ADDED = {
    "none": [],
    "plain": [AddedToken("frobnicate", normalized=False), AddedToken("ing", single_word=True)],
    "punctuation": [AddedToken("a,b", normalized=False), AddedToken("-->"), AddedToken("</w>", special=True)],
    "stripping": [AddedToken("<l>", lstrip=True, special=True), AddedToken("<r>", rstrip=True, special=True)],
    "spaces": [AddedToken("new york", normalized=True), AddedToken(" . ", normalized=False)],
    "chinese": [AddedToken("漢字", normalized=False)],
    "normalized chinese": [AddedToken("語x", normalized=True)],
    "accents": [AddedToken("É!", normalized=True), AddedToken("İx", normalized=True)],
}
LONG_WORDS = """
word Naïve x,y a,b a , b --> - </w> <l> <r> New York new york . 漢字 漢 語x 語 é! É! ix i ing doing frobnicate frobni
[MASK] [MA SK] 。 、 abababab ?!,;:
"""
LONG_PIECES = [*LONG_WORDS.split(), "new york", "\u0301", "\u0308", "\u3099", "\u200b", "\x00", "ก" * 30, "z" * 130]
LONG_PIECES += ["漢" * 20, "e\u0301!", "\u0327,", ",\u0327", "漢\u0301", " \u0301 "]
LONG_GLUE = ["", "", " ", " ", "\n", "\t", ",", ", ", "\r\n", "\u3000"]


@pytest.mark.parametrize("added", ADDED)
def test_long_texts_give_what_the_whole_gives(added: str, minilm: Path, tmp_path: Path) -> None:
    """Texts cut by characters first, at every kind of place, against transformers, which reads them whole."""
    folder = added_tokens_folder(minilm, tmp_path, ADDED[added])
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    dice = random.Random(added)
    texts = [
        "".join(dice.choice(LONG_PIECES) + dice.choice(LONG_GLUE) for _ in range(dice.randint(10, 150)))
        for _ in range(12)
    ]
    for length in (2, 3, 10):
        cut = {"truncation": True, "max_length": length, **EVERYTHING}
        wanted = oracle(texts, **cut)
        assert_same(tokenizer(texts, **cut), wanted)
        assert tokenizer.encode_ids(texts, max_length=length) == wanted["input_ids"]
    pairs = [text[: dice.choice([5, 50, 5000])] for text in reversed(texts)]
    first, second = ([len(row) for row in oracle(side)["input_ids"]] for side in (texts, pairs))
    for length in (3, 8, 9, 24):
        for strategy in ("longest_first", "only_first", "only_second"):
            rows = [
                (a, b)
                for a, b, *lengths in zip(texts, pairs, second, first, strict=True)
                if strategy == "longest_first" or lengths[strategy == "only_second"] < length - 1
            ]
            cut = {"truncation": strategy, "max_length": length, **EVERYTHING}
            if rows:
                assert_same(tokenizer(rows, **cut), oracle(rows, **cut))


@pytest.mark.parametrize("added", ADDED)
def test_every_place_of_a_cut(added: str, minilm: Path, tmp_path: Path) -> None:
    """The claim of LongTexts itself: the tokens before a cut are the first tokens of the whole text."""
    tokenizer = AutoTokenizer.from_pretrained(added_tokens_folder(minilm, tmp_path, ADDED[added]))
    long_texts, encode = LongTexts(tokenizer.backend_tokenizer), tokenizer.backend_tokenizer.encode
    dice = random.Random(added)
    cuts = 0
    for _ in range(60):
        text = "".join(dice.choice(LONG_PIECES) + dice.choice(LONG_GLUE) for _ in range(12))
        whole = encode(text, add_special_tokens=False)
        ends = {len(long_texts._beginning(text, start)) for start in range(len(text))}
        for end in ends:
            part = encode(text[:end], add_special_tokens=False)
            assert part.ids == whole.ids[: len(part)], (text, end)
            assert part.offsets == whole.offsets[: len(part)], (text, end)
        cuts += len(ends)
    # With a token that has a space in it, as the normalizer leaves it, texts are read whole.
    assert cuts == 60 if added in ("spaces", "normalized chinese") else cuts > 60 * 5


@pytest.mark.parametrize("piece", ["hello wörld, ", "漢字", "no/space/but,punctuation;", "\x00\x01 "])
def test_little_is_read_of_a_long_text(piece: str, tokenizer: BertTokenizer) -> None:
    text = piece * (1_000_000 // len(piece))
    read = 0

    def encode(texts: Any) -> Any:
        nonlocal read
        read += sum(map(len, texts))
        return tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    long_texts = LongTexts(tokenizer.backend_tokenizer)
    (shorter,) = long_texts.shorten([text], 65, encode)
    if piece.startswith("\x00"):  # no tokens at all: it has to be read to its end to know that
        assert shorter == text
        assert read < 2 * len(text)
    else:
        assert read < 4 * CHARS_PER_TOKEN * 65
        assert len(encode([shorter])[0]) >= 65


def test_ten_megabytes_take_no_time_when_truncated(tokenizer: BertTokenizer) -> None:
    text = "hello wörld, " * 800_000
    start = time.perf_counter()
    assert len(tokenizer(text, truncation=True, max_length=64)["input_ids"]) == 64
    assert len(tokenizer.encode_ids([text], max_length=64)[0]) == 64
    assert time.perf_counter() - start < 1  # the whole takes about 3 seconds


def test_texts_of_an_unknown_pipeline_are_read_whole(minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "tokenizer.json", "tokenizer_config.json")
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    split = {"type": "Split", "pattern": {"String": "o w"}, "behavior": "Isolated", "invert": False}
    edit_json(
        folder / "tokenizer.json",
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split, values["pre_tokenizer"]]},
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "hello world " * 1000
    encode = tokenizer.backend_tokenizer.encode
    assert LongTexts(tokenizer.backend_tokenizer).shorten([text], 5, lambda texts: []) == [text]
    assert tokenizer(text, truncation=True, max_length=9)["input_ids"][:-1] == encode(text).ids[:8]


# --- the other families

WORDS_AND_SPACES = """
word Naïve x,y
don't we'll 's ' it's 漢字 漢 ﷺ ① ﬁn É! İx new </w> <n> <mask> <mask [MASK] <s> _ __ ▁ a▁b `` '' 123 ٣ ½ 😀 👩‍👩‍👧
"""
FAMILY_PIECES = [
    *WORDS_AND_SPACES.split(),
    "\u0301",
    "e\u0301",
    "\u200b",
    "\x00",
    "ก" * 30,
    "z" * 130,
    "\u00a0",
    "\u3099",
]
FAMILY_GLUE = ["", "", " ", " ", "  ", "\n", "\t", "\r\n", "\u3000", " \u0301", "\n \n"]
FAMILY_ADDED = {
    "none": [],
    "some": [AddedToken("<n>", special=True), AddedToken("new", single_word=True), AddedToken("É!", normalized=True)],
    "stripping": [AddedToken("<n>", lstrip=True, rstrip=True)],
    "spaces": [AddedToken("x y")],
}


@pytest.mark.parametrize("added", FAMILY_ADDED)
@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert", "albert"])
def test_every_place_of_a_cut_in_other_families(
    kind: str, added: str, tokenizer_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    backend = tokenizer.backend_tokenizer
    backend.add_tokens(FAMILY_ADDED[added])
    long_texts = LongTexts(backend)
    dice = random.Random(added)
    cuts = 0
    for _ in range(60):
        text = "".join(dice.choice(FAMILY_PIECES) + dice.choice(FAMILY_GLUE) for _ in range(12))
        whole = backend.encode(text, add_special_tokens=False)
        ends = {len(long_texts._beginning(text, start)) for start in range(len(text))}
        for end in ends:
            part = backend.encode(text[:end], add_special_tokens=False)
            assert part.ids == whole.ids[: len(part)], (text, end)
            assert part.offsets == whole.offsets[: len(part)], (text, end)
            assert part.word_ids == whole.word_ids[: len(part)], (text, end)
        cuts += len(ends)
    assert cuts == 60 if added in ("stripping", "spaces") else cuts > 60 * 3


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert", "albert"])
def test_other_families_give_what_the_whole_gives(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(tokenizer_folder(kind)), load_oracle(tokenizer_folder(kind))
    dice = random.Random(kind)
    texts = [
        "".join(dice.choice(FAMILY_PIECES) + dice.choice(FAMILY_GLUE) for _ in range(dice.randint(10, 150)))
        for _ in range(15)
    ]
    pairs = [text[:200] for text in texts[::-1]]
    for length in (4, 13, 24):
        cut = {"truncation": True, "max_length": length, **EVERYTHING}
        assert_same(tokenizer(texts, **cut), oracle(texts, **cut))
        if length > 4:  # the overflow of both texts is paired, so there are as many rows as their product
            assert_same(tokenizer(texts, pairs, **cut), oracle(texts, pairs, **cut))
    text = "hello wörld, " * 100_000
    read = 0

    def encode(texts: Any) -> Any:
        nonlocal read
        read += sum(map(len, texts))
        return tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    LongTexts(tokenizer.backend_tokenizer).shorten([text], 65, encode)
    assert read < 4 * CHARS_PER_TOKEN * 65


def test_two_long_texts_of_a_pair(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    """An odd number of tokens to share: the longer text gets one more, so their lengths matter far from the cut."""
    longer, shorter = "a b " * 300, "c d, " * 100
    for first, second in ((longer, shorter), (shorter, longer), (longer, longer), (shorter * 3, "c d " * 300)):
        for length in (24, 25):
            cut = {"truncation": True, "max_length": length}
            assert tokenizer(first, second, **cut)["input_ids"] == tokenizer_oracle(first, second, **cut)["input_ids"]
    # As many overflowing rows as each has of the other would be no end of them.
    assert len(tokenizer("a b " * 100_000, "c d " * 90_000, truncation=True)["input_ids"]) == 512
