"""The tokenizer against transformers', token for token; long texts, bad input, files, threads."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strings import PIECES, random_text, random_texts
from tokenizers import AddedToken

from npbert.long_texts import CHARS_PER_TOKEN, LongTexts
from npbert.texts import TextError
from npbert.tokenizer import AutoTokenizer, BatchEncoding, BertTokenizer

EVERYTHING = {
    "return_token_type_ids": True,
    "return_attention_mask": True,
    "return_special_tokens_mask": True,
    "return_offsets_mapping": True,
    "return_length": True,
}


@pytest.fixture(scope="module")
def tokenizer(minilm: Path) -> BertTokenizer:
    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def oracle(minilm: Path) -> Any:
    return load_oracle(minilm)


def load_oracle(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def assert_same(found: BatchEncoding, wanted: Any) -> None:
    assert list(found) == list(wanted)
    for key in wanted:
        if isinstance(wanted[key], np.ndarray):
            assert found[key].dtype == np.int64
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
        else:
            assert found[key] == wanted[key], key


def copy_files(source: Path, target: Path, *names: str) -> Path:
    target.mkdir(exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)
    return target


def edit_json(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")


# --- token for token


def test_many_thousand_texts_of_every_script(tokenizer: BertTokenizer, oracle: Any) -> None:
    texts = [*PIECES, *random_texts(0, 12_000)]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))


@given(text=st.text(), pair=st.none() | st.text())
@example(text="\x00", pair="a\x00b")
@example(text="", pair="")
@example(text="\u202eabc\u202c", pair="👩\u200d👩\u200d👧")
def test_any_text(text: str, pair: str | None, tokenizer: BertTokenizer, oracle: Any) -> None:
    assert_same(tokenizer(text, pair, **EVERYTHING), oracle(text, pair, **EVERYTHING))
    assert tokenizer.encode_ids([text]) == [oracle(text)["input_ids"]]
    assert tokenizer.tokenize(text) == oracle.tokenize(text)


def test_every_character(tokenizer: BertTokenizer, oracle: Any) -> None:
    """Each code point that is a character, between letters, so that it joins or separates."""
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = ["".join(f"a{c}b " for c in characters[i : i + 64]) for i in range(0, len(characters), 64)]
    assert tokenizer.encode_ids(texts) == oracle(texts)["input_ids"]


@pytest.mark.parametrize("text", ["a" * 1_000_000, "é" * 500_000, "😀" * 300_000, "." * 300_000])
def test_a_megabyte_without_a_space(text: str, tokenizer: BertTokenizer, oracle: Any) -> None:
    assert tokenizer(text)["input_ids"] == oracle(text)["input_ids"]
    cut = {"truncation": True, "max_length": 64}
    assert tokenizer(text, **cut)["input_ids"] == oracle(text, **cut)["input_ids"]


def arguments(dice: random.Random) -> dict[str, Any]:
    """Any arguments that transformers does not refuse for themselves."""
    return {
        "add_special_tokens": dice.random() < 0.8,
        "padding": dice.choice([False, True, "longest", "max_length"]),
        "truncation": dice.choice([None, False, True, "longest_first", "only_first", "only_second"]),
        "max_length": dice.choice([None, 3, 7, 8, 12, 16, 33]),
        "stride": dice.choice([0, 0, 0, 1, 2]),
        "pad_to_multiple_of": dice.choice([None, None, None, 1, 3, 8]),
        "padding_side": dice.choice([None, "left", "right"]),
        "return_tensors": dice.choice([None, None, "np"]),
        "return_token_type_ids": dice.choice([None, True, False]),
        "return_attention_mask": dice.choice([None, True, False]),
        "return_overflowing_tokens": dice.random() < 0.4,
        "return_special_tokens_mask": dice.random() < 0.3,
        "return_offsets_mapping": dice.random() < 0.3,
        "return_length": dice.random() < 0.3,
        "verbose": False,
    }


def inputs(dice: random.Random, words: bool) -> tuple[Any, ...]:
    def one() -> Any:
        text = random_text(dice, dice.choice([0, 1, 3, 6, 40]))
        return text.split(" ") if words else text

    count = dice.randint(1, 4)
    shape = dice.choice(["one", "pair", "batch", "pairs", "tuples"])
    if shape == "one":
        return (one(),)
    if shape == "pair":
        return (one(), one())
    if shape == "batch":
        return ([one() for _ in range(count)],)
    if shape == "pairs":
        return ([one() for _ in range(count)], [one() for _ in range(count)])
    return ([(one(), one()) for _ in range(count)],)


@pytest.mark.parametrize("truncation_side", ["right", "left"])
@pytest.mark.parametrize("words", [False, True])
def test_all_arguments_together(
    words: bool, truncation_side: str, minilm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What transformers answers is answered the same; what it refuses is refused with a ValueError."""
    tokenizer, oracle = AutoTokenizer.from_pretrained(minilm), load_oracle(minilm)
    tokenizer.truncation_side = oracle.truncation_side = truncation_side
    dice = random.Random(f"{words} {truncation_side}")
    compared = 0
    for _ in range(500):
        texts, given = inputs(dice, words), {**arguments(dice), "is_split_into_words": words}
        try:
            wanted = oracle(*texts, **given)
        except BaseException:
            # A bare Exception or a panic; or rows of several lengths where an array is wanted.
            with pytest.raises(ValueError, match=r"."):
                tokenizer(*texts, **given)
            continue
        if given["return_tensors"] and any(a.dtype == object or a.size == 0 for a in wanted.values()):
            continue  # transformers makes arrays of lists of rows of several lengths
        if given["stride"] and given["stride"] >= (given["max_length"] or 512) - 3:
            continue  # here a stride that does not fit is refused, there only when it comes to cutting
        assert_same(tokenizer(*texts, **given), wanted)
        compared += 1
    assert compared > 250


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
    texts = random_texts(1, 300, most=40)
    cut = {"truncation": max_length is not None, "max_length": max_length}
    assert tokenizer.encode_ids(texts, max_length=max_length) == tokenizer(texts, **cut)["input_ids"]
    if max_length == 2:
        return  # a pair has three special tokens
    pairs = random_texts(2, 300, most=40)
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


