"""Every family's tokenizer against transformers', loaded from the same folder."""

from __future__ import annotations

import base64
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strings import PIECES, random_texts
from tokenizer_folders import CLASSES
from tokenizers import AddedToken
from tokenizing import EVERYTHING, assert_same, assert_same_with_all_arguments, edit_json, load_as_version_4

import npbert
from npbert.text.auto import AutoTokenizer, PreTrainedTokenizerFast
from npbert.text.inputs import TextError

KINDS = [kind for kind in CLASSES if kind != "bert"]  # which has tests of its own
FROM_TRAINING = ["roberta", "xlm-roberta", "camembert", "albert"]  # with vocabularies made here


@pytest.fixture
def copy(tokenizer_folder: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """copy(kind, *names) -> a folder of one's own, of all files or of these."""

    def copied(kind: str, *names: str) -> Path:
        for path in tokenizer_folder(kind).iterdir():
            if not names or path.name in names:
                (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path

    return copied


# --- token for token


@pytest.mark.parametrize("kind", KINDS)
def test_many_thousand_texts(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(tokenizer_folder(kind)), load_as_version_4(tokenizer_folder(kind))
    texts = [*PIECES, *random_texts(20, 20_000, most=3)]
    found, wanted = tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING)
    assert_same(found, wanted)
    for row in range(0, len(texts), 50):
        assert found.tokens(row) == wanted.tokens(row)
        assert found.word_ids(row) == wanted.word_ids(row)
    used = {index for row in found["input_ids"] for index in row}
    assert len(used) > 300  # the texts are no row of unknown tokens


@pytest.mark.parametrize("kind", KINDS)
def test_pairs(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(tokenizer_folder(kind)), load_as_version_4(tokenizer_folder(kind))
    texts = random_texts(21, 1000, most=8)
    pairs = texts[::-1]
    found, wanted = tokenizer(texts, pairs, **EVERYTHING), oracle(texts, pairs, **EVERYTHING)
    assert_same(found, wanted)
    for row in range(0, 1000, 10):
        assert found.sequence_ids(row) == wanted.sequence_ids(row)
        assert found.word_ids(row) == wanted.word_ids(row)
        assert found.word_to_tokens(row, 0, 1) == wanted.word_to_tokens(row, 0, 1)
        assert found.char_to_token(row, 0, 1) == wanted.char_to_token(row, 0, 1)
    ids, types = tokenizer.encode_ids(texts, pairs)
    assert ids == wanted["input_ids"]
    assert types == wanted["token_type_ids"]
    assert_same(tokenizer(texts[:20], pairs[:20]), oracle(texts[:20], pairs[:20]))  # the keys that a model takes


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_all_arguments_together(
    kind: str, words: bool, tokenizer_folder: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(tokenizer_folder(kind)), load_as_version_4(tokenizer_folder(kind))
    for side in ("right", "left"):
        tokenizer.truncation_side = oracle.truncation_side = side
        assert_same_with_all_arguments(tokenizer, oracle, 60, words, side)


@pytest.mark.parametrize("kind", FROM_TRAINING)
def test_encode_ids(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    texts = random_texts(22, 60, most=40)
    pairs = texts[::-1]
    for length in (None, 4, 9, 24):
        cut = {"truncation": length is not None, "max_length": length, "return_token_type_ids": True}
        assert tokenizer.encode_ids(texts, max_length=length) == tokenizer(texts, **cut)["input_ids"]
        wanted = tokenizer(texts, pairs, **cut)
        assert tokenizer.encode_ids(texts, pairs, length) == (wanted["input_ids"], wanted["token_type_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_vocabulary_and_decoding(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer, oracle = AutoTokenizer.from_pretrained(tokenizer_folder(kind)), load_as_version_4(tokenizer_folder(kind))
    assert len(tokenizer) == len(oracle)
    assert tokenizer.vocab_size == oracle.vocab_size
    assert tokenizer.get_vocab() == oracle.get_vocab()
    assert tokenizer.get_added_vocab() == oracle.get_added_vocab()
    assert tokenizer.special_tokens_map == oracle.special_tokens_map
    assert sorted(tokenizer.all_special_tokens) == sorted(oracle.all_special_tokens)
    assert sorted(tokenizer.all_special_ids) == sorted(oracle.all_special_ids)
    assert tokenizer.model_input_names == oracle.model_input_names
    assert tokenizer.model_max_length == oracle.model_max_length == 512
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(tokenizer, f"{role}_token") == getattr(oracle, f"{role}_token")
        assert getattr(tokenizer, f"{role}_token_id") == getattr(oracle, f"{role}_token_id")
    for pair in (False, True):
        assert tokenizer.num_special_tokens_to_add(pair) == oracle.num_special_tokens_to_add(pair)
    texts = random_texts(23, 200)
    rows = tokenizer(texts)["input_ids"]
    for skip in (False, True):
        for clean in (None, False, True):
            given = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert tokenizer.batch_decode(rows, **given) == oracle.batch_decode(rows, **given)
    for row, text in zip(rows, texts, strict=True):
        tokens = tokenizer.convert_ids_to_tokens(row)
        assert tokens == oracle.convert_ids_to_tokens(row)
        assert tokenizer.convert_tokens_to_ids(tokens) == oracle.convert_tokens_to_ids(tokens)
        assert tokenizer.convert_tokens_to_string(tokens) == oracle.convert_tokens_to_string(tokens)
        assert tokenizer.tokenize(text) == oracle.tokenize(text)
    assert tokenizer.convert_tokens_to_ids("no such token") == oracle.convert_tokens_to_ids("no such token")


def test_pair_formats(tokenizer_folder: Callable[[str], Path]) -> None:
    """As they are written down, so that no mistake is shared with the oracle."""
    wanted = {
        "distilbert": ("[CLS] a [SEP] b [SEP]", 3),
        "electra": ("[CLS] a [SEP] b [SEP]", 3),
        "mpnet": ("<s> a </s> </s> b </s>", 4),
        "roberta": ("<s> a </s> </s> b </s>", 4),
        "xlm-roberta": ("<s> ▁a </s> </s> ▁b </s>", 4),
        "camembert": ("<s> ▁a </s> </s> ▁b </s>", 4),
        "albert": ("[CLS] ▁a [SEP] ▁b [SEP]", 3),
    }
    for kind, (tokens, special) in wanted.items():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
        row = tokenizer("a", "b", return_token_type_ids=True, return_special_tokens_mask=True)
        joined = " ".join(row.tokens())
        assert joined.replace("▁ ", "▁") == tokens
        assert sum(row["special_tokens_mask"]) == tokenizer.num_special_tokens_to_add(True) == special
        assert set(row["token_type_ids"]) == ({0, 1} if special == 3 else {0})
        assert ("token_type_ids" in tokenizer("a", "b")) == (kind in ("electra", "albert"))


# --- files


def test_auto_tokenizer_picks_the_class(copy: Callable[..., Path], minilm: Path) -> None:
    """By tokenizer_class, else by model_type; the names of old and new transformers."""
    folder = copy("distilbert", "vocab.txt")
    for kind, name in CLASSES.items():
        for suffix in ("", "Fast"):
            assert getattr(npbert, name + suffix) is getattr(npbert, name)
            if kind in ("bert", "distilbert", "electra"):
                edit_json(folder / "tokenizer_config.json", tokenizer_class=name + suffix)
                assert type(AutoTokenizer.from_pretrained(folder)) is getattr(npbert, name)
    (folder / "tokenizer_config.json").unlink()
    for kind in ("bert", "distilbert", "electra"):
        edit_json(folder / "config.json", model_type=kind)
        assert type(AutoTokenizer.from_pretrained(folder)) is getattr(npbert, CLASSES[kind])
    edit_json(folder / "config.json", tokenizer_class="DistilBertTokenizerFast")
    assert type(AutoTokenizer.from_pretrained(folder)) is npbert.DistilBertTokenizer
    edit_json(folder / "config.json", tokenizer_class=None, model_type="t5")
    with pytest.raises(ValueError, match=r"config.json: model_type: wanted one of bert, .*albert.*, found 't5'"):
        AutoTokenizer.from_pretrained(folder)
    edit_json(folder / "config.json", model_type=["bert"])
    with pytest.raises(ValueError, match=r"config.json: model_type: wanted one of bert, .*, found \['bert'\]"):
        AutoTokenizer.from_pretrained(folder)
    # Whoever names a class, gets it.
    assert type(npbert.BertTokenizer.from_pretrained(folder)) is npbert.BertTokenizer
    generic = PreTrainedTokenizerFast.from_pretrained(minilm)
    assert generic("hello")["input_ids"] == [101, 7592, 102]


@pytest.mark.parametrize("kind", ["bert", *FROM_TRAINING])
def test_a_tokenizer_json_that_says_all(kind: str, copy: Callable[..., Path]) -> None:
    folder = copy(kind, "tokenizer.json", "config.json")
    mask = {"bert": "[MASK]", "albert": "[MASK]"}.get(kind, "<mask>")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", mask_token=mask)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_as_version_4(folder)
    assert type(tokenizer) is PreTrainedTokenizerFast
    texts = random_texts(29, 300)
    assert_same(tokenizer(texts, texts[::-1]), oracle(texts, texts[::-1]))
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    assert tokenizer.special_tokens_map == oracle.special_tokens_map
    tokenizer.save_pretrained(folder)
    assert_same(tokenizer(texts, **EVERYTHING), load_as_version_4(folder)(texts, **EVERYTHING))


@pytest.mark.parametrize("words", [{}, {"add_prefix_space": True}, {"trim_offsets": False}])
@pytest.mark.parametrize("files", [(), ("vocab.json", "merges.txt", "config.json")])
def test_roberta_from_either_kind_of_files(
    files: tuple[str, ...], words: dict[str, bool], copy: Callable[..., Path]
) -> None:
    folder = copy("roberta", *files)
    edit_json(folder / "tokenizer_config.json", tokenizer_class="RobertaTokenizer", **words)
    mask = {"mask_token": AddedToken("<mask>", lstrip=True, special=True)} if files else {}  # as 4.57 has it
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_as_version_4(folder, **mask)
    texts = [*PIECES, " a <mask> b", "a<mask>", *random_texts(24, 500)]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    split = [text.split(" ") for text in texts]
    found = tokenizer(split, is_split_into_words=True, **EVERYTHING)
    assert_same(found, oracle(split, is_split_into_words=True, **EVERYTHING))
    assert tokenizer.special_tokens_map == oracle.special_tokens_map
    tokenizer.check_vocabulary(len(oracle))


@pytest.mark.parametrize("kind", ["distilbert", "electra", "mpnet"])
def test_switches_of_word_pieces(kind: str, copy: Callable[..., Path]) -> None:
    folder = copy(kind, "vocab.txt", "config.json", "tokenizer_config.json")
    edit_json(folder / "tokenizer_config.json", do_lower_case=False, tokenize_chinese_chars=False)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_as_version_4(folder)
    if kind == "electra":
        oracle = load_as_bert(folder)
    texts = [*PIECES, "Hello<mask> World", *random_texts(25, 500)]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    assert tokenizer.tokenize("Hello") != tokenizer.tokenize("hello")


def load_as_bert(folder: Path) -> Any:
    import transformers

    return transformers.BertTokenizer.from_pretrained(str(folder), local_files_only=True)


@pytest.mark.parametrize("kind", CLASSES)
def test_saved_and_read_back_by_transformers(
    kind: str, tokenizer_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind), model_max_length=77, padding_side="left")
    files = tokenizer.save_pretrained(tmp_path)
    own = [file for file in tokenizer.family.files if not file.endswith(".model")]
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", *own]
    assert sorted(Path(file).name for file in files) == sorted(path.name for path in tmp_path.iterdir())
    assert sorted(Path(file).name for file in files) == sorted(names)
    (tmp_path / "config.json").write_bytes((tokenizer_folder(kind) / "config.json").read_bytes())
    texts = [*PIECES, *random_texts(27, 300)]
    pairs = texts[::-1]
    for again in (AutoTokenizer.from_pretrained(tmp_path), load_as_version_4(tmp_path)):
        assert again.padding_side == "left"
        assert again.model_max_length == 77
        assert again.special_tokens_map == tokenizer.special_tokens_map
        assert again.get_vocab() == tokenizer.get_vocab()
        given = {"padding": True, "truncation": True}
        assert_same(tokenizer(texts, pairs, **given), again(texts, pairs, **given))
        assert_same(tokenizer(texts, **EVERYTHING), again(texts, **EVERYTHING))


@pytest.mark.parametrize("kind", FROM_TRAINING)
def test_stale_truncation_and_padding(kind: str, copy: Callable[..., Path]) -> None:
    folder = copy(kind)
    edit_json(
        folder / "tokenizer.json",
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        },
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer("a b c d e f")["input_ids"]) > 7
    assert len(tokenizer("a")["input_ids"]) < 6
    row = tokenizer("a", padding="max_length", max_length=9)
    assert row["input_ids"][-1] == tokenizer.pad_token_id
    assert len(row["input_ids"]) == 9


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "albert"])
def test_added_tokens(kind: str, copy: Callable[..., Path]) -> None:
    """Those that added_tokens_decoder names go before what tokenizer.json says of the same."""
    folder = copy(kind)
    before = AutoTokenizer.from_pretrained(folder)
    mask = {"content": before.mask_token, "lstrip": False, "rstrip": True, "normalized": False, "special": True}
    new = {"content": "<new>", "lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    ids = {before.mask_token_id: mask, len(before): {**new, "special": False}}
    decoder = {str(index): token.__getstate__() for index, token in before.added_tokens_decoder.items()}
    decoder = {index: {**token} for index, token in decoder.items()} | {str(i): token for i, token in ids.items()}
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder=decoder)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_as_version_4(folder)
    assert tokenizer.get_added_vocab() == oracle.get_added_vocab()
    texts = [f"go {before.mask_token}  on<new>x <new>", f"a{before.mask_token} b"]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    with pytest.raises(ValueError, match=rf"wanted ids below {len(before)}, .*found {len(before)}, '<new>'"):
        tokenizer.check_vocabulary(len(before))


def test_scores_stay_as_they_were_read(copy: Callable[..., Path]) -> None:
    """`tokenizers` rounds a score twice, once for good: where two ways to split a word tie, its last bit decides."""
    folder = copy("xlm-roberta")
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    long = [[piece, float(np.float32(score * 1.1))] for piece, score in model["vocab"]]
    edit_json(folder / "tokenizer.json", model={**model, "vocab": long})

    def scores(tokenizer: Any) -> list[Any]:
        found: list[Any] = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
        return found

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert scores(tokenizer) != long
    assert scores(pickle.loads(pickle.dumps(tokenizer))) == scores(tokenizer)
    tokenizer.save_pretrained(folder)
    assert scores(AutoTokenizer.from_pretrained(folder)) == scores(tokenizer)


@pytest.mark.parametrize("kind", ["xlm-roberta", "camembert", "albert"])
def test_no_tokenizer_json_and_no_sentencepiece_model(kind: str, copy: Callable[..., Path]) -> None:
    folder = copy(kind, "config.json", "tokenizer_config.json")
    with pytest.raises(FileNotFoundError, match=rf"a {CLASSES[kind]}: wanted tokenizer.json or s.*, found neither"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("file", "data", "error", "message"),
    [
        ("vocab.json", b"{", ValueError, "not a valid vocabulary"),
        ("vocab.json", b"[1]", ValueError, "not a valid vocabulary"),
        ("vocab.json", b'{"a": -1}', ValueError, "not a valid vocabulary"),
        ("vocab.json", b"{}", ValueError, "not a valid vocabulary|found none"),
        ("vocab.json", b'{"a": 0}', ValueError, "not a valid vocabulary"),
        ("merges.txt", b"#version: 0.2\na\n", ValueError, "not a valid vocabulary"),
        ("merges.txt", b"#version: 0.2\nno such\n", ValueError, "not a valid vocabulary"),
        ("merges.txt", b"\xff\xfe\n", ValueError, "not a valid vocabulary"),
        ("merges.txt", None, FileNotFoundError, "wanted tokenizer.json or vocab.json and merges.txt, found vocab.json"),
    ],
)
def test_bad_files_of_roberta(
    file: str, data: bytes | None, error: type[Exception], message: str, copy: Callable[..., Path]
) -> None:
    folder = copy("roberta", "vocab.json", "merges.txt", "config.json")
    if data is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(data)
    with pytest.raises(error, match=message) as raised:
        AutoTokenizer.from_pretrained(folder)
    assert str(folder) in str(raised.value)


def test_a_vocabulary_without_what_stands_around_texts(copy: Callable[..., Path]) -> None:
    folder = copy("roberta", "config.json")
    (folder / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}', encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.json: wanted cls_token '<s>' in the vocabulary, found none"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": {"a": 1}}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", "b"]]}},
        {"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", -1.0]]}},
        {"model": {"type": "Unigram", "unk_id": 0, "vocab": []}},
        {"added_tokens": 3},
        {"added_tokens": [{"id": 1}]},
        {"added_tokens": [{"id": 1, "content": "x", "lstrip": "no"}]},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}},
    ],
)
def test_a_bad_unigram_file(change: dict[str, Any], copy: Callable[..., Path]) -> None:
    folder = copy("xlm-roberta")
    edit_json(folder / "tokenizer.json", **change)
    with pytest.raises(ValueError, match=r"tokenizer.json: not a valid tokenizer.json"):
        AutoTokenizer.from_pretrained(folder)


