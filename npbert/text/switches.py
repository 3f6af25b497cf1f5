"""The keys of tokenizer_config.json that set steps of a tokenizer.json: those that set them when models were trained.

The file decides, and a key goes before it only where transformers 4 let that key set that step of that class: BERT's
kin three of a BertNormalizer, MPNet two, RoBERTa two of what trims offsets, all add_prefix_space of a byte-level
splitting. Any other is a left-over, as add_prefix_space is in many of XLM-RoBERTa's folders, whatever version 5 makes
of it. What is true of versions stands in docs/versions.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer, Lowercase, StripAccents
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.processors import RobertaProcessing

from npbert.checks import show
from npbert.keywords import KeywordError
from npbert.text.errors import guarded
from npbert.text.families import ALBERT, BERT_DEFAULTS, ROBERTA, ROBERTA_DEFAULTS, SWITCHES, TokenizerFamily
from npbert.text.settings import TokenizerConfig
from npbert.text.steps import steps_of


class Switch:
    """`do_lower_case` and its like: what the steps of a tokenizer do. They are made when it is loaded.

    Raises:
        AttributeError: it has no such step; or it is set, which would change nothing.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tokenizer: Any, owner: type | None = None) -> Any:
        if tokenizer is None:
            return self
        with guarded("tokenizer"):
            found = switches(tokenizer.backend_tokenizer, tokenizer.family)
        if self._name not in found:
            raise AttributeError(f"{type(tokenizer).__name__} has no attribute {self._name!r}")
        return found[self._name]

    def __set__(self, tokenizer: Any, value: object) -> None:
        wanted = f"from_pretrained(..., {self._name}={show(value)})"
        raise AttributeError(f"{self._name}: wanted {wanted}: a tokenizer that is loaded has its steps, and keeps them")


def taken_switches(backend: Tokenizer, family: TokenizerFamily) -> set[str]:
    """The keys of tokenizer_config.json that set steps of a tokenizer.json."""
    taken: set[str] = set()
    if isinstance(backend.normalizer, BertNormalizer):
        taken |= {*family.switches} & {*BERT_DEFAULTS}
    if isinstance(backend.pre_tokenizer, ByteLevel):
        taken.add("add_prefix_space")
    if isinstance(backend.post_processor, RobertaProcessing | ByteLevelProcessor):
        taken |= {*family.switches} & {*ROBERTA_DEFAULTS}
    return taken


def set_switches(backend: Tokenizer, config: TokenizerConfig, taken: set[str]) -> None:
    """Sets the steps of a tokenizer.json as the config says.

    What the config is silent about stays as it is, but for RoBERTa, of which every version took the class's defaults.

    Raises:
        ValueError: a value is none of what it may be.
    """
    normalizer, pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    if isinstance(normalizer, BertNormalizer) and taken & {*BERT_DEFAULTS}:
        _set_bert_normalizer(backend, normalizer, config, taken)
    if isinstance(pre_tokenizer, ByteLevel):
        held = ROBERTA_DEFAULTS["add_prefix_space"] if config.family is ROBERTA else pre_tokenizer.add_prefix_space
        space = config.flag("add_prefix_space", held)
        if pre_tokenizer.add_prefix_space != space:
            backend.pre_tokenizer = ByteLevel(
                add_prefix_space=space, trim_offsets=pre_tokenizer.trim_offsets, use_regex=pre_tokenizer.use_regex
            )
    if taken >= {*ROBERTA_DEFAULTS}:
        flags = {name: config.flag(name, default) for name, default in ROBERTA_DEFAULTS.items()}
        backend.post_processor = _with_flags(backend.post_processor, flags)


def check_switches(backend: Tokenizer, given: Mapping[str, Any]) -> None:
    """Raises KeywordError where a call asks for what the steps don't do and have no switch for."""
    asked = {name: given[name] for name in (*SWITCHES, "clean_text") if given.get(name) is not None}
    if not asked:
        return
    found = _switched(backend)
    for name, value in asked.items():
        if name in found and value is not found[name]:
            raise KeywordError(f"{name}: wanted {found[name]}, as this tokenizer's steps have it, found {show(value)}")