def test_other_ways_to_call(tokenizer: BertTokenizer, oracle: Any) -> None:
    assert tokenizer.encode("hello", "world") == oracle.encode("hello", "world")
    assert tokenizer.encode("hello", return_tensors="np").tolist() == [[101, 7592, 102]]
    assert tokenizer.encode_plus("hello", "world") == tokenizer("hello", "world")
    assert tokenizer.batch_encode_plus([("a", "b"), "c"]) == tokenizer([("a", "b"), "c"])
    assert tokenizer.tokenize("unbelievable", "pair", True) == oracle.tokenize("unbelievable", "pair", True)
    # An empty second text is none, unless it is one of a batch.
    assert tokenizer("a", "") == tokenizer("a")
    assert tokenizer(["a"], [""])["input_ids"] == oracle(["a"], [""])["input_ids"]


def test_max_length_without_truncation(tokenizer: BertTokenizer) -> None:
    assert len(tokenizer("a " * 50, max_length=9)["input_ids"]) == 9
    assert len(tokenizer("a " * 50, max_length=9, truncation=False)["input_ids"]) == 52
    assert len(tokenizer("a " * 600, truncation=True)["input_ids"]) == tokenizer.model_max_length == 512
    with pytest.warns(UserWarning, match=r"max_length has no effect"):
        assert len(tokenizer("a " * 50, max_length=9, padding=True)["input_ids"]) == 52


def test_tokens_and_characters(tokenizer: BertTokenizer, oracle: Any) -> None:
    """BatchEncoding's ways between tokens, words and characters."""
    texts, pairs = ["Unbelievable, naïve ﬁn", "漢字 x"], ["electroencephalography", "👩‍👩‍👧 y"]
    found, wanted = tokenizer(texts, pairs), oracle(texts, pairs)
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


# --- ids to text, and the vocabulary


