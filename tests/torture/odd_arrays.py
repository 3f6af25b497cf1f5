"""Arguments of calls made odd: other dtypes, layouts, containers, shapes and values of an array, or no array at all.

What is to come of each is known beforehand: the plain array's answer (SAME), a refusal (BAD), either of these (MAYBE),
or, where it may fit all the same, an answer of its own (ANY).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SAME, BAD, MAYBE, ANY = "the same answer", "a refusal", "the same answer or a refusal", "an answer or a refusal"


@dataclass(frozen=True)
class Odd:
    """One argument, in another guise."""

    argument: str
    how: str

    def __str__(self) -> str:
        return f"{self.argument}: {self.how}"


@dataclass(frozen=True)
class Given:
    """One argument that is no array: a value in its place."""

    argument: str
    value: Any
    expected: str
    plain: Any = None  # what it stands for, where the answer is to be the same

    def __str__(self) -> str:
        return f"{self.argument} = {self.value!r}"


@dataclass(frozen=True)
class Guise:
    """A way to give an array."""

    make: Callable[[np.ndarray], Any]  # raises ValueError or TypeError where an array can't be given so
    expected: str
    reshapes: bool = False  # another argument may be the one that does not fit


class Subclass(np.ndarray):
    """As many are: for units, for labels."""


class HasArray:
    """What np.asarray takes."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._values if dtype is None else self._values.astype(dtype)


def _unaligned(values: np.ndarray) -> np.ndarray:
    room = np.zeros(values.nbytes + 1, np.uint8)
    view = room[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def _strided(values: np.ndarray) -> np.ndarray:
    wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1] + 1), values.dtype)
    wide[..., 1::2] = values
    return wide[..., 1::2]


def _backwards(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values[..., ::-1])[..., ::-1]


