"""What callers give as a list: what has items in an order, told apart from what can be iterated but is none.

Nothing of other libraries is imported: their columns and tables are known by what they can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MappingView, Set, Sized
from typing import Any

LISTS = ("tolist", "to_pylist", "to_list")  # NumPy's and pandas', pyarrow's, polars'


def as_list(value: Any) -> list[Any] | None:
    """The items, in order; None for what has none: one text, a mapping, a set, a table, an array that has not one axis.

    Lists, tuples, arrays, Series, pyarrow's arrays, columns of `datasets`, deques, a dict's values and generators have.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return list(value)
    if not has_items(value):
        return None
    for name in LISTS:
        if callable(method := getattr(value, name, None)):
            items = method()
            return items if isinstance(items, list) else None
    return list(value) if isinstance(value, Iterable) else [value[index] for index in range(len(value))]


def has_items(value: Any) -> bool:
    """Whether it has items in an order, which `as_list` gives, or an iterator of them."""
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping | type):
        return False
    if isinstance(value, Set) and not isinstance(value, MappingView):
        return False
    if is_table(value) or getattr(value, "ndim", 1) != 1:
        return False
    return isinstance(value, Iterable) or (isinstance(value, Sized) and hasattr(value, "__getitem__"))


def is_table(value: Any) -> bool:
    """Whether it has columns, over whose names one would iterate: a DataFrame, a pyarrow Table."""
    return hasattr(type(value), "columns")


def described(value: Any) -> str:
    """What it is, for the message that says it is no list of items."""
    name = "None" if value is None else type(value).__name__
    if is_table(value):
        return f"a table, {name}"
    if isinstance(value, Set) and not isinstance(value, MappingView):
        return f"{name}, which has no order"
    shape = getattr(value, "shape", None)
    return f"{name} {list(shape)}" if isinstance(shape, tuple) and shape else name
