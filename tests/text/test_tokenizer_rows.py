"""Long texts and many: read in pieces, cut in words without an end, truncated without all that would overflow."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from strings import random_text
from tokenizers import AddedToken
from tokenizing import EVERYTHING

from npbert.text.auto import AutoTokenizer, BertTokenizer
from npbert.text.long_texts import LongTexts
from npbert.text.rows import in_pieces, kept, size

FAMILIES = ["bert", "mpnet", "roberta", "xlm-roberta", "camembert", "albert"]
SCRIPTS = """
漢字 日本語 ひらがな カタカナ 한국어 ภาษาไทย กขคง 豈 が か\u3099 ﾊﾞ 々 。 word ½ \u0301 x, new <n> 字x _
"""
TOKENS = [AddedToken("<n>", special=True), AddedToken("new", single_word=True), AddedToken("Éx", normalized=True)]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tokenizer_folder: Callable[[str], Path]) -> Any:
    """A tokenizer of each family, with added tokens."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(request.param))
    chinese = [] if request.param in ("bert", "mpnet") else ["字x"]
    tokenizer.backend_tokenizer.add_tokens([*TOKENS, *chinese])
    tokenizer._long_texts = LongTexts(tokenizer.backend_tokenizer)
    return tokenizer


def texts_of(seed: int, count: int, pieces: int = 30) -> list[str]:
    dice = random.Random(seed)
    mixed = [*SCRIPTS.split(), " "]
    return [
        "".join(dice.choice(mixed) for _ in range(dice.randint(0, pieces))) + random_text(dice, dice.randint(0, 5))
        for _ in range(count)
    ]


def whole(tokenizer: Any, text: str) -> Any:
    return tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)


def test_every_place_of_a_cut(family: Any) -> None:
    """In words without spaces, too: the tokens before it are the first tokens of the whole."""
    inner = 0
    for text in texts_of(1, 40):
        row = whole(family, text)
        for end in {len(family._long_texts._beginning(text, start)) for start in range(len(text))}:
            part = whole(family, text[:end])
            assert part.ids == row.ids[: len(part)], (text, end)
            assert part.offsets == row.offsets[: len(part)], (text, end)
            assert part.word_ids == row.word_ids[: len(part)], (text, end)
            inner += text[end - 1 : end].isalpha() and text[end : end + 1].isalpha()
    assert inner > 10


def test_texts_without_spaces_are_cut(family: Any) -> None:
    if family.family.name == "AlbertTokenizer":
        text = "".join("漢字日本語カタカナ"[index * index % 9] for index in range(20_000))  # it takes Korean apart
    else:
        text = "".join("漢字日本語한국어กขค"[index * index % 11] for index in range(20_000))
    (shorter,) = family._long_texts.shorten([text], 65, family._fast)
    assert len(shorter) < 1000
    assert len(whole(family, shorter)) >= 65


