"""A sentencepiece model without a tokenizer.json: the pieces that the library gives, and transformers' ids."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from recording import read_recorded
from sentencepiece_models import (
    CONTROL,
    FAMILIES,
    MODEL_TYPE,
    NORMAL,
    RECORDED,
    SUFFIX,
    TEXTS,
    UNKNOWN,
    USER_DEFINED,
    VARIANTS,
    Variant,
    family_pieces,
    model_bytes,
    pieces_of,
)
from strings import random_texts
from tokenizer_folders import CLASSES
from tokenizing import EVERYTHING

import npbert
from npbert.text.auto import AutoTokenizer
from npbert.text.families import TokenizerFamily
from npbert.text.sentencepiece import of_sentencepiece
from npbert.text.sentencepiece_file import parse_sentencepiece
from npbert.text.settings import TokenizerConfig

CASES = read_recorded(RECORDED)
FILES = {"xlm-roberta": "sentencepiece.bpe.model", "camembert": "sentencepiece.bpe.model", "albert": "spiece.model"}
AS_IT_IS = TokenizerConfig({}, "config", TokenizerFamily("Plain", ("any.model",)))


def rows(case: dict[str, Any]) -> list[list[int]]:
    return [list(map(int, row.split())) for row in case["ids"]]


def write(folder: Path, kind: str, **config: Any) -> Path:
    """A folder of a family that holds a model alone."""
    folder.mkdir(exist_ok=True)
    (folder / FILES[kind]).write_bytes(model_bytes(FAMILIES[kind], family_pieces(kind, pieces_of("unigram"))))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": CLASSES[kind], **config}))
    return folder


@pytest.mark.parametrize("case", CASES[1 : len(VARIANTS) + 1], ids=list(VARIANTS))
def test_pieces_as_sentencepiece_gives_them(case: dict[str, Any], tmp_path: Path) -> None:
    variant = VARIANTS[case["variant"]]
    path = tmp_path / "any.model"
    path.write_bytes(model_bytes(variant))
    backend = of_sentencepiece(path, AS_IT_IS)
    texts = [piece.text for piece in parse_sentencepiece(model_bytes(variant)).pieces]
    unknown = texts.index("<unk>")
    for text, wanted, decoded in zip(TEXTS, rows(case), case["texts"], strict=True):
        found = backend.encode(text)
        assert [texts[index] for index in found.ids] == [texts[index] for index in wanted], text
        if unknown not in wanted:
            assert backend.decode(found.ids, skip_special_tokens=False) == decoded


FOLDERS = [case for case in CASES if "folder" in case]


@pytest.mark.parametrize("case", FOLDERS, ids=[f"{case['folder']}, fast {case['fast']}" for case in FOLDERS])
def test_ids_as_transformers_gives_them(case: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(write(tmp_path, case["folder"]))
    texts = [*TEXTS, *case["given"]]
    wanted = dict(zip(texts, rows(case), strict=True))
    other = {text: ids for text, ids in wanted.items() if tokenizer(text)["input_ids"] != ids}
    assert {*other} == {*DIFFERENT.get((case["folder"], case["fast"]), ())}
    pair = tokenizer("a b", "c", return_token_type_ids="token_type_ids" in case["pair"])
    assert dict(pair) == case["pair"]
    special = dict(case["special"])
    assert tokenizer.extra_special_tokens == special.pop("additional_special_tokens", [])
    assert tokenizer.special_tokens_map == special
    assert len(tokenizer) == case["length"]


DIFFERENT = {
    # The slow one keeps marks that stand for sounds; tokenizer.json and the fast one take off whatever is a mark.
    ("albert", False): [TEXTS[13], TEXTS[15]],
    # The fast one puts a space behind each symbol, and keeps a space at the end; sentencepiece and the slow one don't.
    ("albert", True): [*(TEXTS[index] for index in (1, 3, 5, 6, 7, 8, 17)), "[CLS] text [SEP]"],
}


@pytest.mark.parametrize("kind", FILES)
def test_saved_and_loaded_again(kind: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "from", kind, model_max_length=20)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, *random_texts(14, 50)]
    wanted = tokenizer(texts, **EVERYTHING)
    made = getattr(npbert, CLASSES[kind])(vocab_file=folder / FILES[kind])
    assert made(texts, **EVERYTHING) == wanted
    assert pickle.loads(pickle.dumps(tokenizer))(texts, **EVERYTHING) == wanted
    files = tokenizer.save_pretrained(tmp_path / "to")
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(Path(file).name for file in files) == names
    assert AutoTokenizer.from_pretrained(tmp_path / "to")(texts, **EVERYTHING) == wanted
    (folder / "tokenizer.json").write_bytes((tmp_path / "to" / "tokenizer.json").read_bytes())
    (folder / FILES[kind]).write_bytes(b"")  # not looked at any more
    assert AutoTokenizer.from_pretrained(folder)(texts, **EVERYTHING) == wanted


@pytest.mark.parametrize("kind", FILES)
def test_long_texts_are_cut_where_words_end(kind: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(write(tmp_path, kind))
    text = " ".join(text for text in random_texts(15, 60) if "\r\n" not in text)
    wanted = tokenizer.encode_ids([text])[0]
    assert len(text) > 1000
    for length in (3, 10, 40):
        cut = tokenizer.encode_ids([text], max_length=length)[0]
        assert cut == [*wanted[: length - 1], wanted[-1]]


def test_switches_of_albert(tmp_path: Path) -> None:
    folder = write(tmp_path, "albert")
    load = AutoTokenizer.from_pretrained
    assert load(folder).convert_tokens_to_string(load(folder).tokenize("naïve Re")) == "naive re"
    kept = load(folder, keep_accents=True, do_lower_case=False)
    assert kept.convert_tokens_to_string(kept.tokenize("naïve Re")) == "naïve Re"


PIECES = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("▁a", -1.0, NORMAL)]


def of(pieces: list[Any], **settings: Any) -> bytes:
    return model_bytes(Variant(charsmap=False, **settings), pieces)


def test_special_tokens_in_texts(tmp_path: Path) -> None:
    """As text they are letters, which the library gives as well, and no pieces of the file that stand for no text."""
    folder = write(tmp_path, "xlm-roberta")
    letters = [(letter, -9.0, NORMAL) for letter in "▁<>/mask"]
    (folder / FILES["xlm-roberta"]).write_bytes(of([*PIECES, *letters]))
    assert AutoTokenizer.from_pretrained(folder).tokenize("<s> </s>") == ["<s>", "</s>"]
    tokenizer = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
    assert tokenizer.tokenize("<s> </s> <mask>") == [*"▁<s>▁</s>▁<mask>"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a valid sentencepiece model: wanted pieces, found none"),
        (b"[1]", "not a valid sentencepiece model"),
        (of(PIECES)[:-3], "it is cut short"),
        (of(PIECES)[:10], "it is cut short"),
        (of(PIECES) + b"\x0b", "a field of the kind 3, which there is not"),
        (of(PIECES) + b"\x0a" + b"\xff" * 12, "a number of more than 64 bits"),
        (of(PIECES) + b"\x0a\x05\x0a\x03\xff\xfe\xfd", "can't decode"),
        (of(PIECES) + b"\x0a\x02\x08\x01", "a field is of another kind"),
        (of(PIECES) + b"\x08\x01", "a field is of another kind"),
        (of([*PIECES, ("b", float("nan"), NORMAL)]), "wanted a piece with a text, a finite score and a type"),
        (of([*PIECES, ("b", 0.0, 7)]), "wanted a piece with a text, a finite score and a type"),
        (of([*PIECES, ("", 0.0, NORMAL)]), "wanted a piece with a text"),
        (of([*PIECES, ("▁a", -2.0, NORMAL)]), "wanted each piece once, found '▁a' again"),
        (of(PIECES[:3]), "wanted pieces of text, found none"),
        (of(PIECES[1:]), "wanted a model whose first pieces are <unk>, <s>, </s>, as this class has it, found"),
        (of([*PIECES, ("x", 0.0, UNKNOWN)]), "wanted one piece for what is unknown, found 2"),
        (of(PIECES, trainer={SUFFIX: 1}), "treat_whitespace_as_suffix: wanted false, found true; not supported"),
        (of(PIECES, trainer={MODEL_TYPE: 3}), "model_type: wanted unigram or bpe, found word; not supported"),
        (of(PIECES, trainer={MODEL_TYPE: 2}, more=(("-", 0.0, USER_DEFINED),)), "user-defined symbols in a BPE"),
        (of(PIECES, normalizer={2: b"\x01"}), "not a valid sentencepiece model"),
    ],
)
def test_a_bad_model(data: bytes, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path, "xlm-roberta")
    (folder / FILES["xlm-roberta"]).write_bytes(data)
    with pytest.raises(ValueError, match=rf"sentencepiece\.bpe\.model: .*{message}"):
        AutoTokenizer.from_pretrained(folder)


def test_fields_in_any_order() -> None:
    """And those that are not known, of every kind."""
    score = struct.pack("<f", -2.5)
    piece = (
        b"\x15" + score + b"\x18\x01" + b"\xa2\x06\x01x" + b"\xa8\x06\x80\x01" + b"\xa1\x06" + bytes(8) + b"\x0a\x01b"
    )
    data = b"\x22\x01x" + b"\x0a" + bytes([len(piece)]) + piece + of(PIECES)
    assert parse_sentencepiece(data).pieces == [("b", -2.5, NORMAL), *PIECES]


def test_a_model_under_another_name(tmp_path: Path) -> None:
    folder = write(tmp_path, "xlm-roberta")
    (folder / FILES["xlm-roberta"]).rename(folder / "tokenizer.model")
    with pytest.raises(
        FileNotFoundError, match=r"wanted tokenizer\.json or sentencepiece\.bpe\.model, found tokenizer\.m"
    ):
        AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"^vocab: wanted the path of a sentencepiece model, found \["):
        npbert.XLMRobertaTokenizer(vocab=[("a", 1.0)])


@pytest.mark.parametrize("kind", ["roberta", "albert"])
def test_a_vocabulary_that_is_no_file(kind: str, tokenizer_folder: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("npbert.text.from_vocabulary.MOST_BYTES", 1000)
    monkeypatch.setattr("npbert.text.sentencepiece_file.MOST_BYTES", 1000)
    for name in ("vocab.json", "merges.txt") if kind == "roberta" else ("spiece.model",):
        folder = tmp_path / name
        folder.mkdir()
        if kind == "roberta":
            for other in ("vocab.json", "merges.txt"):
                (folder / other).write_bytes((tokenizer_folder(kind) / other).read_bytes()[:900])
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": CLASSES[kind]}))
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(b" " * 1001)
        with pytest.raises(ValueError, match=f"{name}: wanted at most 1000 bytes, found 1001"):
            AutoTokenizer.from_pretrained(folder)
        for place, message in (("/dev/zero", "wanted a regular file"), ("nowhere", "a link that leads nowhere")):
            (folder / name).unlink()
            (folder / name).symlink_to(place)
            with pytest.raises(OSError, match=f"{name}: {message}"):
                AutoTokenizer.from_pretrained(folder)
