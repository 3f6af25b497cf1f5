"""Settings of a tokenizer that a call gives: which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from npbert.keywords import ANY, LOADING, names_of, refuse_unknown
from npbert.text.families import SWITCHES
from npbert.text.settings import NAMES

SETTINGS = (
    *NAMES,
    *SWITCHES,
    "clean_text",
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