def test_rows_of_parts_are_those_of_the_whole(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npbert.text.long_texts.PART", 7)
    monkeypatch.setattr("npbert.text.long_texts.NEAR", 5)
    several = 0
    for text in texts_of(2, 60):
        rows = list(family._long_texts.rows(text, family._fast))
        assert [index for row in rows for index in row] == whole(family, text).ids, text
        several += len(rows) > 2
    assert several > 20


def test_which_of_two_texts_has_more_tokens(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npbert.text.long_texts.PART", 7)
    texts = texts_of(3, 40)
    more = 0
    for first, second in pairwise(texts):
        wanted = len(whole(family, first)) > len(whole(family, second))
        assert family._long_texts._has_more(first, second, family._fast) == wanted
        assert not family._long_texts._has_more(first, first, family._fast)
        more += wanted
    assert 5 < more < 35


ATTRIBUTES = (
    "ids",
    "type_ids",
    "offsets",
    "word_ids",
    "sequence_ids",
    "special_tokens_mask",
    "attention_mask",
    "tokens",
)


@pytest.mark.parametrize("words", [False, True])
def test_pairs_are_truncated_as_the_library_does(family: Any, words: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text by itself, and then put together."""
    dice = random.Random(4)
    texts: list[Any] = texts_of(4, 60, 12)
    if words:
        texts = [text.split(" ") for text in texts]
    pairs = [(dice.choice(texts), dice.choice(texts)) for _ in range(40)]
    pairs += texts[:20]  # no pairs
    special = family.num_special_tokens_to_add(True)
    for length, side, add, padding in (
        (special, "right", True, True),
        (special + 1, "left", True, True),
        (special + 5, "right", True, "max_length"),
        (9, "left", False, False),
        (16, "right", True, False),
        (40, "right", False, True),
    ):
        monkeypatch.setattr(family, "truncation_side", side)
        given = {"max_length": length, "truncation": True, "padding": padding, "add_special_tokens": add}
        found = []
        for least in (10**9, 0):
            monkeypatch.setattr("npbert.text.rows.LONG", least)
            found.append(family(pairs, is_split_into_words=words, **given, **EVERYTHING))
        assert found[0] == found[1]
        for one, other in zip(found[0].encodings, found[1].encodings, strict=True):
            assert all(getattr(one, name) == getattr(other, name) for name in ATTRIBUTES)


def test_how_many_tokens_two_texts_keep(tokenizer: BertTokenizer) -> None:
    backend = tokenizer.backend_tokenizer
    for room in range(8):
        for first in range(10):
            for second in range(10):
                row = tokenizer("a " * first, "b " * second, False, False, True, room) if first or second else None
                ids = row["input_ids"] if row is not None else []
                counts = ids.count(backend.token_to_id("a")), ids.count(backend.token_to_id("b"))
                if second:  # an empty second text is none
                    assert kept(first, second, room) == counts, (first, second, room)


def test_nothing_is_told_by_how_much_is_read_at_once(tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(5)
    texts = [random_text(dice, dice.choice((0, 3, 30))) for _ in range(30)]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((texts,), {"padding": True, **EVERYTHING}),
        ((texts,), {"padding": True, "pad_to_multiple_of": 8, "padding_side": "left"}),
        ((texts, texts[::-1]), {"truncation": True, "max_length": 19, "padding": "max_length"}),
        (
            (texts,),
            {"truncation": True, "max_length": 9, "return_overflowing_tokens": True, "stride": 2, "padding": True},
        ),
    ]
    wanted = [tokenizer(*texts, **given) for texts, given in calls]
    ids = [tokenizer.encode_ids(texts, max_length=length) for length in (None, 2, 3, 12)]
    pairs = tokenizer.encode_ids(texts, texts[::-1], 12)
    monkeypatch.setattr("npbert.text.rows.PIECE", 20)
    monkeypatch.setattr("npbert.text.tokenizer.PIECE", 20)
    monkeypatch.setattr("npbert.text.long_texts.PART", 20)
    assert [tokenizer(*texts, **given) for texts, given in calls] == wanted
    assert [tokenizer.encode_ids(texts, max_length=length) for length in (None, 2, 3, 12)] == ids
    assert tokenizer.encode_ids(texts, texts[::-1], 12) == pairs


def test_the_end_of_a_long_text(minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.truncation_side = "left"
    text = "a b c, " * 100
    wanted = tokenizer([text], truncation=True, max_length=12)["input_ids"]
    monkeypatch.setattr("npbert.text.tokenizer.PIECE", 20)
    monkeypatch.setattr("npbert.text.long_texts.PART", 20)
    assert tokenizer.encode_ids([text], max_length=12) == wanted
    assert tokenizer.encode_ids([text], max_length=2) == [[101, 102]]


def test_pieces() -> None:
    assert list(in_pieces([])) == []
    assert [len(piece) for piece in in_pieces(["a" * 2**16] * 5)] == [2, 2, 1]
    assert [len(piece) for piece in in_pieces(["a" * 2**20, "b", "c"])] == [1, 2]
    assert [len(piece) for piece in in_pieces(["a" * 2**20] * 9, most=100)] == [9]
    assert size(("ab", "c")) == size((["a", "b"], ["c"])) == size(["abc"]) == 3


def test_little_is_read_at_once_of_two_long_texts(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them has more tokens takes reading both to their end, but no more than a part of them at once."""
    longest = 0
    fast = family._fast

    def spy(texts: Any) -> Any:
        nonlocal longest
        longest = max(longest, *map(len, texts))
        return fast(texts)

    monkeypatch.setattr(family, "_fast", spy)
    monkeypatch.setattr("npbert.text.long_texts.PART", 500)
    text = "".join("漢字日本語カタカナกขค"[index * index % 11] for index in range(5000))
    special = family.num_special_tokens_to_add(True)
    for first, second in ((text, text + "字"), (text, text[:-2]), ("hello wörld, " * 400, text)):
        row = family(first, second, truncation=True, max_length=special + 15)
        assert len(row["input_ids"]) == special + 15
    assert longest < 2000


def test_lists_of_words_are_read_as_far_as_is_needed(tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["unbelievably", "", "a", "\u200b", "漢字"] * 400
    given = {"is_split_into_words": True, "truncation": True, "max_length": 12, **EVERYTHING}
    shorter = tokenizer._long_texts.shorten_words(words, 13, tokenizer._words)
    assert len(shorter) < 60
    wanted = tokenizer.backend_tokenizer.encode(words, is_pretokenized=True)
    assert tokenizer(words, **given)["input_ids"] == [*wanted.ids[:11], 102]
    assert tokenizer(words, words, **given)["offset_mapping"][:4] == wanted.offsets[:4]
    assert tokenizer._long_texts.shorten_words(["\u200b"] * 100, 13, tokenizer._words) == ["\u200b"] * 100


def test_there_is_an_end_of_what_overflows(tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as the parts of one text have of the other: counted before they are made."""
    monkeypatch.setattr("npbert.text.rows.MOST_OVERFLOW", 2000)
    given: dict[str, Any] = {"return_overflowing_tokens": True, "max_length": 13}
    text, words = "a b " * 50, ["a", "b"] * 50
    for texts, more in (
        ((["c", text], [text, text]), {"truncation": True}),
        ((["c", text + text], ["d", "e"]), {"truncation": "only_first", "stride": 8}),
        ((["c", text + text],), {"truncation": True, "stride": 10}),
        (([["c"], words * 3],), {"truncation": True, "stride": 10, "is_split_into_words": True}),
    ):
        with pytest.raises(
            ValueError, match=r"^text\[1\]: return_overflowing_tokens: wanted at most 2000 tokens in all"
        ):
            tokenizer(*texts, **given, **more)
    for texts, more in (
        ((text, "b"), {"truncation": "only_first", "stride": 2}),
        (("b", text), {"truncation": "only_second"}),
        ((text,), {"truncation": True, "stride": 3}),
    ):
        rows = tokenizer(*texts, **given, **more)["input_ids"]
        assert 1 < len(rows) < 2000 / 13
    # Counted as the library makes them.
    monkeypatch.setattr("npbert.text.rows.MOST_OVERFLOW", 13 * 144)
    assert len(tokenizer("a " * 60, "b " * 60, truncation=True, **given)["input_ids"]) == 144
    monkeypatch.setattr("npbert.text.rows.MOST_OVERFLOW", 13 * 144 - 1)
    with pytest.raises(ValueError, match=r"found 1872: "):
        tokenizer("a " * 60, "b " * 60, truncation=True, **given)
