"""Settings of a tokenizer that a call gives: which there are, and whether the tokenizer does what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer, Lowercase, StripAccents
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.processors import RobertaProcessing

from npbert.config_values import show
from npbert.keywords import ANY, LOADING, KeywordError, names_of, refuse_unknown
from npbert.tokenizer_config import NAMES
from npbert.tokenizer_pipeline import steps_of

SWITCHES = (
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "clean_text",
    "keep_accents",
    "add_prefix_space",
    "trim_offsets",
)
"""What steps of a tokenizer do or leave."""

SETTINGS = (
    *NAMES,
    *SWITCHES,
    "additional_special_tokens",
    "extra_special_tokens",
    "added_tokens_decoder",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "model_input_names",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
)
"""What a call may say, which goes before the files."""

HARMLESS: dict[str, tuple[object, ...]] = {
    **LOADING,
    "errors": ("replace", None),  # bytes that are no UTF-8, in decoding
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "wordpieces_prefix": ("##", None),
    "remove_space": (True, None),
    "sp_model_kwargs": (None, {}),
    "legacy": ANY,  # of T5 and Llama
    "from_slow": (False, None),
    "verbose": ANY,
    "tokenizer_file": (None,),
    "vocab_file": (None,),
    "merges_file": (None,),
}
"""What other libraries' tokenizers take besides -> the values that change nothing."""


def checked_settings(caller: str, given: Mapping[str, Any], known: Callable[..., Any]) -> dict[str, Any]:
    """Those that there are; the rest change nothing.

    Raises:
        KeywordError: one is unknown, or asks for what there is not.
    """
    settings = {name: value for name, value in given.items() if name in SETTINGS}
    others = {name: value for name, value in given.items() if name not in SETTINGS}
    if others:
        refuse_unknown(caller, others, [*names_of(known), *SETTINGS], HARMLESS)
    return settings


def check_switches(backend: Tokenizer, given: Mapping[str, Any]) -> None:
    """Raises KeywordError where a call asks for what the steps don't do and have no switch for."""
    asked = {name: given[name] for name in SWITCHES if given.get(name) is not None}
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
    }
    for step in splits:
        if isinstance(step, ByteLevel):
            found["add_prefix_space"] = step.add_prefix_space
        elif isinstance(step, Metaspace):
            found["add_prefix_space"] = step.prepend_scheme != "never"
    if isinstance(processor, RobertaProcessing | ByteLevelProcessor):
        found["trim_offsets"] = processor.trim_offsets
    return found
