"""The steps of a `tokenizers.Tokenizer`, made from vocabulary files."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from npbert.tokenizer_config import TokenizerConfig
from npbert.tokenizer_errors import as_value_error
from npbert.tokenizer_families import BYTE_BPE, WORDPIECE


def from_vocabulary(folder: Path, config: TokenizerConfig) -> Tokenizer:
    """A tokenizer of the family's own files, without special tokens around texts.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is malformed.
    """
    return {WORDPIECE: _wordpiece, BYTE_BPE: _byte_level_bpe}[config.family.files](folder, config)


def _wordpiece(folder: Path, config: TokenizerConfig) -> Tokenizer:
    path = folder / WORDPIECE[0]
    check_regular(path)
    unknown = config.token("unk_token")
    with as_value_error(f"{path}: not a valid vocabulary"):
        model = WordPiece.from_file(str(path), unk_token=unknown.content if unknown else "[UNK]")
        backend = Tokenizer(model)
    if backend.get_vocab_size() == 0:
        raise ValueError(f"{path}: wanted a token on each line, found none")
    backend.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.flag("tokenize_chinese_chars", True),
        strip_accents=config.optional_flag("strip_accents", None),
        lowercase=config.flag("do_lower_case", True),
    )
    backend.pre_tokenizer = BertPreTokenizer()
    backend.decoder = WordPieceDecoder(prefix="##")
    return backend


def _byte_level_bpe(folder: Path, config: TokenizerConfig) -> Tokenizer:
    vocabulary, merges = (folder / name for name in BYTE_BPE)
    for path in (vocabulary, merges):
        check_regular(path)
    with as_value_error(f"{vocabulary}, {merges}: not a valid vocabulary with its merges"):
        backend = Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
    if backend.get_vocab_size() == 0:
        raise ValueError(f"{vocabulary}: wanted tokens and their ids, found none")
    backend.pre_tokenizer = ByteLevel(add_prefix_space=config.flag("add_prefix_space", False))
    backend.decoder = ByteLevelDecoder()
    return backend


def set_special_tokens(backend: Tokenizer, config: TokenizerConfig, tokens: Mapping[str, str], where: Path) -> None:
    """Puts special tokens around texts. Not for a tokenizer.json, which says itself what stands around them.

    Args:
        tokens: role -> token.
        where: what lacks them, for messages.

    Raises:
        ValueError: the vocabulary lacks one.
    """
    family = config.family
    if family.format is None:
        return
    ids: dict[str, int] = {}
    for role in ("cls_token", "sep_token"):
        index = None if role not in tokens else backend.token_to_id(tokens[role])
        if index is None:
            wanted = tokens.get(role, family.tokens[role])
            raise ValueError(f"{where}: wanted {role} {wanted!r} in the vocabulary, found none")
        ids[tokens[role]] = index
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    with as_value_error(f"{where}: {cls!r} and {sep!r} make no template"):
        if family.format == "roberta":
            backend.post_processor = RobertaProcessing(
                (sep, ids[sep]),
                (cls, ids[cls]),
                trim_offsets=config.flag("trim_offsets", True),
                add_prefix_space=config.flag("add_prefix_space", False),
            )
            return
        parts = _PAIRS[family.format].format(cls=cls, sep=sep).split()
        backend.post_processor = TemplateProcessing(single=parts[:3], pair=parts, special_tokens=list(ids.items()))


_PAIRS = {
    "bert": "{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
    "mpnet": "{cls}:0 $A:0 {sep}:0 {sep}:0 $B:1 {sep}:1",
    "xlm-roberta": "{cls}:0 $A:0 {sep}:0 {sep}:0 $B:0 {sep}:0",
}


def steps_of(sequence: Any) -> list[Any]:
    """The steps of a `Sequence` of normalizers or pre-tokenizers, which has indices and no length."""
    steps: list[Any] = []
    while True:
        try:
            steps.append(sequence[len(steps)])
        except IndexError:
            return steps


def check_regular(path: Path) -> None:
    """Raises OSError where a path is no regular file."""
    # Looked at before it is opened: opening a FIFO would wait for a writer for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path}: wanted a regular file")