def _switched(backend: Tokenizer) -> dict[str, bool]:
    """What the steps do; what makes no difference to them is left out."""
    normalizer, words, processor = backend.normalizer, backend.pre_tokenizer, backend.post_processor
    maps = steps_of(normalizer) if isinstance(normalizer, Normalizers) else [normalizer]
    splits = steps_of(words) if isinstance(words, PreTokenizers) else [words]
    bert = next((step for step in maps if isinstance(step, BertNormalizer)), None)
    lower = any(isinstance(step, Lowercase) for step in maps) or (bert is not None and bert.lowercase)
    stripped = any(isinstance(step, StripAccents) for step in maps)
    if bert is not None:
        stripped |= bert.lowercase if bert.strip_accents is None else bert.strip_accents
    found = {
        "do_lower_case": lower,
        "strip_accents": stripped,
        "keep_accents": not stripped,
        "tokenize_chinese_chars": bert is not None and bert.handle_chinese_chars,
        "clean_text": bert is not None and bert.clean_text,
        "remove_space": True,
    }
    for step in splits:
        if isinstance(step, ByteLevel):
            found["add_prefix_space"] = step.add_prefix_space
        elif isinstance(step, Metaspace):
            found["add_prefix_space"] = step.prepend_scheme != "never"
    if isinstance(processor, RobertaProcessing | ByteLevelProcessor):
        found["trim_offsets"] = _state(processor)["trim_offsets"]
    return found


def switches(backend: Tokenizer, family: TokenizerFamily) -> dict[str, bool | None]:
    """What tokenizer_config.json has to say of the steps so that every version makes them the same again."""
    found: dict[str, bool | None] = {}
    normalizer, pre_tokenizer, processor = backend.normalizer, backend.pre_tokenizer, backend.post_processor
    if isinstance(normalizer, BertNormalizer):
        found |= _bert_switches(normalizer)
    if isinstance(normalizer, Normalizers) and family is ALBERT:
        steps = steps_of(normalizer)
        found["do_lower_case"] = any(isinstance(step, Lowercase) for step in steps)
        found["keep_accents"] = not any(isinstance(step, StripAccents) for step in steps)
    if isinstance(pre_tokenizer, ByteLevel):
        found["add_prefix_space"] = pre_tokenizer.add_prefix_space
    for step in steps_of(pre_tokenizer) if isinstance(pre_tokenizer, PreTokenizers) else [pre_tokenizer]:
        if isinstance(step, Metaspace):
            found["add_prefix_space"] = step.prepend_scheme != "never"
    if isinstance(processor, RobertaProcessing):
        found["trim_offsets"] = _state(processor)["trim_offsets"]
    return found


def _set_bert_normalizer(
    backend: Tokenizer, normalizer: BertNormalizer, config: TokenizerConfig, taken: set[str]
) -> None:
    held = _bert_switches(normalizer)
    steps, assumed = held.copy(), held.copy()  # what is followed; what transformers makes of it
    for name in taken & {*BERT_DEFAULTS}:
        if name in config.values:
            flag = config.optional_flag if BERT_DEFAULTS[name] is None else config.flag
            steps[name] = assumed[name] = flag(name, True)
        else:
            assumed[name] = BERT_DEFAULTS[name]
    silent = [name for name in held if steps[name] != assumed[name]]
    if _effect(steps) != _effect(assumed):
        found = ", ".join(f"{name} (tokenizer.json: {json.dumps(steps[name])})" for name in silent)
        warnings.warn(
            f"{config.where}: does not say {found}: tokenizer.json is followed, where transformers from 4.5 on takes "
            f"{', '.join(json.dumps(assumed[name]) for name in silent)}; say it there to settle it",
            stacklevel=6,
        )
    if steps != held:
        backend.normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=bool(steps["tokenize_chinese_chars"]),
            strip_accents=steps["strip_accents"],
            lowercase=bool(steps["do_lower_case"]),
        )


def _bert_switches(normalizer: BertNormalizer) -> dict[str, bool | None]:
    return {
        "do_lower_case": normalizer.lowercase,
        "strip_accents": normalizer.strip_accents,
        "tokenize_chinese_chars": normalizer.handle_chinese_chars,
    }


def _effect(steps: Mapping[str, bool | None]) -> dict[str, bool | None]:
    """The steps, accents as they are where nothing says it: taken off with capitals."""
    accents = steps["strip_accents"]
    return {**steps, "strip_accents": steps["do_lower_case"] if accents is None else accents}


def _state(step: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(step.__getstate__())
    return state


def _with_flags(processor: Any, flags: Mapping[str, bool]) -> Any:
    """The same post-processor, with other flags."""
    state = {**_state(processor), **flags}
    del state["type"]
    pairs = [tuple(state.pop(name)) for name in ("sep", "cls") if name in state]
    return type(processor)(*pairs, **state)
