"""Weights made odd: a tensor's values, dtype, shape, name or place in its file; and other ways to store the same."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from torture.folder import Folder
from torture.weights import DTYPES, SCALES, int8_of, joined, packed, parted

Tensors = dict[str, np.ndarray]


def _with_one(value: float) -> Callable[[str, np.ndarray], Tensors]:
    def change(name: str, array: np.ndarray) -> Tensors:
        changed = array.copy()
        place = zlib.crc32(name.encode()) % max(array.size, 1)
        changed.reshape(-1)[place : place + 1] = value
        return {name: changed}

    return change


def _in_int8(name: str, array: np.ndarray) -> Tensors:
    if not array.ndim:  # a step before made it so
        return {name: array}
    values, scales = int8_of(array.reshape(len(array), -1))
    return {name: values.reshape(array.shape), name + SCALES: scales}


def _scaled(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[str, np.ndarray], Tensors]:
    def changed(name: str, array: np.ndarray) -> Tensors:
        tensors = _in_int8(name, array)
        return tensors if name + SCALES not in tensors else {**tensors, name + SCALES: change(tensors[name + SCALES])}

    return changed


def _half(name: str, array: np.ndarray) -> Tensors:
    return {name: array[: len(array) // 2]}


CHANGES: dict[str, Callable[[str, np.ndarray], Tensors]] = {
    "gone": lambda name, array: {},
    "other values": lambda name, array: {name: np.roll(array.reshape(-1), 1).reshape(array.shape)},
    "zeros": lambda name, array: {name: array * 0},
    "one is NaN": _with_one(np.nan),
    "one is infinite": _with_one(-np.inf),
    "one is 3e38": _with_one(3e38),
    "one is 1e-45": _with_one(1e-45),
    "one is -0.0": _with_one(-0.0),
    "times 1000": lambda name, array: {name: array * 1000},
    "times 1e30": lambda name, array: {name: (array * 1e30).astype("<f4")},
    "times 1e-30": lambda name, array: {name: (array * 1e-30).astype("<f4")},
    "half precision": lambda name, array: {name: array.astype("<f2")},
    "double precision": lambda name, array: {name: array.astype("<f8")},
    "double precision, 1e300": lambda name, array: {name: array.astype("<f8") + 1e300},
    "int64": lambda name, array: {name: array.astype("<i8")},
    "bytes": lambda name, array: {name: array.astype("u1")},
    "int8": _in_int8,
    "int8 without scales": lambda name, array: {name: array.astype("i1")},
    "int8, scales of 0": _scaled(lambda scales: scales * 0),
    "int8, scales of -1": _scaled(lambda scales: scales * 0 - 1),
    "int8, scales of NaN": _scaled(lambda scales: scales * np.float32(np.nan)),
    "int8, scales of 1e38": _scaled(lambda scales: scales * 0 + np.float32(1e38)),
    "int8, scales of 1e-45": _scaled(lambda scales: scales * 0 + np.float32(1e-45)),
    "int8, scales in double": _scaled(lambda scales: scales.astype("<f8")),
    "int8, scales too few": _scaled(lambda scales: scales[:-1]),
    "int8, scales [out, 1]": _scaled(lambda scales: scales[:, None]),
    "transposed": lambda name, array: {name: np.ascontiguousarray(array.T)},
    "flat": lambda name, array: {name: array.reshape(-1)},
    "with an axis more": lambda name, array: {name: array[None]},
    "with 40 axes": lambda name, array: {name: array.reshape(*[1] * 40, *array.shape)},
    "half of it": _half,
    "twice as long": lambda name, array: {name: np.concatenate([array, array])},
    "empty": lambda name, array: {name: array[:0]},
    "a number": lambda name, array: {name: array.reshape(-1)[0]},
    "twice, as module.": lambda name, array: {name: array, f"module.{name}": array},
    "called otherwise": lambda name, array: {f"{name}\n": array},
    "with control characters": lambda name, array: {f"\x1b[31m{name}": array},
    "with a long name": lambda name, array: {f"{name}.{'x' * 100_000}": array},
    "module. 60000 times": lambda name, array: {f"{'module.' * 60_000}{name}": array},
}
KEPT: dict[str, Callable[[str, np.ndarray], Tensors]] = {
    "doubles": CHANGES["double precision"],
    "as module.": lambda name, array: {f"module.{name}": array},
    "gamma and beta": lambda name, array: {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
    },
    "scales of floats beside it": lambda name, array: {name: array, f"{name}{SCALES}": np.ones(len(array), "<f4")},
}
"""Changes of no consequence."""


@dataclass(frozen=True)
class Tensor:
    """A tensor changed in its file."""

    file: str
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.file}: {self.name}: {self.how}"

    @property
    def mark(self) -> str:
        return self.how

    @property
    def keeps(self) -> bool:
        """Whether it changes no answer."""
        return self.how in KEPT

    def apply(self, folder: Folder) -> None:
        tensors = plain(folder.get(self.file))
        if tensors is None or self.name not in tensors:
            return
        array = tensors.pop(self.name)
        with np.errstate(all="ignore"):
            try:
                tensors |= (CHANGES | KEPT)[self.how](self.name, array)
            except (ValueError, IndexError, OverflowError):  # not of such a shape or dtype
                return
        folder[self.file] = packed(tensors)


@dataclass(frozen=True)
class Relaid:
    """The same tensors, laid out otherwise."""

    file: str
    how: str
    keeps: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{self.file}: {self.how}"

    def apply(self, folder: Folder) -> None:
        content = folder.get(self.file)
        tensors = plain(content)
        if tensors is None or not isinstance(content, bytes):
            return
        header, data = parted(content)
        if self.how == "in another order":
            folder[self.file] = packed(dict(sorted(tensors.items(), key=lambda item: zlib.crc32(item[0].encode()))))
        elif self.how == "the header in another order":
            items = sorted(json.loads(header).items(), key=lambda item: zlib.crc32(item[0].encode()))
            folder[self.file] = joined(json.dumps(dict(items)).encode(), data)
        elif self.how == "a header with spaces":
            folder[self.file] = joined(header + b" " * 5000, data)
        elif self.how == "data that is not aligned":
            text = json.dumps(json.loads(header), separators=(",", ":")).encode()
            text += b" " * ((1 - len(text)) % 8)
            folder[self.file] = len(text).to_bytes(8, "little") + text + data
        elif self.how == "a tensor more":
            folder[self.file] = packed({**tensors, "another.tensor": np.ones(3, "<f4")})


LAYOUTS = (
    *("in another order", "the header in another order", "a header with spaces"),
    *("data that is not aligned", "a tensor more"),
)


def plain(content: Any) -> Tensors | None:
    """A file's tensors as they are stored; None where it has others than floats and integers, or is none."""
    if not isinstance(content, bytes):
        return None
    text, data = parted(content)
    tensors: Tensors = {}
    try:
        for name, entry in json.loads(text).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return tensors


def drawn(dice: random.Random, file: str, names: list[str]) -> Tensor:
    """Something odd about a file of these tensors."""
    return Tensor(file, dice.choice(names), dice.choice(sorted(CHANGES)))


def kept(dice: random.Random, file: str, names: list[str]) -> Tensor | Relaid:
    """Something that changes no answer."""
    if dice.random() < 0.5:
        return Relaid(file, dice.choice(LAYOUTS))
    return Tensor(file, dice.choice(names), dice.choice(sorted(KEPT)))