def test_decode(tokenizer: BertTokenizer, oracle: Any) -> None:
    texts = random_texts(4, 300)
    rows = tokenizer(texts)["input_ids"]
    for skip in (False, True):
        for clean in (None, False, True):
            given = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert tokenizer.batch_decode(rows, **given) == oracle.batch_decode(rows, **given)
            assert tokenizer.decode(rows[7], **given) == oracle.decode(rows[7], **given)
    text = "He said: i don't , we 're ' here ' !"
    ids = tokenizer.encode(text)
    cleaned = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
    assert cleaned == oracle.decode(ids, clean_up_tokenization_spaces=True)
    assert tokenizer.decode(7592) == "hello"
    assert tokenizer.decode(np.array([7592, 2088])) == "hello world"
    assert tokenizer.decode(np.array([[7592], [2088]])) == ["hello", "world"]
    assert tokenizer.batch_decode([np.array([7592]), np.array([2088, 102])]) == ["hello", "world [SEP]"]
    assert tokenizer.decode(tokenizer("hello")) == "[CLS] hello [SEP]"
    assert tokenizer.batch_decode([]) == []
    assert tokenizer.decode([7592, 10**6]) == oracle.decode([7592, 10**6])
    assert tokenizer.convert_tokens_to_string(["un", "##bel", "x", "."]) == "unbel x."


@pytest.mark.parametrize("bad", [[7592, -1], [7592, 2**32], [7592, 1.5], [7592, "a"], [7592, None]])
def test_no_ids(bad: list[Any], tokenizer: BertTokenizer) -> None:
    for call, where in (
        (lambda: tokenizer.decode(bad), r"token_ids\[1\]"),
        (lambda: tokenizer.batch_decode([[1], bad]), r"token_ids\[1\]\[1\]"),
        (lambda: tokenizer.convert_ids_to_tokens(bad), r"ids\[1\]"),
        (lambda: tokenizer.convert_ids_to_tokens(bad[1] if bad[1] != "a" else 2.5), "ids"),
    ):
        with pytest.raises(ValueError, match=f"^{where}: wanted a token id.*found"):
            call()


def test_vocabulary(tokenizer: BertTokenizer, oracle: Any) -> None:
    assert len(tokenizer) == tokenizer.vocab_size == len(oracle) == 30522
    assert tokenizer.get_vocab() == tokenizer.vocab == oracle.get_vocab()
    assert tokenizer.get_added_vocab() == oracle.get_added_vocab()
    assert tokenizer.added_tokens_decoder == oracle.added_tokens_decoder
    assert tokenizer.special_tokens_map == oracle.special_tokens_map
    assert sorted(tokenizer.all_special_tokens) == sorted(oracle.all_special_tokens)
    assert sorted(tokenizer.all_special_ids) == [0, 100, 101, 102, 103]
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(tokenizer, f"{role}_token") == getattr(oracle, f"{role}_token")
        assert getattr(tokenizer, f"{role}_token_id") == getattr(oracle, f"{role}_token_id")
    for pair in (False, True):
        assert tokenizer.num_special_tokens_to_add(pair) == oracle.num_special_tokens_to_add(pair)
    tokens = ["hello", "##ing", "[MASK]", "no such token", ""]
    assert tokenizer.convert_tokens_to_ids(tokens) == oracle.convert_tokens_to_ids(tokens)
    assert tokenizer.convert_tokens_to_ids("hello") == 7592
    ids = [101, 7592, 103, 40000]
    assert tokenizer.convert_ids_to_tokens(ids) == oracle.convert_ids_to_tokens(ids)
    assert tokenizer.convert_ids_to_tokens(np.array(ids), True) == oracle.convert_ids_to_tokens(ids, True)
    assert tokenizer.convert_ids_to_tokens(7592) == "hello"
    assert bool(tokenizer)
    assert "vocab_size=30522" in repr(tokenizer)


