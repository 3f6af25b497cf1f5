"""A checkpoint's tensors by their canonical names, each there once and of its shape, and their way into a store."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from npbert_kernels.ops import Dtype, Floats, Ints, Placed, Quantized, Store, TableRows, check_scales

from npbert.checks import brief, listed, show
from npbert.files.checkpoint import Checkpoint
from npbert.files.stored_table import DTYPES

Shapes = dict[str, tuple[int, ...]]

SCALES = "_scale"  # behind the name of an int8 weight [out, in]: its scales [out]
BLOCK = 2**15  # elements that int8 is made of at a time: larger copies leave the cache, and malloc gives them back


WRAPPER = "module."  # torch's DataParallel puts it before each name, once for each time that a model is wrapped


def canonical_name(stored: str, prefix: str) -> str:
    """The name of a tensor in today's bare model: without the prefixes of wrappers, and no gamma and beta.

    prefix: the family's own. Tensors of a head never had it.
    """
    begin = 0
    while stored.startswith(WRAPPER, begin):
        begin += len(WRAPPER)
    name = stored[begin:].removeprefix(prefix)
    return re.sub(
        r"\bLayerNorm\.(gamma|beta)$",
        lambda match: "LayerNorm.weight" if match[1] == "gamma" else "LayerNorm.bias",
        name,
    )


def named_shapes(name: str, weight: tuple[int, ...], bias: bool) -> Shapes:
    """Of a linear or a LayerNorm: its weight's shape and, where it has a bias, that of [out] or [H]."""
    return {f"{name}.weight": weight, **({f"{name}.bias": weight[:1]} if bias else {})}


