"""Columns of tokens that were made before, padded: what a tokenizer's `pad` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from npbert.checks import show
from npbert.text.lengths import Lengths
from npbert.text.vocabulary import checked_ids, listed

IDS = "input_ids"
MASK = "attention_mask"


class Columns(NamedTuple):
    """Key -> a list for each row."""

    columns: dict[str, list[Any]]
    batched: bool  # False for one row: its answer has no batch axis
    arrays: bool  # they came as arrays


def read_columns(given: Any) -> Columns:
    """The columns of a dict of them, for one row or for several, or of a list of dicts.

    Raises:
        ValueError: it is neither, lacks input_ids, or its columns don't go together.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(row, Mapping) for row in given):
        keys = list(given[0])
        for index, row in enumerate(given):
            if {*row} != {*keys}:
                raise ValueError(f"encoded_inputs[{index}]: wanted the keys {', '.join(keys)}, found {', '.join(row)}")
        given = {key: [row[key] for row in given] for key in keys}
    if not isinstance(given, Mapping) or IDS not in given:
        raise ValueError(f"encoded_inputs: wanted a dict with the key {IDS}, or a list of such, found {show(given)}")
    columns = {key: listed(column) for key, column in given.items()}
    first = columns[IDS]
    batched = not isinstance(first, list) or any(isinstance(row, list) for row in first)
    if not batched:
        columns = {key: [column] for key, column in columns.items()}
    rows = columns[IDS]
    for key, column in columns.items():
        if not isinstance(column, list) or len(column) != len(rows):
            raise ValueError(f"encoded_inputs: {key}: wanted a list as long as {IDS}, found {show(column)}")
    for index, row in enumerate(rows):
        where = f"encoded_inputs: {IDS}[{index}]" if batched else f"encoded_inputs: {IDS}"
        if not isinstance(row, list):
            raise ValueError(f"{where}: wanted a row of ids, found {show(row)}")
        checked_ids(row, where)
    arrays = any(hasattr(value, "dtype") for value in (given[IDS], *given[IDS]))
    return Columns(columns, batched, arrays)


def padded(columns: dict[str, list[Any]], lengths: Lengths, side: str, fills: Mapping[str, int]) -> dict[str, Any]:
    """The columns, those that `fills` has filled up to the length of the longest row, or to lengths.max_length.

    Raises:
        ValueError: a column has a row that is not as long as its input_ids.
    """
    rows = columns[IDS]
    target = 0
    if lengths.padding is not None:
        longest = max(map(len, rows), default=0)
        target = longest if lengths.padding == "longest" or lengths.max_length is None else lengths.max_length
        target += -target % (lengths.multiple or 1)
    filled: dict[str, Any] = {}
    for key, column in columns.items():
        if key not in fills:
            filled[key] = column
            continue
        filled[key] = []
        for index, (row, ids) in enumerate(zip(column, rows, strict=True)):
            if not isinstance(row, list) or len(row) != len(ids):
                raise ValueError(f"encoded_inputs: {key}[{index}]: wanted {len(ids)} numbers, found {show(row)}")
            fill = [fills[key]] * (target - len(row))
            filled[key].append([*fill, *row] if side == "left" else [*row, *fill])
    return filled


def arrays_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Each column as an array, whole numbers as int64.

    Raises:
        ValueError: a column's rows differ in length.
    """
    import numpy as np  # not needed for lists

    arrays = {}
    for key, column in columns.items():
        try:
            array = np.array(column)
        except ValueError:
            raise ValueError(
                f"return_tensors: 'np' wants rows of one length, found others: {key}: {show(column)}"
            ) from None
        arrays[key] = array.astype(np.int64) if array.dtype.kind in "biu" else array
    return arrays