# --- long texts


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
        for _ in range(25)
    ]
    for length in (2, 3, 5, 10, 23):
        cut = {"truncation": True, "max_length": length, **EVERYTHING}
        assert_same(tokenizer(texts, **cut), oracle(texts, **cut))
        wanted = oracle(texts, truncation=True, max_length=length)["input_ids"]
        assert tokenizer.encode_ids(texts, max_length=length) == wanted
    pairs = [text[: dice.choice([5, 50, 5000])] for text in reversed(texts)]
    for length in (3, 8, 9, 24):
        for strategy in ("longest_first", "only_first", "only_second"):
            rows = [
                (a, b)
                for a, b in zip(texts, pairs, strict=True)
                if strategy == "longest_first"
                or len(oracle.tokenize(b if strategy == "only_first" else a)) < length - 3
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


# --- bad input


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
    with pytest.raises(ValueError, match=r"^pairs: wanted as many as texts, 2, found 1"):
        tokenizer.encode_ids(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"return_tensors": "pt"}, "^return_tensors: wanted 'np' .*found 'pt'; torch.from_numpy"),
        ({"return_tensors": "tf"}, "^return_tensors: wanted 'np' .*found 'tf'$"),
        ({"padding": "long"}, "^padding: wanted True, False, 'longest' or 'max_length', found 'long'"),
        ({"truncation": "all"}, "^truncation: wanted True, False, 'longest_first'.*found 'all'"),
        ({"padding_side": "up", "padding": True}, "^padding_side: wanted 'left' or 'right', found 'up'"),
        ({"max_length": -1}, "^max_length: wanted a whole number, 0 or more, found -1"),
        ({"max_length": 8.0}, "^max_length: wanted a whole number, 0 or more, found 8.0"),
        ({"max_length": 1}, "^max_length: wanted at least 2, the special tokens alone, found 1"),
        ({"max_length": True}, "^max_length: wanted a whole number, 0 or more, found True"),
        ({"stride": -1}, "^stride: wanted a whole number, 0 or more, found -1"),
        ({"max_length": 8, "stride": 6}, "^stride: wanted less than the 6 tokens that fit.*found 6"),
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


def test_rows_of_several_lengths_are_no_array(tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=r"wants rows of one length, found 3 to 5 tokens; padding=True"):
        tokenizer(["a", "a b c"], return_tensors="np")


def test_a_panic_of_the_backend_is_a_value_error(tokenizer: BertTokenizer, capfd: pytest.CaptureFixture[str]) -> None:
    """`tokenizers` asserts that the stride is less than what stays of each text of a pair."""
    with pytest.raises(ValueError, match=r"^text: can't be tokenized: `stride` must be strictly less"):
        tokenizer("a b c d e f", "g h i j k l", truncation=True, max_length=8, stride=2)
    assert tokenizer("a")["input_ids"] == [101, 1037, 102]


# --- files


