"""Arguments that several pipelines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from npbert.checks import check_bool, check_choice, checked_count, show

PADDINGS = (False, True, None, "longest", "max_length", "do_not_pad")


@dataclass(frozen=True)
class Reading:
    """How texts are read: what a pipeline passes on to its tokenizer.

    Args:
        truncation, max_length, add_special_tokens: as the tokenizer takes them.
        padding: as transformers takes it. Nothing is padded here, but with padding a max_length alone cuts nothing off.
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
            raise ValueError(f"{name}: wanted a dict of a tokenizer's arguments, found {show(given)}")
        known = [entry.name for entry in fields(cls)]
        for key in given:
            if key not in known:
                raise ValueError(f"{name}: wanted keys among {', '.join(known)}, found {show(key)}")
        return cls(**given)

    @property
    def cuts(self) -> bool:
        """Whether a text is truncated."""
        truncation = self.for_tokenizer()["truncation"]
        return self.max_length is not None if truncation is None else truncation not in (False, "do_not_truncate")

    def for_tokenizer(self) -> dict[str, Any]:
        """What has an effect, for a tokenizer's call."""
        cuts = False if self.truncation is None and self.padding not in (None, False) else self.truncation
        return {"truncation": cuts, "max_length": self.max_length, "add_special_tokens": self.add_special_tokens}


def checked_top_k(value: Any, most: int | None = None) -> int:
    """A number of answers, 1 or more.

    Raises:
        ValueError: it is none, or more than there can be.
    """
    count = checked_count("top_k", value, 1)
    if most is not None and count > most:
        raise ValueError(f"top_k: wanted 1 to {most}, the size of the vocabulary, found {count}")
    return count