def test_a_character_map_shorter_than_its_trie(copy: Callable[..., Path]) -> None:
    """Told before the library makes room for it."""
    folder = copy("xlm-roberta")
    short = base64.b64encode((8).to_bytes(4, "little") + bytes(5)).decode()
    edit_json(folder / "tokenizer.json", normalizer={"type": "Precompiled", "precompiled_charsmap": short})
    with pytest.raises(ValueError, match=r"precompiled_charsmap: wanted a trie of at most 5 bytes, found 8"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [2**31 - 1]}, "wanted special tokens with ids of the vocabulary, found 2147483647"),
        ({"tokens": []}, "wanted a token for each id, found 3 for 4 ids"),
        ({"single": []}, "wanted a template with each text in it once, found another"),
        ({"single": ["$A", "$A"]}, "wanted a template with each text in it once, found another"),
    ],
)
def test_a_template_that_does_not_fit(change: dict[str, Any], message: str, copy: Callable[..., Path]) -> None:
    folder = copy("xlm-roberta")
    template = json.loads((folder / "tokenizer.json").read_text())["post_processor"]
    if "single" in change:
        of_text = next(part for part in template["single"] if "Sequence" in part)
        template["single"] = [part for part in template["single"] if part != of_text] + [of_text] * len(
            change["single"]
        )
    else:
        template["special_tokens"]["<s>"] |= change
    edit_json(folder / "tokenizer.json", post_processor=template)
    with pytest.raises(ValueError, match=message):
        AutoTokenizer.from_pretrained(folder)


