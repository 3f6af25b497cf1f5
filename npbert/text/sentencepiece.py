"""A `tokenizers.Tokenizer` of a sentencepiece model: its pieces and its normalizer as steps of that library.

The pieces of a text are those that the sentencepiece library gives, for they are what models were trained with; the
ids are a family's, whose vocabulary may differ from the file's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders
from tokenizers.models import BPE, Unigram
from tokenizers.normalizers import NFKD, Lowercase, Normalizer, Precompiled, Prepend, Replace, StripAccents
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Metaspace

from npbert.checks import show
from npbert.text.errors import as_value_error
from npbert.text.sentencepiece_file import (
    CONTROL,
    MODEL_TYPES,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    SentencePieceModel,
    read_sentencepiece,
)
from npbert.text.settings import TokenizerConfig

SPACE = "\u2581"
NEVER = 1000.0  # by so much a piece that no text has is worse than the worst that one may have


class Layout(NamedTuple):
    """How a family's ids differ from the file's: tokens in the place of the first pieces, and behind the last."""

    first: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()  # the pieces that the file begins with, and that have no ids of their own
    last: tuple[str, ...] = ()
    unknown: str | None = None  # None: the file's
    apart: bool = False  # a comma behind a digit is a token of its own


LAYOUTS = {
    # fairseq's, where <s>, <pad>, </s> and <unk> come first.
    "XLMRobertaTokenizer": Layout(("<s>", "<pad>", "</s>", "<unk>"), ("<unk>", "<s>", "</s>"), ("<mask>",), "<unk>"),
    "CamembertTokenizer": Layout(
        ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), ("<unk>",), ("<mask>",), "<unk>"
    ),
    "AlbertTokenizer": Layout(apart=True),
}
"""Class -> its layout, where it is not the file's."""


def of_sentencepiece(path: Path, config: TokenizerConfig) -> Tokenizer:
    """A tokenizer of a model's file, without special tokens around texts.

    Raises:
        OSError: the file can't be read.
        ValueError: it is malformed, is no model of the family's, or asks for what is not supported.
    """
    model = read_sentencepiece(path)
    pieces, unknown = _laid_out(path, model, LAYOUTS.get(config.family.name, Layout()))
    if model.whitespace_as_suffix:
        raise ValueError(f"{path}: treat_whitespace_as_suffix: wanted false, found true; not supported")
    with as_value_error(f"{path}: not a valid sentencepiece model"):
        if model.model_type == 1:
            backend = Tokenizer(_unigram(pieces, unknown, model.byte_fallback))
        elif model.model_type == 2:
            backend = Tokenizer(_bpe(pieces, unknown, model.byte_fallback))
        else:
            kind = MODEL_TYPES.get(model.model_type, model.model_type)
            raise ValueError(f"model_type: wanted unigram or bpe, found {kind}; not supported")
        _set_steps(backend, model, config)
        controls = [piece.text for piece in pieces if piece.kind in (CONTROL, UNKNOWN)]
        backend.add_tokens([AddedToken(text, special=True, normalized=False) for text in controls])
    return backend


def _laid_out(path: Path, model: SentencePieceModel, layout: Layout) -> tuple[list[Piece], int]:
    """The family's pieces in the order of their ids, and the id of the unknown one."""
    pieces = model.pieces
    count = len(layout.replaced)
    if tuple(piece.text for piece in pieces[:count]) != layout.replaced:
        raise ValueError(
            f"{path}: wanted a model whose first pieces are {', '.join(layout.replaced)}, as this class has it, "
            f"found {show([piece.text for piece in pieces[:count]])}"
        )
    first = [Piece(text, 0.0, UNKNOWN if text == layout.unknown else CONTROL) for text in layout.first]
    last = [Piece(text, 0.0, CONTROL) for text in layout.last]
    own = [_apart(piece) for piece in pieces[count:]] if layout.apart else pieces[count:]
    pieces = [*first, *own, *last]
    unknown = [index for index, piece in enumerate(pieces) if piece.kind == UNKNOWN]
    if len(unknown) != 1:
        raise ValueError(f"{path}: wanted one piece for what is unknown, found {len(unknown)}")
    seen: set[str] = set()
    for piece in pieces:
        if piece.text in seen:
            raise ValueError(f"{path}: wanted each piece once, found {show(piece.text)} again")
        seen.add(piece.text)
    return pieces, unknown[0]


