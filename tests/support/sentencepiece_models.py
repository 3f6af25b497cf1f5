"""Sentencepiece models, written as the library writes them, of pieces that it was trained to once; texts for them.

Imports nothing of npbert: record_sentencepiece.py asks the library what tests ask npbert.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from charsmap import nmt_nfkc
from recording import read_recorded
from strings import PIECES

RECORDED = Path(__file__).parent / "sentencepiece.json"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

Piece: TypeAlias = tuple[str, float, int]  # text, score, kind


@dataclass(frozen=True)
class Variant:
    """A model: pieces that were trained, and what is set besides."""

    pieces: str = "unigram"
    more: tuple[Piece, ...] = ()
    trainer: dict[int, Any] = field(default_factory=dict)  # by the numbers of the format's fields
    normalizer: dict[int, Any] = field(default_factory=dict)
    charsmap: bool = True


BYTES = tuple((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256))
SYMBOLS = tuple((text, 0.0, USER_DEFINED) for text in ("-", "<sep>", "own", "3.14"))
DUMMY_PREFIX, EXTRA_SPACES, ESCAPE, BYTE_FALLBACK, MODEL_TYPE, SUFFIX, UNKNOWN_ID = 3, 4, 5, 35, 3, 24, 40

VARIANTS = {
    "plain": Variant(),
    "no map": Variant(charsmap=False),
    "no prefix": Variant(normalizer={DUMMY_PREFIX: 0}),
    "all spaces": Variant(normalizer={EXTRA_SPACES: 0}),
    "all spaces, no prefix": Variant(normalizer={EXTRA_SPACES: 0, DUMMY_PREFIX: 0}),
    "bytes": Variant(more=BYTES, trainer={BYTE_FALLBACK: 1}),
    "symbols": Variant(more=SYMBOLS),
    "beyond words": Variant(more=(("the▁quick▁brown", -3.0, NORMAL), ("▁▁", -4.0, NORMAL))),
    "unused": Variant(more=(("brown", 0.0, UNUSED), ("▁brown", 0.0, UNUSED))),
    "bpe": Variant("bpe", trainer={MODEL_TYPE: 2}),
    "bpe, bytes": Variant("bpe", more=BYTES, trainer={MODEL_TYPE: 2, BYTE_FALLBACK: 1}),
}

FAMILIES = {"xlm-roberta": Variant(), "camembert": Variant(), "albert": Variant(trainer={UNKNOWN_ID: 1})}
"""model_type -> what its files are like, besides their pieces."""

TEXTS = [
    "",
    " ",
    "a",
    "The quick brown fox's jump, unbelievably electroencephalographically re-run!",
    "the  quick   brown\tfox\r\njumps\nover",
    " leading and trailing  ",
    "line\r\n\r\nends\r\n",
    "3.14 costs $5 #tag @me a_b",
    "e-mail<sep>own town 3.14.15 - own-",
    "Zażółć gęślą jaźń naïve café Ångström İstanbul ıssız STRASSE straße",
    "ﬁn ﬃ Ⅷ ① ² ½ ™ … Ω Å ﷺ ＡＢＣ１２３\u3000ｘ",
    "Привет мир ёлка Ελληνικά σίγμας Հայերեն ქართული",
    "שלום עולם مرحبا العالم فارسی\u200cها",
    "नमस्ते বাংলা தமிழ் ภาษาไทย མྱན་མ",
    "漢字 日本語ひらがなカタカナ ﾊﾝｶｸ 한국어、。！，？",
    "😀 👩\u200d👩\u200d👧\u200d👦 👍🏽 🇩🇪 ☃️ 𠀀𪛖",
    "a\x00b\x07c\x1bd\x7f\u200be\ufefff\xadg",
    "\u2028x\u2029y\u3000z\xa0",
    "a▁b",
    "a\u0301e\u0308 A\u030a o\u0302\u0301",
    "unknown: \u1c90\u1c91 ꙮ \U0001f9ff",
    "9,5 9, 1,000, 2, x, y",
    "``quoted'' it's",
]


def pieces_of(name: str) -> list[Piece]:
    """Trained pieces."""
    return [(text, float(score), int(kind)) for text, score, kind in (row.rsplit("\t", 2) for row in _recorded()[name])]


def family_pieces(kind: str, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Those of a family's file, of what was trained: ALBERT begins with its own special tokens, and has symbols."""
    if kind != "albert":
        return pieces
    special = (("<pad>", CONTROL), ("<unk>", UNKNOWN), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL))
    symbols = {"-", ".", "(", '"'}
    own = [
        (text, 0.0 if text in symbols else score, USER_DEFINED if text in symbols else NORMAL)
        for text, score, _ in pieces
    ]
    return [*((text, 0.0, kind) for text, kind in special), *own[3:], ("£", 0.0, USER_DEFINED)]


@cache
def _recorded() -> dict[str, list[str]]:
    pieces: dict[str, list[str]] = read_recorded(RECORDED)[0]["pieces"]
    return pieces


@cache
def charsmap() -> bytes:
    """What sentencepiece calls nmt_nfkc, of the characters that texts here have."""
    ranges = (range(0x250), range(0x2000, 0x2200), range(0x3000, 0x3001), range(0xFF00, 0xFFEF))
    characters = {*"".join([*PIECES, *TEXTS])} | {chr(code) for codes in ranges for code in codes}
    return nmt_nfkc("".join(sorted(characters)))


def model_bytes(variant: Variant, pieces: Sequence[Piece] | None = None) -> bytes:
    """The file of a variant; of the pieces that are given, where they are not yet recorded."""
    more = {piece[0] for piece in variant.more}
    trained = pieces_of(variant.pieces) if pieces is None else pieces
    rows = [*(piece for piece in trained if piece[0] not in more), *variant.more]
    normalizer = {2: charsmap(), **variant.normalizer} if variant.charsmap else variant.normalizer
    return b"".join(_field(1, _message({1: text.encode(), 2: score, 3: kind})) for text, score, kind in rows) + (
        _field(2, _message({4: len(rows), **variant.trainer})) + _field(3, _message(normalizer))
    )


def _message(values: dict[int, Any]) -> bytes:
    return b"".join(_field(number, value) for number, value in sorted(values.items()))


def _field(number: int, value: bytes | float) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
