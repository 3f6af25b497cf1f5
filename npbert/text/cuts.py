"""That texts were cut off at a length that nobody asked for: said once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parents[1])


class TruncationWarning(UserWarning):
    """A text has more tokens than are read of one, and nobody said where to cut it off."""


def remedy(name: str, limit: int, most: int) -> str:
    """What reads more of a text.

    Args:
        name: what the limit is called.
        limit: how many tokens are read.
        most: how many the model takes.
    """
    return (
        f"{name} can be up to {most}"
        if limit < most
        else "the model takes no more: shorter pieces of it are read whole"
    )


def warn_of_cut(name: str, limit: int, remedy: str) -> None:
    """Warns whoever called npbert.

    Args:
        name: the tokenizer's or model's.
        limit: how many tokens are read.
        remedy: what reads more.
    """
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{name or 'tokenizer'}: a text has more than {limit} tokens, and what is beyond them is cut off, as in all "
        f"longer ones (told once); {remedy}",
        TruncationWarning,
        stacklevel=level,
    )
