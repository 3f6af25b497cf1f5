"""The steps of a `tokenizers.Tokenizer`: what puts special tokens around texts, and what a sequence of them is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Encoding, Tokenizer
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from npbert.checks import show
from npbert.text.errors import as_value_error, guarded
from npbert.text.settings import TokenizerConfig


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
            raise ValueError(f"{where}: wanted {role} {show(wanted)} in the vocabulary, found none")
        ids[tokens[role]] = index
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    with as_value_error(f"{where}: {show(cls)} and {show(sep)} make no template"):
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


def around_a_text(backend: Tokenizer, where: str) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text.

    Args:
        backend: the tokenizer.
        where: what is wrong otherwise, for messages.

    Raises:
        ValueError: no text can be encoded, or the template does not have each text of one or two once, and else tokens.
    """
    with as_value_error(f"{where}: can't encode a text"):
        single, pair = backend.encode_batch(["a", ("a", "a")])
    with guarded(where):
        _check_template(backend, single, pair, where)
    inside = [index for index, text in enumerate(single.sequence_ids) if text is not None]
    if not inside or len(inside) != inside[-1] - inside[0] + 1:
        raise ValueError(f"{where}: wanted special tokens around a text, found {single.tokens}")
    return single.ids[: inside[0]], single.ids[inside[-1] + 1 :]


def _check_template(backend: Tokenizer, single: Encoding, pair: Encoding, where: str) -> None:
    alone = backend.encode("a", add_special_tokens=False).ids
    for row, texts in ((single, (0,)), (pair, (0, 1))):
        if len(row.tokens) != len(row.ids):
            raise ValueError(f"{where}: wanted a token for each id, found {len(row.tokens)} for {len(row.ids)} ids")
        for index, text in zip(row.ids, row.sequence_ids, strict=True):
            if text is None and backend.id_to_token(index) is None:
                raise ValueError(f"{where}: wanted special tokens with ids of the vocabulary, found {index}")
        for number in texts:
            if [index for index, text in zip(row.ids, row.sequence_ids, strict=True) if text == number] != alone:
                raise ValueError(f"{where}: wanted a template with each text in it once, found another")


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
