"""The steps of a `tokenizers.Tokenizer`, set as the config says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.normalizers import NFKD, BertNormalizer, Lowercase, Normalizer, Precompiled, StripAccents
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Metaspace, PreTokenizer
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from npbert.file_names import BYTE_BPE
from npbert.tokenizer_config import TokenizerConfig
from npbert.tokenizer_errors import as_value_error
from npbert.tokenizer_families import ALBERT


def set_switches(backend: Tokenizer, config: TokenizerConfig) -> None:
    """Sets the steps of tokenizer.json as the config says, which goes first; steps of no known switch stay."""
    normalizer, pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    if isinstance(normalizer, BertNormalizer):
        _set_bert_normalizer(backend, normalizer, config)
    elif isinstance(normalizer, Normalizers) and config.family is ALBERT:
        _set_albert_normalizer(backend, normalizer, config)
    if isinstance(pre_tokenizer, ByteLevel):
        space = config.flag("add_prefix_space", False)
        if pre_tokenizer.add_prefix_space != space:
            backend.pre_tokenizer = ByteLevel(
                add_prefix_space=space, trim_offsets=pre_tokenizer.trim_offsets, use_regex=pre_tokenizer.use_regex
            )
    elif "add_prefix_space" in config.values and pre_tokenizer is not None:
        steps = steps_of(pre_tokenizer) if isinstance(pre_tokenizer, PreTokenizers) else [pre_tokenizer]
        _set_space(backend, steps, config.flag("add_prefix_space", True))


def switches(backend: Tokenizer) -> dict[str, bool | None]:
    """What tokenizer_config.json has to say of the steps so that they are made the same again."""
    found: dict[str, bool | None] = {}
    normalizer, pre_tokenizer, processor = backend.normalizer, backend.pre_tokenizer, backend.post_processor
    if isinstance(normalizer, BertNormalizer):
        found["do_lower_case"] = normalizer.lowercase
        found["strip_accents"] = normalizer.strip_accents
        found["tokenize_chinese_chars"] = normalizer.handle_chinese_chars
    if isinstance(pre_tokenizer, ByteLevel):
        found["add_prefix_space"] = pre_tokenizer.add_prefix_space
        if isinstance(processor, RobertaProcessing):
            found["trim_offsets"] = processor.trim_offsets
    return found


def _set_bert_normalizer(backend: Tokenizer, normalizer: BertNormalizer, config: TokenizerConfig) -> None:
    lowercase = config.flag("do_lower_case", normalizer.lowercase)
    accents = config.optional_flag("strip_accents", normalizer.strip_accents)
    chinese = config.flag("tokenize_chinese_chars", normalizer.handle_chinese_chars)
    now = (normalizer.lowercase, normalizer.strip_accents, normalizer.handle_chinese_chars)
    if now != (lowercase, accents, chinese):
        backend.normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=chinese,
            strip_accents=accents,
            lowercase=lowercase,
        )


def _set_albert_normalizer(backend: Tokenizer, normalizer: Normalizers, config: TokenizerConfig) -> None:
    """Accents and lower case are steps of their own, before the character map."""
    steps: list[Normalizer] = steps_of(normalizer)
    lowercase = any(isinstance(step, Lowercase) for step in steps)
    accents = not any(isinstance(step, StripAccents) for step in steps)
    wanted_lowercase = config.flag("do_lower_case", lowercase)
    wanted_accents = config.flag("keep_accents", accents)
    if (wanted_lowercase, wanted_accents) == (lowercase, accents):
        return
    others = [step for step in steps if not isinstance(step, NFKD | StripAccents | Lowercase)]
    place = next((index for index, step in enumerate(others) if isinstance(step, Precompiled)), len(others))
    switched = [] if wanted_accents else [NFKD(), StripAccents()]
    switched += [Lowercase()] if wanted_lowercase else []
    backend.normalizer = Normalizers([*others[:place], *switched, *others[place:]])


def _set_space(backend: Tokenizer, steps: list[PreTokenizer], space: bool) -> None:
    """Whether a text begins with a space, where spaces are made visible."""
    if all(not isinstance(step, Metaspace) or (step.prepend_scheme != "never") == space for step in steps):
        return
    scheme = "always" if space else "never"
    steps = [
        Metaspace(replacement=step.replacement, prepend_scheme=scheme, split=step.split)
        if isinstance(step, Metaspace)
        else step
        for step in steps
    ]
    backend.pre_tokenizer = PreTokenizers(steps) if len(steps) > 1 else steps[0]
    if isinstance(backend.decoder, MetaspaceDecoder):
        backend.decoder = MetaspaceDecoder(
            replacement=backend.decoder.replacement, prepend_scheme=scheme, split=backend.decoder.split
        )


def set_special_tokens(backend: Tokenizer, config: TokenizerConfig, tokens: Mapping[str, str], where: str) -> None:
    """Puts special tokens around texts, where tokenizer.json does not, or does it in a way that has switches.

    Args:
        tokens: role -> token.
        where: what lacks them, for messages.

    Raises:
        ValueError: the vocabulary lacks one.
    """
    family, present = config.family, backend.post_processor
    switched = isinstance(present, RobertaProcessing) and family.files == BYTE_BPE
    if family.format is None or (present is not None and not switched):
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
