"""Checks of single values of a config; every message names the key, what was wanted and what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def label_names(given: Any) -> dict[int, str]:
    """id2label with int keys; JSON has none, so a file writes them as strings."""
    wanted = "a label, a string, for whole numbers"
    if not isinstance(given, Mapping):
        raise wrong("id2label", wanted, given)
    labels: dict[int, str] = {}
    for key, label in given.items():
        index = _index(key)
        if index is None or not isinstance(label, str):
            raise wrong("id2label", wanted, {key: label})
        labels[index] = label
    if len(labels) < len(given):
        raise wrong("id2label", "each label once", given)
    return dict(sorted(labels.items()))


def label_indices(given: Any) -> dict[str, int]:
    """label2id with int values. Files often disagree here with id2label, which is the one that is used."""
    wanted = "an integer for each label"
    if not isinstance(given, Mapping):
        raise wrong("label2id", wanted, given)
    ids: dict[str, int] = {}
    for label, value in given.items():
        index = _index(value)
        if index is None or not isinstance(label, str):
            raise wrong("label2id", wanted, {label: value})
        ids[label] = index
    return ids


def head_lists(key: str, given: Any, layers: int, heads: int) -> dict[int, list[int]]:
    """{layer: heads to prune}, ascending, layers as ints; at least one head of each layer is left."""
    wanted = f"for layers of 0 to {layers - 1}, lists of heads of 0 to {heads - 1}"
    if not isinstance(given, Mapping):
        raise wrong(key, wanted, given)
    lists: dict[int, list[int]] = {}
    for layer, named in given.items():
        index = _index(layer)
        is_list = isinstance(named, list | tuple | set) and all(is_int(head) and 0 <= head < heads for head in named)
        if index is None or not 0 <= index < layers or not is_list or index in lists:
            raise wrong(key, wanted, {layer: named})
        if named:
            lists[index] = sorted(set(named))
        if len(lists.get(index, ())) == heads:
            raise wrong(key, f"at least one of the {heads} heads of layer {index} to be left", {layer: named})
    return dict(sorted(lists.items()))


def _index(value: Any) -> int | None:
    if is_int(value):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    return None
