"""The steps of a `tokenizers.Tokenizer`: what puts special tokens around texts, and what a sequence of them is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from npbert.tokenizer_config import TokenizerConfig
from npbert.tokenizer_errors import as_value_error


def set_special_tokens(backend: Tokenizer, config: TokenizerConfig, tokens: Mapping[str, str], where: str) -> None:
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
