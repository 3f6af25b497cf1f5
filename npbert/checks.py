"""Arguments of calls, checked: each message names the argument, what was wanted and what was found."""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST = 100  # characters of what a message quotes
LISTED = 10  # names that a message lists


def show(value: object) -> str:
    """A value as a message shows it: a line, not a page."""
    if isinstance(value, str | bytes):
        value = value[: MOST + 1]  # a text may be as long as its file
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list that is nested as deep
        return f"<{type(value).__name__}>"
    text = " ".join(line.strip() for line in text.splitlines())  # arrays have several
    return text if len(text) <= MOST else text[: MOST - 3] + "..."


def brief(name: object, most: int = MOST) -> str:
    """A name, of a tensor or a key, or others' error, as a message shows it: on one line, and cut where it is long."""
    text = str(name)
    line = text if text.isprintable() else repr(text[: most + 1])[1:-1]
    return line if len(line) <= most else line[: most - 3] + "..."


def listed(names: Sequence[str]) -> str:
    """Names as a message lists them: the first few, and how many more there are."""
    more = len(names) - LISTED
    if more <= 1:  # to name the last one takes no more room
        return ", ".join(map(brief, names))
    return f"{', '.join(map(brief, names[:LISTED]))} and {more} more"


def wrong(key: str, wanted: str, found: object) -> ValueError:
    """The error for a key: what was wanted, what was found."""
    return ValueError(f"{key}: wanted {wanted}, found {show(found)}")


def is_int(value: object) -> bool:
    """JSON's true and false are ints to Python, but no sizes."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_int(key: str, value: Any, low: int, high: int) -> None:
    """From low to high, both included."""
    if not is_int(value) or not low <= value <= high:
        raise wrong(key, f"an integer from {low} to {high}", value)


def check_number(key: str, value: Any, low: float, high: float) -> None:
    """A finite number from low to high."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # A NaN fails every comparison.
    if not (number and low <= value <= high and value < math.inf):
        below = "finite" if high == math.inf else f"at most {high:g}"
        raise wrong(key, f"a number at least {low:g}, {below}", value)


def check_bool(name: str, value: object, none: bool = False) -> None:
    """Raises ValueError for anything but True and False, NumPy's among them; and None, where that is one."""
    if not is_bool(value) and not (none and value is None):
        raise ValueError(f"{name}: wanted {'True, False or None' if none else 'True or False'}, found {show(value)}")


def is_bool(value: object) -> bool:
    """Whether it is True or False, NumPy's among them."""
    kind = type(value)  # NumPy is not loaded for a tokenizer
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raises ValueError where a value is none of those, which are strings, True, False and None."""
    if is_bool(value):
        value = bool(value)
    # An array is equal to nothing that `if` takes.
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, found {show(value)}")


def checked_count(name: str, value: Any, least: int) -> int:
    """A whole number from `least` on, that an index can be.

    Raises:
        ValueError: it is none.
    """
    count = as_count(value)
    if count is None or count < least:
        raise ValueError(f"{name}: wanted a whole number, {least} or more, found {show(value)}")
    if count > sys.maxsize:
        raise ValueError(f"{name}: wanted a whole number, {least} to {sys.maxsize}, found {show(value)}")
    return count


def as_count(value: Any) -> int | None:
    """A whole number of any library's as Python's, None for anything else. True and False are none, nor is 20.0."""
    try:
        return None if is_bool(value) else operator.index(value)
    except TypeError:
        return None


def checked_number(name: str, value: Any) -> float:
    """A finite number of any library's.

    Raises:
        ValueError: it is none.
    """
    number = math.nan
    if isinstance(value, numbers.Real) and not is_bool(value):
        with contextlib.suppress(OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: wanted a finite number, found {show(value)}")
    return number


def checked_path(name: str, value: Any) -> Path:
    """Where something is written to.

    Raises:
        ValueError: it is no path.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:  # "" is no name of the working directory
        raise ValueError(f"{name}: wanted a path, found {show(value)}")
    return Path(text)


def check_no_tensor(convert_to_tensor: object) -> None:
    """Raises ValueError where a tensor is asked for."""
    check_bool("convert_to_tensor", convert_to_tensor, none=True)
    if convert_to_tensor:
        raise ValueError(
            "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays; "
            "torch.from_numpy makes a tensor of one"
        )