SWITCHES = [
    {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": chinese}
    for lower in (True, False)
    for accents in (None, True, False)
    for chinese in (True, False)
]


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")])
@pytest.mark.parametrize("switches", SWITCHES)
def test_switches(switches: dict[str, Any], files: tuple[str, ...], minilm: Path, tmp_path: Path) -> None:
    """vocab.txt alone, and tokenizer.json with a tokenizer_config.json that says otherwise."""
    folder = copy_files(minilm, tmp_path, *files, "config.json")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", **switches)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    texts = [*PIECES, *random_texts(5, 500)]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    cut = {"truncation": True, "max_length": 8}
    long_texts = random_texts(6, 100, most=60)
    assert tokenizer.encode_ids(long_texts, max_length=8) == oracle(long_texts, **cut)["input_ids"]
    tokenizer.check_vocabulary(30522)


def test_vocab_txt_and_nothing_else(minilm: Path, tmp_path: Path, tokenizer: BertTokenizer) -> None:
    alone = AutoTokenizer.from_pretrained(copy_files(minilm, tmp_path, "vocab.txt"))
    texts = random_texts(7, 500)
    assert alone(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)
    assert alone.model_max_length > 10**20
    assert alone.special_tokens_map == tokenizer.special_tokens_map
    assert len(alone("a " * 600, truncation=True, padding="max_length")["input_ids"]) == 602


def test_arguments_go_before_the_files(minilm: Path) -> None:
    cased = AutoTokenizer.from_pretrained(minilm, do_lower_case=False, model_max_length=9, padding_side="left")
    assert cased.tokenize("Hello hello") == ["[UNK]", "hello"]
    assert cased.model_max_length == 9
    assert cased(["a", "a b"], padding=True)["input_ids"] == [[0, 101, 1037, 102], [101, 1037, 1038, 102]]


def test_stale_truncation_and_padding_are_switched_off(minilm: Path, tmp_path: Path) -> None:
    """MiniLM's own file says: truncate and pad to 128."""
    stale = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    assert stale["truncation"]["max_length"] == stale["padding"]["strategy"]["Fixed"] == 128
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    assert len(tokenizer("a " * 200)["input_ids"]) == 202
    assert len(tokenizer("a")["input_ids"]) == 3
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None

    folder = copy_files(minilm, tmp_path, "tokenizer.json", "tokenizer_config.json")
    padding = {**stale["padding"], "direction": "Left", "pad_type_id": 1}
    truncation = {**stale["truncation"], "direction": "Left"}
    edit_json(folder / "tokenizer.json", padding=padding, truncation=truncation)
    left, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    assert (left.padding_side, left.truncation_side) == (oracle.padding_side, oracle.truncation_side)
    assert left.padding_side == left.truncation_side == "left"


def test_added_tokens(minilm: Path, tmp_path: Path) -> None:
    """Those that tokenizer_config.json, special_tokens_map.json and added_tokens.json name, with vocab.txt."""
    folder = copy_files(minilm, tmp_path, "vocab.txt", "config.json")
    edit_json(folder / "added_tokens.json", **{"<b>": 30523, "<a>": 30522, "Mixed Case": 30524})
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True)
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    edit_json(folder / "special_tokens_map.json", mask_token=mask, additional_special_tokens=["<x>"])
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    assert tokenizer.get_added_vocab() == oracle.get_added_vocab()
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == ["<x>"]
    texts = ["<a><b> <x>", "mixed case MIXED case Mixed Case", "go  [MASK] on", "a<x>b"]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    row = tokenizer("<a> hello <x>")["input_ids"]
    assert tokenizer.decode(row, skip_special_tokens=True) == oracle.decode(row, skip_special_tokens=True)
    assert len(tokenizer) == 30526
    assert tokenizer.vocab_size == 30522
    with pytest.raises(ValueError, match=r"wanted ids below 30522, .*found 30525, '<x>'"):
        tokenizer.check_vocabulary(30522)

    decoder = {"30522": {**mask, "content": "<new>", "special": False}}
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder=decoder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a <new>")["input_ids"] == [101, 1037, 30522, 102]


@pytest.mark.parametrize("start", ["tokenizer.json", "vocab.txt"])
def test_saved_and_loaded_again(start: str, minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path / "from", start, "config.json")
    edit_json(folder / "tokenizer_config.json", do_lower_case=False, model_max_length=77, custom={"a": 1})
    edit_json(folder / "special_tokens_map.json", additional_special_tokens=["<x>"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    target = tmp_path / "deep" / "to"
    files = tokenizer.save_pretrained(target)
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert sorted(Path(file).name for file in files) == sorted(p.name for p in target.iterdir()) == names
    texts = random_texts(8, 300)
    wanted = tokenizer(texts, **EVERYTHING)
    for _ in range(2):
        again = AutoTokenizer.from_pretrained(target)
        assert again(texts, **EVERYTHING) == wanted
        assert again.model_max_length == 77
        assert again.extra_special_tokens == ["<x>"]
        (target / "tokenizer.json").unlink(missing_ok=True)  # the second time from vocab.txt
    tokenizer.save_pretrained(target)
    assert json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))["custom"] == {"a": 1}
    shutil.copyfile(minilm / "config.json", target / "config.json")
    assert_same(wanted, load_oracle(target)(texts, **EVERYTHING))
    blocked = tmp_path / "file"
    blocked.write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match=r"file"):
        tokenizer.save_pretrained(blocked)