def _apart(piece: Piece) -> Piece:
    """As transformers has it, and nearly as ALBERT was trained, which took such a piece apart again."""
    commas = piece.kind == NORMAL and piece.text[-1] == "," and piece.text[-2:-1].isdigit()
    return piece._replace(score=piece.score - 100) if commas else piece


def _unigram(pieces: Sequence[Piece], unknown: int, byte_fallback: bool) -> Unigram:
    normal = [piece.score for piece in pieces if piece.kind == NORMAL]
    if not normal:
        raise ValueError("wanted pieces of text, found none")
    best, never = max(0.0, *normal), min(normal) - NEVER

    def score(piece: Piece) -> float:
        if piece.kind == NORMAL:
            return piece.score
        # As the library has it, so that such a symbol is all but always taken; the others stand in no text.
        return len(piece.text.encode()) * best - 0.1 if piece.kind == USER_DEFINED else never

    return Unigram([(piece.text, score(piece)) for piece in pieces], unknown, byte_fallback)


def _bpe(pieces: Sequence[Piece], unknown: int, byte_fallback: bool) -> BPE:
    """A BPE whose merges are those that make a piece, the best piece's first."""
    if any(piece.kind == USER_DEFINED for piece in pieces):
        raise ValueError("user-defined symbols in a BPE are not supported")
    ids = {piece.text: index for index, piece in enumerate(pieces)}
    mergeable = {piece.text for piece in pieces if piece.kind == NORMAL}
    merges = [
        (-piece.score, ids[piece.text[:at]], ids[piece.text[at:]], piece.text[:at], piece.text[at:])
        for piece in pieces
        if piece.kind == NORMAL
        for at in range(1, len(piece.text))
        if piece.text[:at] in mergeable and piece.text[at:] in mergeable
    ]
    pairs = [merge[3:] for merge in sorted(merges)]
    return BPE(ids, pairs, unk_token=pieces[unknown].text, fuse_unk=True, byte_fallback=byte_fallback)


def _set_steps(backend: Tokenizer, model: SentencePieceModel, config: TokenizerConfig) -> None:
    mark = SPACE if model.escape_whitespaces else " "
    inner = any(SPACE in piece.text[1:] for piece in model.pieces)
    splits = not inner and any(piece.text == SPACE for piece in model.pieces)  # no piece goes beyond a word
    steps: list[Normalizer] = _family_steps(config)
    if model.charsmap:
        steps.append(Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [Replace(Regex(r"\A +| +\z"), ""), Replace(Regex(" {2,}"), " ")]
    else:
        if model.charsmap and Precompiled(model.charsmap).normalize_str("\r") == " ":
            steps.insert(0, Replace("\r", " "))  # the library takes what ends a line on Windows for one character
        if model.add_dummy_prefix:
            steps.append(Prepend(" "))  # also where the text begins with a space itself
    backend.normalizer = Normalizers(steps)
    scheme = "always" if model.add_dummy_prefix and model.remove_extra_whitespaces else "never"
    backend.pre_tokenizer = Metaspace(replacement=mark, prepend_scheme=scheme, split=splits)
    parts: list[decoders.Decoder] = [decoders.ByteFallback()] if model.byte_fallback else []
    if model.escape_whitespaces:
        begins = "always" if model.add_dummy_prefix else "never"
        parts.append(decoders.Metaspace(replacement=mark, prepend_scheme=begins))
    else:
        parts.append(decoders.Fuse())
    backend.decoder = decoders.Sequence(parts) if len(parts) > 1 else parts[0]


def _family_steps(config: TokenizerConfig) -> list[Normalizer]:
    """What a family does to a text before the model's own steps."""
    steps: list[Normalizer] = []
    if config.family.name == "AlbertTokenizer":
        steps = [Replace("``", '"'), Replace("''", '"')]
        steps += [] if config.flag("keep_accents", False) else [NFKD(), StripAccents()]
        steps += [Lowercase()] if config.flag("do_lower_case", True) else []
    return steps
