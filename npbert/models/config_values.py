"""Checks of single values of a config; every message names the key, what was wanted and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npbert.checks import is_int, wrong


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