# --- texts and threads


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_text(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    for bad, found in ((None, "None"), (b"x", "bytes"), (3, "int"), ("x\ud800", r"U\+D800, at character 1")):
        with pytest.raises(TextError, match=rf"^text\[1\]: .*found .*{found}"):
            tokenizer(["a", bad])
        with pytest.raises(TextError, match=rf"^texts\[1\]: .*found .*{found}"):
            tokenizer.encode_ids(["a", bad], max_length=8)
    with pytest.raises(ValueError, match=r"^return_tensors: wanted 'np' .*found 'pt'"):
        tokenizer("a", return_tensors="pt")
    least = tokenizer.num_special_tokens_to_add(True)
    with pytest.raises(ValueError, match=rf"^max_length: wanted at least {least}, the special tokens alone"):
        tokenizer("a", "b", truncation=True, max_length=least - 1)
    assert tokenizer([])["input_ids"] == []
    assert len(tokenizer("")["input_ids"]) == tokenizer.num_special_tokens_to_add()
    nothing = tokenizer("", add_special_tokens=False, return_tensors="np")
    assert nothing["input_ids"].shape == (1, 0)


@pytest.mark.parametrize("text", ["a" * 300_000, "é" * 100_000, "漢字" * 100_000, "hello wörld " * 200_000])
@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "albert"])
def test_a_megabyte(kind: str, text: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    (ids,) = tokenizer.encode_ids([text], max_length=64)
    assert len(ids) == 64
    assert tokenizer(text, truncation=True, max_length=64)["input_ids"] == ids


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_threads_share_one(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    texts = random_texts(28, 40)
    kinds: list[dict[str, Any]] = [
        {},
        {"padding": True, "padding_side": "left"},
        {"truncation": True, "max_length": 9, "return_overflowing_tokens": True, "stride": 2},
        {"truncation": True, "max_length": 5},
    ]
    wanted = [dict(tokenizer(texts, **kind)) for kind in kinds]
    before = tokenizer.backend_tokenizer.to_str()
    failures: list[Any] = []
    start = threading.Barrier(len(kinds))

    def work(number: int) -> None:
        try:
            start.wait()
            for _ in range(10):
                assert dict(tokenizer(texts, **kinds[number])) == wanted[number]
        except BaseException as error:
            failures.append((number, error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(kinds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert tokenizer.backend_tokenizer.to_str() == before
