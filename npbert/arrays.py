"""Arrays as callers give them, made plain: no subclass with rules of its own goes further, and none that hides some."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from npbert_kernels.ops import Floats, Ints
from numpy.typing import ArrayLike, NDArray

from npbert.sequences import as_list, described


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """An argument as a plain array: what NumPy takes, but torch's tensors, which may live elsewhere.

    Raises:
        ValueError: it is none, or a masked array that masks something; names it.
    """
    if type(value) is np.ndarray:
        return value
    if type(value).__module__.partition(".")[0] == "torch":
        wrong(name, "a NumPy array", "a torch tensor: call its .numpy()")
    check_unmasked(name, value)
    try:
        return np.asarray(value)  # no subclass of its: np.matrix never has one axis, nor np.recarray plain numbers
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name}: wanted an array, or lists of one length: {error}") from None


def check_unmasked(name: str, value: Any) -> None:
    """Raises ValueError for a masked array that masks something, were it in a list: NumPy forgets what was masked."""
    masked = sys.modules.get("numpy.ma")  # NumPy loads it when it is first used
    if masked is not None and _masks(value, masked):
        wrong(name, "no masked numbers", "some: fill them, or leave them out")


def _masks(value: Any, masked: Any) -> bool:
    if isinstance(value, masked.MaskedArray):
        return bool(masked.is_masked(value))
    if not isinstance(value, list | tuple):
        return False
    kinds = {*map(type, value)}
    return any(issubclass(kind, masked.MaskedArray | list | tuple) for kind in kinds) and any(
        _masks(item, masked) for item in value
    )


def checked_integers(name: str, value: ArrayLike, limit: int) -> Ints:
    """A copy: int64, C-contiguous, each in 0 to limit - 1. What was checked is what is used, whoever writes to it.

    Raises:
        ValueError: it is no array, not of integers, or one is out of range; names the place.
    """
    found = as_array(name, value)
    if found.dtype.kind not in "iu":
        wrong(name, "integers", f"the dtype {found.dtype}")
    integers: Ints = copied(name, found, np.int64)
    if (flat := outside(integers.reshape(-1), limit)) is not None:
        where = np.unravel_index(flat, found.shape)
        wrong(place(name, where), f"0 to {limit - 1}", found[where])
    return integers


def copied(name: str, found: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """C-contiguous. What was broadcast may be far larger than what was there before."""
    try:
        with np.errstate(over="ignore"):
            return np.array(found, dtype, order="C")
    except MemoryError:
        wrong(name, "an array that fits memory", f"the shape {list(found.shape)}")


def outside(flat: Ints, limit: int) -> int | None:
    """The index of the first number that is not in 0 to limit - 1."""
    # As unsigned, negative numbers are large ones: one pass finds both. Nearly every call ends here.
    if flat.size == 0 or int(np.maximum.reduce(flat.view(np.uint64))) < limit:
        return None
    return int(np.argmax(flat.view(np.uint64) >= limit))


def checked_floats(name: str, value: ArrayLike) -> Floats:
    """float32, C-contiguous, finite.

    Raises:
        ValueError: it is no array, not of numbers, or one is not finite in float32; names the place.
    """
    found = as_array(name, value)
    if found.dtype.kind not in "iuf":
        wrong(name, "numbers", f"the dtype {found.dtype}")
    floats: Floats = (
        found if found.dtype == np.float32 and found.flags.c_contiguous else copied(name, found, np.float32)
    )
    if not np.isfinite(floats).all():
        where = tuple(np.argwhere(~np.isfinite(floats))[0])
        wrong(place(name, where), "a finite float32", found[where])
    return floats


def checked_lists(name: str, value: Any) -> Sequence[Sequence[int]]:
    """Lists of numbers, or what is as good: an array of rows, a column of lists, rows that are arrays.

    Raises:
        ValueError: it is no list of lists, or masks something; names the first row that is none.
    """
    check_unmasked(name, value)
    lists = list(value) if isinstance(value, np.ndarray) and value.ndim == 2 else as_list(value)
    if lists is None:
        wrong(name, "lists of integers", described(value))
    if {*map(type, lists)} <= {list}:  # nearly every call
        return lists
    rows = []
    for index, row in enumerate(lists):
        numbers = as_list(row)
        if numbers is None:
            wrong(f"{name}[{index}]", "a list of integers", described(row))
        rows.append(numbers)
    return rows


def flat_integers(name: str, lists: Any, limit: int, first: Ints) -> Ints:
    """[T] from lists whose rows begin at first, each in 0 to limit - 1.

    Raises:
        ValueError: they hold something else; names the place.
    """
    try:
        found = np.array(list(chain.from_iterable(lists)) or np.zeros(0, np.int64))
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{name}: wanted lists of integers: {error}") from None
    if found.dtype.kind not in "iu" or found.ndim != 1:
        wrong(name, "lists of integers", f"the dtype {found.dtype}" if found.ndim == 1 else "lists of lists")
    flat = np.ascontiguousarray(found, np.int64)
    if (row := outside(flat, limit)) is not None:
        b = int(np.searchsorted(first, row, side="right")) - 1
        wrong(f"{name}[{b}][{row - first[b]}]", f"0 to {limit - 1}", found[row])
    return flat


def place(name: str, where: tuple[Any, ...]) -> str:
    """`name[0, 2]` for an element's place in an array."""
    return f"{name}[{', '.join(map(str, where))}]" if where else name


def wrong(name: str, wanted: str, found: object) -> NoReturn:
    """Raises ValueError: what was wanted of an argument, or of a place in it, and what was found."""
    raise ValueError(f"{name}: wanted {wanted}, found {found}")
