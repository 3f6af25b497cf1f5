"""Lists of ids and of texts made odd, as `odd_arrays` makes arrays."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np

from torture.odd_arrays import ANY, BAD, BY_KIND, MAYBE, SAME, Guise, Odd, looser, unsure

HUGE = ("one row of 10^9", "10^6 rows of 10^6")
Rows = list[list[int]]


def _changed(value: Any) -> Any:
    """One number of the middle row replaced."""

    def make(rows: Rows) -> Any:
        changed = [list(row) for row in rows]
        row = changed[len(changed) // 2]
        row[len(row) // 2] = value
        return changed

    return make


def _even(rows: Rows) -> np.ndarray:
    if len({len(row) for row in rows}) != 1:
        raise ValueError("rows of several lengths")
    return np.array(rows)


LISTS: dict[str, Guise] = {
    "tuples": Guise(lambda rows: tuple(map(tuple, rows)), SAME),
    "a list of arrays": Guise(lambda rows: [np.array(row) for row in rows], SAME),
    "a list of arrays of int32": Guise(lambda rows: [np.array(row, np.int32) for row in rows], SAME),
    "an array": Guise(_even, SAME),
    "NumPy's numbers": Guise(lambda rows: [[np.int64(index) for index in row] for row in rows], SAME),
    "an array of objects": Guise(lambda rows: np.array([*rows, None], object)[:-1], MAYBE),
    "deques": Guise(lambda rows: deque(map(deque, rows)), MAYBE),
    "a generator": Guise(lambda rows: (row for row in rows), MAYBE),
    "generators": Guise(lambda rows: [(index for index in row) for row in rows], MAYBE),
    "sets": Guise(lambda rows: [set(row) for row in rows], BAD),
    "dicts": Guise(lambda rows: [dict.fromkeys(row, 0) for row in rows], BAD),
    "a dict": Guise(lambda rows: dict(enumerate(rows)), BAD),
    "bytes": Guise(lambda rows: [bytes(row) for row in rows], MAYBE),
    "texts": Guise(lambda rows: ["".join(map(chr, row)) for row in rows], BAD),
    "texts of digits": Guise(lambda rows: [list(map(str, row)) for row in rows], BAD),
    "one row": Guise(lambda rows: rows[0], BAD),
    "a number": Guise(lambda rows: 5, BAD),
    "None": Guise(lambda rows: None, ANY),
    "an object": Guise(lambda rows: object(), BAD),
    "with a row of None": Guise(lambda rows: [*rows[:-1], None], BAD),
    "with an empty row": Guise(lambda rows: [*rows[:-1], []], BAD, True),
    "with a row of 10^5": Guise(lambda rows: [*rows[:-1], [5] * 10**5], BAD, True),
    "a row more": Guise(lambda rows: [*rows, rows[0]], ANY, True),
    "a row less": Guise(lambda rows: rows[:-1], ANY, True),
    "nested once more": Guise(lambda rows: [rows], BAD),
    "nested once less": Guise(lambda rows: [index for row in rows for index in row], BAD),
    "floats": Guise(lambda rows: [list(map(float, row)) for row in rows], MAYBE),
    "one masked": Guise(lambda rows: [np.ma.MaskedArray(row, [True, *[False] * (len(row) - 1)]) for row in rows], BAD),
    **{
        f"one is {value!r}": Guise(_changed(value), BAD)
        for value in (-1, 10**6, 2**31, 2**63 - 1, 2**63, 2**64, 2**70, 0.5, float("nan"), "5", None, b"5", [5], 1j)
    },
    "one is True": Guise(_changed(True), ANY),
}


def _texts(value: Any) -> Any:
    def make(texts: list[str]) -> Any:
        return [*texts[:-1], value]

    return make


def _keys(texts: list[str]) -> Any:
    if len(set(texts)) < len(texts):
        raise ValueError("one is there twice")
    return dict.fromkeys(texts).keys()


TEXTS: dict[str, Guise] = {
    "a tuple": Guise(tuple, SAME),
    "an array": Guise(lambda texts: np.array(texts), SAME),
    "an array of objects": Guise(lambda texts: np.array(texts, object), SAME),
    "a generator": Guise(lambda texts: (text for text in texts), SAME),
    "a deque": Guise(deque, SAME),
    "NumPy's texts": Guise(lambda texts: list(map(np.str_, texts)), SAME),
    "of a subclass": Guise(lambda texts: list(map(Text, texts)), SAME),
    "keys of a dict": Guise(_keys, MAYBE),
    "a dict": Guise(dict.fromkeys, BAD),
    "a set": Guise(set, BAD),
    "a frozenset": Guise(frozenset, BAD),
    "bytes": Guise(lambda texts: b"the cat", BAD),
    "a masked array": Guise(lambda texts: np.ma.MaskedArray(texts, [True, *[False] * (len(texts) - 1)]), BAD),
    "a table": Guise(lambda texts: np.array([texts, texts]), BAD),
    "a number": Guise(lambda texts: 3, BAD),
    "None": Guise(lambda texts: None, BAD),
    "an object": Guise(lambda texts: object(), BAD),
    "lists": Guise(lambda texts: [[text] for text in texts], BAD),
    **{
        f"one is {value!r}": Guise(_texts(value), BAD)
        for value in (None, 3, 1.5, b"a", ["a"], ("a", "b"), {}, True, float("nan"), "\ud800", "a\udc00b")
    },
}


class Text(str):
    """As some libraries have them."""

    __slots__ = ()


OF_A_VOCABULARY = {name: guise for name, guise in BY_KIND["integers"].items() if "10^9" not in name}  # lists of it
GUISES: dict[str, dict[str, Guise]] = {
    "integers": BY_KIND["integers"],
    "floats": BY_KIND["floats"],
    "lists": LISTS,
    "texts": TEXTS,
    # transformers takes lists and tuples alone here.
    "texts of a tokenizer": looser(
        unsure(TEXTS, lambda name: name in ("an array", "an array of objects", "a generator", "a deque")),
        lambda name, guise: name in ("one is ['a']", "one is ('a', 'b')", "lists"),
    ),
    # What is no list may be answered one by one.
    "texts of a pipeline": looser(
        unsure(TEXTS, lambda name: name == "an array of objects"), lambda name, guise: name in ("lists", "a table")
    ),
    "inputs": looser(
        unsure(TEXTS, lambda name: name not in ("a tuple", "a generator")), lambda name, guise: guise.expected != SAME
    ),
    "ids of a vocabulary": looser(
        unsure(OF_A_VOCABULARY, lambda name: name.startswith("as ") or name in ("with __array__", "a memoryview")),
        lambda name, guise: (guise.reshapes and name not in HUGE) or "10^6" in name or "2^31" in name,
    ),
    # Of any shape: what reshapes is no fault there.
    "rows": looser(BY_KIND["integers"], lambda name, guise: guise.reshapes and name not in HUGE),
    # [n, H] or [H], and NaN as good as any number: they are what was computed elsewhere.
    "vectors": looser(
        BY_KIND["floats"],
        lambda name, guise: (guise.reshapes and name not in HUGE) or name.startswith(("one is", "as f8")),
    ),
    # Those beyond a row count for nothing.
    "positions": looser(
        BY_KIND["integers"],
        lambda name, guise: name == "an axis more" or (name.startswith("one is") and "0.5" not in name),
    ),
    # May have one for each query.
    "mask": looser(BY_KIND["mask"], lambda name, guise: name == "an axis more"),
    # Floats of four axes are added to scores.
    "mask of four axes": looser(
        BY_KIND["mask"], lambda name, guise: name == "an axis more" or name.startswith(("as f", "one is", "as floats"))
    ),
    "factors": looser(BY_KIND["floats"], lambda name, guise: name in ("an axis less", "an axis more")),
}


def drawn(dice: random.Random, argument: str, kind: str) -> Odd:
    """A guise for an argument of a kind of GUISES."""
    return Odd(argument, dice.choice(sorted(GUISES[kind])))