def _read_only(values: np.ndarray) -> np.ndarray:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def _exact(dtype: Any) -> Callable[[np.ndarray], np.ndarray]:
    """As another dtype, where that holds the same numbers."""

    def make(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
            wraps = cast.dtype.kind == "u" and (values < 0).any()
            if wraps or not np.array_equal(cast.astype(values.dtype), values):
                raise ValueError("numbers that it can't hold")
        return cast

    return make


def _masked(hidden: bool) -> Callable[[np.ndarray], Any]:
    def make(values: np.ndarray) -> Any:
        mask = np.zeros(values.shape, bool)
        mask.reshape(-1)[:1] = hidden
        return np.ma.MaskedArray(values, mask)

    return make


def _with(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    """With one of its numbers another."""

    def make(values: np.ndarray) -> np.ndarray:
        copy = values.astype(np.result_type(values.dtype, np.asarray(value).dtype))
        if not copy.size:
            raise ValueError("nothing to change")
        copy.reshape(-1)[copy.size // 2] = value
        return copy

    return make


def _matrix(values: np.ndarray) -> Any:
    if values.ndim != 2:
        raise ValueError("no matrix")
    return np.matrix(values)


def _transposed(values: np.ndarray) -> np.ndarray:
    if values.ndim < 2 or values.shape[0] == values.shape[1]:
        raise ValueError("the same shape")
    return values.swapaxes(0, 1)


def _ragged(values: np.ndarray) -> Any:
    if values.ndim < 2 or len(values) < 2 or not values.size:
        raise ValueError("no rows")
    rows = values.tolist()
    return [rows[0][:-1], *rows[1:]] if isinstance(rows[0], list) and rows[0] else rows


# Guises of any array.
OF_ANY: dict[str, Guise] = {
    "a list": Guise(np.ndarray.tolist, SAME),
    "tuples": Guise(
        lambda values: tuple(map(tuple, values.tolist())) if values.ndim > 1 else tuple(values.tolist()), SAME
    ),
    "a list of arrays": Guise(list, SAME),
    "in Fortran's order": Guise(np.asfortranarray, SAME),
    "with negative strides": Guise(_backwards, SAME),
    "every other of a wider one": Guise(_strided, SAME),
    "read-only": Guise(_read_only, SAME),
    "not aligned": Guise(_unaligned, SAME),
    "big-endian": Guise(lambda values: values.astype(values.dtype.newbyteorder(">")), SAME),
    "of a subclass": Guise(lambda values: values.view(Subclass), SAME),
    "a recarray": Guise(lambda values: values.view(np.recarray), SAME),
    "a matrix": Guise(_matrix, MAYBE),
    "a masked array that hides nothing": Guise(_masked(False), MAYBE),
    "a masked array that hides one": Guise(_masked(True), BAD),
    "with __array__": Guise(HasArray, MAYBE),
    "a memoryview": Guise(lambda values: memoryview(np.ascontiguousarray(values)), MAYBE),
    "objects": Guise(lambda values: values.astype(object), MAYBE),
    "strings": Guise(lambda values: values.astype(str), BAD),
    "bytes": Guise(lambda values: values.astype("S"), BAD),
    "complex": Guise(lambda values: values.astype(complex), BAD),
    "dates": Guise(lambda values: np.zeros(values.shape, "datetime64[s]"), BAD),
    "spans of time": Guise(lambda values: np.zeros(values.shape, "timedelta64[s]"), BAD),
    "records": Guise(lambda values: np.zeros(values.shape, [("a", int), ("b", float)]), BAD),
    "ragged lists": Guise(_ragged, BAD),
    "a text": Guise(lambda values: "ids", BAD),
    "bytes of Python": Guise(lambda values: values.tobytes(), BAD),
    "a dict": Guise(lambda values: dict(enumerate(values.tolist())), BAD),
    "a generator": Guise(lambda values: (row for row in values.tolist()), MAYBE),
    "an object": Guise(lambda values: object(), BAD),
    "a class": Guise(lambda values: int, BAD),
    "with None": Guise(lambda values: [*values.tolist()[:-1], None], BAD),
    "a number": Guise(lambda values: 1, BAD, True),
    "an axis more": Guise(lambda values: values[None], BAD, True),
    "an axis more at the end": Guise(lambda values: values[..., None], ANY, True),
    "an axis less": Guise(lambda values: values.reshape(-1) if values.ndim > 1 else values[0], BAD, True),
    "transposed": Guise(_transposed, ANY, True),
    "a column more": Guise(lambda values: np.concatenate([values, values[..., :1]], axis=-1), ANY, True),
    "a row more": Guise(lambda values: np.concatenate([values, values[:1]]), ANY, True),
    "a row less": Guise(lambda values: values[:-1], ANY, True),
    "nothing": Guise(lambda values: np.zeros(0, values.dtype), ANY, True),
    "rows of nothing": Guise(lambda values: values[..., :0], ANY, True),
    "no rows of 10^9": Guise(lambda values: np.broadcast_to(values.dtype.type(1), (0, 10**9)), ANY, True),
    "10^9 rows of none": Guise(lambda values: np.broadcast_to(values.dtype.type(1), (10**9, 0)), BAD, True),
    "one row of 10^9": Guise(lambda values: np.broadcast_to(values.dtype.type(1), (1, 10**9)), BAD, True),
    "10^6 rows of 10^6": Guise(lambda values: np.broadcast_to(values.dtype.type(1), (10**6, 10**6)), BAD, True),
}
# Of arrays of integers, whose numbers are rows of a table.
INTEGERS: dict[str, Guise] = {
    **{f"as {dtype}": Guise(_exact(dtype), SAME) for dtype in ("i1", "i2", "i4", "u1", "u2", "u4", "u8")},
    "as floats": Guise(_exact("f8"), MAYBE),
    "as floats of 80 bits": Guise(_exact("g"), MAYBE),
    "as bool": Guise(_exact("?"), MAYBE),
    "one is -1": Guise(_with(-1), BAD),
    "one is 10^6": Guise(_with(10**6), BAD),
    "one is 2^31": Guise(_with(2**31), BAD),
    "one is 2^63 - 1": Guise(_with(2**63 - 1), BAD),
    "one is -2^63": Guise(_with(-(2**63)), BAD),
    "one is 2^64 - 1": Guise(lambda values: _with(np.uint64(2**64 - 1))(values.astype("u8")), BAD),
    "one is 2^70": Guise(lambda values: [2**70, *values.reshape(-1).tolist()], BAD, True),
    "one is 0.5": Guise(_with(0.5), BAD),
    "one is NaN": Guise(_with(np.nan), BAD),
}  # fmt: skip
# Of a mask of 0 and 1.
MASK: dict[str, Guise] = {
    **{f"as {dtype}": Guise(_exact(dtype), SAME) for dtype in ("i1", "i4", "u1", "u8", "?", "f2", "f4", "f8")},
    "as floats of 80 bits": Guise(_exact("g"), MAYBE),
    "one is 2": Guise(_with(2), BAD),
    "one is -1": Guise(_with(-1), BAD),
    "one is 0.5": Guise(_with(0.5), BAD),
    "one is NaN": Guise(_with(np.nan), BAD),
    "one is infinite": Guise(_with(np.inf), BAD),
}
# Of any numbers, float32.
FLOATS: dict[str, Guise] = {
    "as f8": Guise(_exact("f8"), SAME),
    "as floats of 80 bits": Guise(_exact("g"), MAYBE),
    "one is NaN": Guise(_with(np.nan), BAD),
    "one is infinite": Guise(_with(-np.inf), BAD),
    "one is 1e300": Guise(_with(np.float64(1e300)), BAD),
}
BY_KIND = {"integers": OF_ANY | INTEGERS, "mask": OF_ANY | MASK, "floats": OF_ANY | FLOATS}


def looser(guises: Mapping[str, Guise], names: Callable[[str, Guise], bool]) -> dict[str, Guise]:
    """The same guises, of which those that `names` picks may be answered in their own way."""
    return {name: replace(guise, expected=ANY) if names(name, guise) else guise for name, guise in guises.items()}


def unsure(guises: Mapping[str, Guise], names: Callable[[str], bool]) -> dict[str, Guise]:
    """The same guises, of which those that `names` picks may be refused."""
    return {name: replace(guise, expected=MAYBE) if names(name) else guise for name, guise in guises.items()}


# Values in the place of one that is a flag, a count or a name.
NOT_FLAGS = (0, 1, "yes", "no", "", 1.5, [], [True], {}, np.array([1, 2]), np.array(True), float("nan"), object, b"1")
NOT_COUNTS = (
    -1,
    -5,
    1.5,
    0.5,
    "3",
    "",
    None,
    True,
    [3],
    float("nan"),
    float("inf"),
    np.array([1, 2]),
    object,
    2**70,
    b"3",
)
NOT_NAMES = ("", "MEAN", "Mean ", "x" * 5000, "a\nb", 3, None, b"mean", ["nonsense"], {}, object, 1.5)