def write_tokenizer(minilm: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    values = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    change(values)
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_ids_beyond_the_embedding_table(minilm: Path, tmp_path: Path, tokenizer: BertTokenizer) -> None:
    tokenizer.check_vocabulary(30522)
    with pytest.raises(ValueError, match=r"wanted ids below 30521, the model's vocab_size, found 30521, '##～'"):
        tokenizer.check_vocabulary(30521)
    with pytest.raises(ValueError, match=r"wanted ids below 10, "):
        tokenizer.check_vocabulary(10)

    write_tokenizer(minilm, tmp_path, lambda v: v["model"]["vocab"].update(hello=99_999))
    with pytest.raises(ValueError, match=r"wanted ids below 30522, .*found 99999, 'hello'"):
        AutoTokenizer.from_pretrained(tmp_path).check_vocabulary(30522)

    # A token that only looks like an id, in the file: no reason to refuse.
    write_tokenizer(minilm, tmp_path, lambda v: v["model"]["vocab"].update({":99999": 7592}))
    AutoTokenizer.from_pretrained(tmp_path).check_vocabulary(30522)

    def other_cls(values: dict[str, Any]) -> None:
        values["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [40_000]

    write_tokenizer(minilm, tmp_path, other_cls)
    with pytest.raises(ValueError, match=r"found 40000 among its special tokens"):
        AutoTokenizer.from_pretrained(tmp_path).check_vocabulary(30522)


def test_a_small_vocabulary(tmp_path: Path) -> None:
    """Fewer than 10,000 tokens: no id has five digits."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "saved")
    for loaded in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        assert loaded("ab abc")["input_ids"] == [2, 5, 6, 1, 3]
        loaded.check_vocabulary(7)
        with pytest.raises(ValueError, match=r"wanted ids below 6, .*found 6, '##b'"):
            loaded.check_vocabulary(6)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    without = AutoTokenizer.from_pretrained(tmp_path)
    assert without.pad_token is without.pad_token_id is without.mask_token is None
    with pytest.raises(ValueError, match=r"^padding: wanted False, since this tokenizer has no pad_token"):
        without("a", padding=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}}), "not a valid tokenizer"),
        (lambda v: v.update(normalizer={"type": "Nonsense"}), "not a valid tokenizer"),
        (lambda v: v.pop("model"), "not a valid tokenizer"),
        (lambda v: v["model"]["vocab"].update(x=-1), "not a valid tokenizer"),
        (lambda v: v["model"]["vocab"].update(x=2**32), "not a valid tokenizer"),
        (lambda v: v["model"].update(unk_token="[NONE]"), r"wanted the unknown token '\[NONE\]'"),
        (lambda v: v["post_processor"].update(special_tokens={}), "not a valid tokenizer|can't encode"),
    ],
)
def test_a_bad_tokenizer_json(
    change: Callable[[dict[str, Any]], None], message: str, minilm: Path, tmp_path: Path
) -> None:
    write_tokenizer(minilm, tmp_path, change)
    with pytest.raises(ValueError, match=message) as raised:
        AutoTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("tokenizer.json", b"{", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"[" * 100_000, ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("vocab.txt", b"", ValueError, "vocab.txt: wanted a token on each line, found none"),
        ("vocab.txt", b"\xff\xfe\n", ValueError, "vocab.txt: not a valid vocabulary"),
        ("vocab.txt", b"a\nb\n", ValueError, r"vocab.txt: wanted cls_token '\[CLS\]' in the vocabulary"),
        ("vocab.txt", b"[CLS]\n[SEP]\n", ValueError, r"wanted the unknown token '\[UNK\]' in the vocabulary"),
        ("other.txt", b"", FileNotFoundError, "wanted tokenizer.json or vocab.txt, found neither"),
    ],
)
def test_bad_files(name: str, data: bytes, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message):
        AutoTokenizer.from_pretrained(tmp_path)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(OSError, match=r"tokenizer.json: wanted a regular file"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"nowhere"):
        AutoTokenizer.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case: wanted true or false, found 'yes'"),
        ({"strip_accents": 1}, "strip_accents: wanted true or false, found 1"),
        ({"model_max_length": 0}, "model_max_length: wanted a positive whole number, found 0"),
        ({"model_max_length": float("nan")}, "model_max_length: wanted a positive whole number, found nan"),
        ({"padding_side": "top"}, "padding_side: wanted 'left' or 'right', found 'top'"),
        ({"model_input_names": "ids"}, "model_input_names: wanted a list of strings, found 'ids'"),
        ({"mask_token": 5}, "mask_token: wanted a token, found 5"),
        ({"mask_token": {"content": "<m>", "lstrip": "no"}}, "mask_token: wanted a token, found"),
        ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder: wanted an object of ids and tokens"),
        ({"additional_special_tokens": 3}, "additional_special_tokens: wanted a list of tokens, found 3"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class: wanted one of BertTokenizer.*found 'T5Tok"),
        ({"split_special_tokens": 2}, "split_special_tokens: wanted true or false, found 2"),
    ],
)
def test_a_bad_tokenizer_config(config: dict[str, Any], message: str, minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "vocab.txt")
    edit_json(folder / "tokenizer_config.json", **config)
    with pytest.raises(ValueError, match=f"tokenizer_config.json: {message}"):
        AutoTokenizer.from_pretrained(folder)


def test_longest_length_that_stands_for_none(minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "vocab.txt")
    for value in (1e30, int(1e30), float("inf"), None):
        edit_json(folder / "tokenizer_config.json", model_max_length=value)
        assert AutoTokenizer.from_pretrained(folder).model_max_length == int(1e30)


def test_a_tokenizer_class_without_a_model_of_its_own(minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "tokenizer.json")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("Hello") == ["hello"]  # tokenizer.json says it all
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted tokenizer.json, found"):
        AutoTokenizer.from_pretrained(folder)


def test_auto_tokenizer_is_no_class_of_its_own() -> None:
    with pytest.raises(TypeError, match=r"from_pretrained"):
        AutoTokenizer()


# --- threads, processes, imports


def test_a_call_changes_nothing_that_another_thread_sees(tokenizer: BertTokenizer, oracle: Any) -> None:
    """Calls with all kinds of truncation and padding at once; setting them on one object would fail."""
    texts = random_texts(9, 40)
    kinds: list[dict[str, Any]] = [
        {},
        {"padding": True},
        {"padding": "max_length", "max_length": 64, "truncation": True},
        {"truncation": True, "max_length": 9, "return_overflowing_tokens": True, "stride": 2},
        {"padding": True, "pad_to_multiple_of": 8, "padding_side": "left"},
        {"truncation": True, "max_length": 5},
    ]
    wanted = [dict(oracle(texts, **kind)) for kind in kinds]
    before = tokenizer.backend_tokenizer.to_str()
    failures: list[Any] = []
    start = threading.Barrier(len(kinds))

    def work(kind: int) -> None:
        try:
            start.wait()
            for _ in range(40):
                assert dict(tokenizer(texts, **kinds[kind])) == wanted[kind]
                tokenizer.encode_ids(texts, max_length=7)
        except BaseException as error:
            failures.append((kind, error))

    threads = [threading.Thread(target=work, args=(kind,)) for kind in range(len(kinds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert tokenizer.backend_tokenizer.to_str() == before


def test_a_tokenizer_can_be_sent_to_another_process(tokenizer: BertTokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    texts = random_texts(10, 50, most=40)
    assert again(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)
    assert again.encode_ids(texts, max_length=8) == tokenizer.encode_ids(texts, max_length=8)


def test_the_import_is_light(minilm: Path) -> None:
    """A tokenizer is loaded and used for lists without NumPy, a downloader or a framework."""
    code = (
        "import sys\n"
        "from npbert.tokenizer import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "assert tokenizer('hello')['input_ids'] == [101, 7592, 102]\n"
        "tokenizer.check_vocabulary(30522)\n"
        "heavy = {'numpy', 'numba', 'torch', 'transformers', 'huggingface_hub', 'safetensors', 'tqdm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(minilm)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
