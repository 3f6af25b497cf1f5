"""tokenizer_config.json and special_tokens_map.json: each value checked where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from tokenizers import AddedToken

from npbert.checks import show
from npbert.text.families import TokenizerFamily
from npbert.text.inputs import check_unicode

Side: TypeAlias = Literal["left", "right"]
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
NO_LIMIT = int(1e30)  # what transformers writes for a tokenizer without a longest length


class Settings(NamedTuple):
    """What the files say besides how text becomes tokens, by HF's names."""

    tokens: Mapping[str, str]  # "mask_token" -> "[MASK]", those that there are
    extra_special_tokens: list[str]
    model_max_length: int
    padding_side: Side
    truncation_side: Side
    model_input_names: tuple[str, ...]
    clean_up_tokenization_spaces: bool
    config: dict[str, Any]  # all of it, as it was read


class TokenizerConfig:
    """The values of tokenizer_config.json, with those of special_tokens_map.json and of the call among them.

    Every method raises ValueError where a value is none of what it may be.
    """

    def __init__(self, values: dict[str, Any], where: str, family: TokenizerFamily) -> None:
        self.values = values
        self.family = family
        self.where = where

    def wrong(self, key: str, wanted: str) -> ValueError:
        return ValueError(f"{self.where}: {key}: wanted {wanted}, found {show(self.values[key])}")

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def optional_flag(self, key: str, default: bool | None) -> bool | None:
        return None if self.values.get(key, default) is None else self.flag(key, bool(default))

    def length(self, key: str, default: int) -> int:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise self.wrong(key, "a positive whole number")
        return NO_LIMIT if value > NO_LIMIT else int(value)

    def side(self, key: str, default: Side) -> Side:
        value = self.values.get(key, default)
        if value not in get_args(Side):
            raise self.wrong(key, "'left' or 'right'")
        side: Side = value
        return side

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.values.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(value)

    def token(self, key: str) -> AddedToken | None:
        """The token of a role, or None."""
        value = self.values.get(key)
        if value is None:
            return None
        return self._plain_token(key, value) if isinstance(value, str) and value else self._as_token(key, value)

    def default_token(self, key: str) -> AddedToken | None:
        """The token that the family gives a role that no file names, or None."""
        content = None if key in self.values else self.family.tokens.get(key)
        return None if content is None else self._plain_token(key, content)

    def extra_tokens(self) -> list[AddedToken]:
        """Special tokens without a role that the files name."""
        for key in ("extra_special_tokens", "additional_special_tokens"):  # newer and older name
            value = self.values.get(key)
            if value:
                if not isinstance(value, list | tuple | dict):
                    raise self.wrong(key, "a list of tokens")
                tokens = value.values() if isinstance(value, dict) else value
                return [self._as_token(key, token) for token in tokens]
        return []

    def added_tokens(self) -> dict[int, AddedToken] | None:
        """Id -> token of added_tokens_decoder, or None where there is none."""
        decoder = self.values.get("added_tokens_decoder")
        if decoder is None:
            return None
        if not isinstance(decoder, dict):
            raise self.wrong("added_tokens_decoder", "an object")
        wanted = {}
        for index, token in decoder.items():
            if not (index.isascii() and index.isdigit() and len(index) <= 10) or not isinstance(token, dict):
                raise self.wrong("added_tokens_decoder", "an object of ids and tokens")
            wanted[int(index)] = self._as_token(f"added_tokens_decoder.{index}", {"special": False, **token})
        return wanted

    def _plain_token(self, key: str, content: str) -> AddedToken:
        check_unicode(content, f"{self.where}: {key}")
        takes_space = key == "mask_token" and self.family.mask_takes_space
        return AddedToken(content, special=True, normalized=False, lstrip=takes_space)

    def _as_token(self, key: str, value: Any) -> AddedToken:
        """A special token: a string, or an object with how it matches."""
        if isinstance(value, str) and value:
            check_unicode(value, f"{self.where}: {key}")
            return AddedToken(value, special=True, normalized=False)
        if isinstance(value, dict) and isinstance(value.get("content"), str) and value["content"]:
            check_unicode(value["content"], f"{self.where}: {key}")
            how = {name: value.get(name, False) for name in ("single_word", "lstrip", "rstrip")}
            special = value.get("special", True)
            how |= {"special": special, "normalized": value.get("normalized", not special)}
            if all(isinstance(item, bool) for item in how.values()):
                return AddedToken(value["content"], **how)
        raise ValueError(f"{self.where}: {key}: wanted a token, found {show(value)}")
