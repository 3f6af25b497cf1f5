"""Folders of small tokenizers, written as JSON by hand: no version of a library has a part in what is in them."""

from __future__ import annotations

import base64
import json
import string
from pathlib import Path
from typing import Any

from charsmap import nmt_nfkc

BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ALBERT_TOKENS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = [*string.ascii_letters, *"éÉöÖ漢字!,."]
BERT_ROWS = ("[CLS]:0 A:0 [SEP]:0", "[CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1")
ROBERTA_ROWS = ("<s>:0 A:0 </s>:0", "<s>:0 A:0 </s>:0 </s>:0 B:0 </s>:0")
WORD = "▁"
LOWER_STEPS = [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]
QUOTES = [
    {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
    {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
]
ONE_SPACE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}


def wordpiece(tokens: list[str]) -> dict[str, Any]:
    """BERT's pipeline, or with RoBERTa's tokens MPNet's."""
    vocabulary = [*tokens, *LETTERS, *(f"##{letter}" for letter in LETTERS), "hello", "##ll", "##ld"]
    vocabulary += ["[UNK]"] if "[UNK]" not in vocabulary else []
    bert = tokens is BERT_TOKENS
    values = _tokenizer(
        {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: index for index, token in enumerate(vocabulary)},
        },
        [*tokens, *([] if bert else ["[UNK]"])],
    )
    return {
        **values,
        "normalizer": bert_normalizer(True, None, True),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(*(BERT_ROWS if bert else ROBERTA_ROWS), values),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }


def bytes_bpe() -> dict[str, Any]:
    """RoBERTa's pipeline."""
    merges = [("Ġ", "h"), ("h", "e"), ("l", "l"), ("he", "ll"), ("Ġh", "e"), ("w", "o")]
    vocabulary = [*ROBERTA_TOKENS, *_byte_alphabet(), *("".join(merge) for merge in merges)]
    ids = {token: index for index, token in enumerate(vocabulary)}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False}
    return {
        **_tokenizer({**model, "vocab": ids, "merges": [" ".join(merge) for merge in merges]}, ROBERTA_TOKENS),
        "normalizer": None,
        "pre_tokenizer": byte_level(False),
        "post_processor": roberta_processing(False, True),
        "decoder": byte_level(True),
    }


def pieces(tokens: list[str]) -> dict[str, Any]:
    """XLM-RoBERTa's pipeline, which is CamemBERT's, or with ALBERT's tokens ALBERT's."""
    bert = tokens is ALBERT_TOKENS
    scored = [(token, 0.0) for token in tokens]
    scored += [(WORD, -2.0), (f"{WORD}hello", -3.0), (f"{WORD}w", -4.0), ("ll", -4.5)]
    scored += [(letter, -5.0 - round(index / 7, 2)) for index, letter in enumerate(LETTERS)]
    model = {"type": "Unigram", "unk_id": tokens.index("<unk>"), "vocab": scored, "byte_fallback": False}
    values = _tokenizer(model, tokens)
    charsmap = base64.b64encode(nmt_nfkc("aAéÉöÖ ﬁ\t\n\u3000")).decode()
    steps = [{"type": "Precompiled", "precompiled_charsmap": charsmap}]
    return {
        **values,
        "normalizer": sequence([*QUOTES, *LOWER_STEPS, *steps] if bert else steps),
        "pre_tokenizer": words([{"type": "WhitespaceSplit"}, metaspace("always")]),
        "post_processor": template(*(BERT_ROWS if bert else ROBERTA_ROWS), values),
        "decoder": metaspace("always"),
    }


MODELS = {
    "BertTokenizer": "bert",
    "DistilBertTokenizer": "distilbert",
    "ElectraTokenizer": "electra",
    "MPNetTokenizer": "mpnet",
    "RobertaTokenizer": "roberta",
    "XLMRobertaTokenizer": "xlm-roberta",
    "CamembertTokenizer": "camembert",
    "AlbertTokenizer": "albert",
}
"""Class -> model_type."""


def tokenizer_json(class_name: str) -> dict[str, Any]:
    """What lies in a folder of that class."""
    if class_name == "RobertaTokenizer":
        return bytes_bpe()
    if class_name in ("XLMRobertaTokenizer", "CamembertTokenizer"):
        return pieces(ROBERTA_TOKENS)
    if class_name == "AlbertTokenizer":
        return pieces(ALBERT_TOKENS)
    return wordpiece(ROBERTA_TOKENS if class_name == "MPNetTokenizer" else BERT_TOKENS)


def write_folder(folder: Path, given: dict[str, Any]) -> Path:
    """A folder as `given` says: what a recorded case was asked of.

    Args:
        given: "file", of which class's tokenizer.json is; "changes", its steps that are others, keys joined by dots;
            "config" and "model", what is in tokenizer_config.json and config.json; "vocabulary": only the vocabulary
            files instead of tokenizer.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(json.dumps(tokenizer_json(given["file"])))
    for path, value in given.get("changes", {}).items():
        *parents, key = path.split(".")
        target = values
        for parent in parents:
            target = target[parent]
        target[key] = value
    files: dict[str, Any] = {"tokenizer_config.json": given["config"], "config.json": given["model"]}
    model = values["model"]
    if not given.get("vocabulary"):
        files["tokenizer.json"] = values
    elif model["type"] == "WordPiece":
        files["vocab.txt"] = "".join(f"{token}\n" for token in model["vocab"])
    else:
        files["vocab.json"] = model["vocab"]
        files["merges.txt"] = "".join(f"{line}\n" for line in ["#version: 0.2", *model["merges"]])
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def bert_normalizer(lowercase: bool, accents: bool | None, chinese: bool) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": chinese,
        "strip_accents": accents,
        "lowercase": lowercase,
    }


def byte_level(space: bool, trim: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": trim, "use_regex": True}


def roberta_processing(space: bool, trim: bool) -> dict[str, Any]:
    ends = {"sep": ["</s>", 2], "cls": ["<s>", 0]}
    return {"type": "RobertaProcessing", **ends, "trim_offsets": trim, "add_prefix_space": space}


def metaspace(scheme: str) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": WORD, "prepend_scheme": scheme, "split": True}


def words(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": steps}


def sequence(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": steps}


def template(single: str, pair: str, values: dict[str, Any]) -> dict[str, Any]:
    """single, pair: as "[CLS]:0 A:0 [SEP]:0"."""
    ids = {token["content"]: token["id"] for token in values["added_tokens"]}

    def parts(text: str) -> list[dict[str, Any]]:
        pairs = [part.rsplit(":", 1) for part in text.split()]
        return [
            {"Sequence" if name in ("A", "B") else "SpecialToken": {"id": name, "type_id": int(kind)}}
            for name, kind in pairs
        ]

    used = sorted({part.rsplit(":", 1)[0] for part in pair.split()} - {"A", "B"})
    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in used}
    return {
        "type": "TemplateProcessing",
        "single": parts(single),
        "pair": parts(pair),
        "special_tokens": special,
    }


def _tokenizer(model: dict[str, Any], special: list[str]) -> dict[str, Any]:
    vocabulary = model["vocab"]
    ids = vocabulary if isinstance(vocabulary, dict) else {pair[0]: index for index, pair in enumerate(vocabulary)}
    added = [
        {
            "id": ids[token],
            "content": token,
            "single_word": False,
            "lstrip": token == "<mask>",
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in special
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "model": model,
    }


def _byte_alphabet() -> list[str]:
    """The characters that stand for bytes, in the order of their bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    places = {byte: chr(byte) for byte in shown} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}
    return [places[byte] for byte in range(256)]
