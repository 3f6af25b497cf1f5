"""Arguments of calls, checked: each message names the argument, what was wanted and what was found."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

from npbert.config_values import show


def check_bool(name: str, value: object) -> None:
    """Raises ValueError for anything but True and False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: wanted True or False, found {show(value)}")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raises ValueError where a value is none of those, which are strings, True, False and None."""
    # An array is equal to nothing that `if` takes.
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, found {show(value)}")


def checked_count(name: str, value: Any, least: int) -> int:
    """A whole number from `least` on, that an index can be.

    Raises:
        ValueError: it is none.
    """
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < least:
        raise ValueError(f"{name}: wanted a whole number, {least} or more, found {show(value)}")
    if count > sys.maxsize:
        raise ValueError(f"{name}: wanted a whole number, {least} to {sys.maxsize}, found {show(value)}")
    return count


def check_no_tensor(convert_to_tensor: object) -> None:
    """Raises ValueError where a tensor is asked for."""
    if convert_to_tensor:
        raise ValueError(
            "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays; "
            "torch.from_numpy makes a tensor of one"
        )