class NamedWeights:
    """A checkpoint's tensors by their canonical names, each wanted one there and of its right shape.

    Args:
        shapes: canonical name -> shape, of all that are wanted.
        head: those of them that belong to a head, and not to the encoder, its pooler included.
        aliases: canonical name -> the names that it may have in a file, of which the first that is there counts.
        hint: what to say where weights of the head are missing.

    Raises:
        ValueError: weights are missing (they are counted, and the first are listed), are there twice, or have another
            shape.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        prefix: str,
        shapes: Mapping[str, tuple[int, ...]],
        head: Collection[str] = (),
        aliases: Mapping[str, Sequence[str]] | None = None,
        hint: str = "",
    ) -> None:
        self.checkpoint = checkpoint
        self.shapes = shapes
        self._stored: dict[str, str] = {}
        self._scales: dict[str, str] = {}  # canonical name of an int8 weight -> its scales as stored
        self.left_over: dict[str, str] = {}  # canonical name -> as stored
        self.kept: dict[str, tuple[int, Ints]] = {}  # canonical name -> (axis, indices): what `read` gives of it
        where = _where(checkpoint)
        for stored in checkpoint:
            name = canonical_name(stored, prefix)
            weight = name.removesuffix(SCALES)
            those = self._scales if weight != name else self._stored
            if weight not in shapes:
                self.left_over[name] = stored
            elif weight in those:
                two = f"{brief(those[weight])} and {brief(stored)}"
                raise ValueError(f"{where}: {name}: wanted once, found as {two}")
            else:
                those[weight] = stored
        for name, others in (aliases or {}).items():
            there = {**self.left_over, **self._stored}
            if first := next((other for other in others if other in there), None):
                self._stored[name] = there[first]
                self.left_over.pop(first, None)
        if missing := [name for name in shapes if name not in self._stored]:
            if any(name in head for name in missing):
                hint += "; AutoModel loads the encoder alone"
            else:
                others = list(self.left_over.values()) if len(missing) == len(shapes) else []
                hint = f"; found {listed(others)}" if others else ""
            raise ValueError(f"{where}: missing weights ({len(missing)}): {listed(missing)}{hint}")
        for name, wanted in shapes.items():
            stored = self._stored[name]
            if (found := checkpoint.shape(stored)) != wanted:
                raise ValueError(
                    f"{checkpoint.path(stored)}: {brief(stored)}: wanted the shape {list(wanted)} that "
                    f"config.json gives, found {show(list(found))}"
                )
            if checkpoint.dtype(stored) == "I8":
                self._check_scales(name, wanted)
            elif name in self._scales:  # which say nothing of floats
                self.left_over[name + SCALES] = self._scales.pop(name)

    def _check_scales(self, name: str, shape: tuple[int, ...]) -> None:
        stored = self._stored[name]
        where, scales = self.checkpoint.path(stored), self._scales.get(name)
        if scales is None or len(shape) != 2:
            name = brief(stored)
            raise ValueError(f"{where}: {name}: is int8, wanted its scales as {name}{SCALES}, found none")
        if (found := self.checkpoint.shape(scales)) != shape[:1]:
            raise ValueError(f"{where}: {brief(scales)}: wanted the shape {[shape[0]]}, found {show(list(found))}")

    def is_int8(self, name: str) -> bool:
        return self.checkpoint.dtype(self._stored[name]) == "I8"

    def read_matrix(self, name: str) -> Floats | Quantized:
        """A weight of a linear as it is stored: int8 with its scales, or float32."""
        if not self.is_int8(name):
            return self.read(name)
        values, scales = self.checkpoint.read_int8(self._stored[name]), self.checkpoint.read(self._scales[name])
        self._check_scale_values(name, scales)
        if name in self.kept:
            axis, indices = self.kept[name]
            values = np.ascontiguousarray(values.take(indices, axis))
            scales = scales[indices] if axis == 0 else scales
        return Quantized(values, scales)

    def _check_scale_values(self, name: str, scales: Floats) -> None:
        try:
            check_scales(scales, self.shapes[name][0])
        except ValueError as error:
            stored = self._stored[name]
            raise ValueError(f"{self.checkpoint.path(stored)}: {brief(stored)}: {error}") from None

    def read(self, name: str, out: Floats | None = None) -> Floats:
        """out: an array to read it into."""
        if not self.is_int8(name) and name not in self.kept:
            return self.checkpoint.read(self._stored[name], out=out)
        if self.is_int8(name):
            quantized = self.read_matrix(name)
            assert isinstance(quantized, Quantized)
            array = quantized[:]
        else:
            axis, indices = self.kept[name]
            array = np.ascontiguousarray(self.checkpoint.read(self._stored[name]).take(indices, axis))
        if out is None:
            return array
        out[...] = array
        return out

    def read_if_there(self, name: str) -> Floats | None:
        """None where the architecture has no such tensor."""
        return self.read(name) if name in self.shapes else None

    def table(self, name: str, dtype: Dtype) -> TableRows:
        """A tensor [V, E] that stays in the file, where rows can be read from it as the kernels do; else in memory.

        In int8, what is made of its floats, a block of rows at a time.
        """
        stored = self._stored[name]
        if self.is_int8(name) or dtype != "int8":
            if not hasattr(os, "pread") or self.checkpoint.dtype(stored) not in DTYPES:
                return self.read_matrix(name)
            table = self.checkpoint.table(stored, self._scales[name] if self.is_int8(name) else None)
            if table.scales is not None:
                self._check_scale_values(name, table.scales)
            return table
        V, E = self.shapes[name]
        values, scales, block = np.empty((V, E), np.int8), np.empty(V, np.float32), -(-BLOCK // E)
        for begin in range(0, V, block):
            part = Quantized.of(self.checkpoint.read(stored, (begin, begin + block)))
            values[begin : begin + block], scales[begin : begin + block] = part.values, part.scales
        return Quantized(values, scales)

    def warn_left_over(self, harmless: str, stacklevel: int) -> None:
        """harmless: a pattern of canonical names whose absence from the model is no news."""
        odd = [stored for name, stored in self.left_over.items() if not re.fullmatch(harmless, name)]
        if odd:
            message = f"{_where(self.checkpoint)}: tensors not used ({len(odd)}): {listed(odd)}"
            warnings.warn(message, stacklevel=stacklevel + 1)


def joined(weights: NamedWeights, names: Sequence[str], out: int, width: int) -> Floats | Quantized:
    """Matrices [out, width] one below the other; in int8 if all of them are."""
    if all(map(weights.is_int8, names)):
        parts = [part for name in names if isinstance(part := weights.read_matrix(name), Quantized)]
        return Quantized(np.concatenate([p.values for p in parts]), np.concatenate([p.scales for p in parts]))
    joined = np.empty((len(names) * out, width), np.float32)
    for index, name in enumerate(names):
        weights.read(name, joined[index * out : (index + 1) * out])
    return joined


def place_linear(
    weights: NamedWeights, store: Store, name: str, *, heads_out: int | None = None, heads_in: int | None = None
) -> Placed:
    """The linear of that name, with its bias if it has one; see Store.linear."""
    weight, bias = weights.read_matrix(f"{name}.weight"), weights.read_if_there(f"{name}.bias")
    return store.linear(weight, bias, heads_out=heads_out, heads_in=heads_in)


def place_halves(weights: NamedWeights, store: Store, name: str) -> tuple[Placed, Placed]:
    """The linear of that name [2 I, H] as two [I, H], each with its half of the bias: a gated unit's."""
    matrix, bias = weights.read_matrix(f"{name}.weight"), weights.read_if_there(f"{name}.bias")
    middle = matrix.shape[0] // 2
    first, second = (
        store.linear(
            Quantized(matrix.values[half], matrix.scales[half]) if isinstance(matrix, Quantized) else matrix[half],
            None if bias is None else bias[half],
        )
        for half in (slice(middle), slice(middle, None))
    )
    return first, second


def place_norm(weights: NamedWeights, store: Store, name: str, eps: float) -> Placed:
    """The LayerNorm of that name, with its bias if it has one."""
    return store.norm(weights.read(f"{name}.weight"), weights.read_if_there(f"{name}.bias"), eps)


def _where(checkpoint: Checkpoint) -> str:
    """The file, or the folder of the shards."""
    paths = checkpoint.paths
    return str(paths[0] if len(paths) == 1 else paths[0].parent) if paths else "the checkpoint"
