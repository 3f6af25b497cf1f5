"""Checks of arguments that several pipelines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from npbert.tokenizer_call import checked_count

PADDINGS = (False, True, None, "longest", "max_length", "do_not_pad")


@dataclass(frozen=True)
class Reading:
    """How texts are read: what a pipeline passes on to its tokenizer.

    Args:
        truncation, max_length, add_special_tokens: as the tokenizer takes them.
        padding: as transformers takes it; without effect, since nothing is padded here.
    """

    truncation: bool | str | None = None
    max_length: int | None = None
    add_special_tokens: bool = True
    padding: bool | str | None = None

    def __post_init__(self) -> None:
        check_choice("padding", self.padding, PADDINGS)
        check_bool("add_special_tokens", self.add_special_tokens)

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any] | None) -> Reading:
        """From a dict of a tokenizer's arguments, which is the argument `name`.

        Raises:
            ValueError: it has another key.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise ValueError(f"{name}: wanted a dict of a tokenizer's arguments, found {given!r}")
        known = [entry.name for entry in fields(cls)]
        for key in given:
            if key not in known:
                raise ValueError(f"{name}: wanted keys among {', '.join(known)}, found {key!r}")
        return cls(**given)

    def for_tokenizer(self) -> dict[str, Any]:
        """What has an effect, for a tokenizer's call."""
        return {name: getattr(self, name) for name in ("truncation", "max_length", "add_special_tokens")}


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises ValueError where a value is none of those."""
    if not any(value is choice or (isinstance(choice, str) and value == choice) for choice in choices):
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, found {value!r}")


def check_bool(name: str, value: Any) -> None:
    """Raises ValueError for anything but True and False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: wanted True or False, found {value!r}")


def checked_top_k(value: Any, most: int | None = None) -> int:
    """A number of answers, 1 or more.

    Raises:
        ValueError: it is none, or more than there can be.
    """
    count = checked_count("top_k", value, 1)
    if most is not None and count > most:
        raise ValueError(f"top_k: wanted 1 to {most}, the size of the vocabulary, found {count}")
    return count
