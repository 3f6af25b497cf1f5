"""Settings of a tokenizer that a call gives: which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

from npbert.files.hub import HubArguments
from npbert.keywords import OtherArguments, names_of, refuse_unknown


class TokenizerSettings(TypedDict, total=False):
    """What a call may say, which goes before the files."""

    bos_token: Any
    eos_token: Any
    unk_token: Any
    sep_token: Any
    pad_token: Any
    cls_token: Any
    mask_token: Any
    do_lower_case: bool | None
    strip_accents: bool | None
    tokenize_chinese_chars: bool | None
    add_prefix_space: bool | None
    trim_offsets: bool | None
    keep_accents: bool | None
    remove_space: bool | None
    clean_text: bool | None
    additional_special_tokens: Any
    extra_special_tokens: Any
    added_tokens_decoder: Any
    model_max_length: float | None
    padding_side: str
    truncation_side: str
    model_input_names: Sequence[str]
    clean_up_tokenization_spaces: bool | None
    split_special_tokens: bool | None


class OtherTokenizerArguments(OtherArguments, total=False):
    """What other libraries' tokenizers take besides, and the values with which it changes nothing here."""

    errors: Annotated[Any, "replace", None]  # bytes that are no UTF-8, in decoding
    do_basic_tokenize: Annotated[Any, True, None]
    never_split: Annotated[Any, None, []]
    wordpieces_prefix: Annotated[Any, "##", None]
    sp_model_kwargs: Annotated[Any, None, {}]
    legacy: Any  # of T5 and Llama
    from_slow: Annotated[Any, False, None]
    verbose: Any
    tokenizer_file: Annotated[Any, None]
    vocab_file: Annotated[Any, None]
    merges_file: Annotated[Any, None]


class TokenizerArguments(HubArguments, TokenizerSettings, OtherTokenizerArguments, total=False):
    """Of a tokenizer's `from_pretrained`."""


def checked_settings(caller: str, given: Mapping[str, Any], known: Callable[..., Any]) -> dict[str, Any]:
    """Those that there are; the rest change nothing.

    Raises:
        KeywordError: one is unknown, or asks for what there is not.
    """
    names = TokenizerSettings.__annotations__
    if others := {name: value for name, value in given.items() if name not in names}:
        refuse_unknown(caller, others, [*names_of(known), *names], OtherTokenizerArguments)
    return {name: value for name, value in given.items() if name in names}
