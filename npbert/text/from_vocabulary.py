"""A `tokenizers.Tokenizer` of a family's own files, or of the vocabulary that stands in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel

from npbert.checks import is_int, show
from npbert.files.json_file import read_json_object
from npbert.files.names import BYTE_BPE, SENTENCEPIECE, WORDPIECE
from npbert.files.regular_file import check_bounded, read_bounded
from npbert.text.errors import as_value_error
from npbert.text.inputs import check_unicode
from npbert.text.sentencepiece import of_sentencepiece
from npbert.text.settings import TokenizerConfig

MOST_BYTES = 50_000_000  # of a vocabulary: a million tokens, as XLM-V has them, take 20 MB

Part: TypeAlias = Any
"""A file's path, or what stands in it: {token: id}, and [(left, right), ...] or ["left right", ...] for merges."""


def from_vocabulary(parts: Sequence[Part], config: TokenizerConfig) -> Tokenizer:
    """A tokenizer of what a family's `files` hold, in their order, without special tokens around texts.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is malformed, or something is neither a path nor a vocabulary.
    """
    makers: dict[tuple[str, ...], Callable[..., Tokenizer]] = {WORDPIECE: _wordpiece, BYTE_BPE: _byte_level_bpe}
    makers |= dict.fromkeys(SENTENCEPIECE, _sentencepiece)
    return makers[config.family.files](*parts, config)


def _wordpiece(vocab: Part, config: TokenizerConfig) -> Tokenizer:
    unknown = config.token("unk_token")
    content = unknown.content if unknown else "[UNK]"
    where = _checked("vocab", vocab)
    tokens = None if is_path(vocab) else _tokens(where, vocab)
    with as_value_error(f"{where}: not a valid vocabulary"):
        if tokens is not None:
            model = WordPiece(tokens, unk_token=content)
        else:
            model = WordPiece.from_file(where, unk_token=content)
        backend = Tokenizer(model)
    if backend.get_vocab_size() == 0:
        raise ValueError(f"{where}: wanted a token on each line, found none")
    backend.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.flag("tokenize_chinese_chars", True),
        strip_accents=config.optional_flag("strip_accents", None),
        lowercase=config.flag("do_lower_case", True),
    )
    backend.pre_tokenizer = BertPreTokenizer()
    backend.decoder = WordPieceDecoder(prefix="##")
    return backend


def _byte_level_bpe(vocab: Part, merges: Part, config: TokenizerConfig) -> Tokenizer:
    vocabulary, rules = _checked("vocab", vocab), _checked("merges", merges, list, tuple)
    both = is_path(vocab) and is_path(merges)
    values = read_json_object(Path(vocab)) if is_path(vocab) and not both else vocab
    tokens = None if both else _tokens(vocabulary, values)
    with as_value_error(f"{vocabulary}, {rules}: not a valid vocabulary with its merges"):
        model = BPE.from_file(vocabulary, rules) if tokens is None else BPE(tokens, _pairs(merges))
        backend = Tokenizer(model)
    if backend.get_vocab_size() == 0:
        raise ValueError(f"{vocabulary}: wanted tokens and their ids, found none")
    backend.pre_tokenizer = ByteLevel(add_prefix_space=config.flag("add_prefix_space", False))
    backend.decoder = ByteLevelDecoder()
    return backend


def _sentencepiece(vocab: Part, config: TokenizerConfig) -> Tokenizer:
    if not is_path(vocab):
        raise ValueError(f"vocab: wanted the path of a sentencepiece model, found {show(vocab)}")
    return of_sentencepiece(Path(vocab), config)


def is_path(part: Part) -> bool:
    return isinstance(part, str | os.PathLike)


def _checked(name: str, part: Part, *kinds: type) -> str:
    """What messages call a part: its path, or its name.

    Raises:
        OSError, ValueError: there is no such file, or it is too large, or the part is neither a path nor of `kinds`.
    """
    if is_path(part):
        check_bounded(part, MOST_BYTES)
        return os.fspath(part)
    if not isinstance(part, kinds or Mapping):
        wanted = "a list of pairs" if kinds else "a dict of tokens and their ids"
        raise ValueError(f"{name}: wanted a path or {wanted}, found {show(part)}")
    return name


def _tokens(where: str, vocab: Mapping[Any, Any]) -> dict[str, int]:
    for token, index in vocab.items():
        if not isinstance(token, str):
            raise ValueError(f"{where}: wanted tokens (str), found {show(token)}")
        if not is_int(index) or not 0 <= index < 2**32:
            raise ValueError(f"{where}: {show(token)}: wanted an id, a whole number, found {show(index)}")
        if not token.isascii():
            check_unicode(token, where)
    return dict(vocab)


def _pairs(merges: Part) -> list[tuple[str, str]]:
    if is_path(merges):
        lines = read_bounded(merges, MOST_BYTES).decode().replace("\r\n", "\n").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    if wrong := [pair for pair in pairs if not isinstance(pair, list | tuple) or len(pair) != 2]:
        raise ValueError(f"wanted pairs of tokens, found {show(wrong[0])}")
    return [(left, right) for left, right in pairs]
