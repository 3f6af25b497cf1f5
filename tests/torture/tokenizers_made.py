"""Tokenizer files of every family with vocabularies of a few dozen tokens, as they lie in folders of the hub."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from charsmap import nmt_nfkc

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "un",
    "##able",
    "##s",
    "##ing",
    "b",
    "c",
    "d",
    "e",
    ",",
    ".",
    "##e",
    "##d",
]
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    ("▁", -2.0),
    ("▁the", -3.0),
    ("▁cat", -3.5),
    ("s", -4.0),
    ("a", -4.2),
    ("t", -4.25),
    ("▁a", -3.1),
    ("e", -5.5),
]
PIECES += [("b", -6.0), ("c", -6.1), ("h", -6.2), ("▁b", -5.0), ("at", -4.9), (",", -5.1), (".", -5.2), ("é", -8.0)]
MERGES = ["t h", "th e", "c a", "ca t", "Ġ the", "Ġ cat", "Ġ a"]
MAX_LENGTH = 20

Files = dict[str, bytes]


def as_json(values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False, indent=1).encode()


def files(family: str, *, only_vocabulary: bool = False) -> Files:
    """The files of a family's tokenizer.

    Args:
        family: a model_type.
        only_vocabulary: without tokenizer.json: from vocab.txt, vocab.json and merges.txt, or a sentencepiece model.
    """
    maker = {"roberta": _byte_level, "xlm-roberta": _unigram, "camembert": _unigram, "albert": _unigram}
    return maker.get(family, _wordpiece)(family, only_vocabulary)


def vocabulary_size(family: str) -> int:
    """How many rows the word embeddings have for it."""
    if family == "roberta":
        return len(_bytes_vocabulary())
    if family in ("xlm-roberta", "camembert", "albert"):
        return len(_unigram_pieces(family)) + (0 if family == "albert" else 1)
    return len(_wordpieces(family))


def _wordpieces(family: str) -> list[str]:
    if family == "mpnet":
        return ["<s>", "<pad>", "</s>", "<unk>", *BERT_SPECIAL, *WORDS, "<mask>"]
    return [*BERT_SPECIAL, *WORDS]


def _wordpiece(family: str, only_vocabulary: bool) -> Files:
    tokens = _wordpieces(family)
    name = {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "mpnet": "MPNet"}[family]
    config = {"tokenizer_class": f"{name}Tokenizer", "do_lower_case": True, "model_max_length": MAX_LENGTH}
    made: Files = {"vocab.txt": "\n".join(tokens).encode() + b"\n", "tokenizer_config.json": as_json(config)}
    roles = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
    if family == "mpnet":
        roles = {"unk": "[UNK]", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"}
        roles |= {"bos": "<s>", "eos": "</s>"}
    made["special_tokens_map.json"] = as_json({f"{role}_token": token for role, token in roles.items()})
    if only_vocabulary:
        return made
    cls, sep = roles["cls"], roles["sep"]
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: index for index, token in enumerate(tokens)},
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    types = 0 if family == "mpnet" else 1
    between = [sep, sep] if family == "mpnet" else [sep]
    pair = [cls, ("A", 0), *between, ("B", types), (sep, types)]
    made["tokenizer.json"] = _tokenizer_json(
        model, [roles[role] for role in roles if role not in ("bos", "eos")], tokens, normalizer,
        {"type": "BertPreTokenizer"}, _template(pair, tokens), {"type": "WordPiece", "prefix": "##", "cleanup": True},
    )  # fmt: skip
    return made


@cache
def _bytes_vocabulary() -> dict[str, int]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters, more = [chr(code) for code in printable], 256
    for byte in range(256):
        if byte not in printable:
            characters.append(chr(more))
            more += 1
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(characters), *(merge.replace(" ", "") for merge in MERGES)]
    return {token: index for index, token in enumerate([*tokens, "<mask>"])}


def _byte_level(family: str, only_vocabulary: bool) -> Files:
    vocabulary = _bytes_vocabulary()
    made: Files = {
        "vocab.json": as_json(vocabulary),
        "merges.txt": "\n".join(["#version: 0.2", *MERGES]).encode() + b"\n",
        "tokenizer_config.json": as_json({"tokenizer_class": "RobertaTokenizer", "model_max_length": MAX_LENGTH}),
    }
    if only_vocabulary:
        return made
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": MERGES,
    }  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    processor = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True}
    made["tokenizer.json"] = _tokenizer_json(
        model, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], list(vocabulary), None, level,
        {**processor, "add_prefix_space": False}, level,
    )  # fmt: skip
    return made


def _unigram_pieces(family: str) -> list[tuple[str, float]]:
    special = {
        "albert": ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"],
        "camembert": ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"],
    }.get(family, ["<s>", "<pad>", "</s>", "<unk>"])
    return [*((token, 0.0) for token in special), *PIECES]


@cache
def _charsmap() -> bytes:
    return nmt_nfkc("".join(map(chr, [*range(0x20, 0x250), 0x2028, 0x3000, 0xFB01])))


def _unigram(family: str, only_vocabulary: bool) -> Files:
    pieces = _unigram_pieces(family)
    tokens = [piece for piece, _ in pieces]
    cls, sep, mask = ("[CLS]", "[SEP]", "[MASK]") if family == "albert" else ("<s>", "</s>", "<mask>")
    name = {"albert": "Albert", "camembert": "Camembert", "xlm-roberta": "XLMRoberta"}[family]
    config: dict[str, Any] = {"tokenizer_class": f"{name}Tokenizer", "model_max_length": MAX_LENGTH}
    config |= {"cls_token": cls, "sep_token": sep, "unk_token": "<unk>", "pad_token": "<pad>"}
    config["mask_token"] = {"content": mask, "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    made: Files = {"tokenizer_config.json": as_json(config)}
    if only_vocabulary:
        model = sentencepiece_model(pieces[:3] + pieces[4:] if family == "xlm-roberta" else pieces)
        return made | {"spiece.model" if family == "albert" else "sentencepiece.bpe.model": model}
    precompiled = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(_charsmap()).decode()}
    steps: list[Any] = [precompiled]
    if family == "albert":
        plain = [{"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")]
        steps = [*plain, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, precompiled]
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    all_tokens = tokens if family == "albert" else [*tokens, mask]
    pair = [cls, ("A", 0), sep, ("B", 1), (sep, 1)] if family == "albert" else [cls, ("A", 0), sep, sep, ("B", 0), sep]
    special = [token for token, score in pieces if score == 0.0 and token != mask]
    model = {"type": "Unigram", "unk_id": tokens.index("<unk>"), "vocab": [list(piece) for piece in pieces]}
    made["tokenizer.json"] = _tokenizer_json(
        {**model, "byte_fallback": False}, [*special, mask], all_tokens,
        {"type": "Sequence", "normalizers": steps} if len(steps) > 1 else steps[0],
        {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]}, _template(pair, all_tokens), space,
    )  # fmt: skip
    return made


def _template(pair: Sequence[Any], tokens: Sequence[str]) -> dict[str, Any]:
    """TemplateProcessing of [token, ("A", type), (token, type), ...]; a text alone is what stands before the second."""

    def part(item: Any) -> dict[str, Any]:
        name, kind = item if isinstance(item, tuple) else (item, 0)
        key = "Sequence" if name in ("A", "B") else "SpecialToken"
        return {key: {"id": name, "type_id": kind}}

    names = {item[0] if isinstance(item, tuple) else item for item in pair} - {"A", "B"}
    special = {name: {"id": name, "ids": [tokens.index(name)], "tokens": [name]} for name in sorted(names)}
    parts = [part(item) for item in pair]
    return {"type": "TemplateProcessing", "single": parts[:3], "pair": parts, "special_tokens": special}


def _tokenizer_json(
    model: Any, special: Sequence[str], tokens: Sequence[str], normalizer: Any, pre: Any, processor: Any, decoder: Any
) -> bytes:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [
        {"id": tokens.index(token), "content": token, **flags, "lstrip": token == "<mask>"}
        for token in sorted(special, key=tokens.index)
    ]
    return as_json(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": pre,
            "post_processor": processor,
            "decoder": decoder,
            "model": model,
        }
    )


def sentencepiece_model(
    pieces: Sequence[tuple[str, float]], normalizer: Sequence[tuple[int, bytes | int]] = ()
) -> bytes:
    """A sentencepiece .model: a ModelProto of pieces, a trainer that says unigram, and a normalizer."""
    kinds = {"<unk>": 2}
    written = b""
    for token, score in pieces:
        kind = kinds.get(token, 3 if score == 0.0 else 1)
        piece = _field(1, token.encode()) + b"\x15" + struct.pack("<f", score) + _field(3, kind)
        written += _field(1, piece)
    trainer = _field(3, 1)
    steps = b"".join(_field(number, value) for number, value in (normalizer or ((1, b"nmt_nfkc"), (2, _charsmap()))))
    return written + _field(2, trainer) + _field(3, steps)


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
