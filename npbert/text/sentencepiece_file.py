"""A sentencepiece model's file, read: its pieces, and how it prepares a text. It is one message of protocol buffers.

Source: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto, and the wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from npbert.checks import show
from npbert.files.regular_file import read_bounded

MOST_BYTES = 50_000_000  # a million pieces, as XLM-V has them, take 20 MB

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""What a piece is for."""

MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}

# Fields of the messages that are read, by their numbers.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _SUFFIX, _BYTE_FALLBACK = 3, 24, 35
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_SPACES, _ESCAPE = 2, 3, 4, 5

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_TEXT_KEY, _SCORE_KEY = _TEXT << 3 | _BYTES, _SCORE << 3 | _FIXED32
_FLOAT = struct.Struct("<f")


class Piece(NamedTuple):
    """A token of the model."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What of a model tokens depend on. Defaults are those of the format."""

    pieces: list[Piece] = field(default_factory=list)
    model_type: int = 1
    whitespace_as_suffix: bool = False  # the mark of a space ends a word, and does not begin it
    byte_fallback: bool = False  # a character that is no piece becomes those of its bytes
    charsmap: bytes = b""  # what characters are replaced by
    add_dummy_prefix: bool = True  # a text begins with a space
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True  # a space is written as U+2581


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """The model of a file.

    Raises:
        OSError: it can't be read, or is no regular file.
        ValueError: it is too long, or no such model.
    """
    data = read_bounded(path, MOST_BYTES)
    try:
        return parse_sentencepiece(data)
    except ValueError as error:  # a text that is no UTF-8 among them
        raise ValueError(f"{path}: not a valid sentencepiece model: {error}") from None


def parse_sentencepiece(data: bytes) -> SentencePieceModel:
    """The model that bytes stand for.

    Raises:
        ValueError: they stand for none.
    """
    pieces: list[Piece] = []
    values: dict[str, int | bytes] = {}
    for number, value in _fields(data, 0, len(data)):
        if number == _PIECES:
            pieces.append(_piece(data, *_span(value)))
        elif number == _TRAINER:
            names = {_MODEL_TYPE: "model_type", _SUFFIX: "whitespace_as_suffix", _BYTE_FALLBACK: "byte_fallback"}
            values |= _named(data, value, names)
        elif number == _NORMALIZER:
            names = {_DUMMY_PREFIX: "add_dummy_prefix", _EXTRA_SPACES: "remove_extra_whitespaces"}
            values |= _named(data, value, {**names, _CHARSMAP: "charsmap", _ESCAPE: "escape_whitespaces"})
    if not pieces:
        raise ValueError("wanted pieces, found none")
    charsmap, model_type = values.pop("charsmap", b""), values.pop("model_type", 1)
    if not isinstance(charsmap, bytes) or not isinstance(model_type, int):
        raise ValueError("a field is of another kind")
    check_charsmap("precompiled_charsmap", charsmap, len(charsmap))
    flags = {name: bool(value) for name, value in values.items()}
    return SentencePieceModel(pieces, model_type, charsmap=charsmap, **flags)


def check_charsmap(where: str, begin: bytes, size: int) -> None:
    """The library makes room for the trie that the first four bytes of a character map speak of, before it reads it.

    Args:
        where: for messages.
        begin: the first bytes at least.
        size: of the map, in bytes.

    Raises:
        ValueError: the trie would be longer than the map.
    """
    trie = int.from_bytes(begin[:4], "little")
    if size and trie > size - 4:
        raise ValueError(f"{where}: wanted a trie of at most {max(size - 4, 0)} bytes, found {trie}")


def _piece(data: bytes, begin: int, end: int) -> Piece:
    place = end - 5  # of the score, if there is nothing behind it, as in nearly all of a quarter of a million pieces
    if place > begin + 2 and data[begin] == _TEXT_KEY and data[begin + 1] == place - begin - 2 < 128:
        (score,) = _FLOAT.unpack_from(data, place + 1)
        if data[place] == _SCORE_KEY and isfinite(score):
            return Piece(data[begin + 2 : place].decode(), score, NORMAL)
    text, score, kind = "", 0.0, NORMAL
    for number, value in _fields(data, begin, end):
        if number == _TEXT:
            begin, stop = _span(value)
            text = data[begin:stop].decode()
        elif number == _SCORE:
            if not isinstance(value, bytes) or len(value) != _FLOAT.size:
                raise ValueError("a score is of another kind")
            (score,) = _FLOAT.unpack(value)
        elif number == _KIND:
            if not isinstance(value, int):
                raise ValueError("a piece's type is of another kind")
            kind = value
    if not text or not isfinite(score) or not NORMAL <= kind <= BYTE:
        raise ValueError(f"wanted a piece with a text, a finite score and a type, found {show((text, score, kind))}")
    return Piece(text, score, kind)


def _named(data: bytes, value: _Value, names: dict[int, str]) -> dict[str, int | bytes]:
    """The fields of a message that have names; of each the last one counts."""
    found: dict[str, int | bytes] = {}
    for number, inner in _fields(data, *_span(value)):
        if number in names:
            found[names[number]] = data[slice(*inner)] if isinstance(inner, tuple) else inner
    return found


_Value = int | bytes | tuple[int, int]  # a number, the bytes of a fixed size, or where bytes begin and end


def _span(value: _Value) -> tuple[int, int]:
    if not isinstance(value, tuple):
        raise ValueError("a field is of another kind")
    return value


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, _Value]]:
    """(number, value) of each field of the message data[at:end]."""
    while at < end:
        key, at = _varint(data, at, end)
        kind = key & 7
        value: _Value
        if kind == _VARINT:
            value, at = _varint(data, at, end)
        elif kind == _BYTES:
            length, at = _varint(data, at, end)
            value, at = (at, at + length), at + length
        elif kind in _SIZES:
            value, at = data[at : at + _SIZES[kind]], at + _SIZES[kind]
        else:
            raise ValueError(f"a field of the kind {kind}, which there is not")
        if at > end:
            raise ValueError("it is cut short")
        yield key >> 3, value


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number, seven bits a byte, the last of which has its highest bit off; and the place behind it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it is cut short" if at >= end else "a number of more than 64 bits")
