"""Every op in plain NumPy, computed at once: the ops' definition, a fallback, and the oracle of the tests.

Written to be read. In float64, `Reference(dtype=np.float64)`, it is the truth that others are held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .ops import (
    Activation,
    Batch,
    Cached,
    Dtype,
    Floats,
    Forward,
    Ints,
    Pooling,
    Quantized,
    TableRows,
    checked_dtype,
)

Array: TypeAlias = NDArray[Any]  # of the reference's dtype


@dataclass(frozen=True)
class Linear:
    weight: Array  # [out, in]; in int8 the values
    bias: Array | None  # [out]
    dtype: Dtype = "float32"
    scales: Floats | None = None  # [out], in int8


@dataclass(frozen=True)
class Norm:
    weight: Array  # [H]
    bias: Array | None  # [H]
    eps: float


@dataclass(frozen=True)
class RelativeBias:
    bias: Array  # [N, 2P - 1]

    def scores(self, q: Array, k: Array, i: Ints, j: Ints) -> Array:
        """What is added to the scores of queries in columns i and keys in columns j: [N, queries, keys]."""
        last = self.bias.shape[1] // 2
        return self.bias[:, j[None, :] - i[:, None] + last]


@dataclass(frozen=True)
class RelativeKey:
    rows: Array  # [2P - 1, D]
    query: bool

    def scores(self, q: Array, k: Array, i: Ints, j: Ints) -> Array:
        last = len(self.rows) // 2
        apart = self.rows[i[:, None] - j[None, :] + last]  # [queries, keys, D]
        scores = np.einsum("hid,ijd->hij", q, apart)
        if self.query:
            scores += np.einsum("hjd,ijd->hij", k, apart)
        scaled: Array = scores / math.sqrt(q.shape[-1])
        return scaled


# Activations ---------------------------------------------------------------------------------------------


def gelu_erf(x: Array) -> Array:
    """x * Phi(x), Phi the normal distribution: HF's "gelu". By erfc, not 1 + erf: the tail keeps digits."""
    wide = x.astype(np.float64)
    z = (wide * -math.sqrt(0.5)).ravel().tolist()
    erfc = np.fromiter(map(math.erfc, z), np.float64, len(z)).reshape(x.shape)
    return (0.5 * wide * erfc).astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    """The approximation with tanh: HF's "gelu_new"."""
    z = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + np.tanh(z))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def silu(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) may be infinite, and then the quotient is the 0 that it should be
        return x / (1.0 + np.exp(-x))


def gelu_10(x: Array) -> Array:
    """gelu_erf, and never beyond 10; below, it never comes near -10."""
    return np.minimum(gelu_erf(x), 10)


def quick_gelu(x: Array) -> Array:
    """x s(1.702 x), s the logistic function."""
    with np.errstate(over="ignore"):
        return x / (1.0 + np.exp(-1.702 * x))


def mish(x: Array) -> Array:
    """x tanh(log(1 + e^x)): https://arxiv.org/abs/1908.08681"""
    with np.errstate(invalid="ignore"):  # a NaN stays one
        y: Array = x * np.tanh(np.logaddexp(0, x).astype(x.dtype, copy=False))
    return y


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "silu": silu,
    "tanh": np.tanh,
    "gelu_10": gelu_10,
    "quick_gelu": quick_gelu,
    "mish": mish,
    "sigmoid": sigmoid,
}


# Reduced precision ---------------------------------------------------------------------------------------

STEPS = np.float32(254)
LEAST = np.float32(2.0**-119)  # of a row's span: a smaller one has no inverse in float32


def bfloat16(x: Floats) -> Floats:
    """The nearest float32 that a bfloat16 holds; ties to even."""
    bits = x.astype(np.float32, copy=False).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    nearest: Floats = np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))
    return nearest


ROUNDINGS: dict[Dtype, Callable[[Floats], Floats]] = {"float32": lambda x: x, "bfloat16": bfloat16}
"""Of the dtypes that are no more than fewer bits of each number."""


def rounded(x: Array, dtype: Dtype) -> Array:
    return ROUNDINGS[dtype](x).astype(x.dtype, copy=False)


def quantized_rows(x: Floats) -> tuple[Array, Floats]:
    """Of each row byte - zero, and the scale [rows, 1]: NaN where the row isn't finite."""
    low = x.min(axis=1, keepdims=True, initial=0)
    with np.errstate(over="ignore", invalid="ignore"):
        spans = np.maximum(x.max(axis=1, keepdims=True, initial=0) - low, LEAST)
        inverse = STEPS / spans
        zero = np.rint(-low * inverse)
        values = np.rint((x * inverse).astype(np.float64) + zero) - zero
    finite = np.isfinite(x).all(axis=1, keepdims=True)
    return np.where(finite, values, 0), np.where(finite, spans / STEPS, np.float32(np.nan))


# Ops -----------------------------------------------------------------------------------------------------


def weightedmean(x: Array, skipped: int) -> Array:
    weights = np.arange(skipped + 1, skipped + len(x) + 1, dtype=x.dtype)[:, None]
    mean: Array = (weights * x).sum(axis=0) / weights.sum()
    return mean


POOLINGS: dict[Pooling, Callable[[Array, int], Array]] = {  # [n, H], the rows left out before them -> [H]
    "mean": lambda x, skipped: x.mean(axis=0),
    "max": lambda x, skipped: x.max(axis=0),
    "mean_sqrt_len_tokens": lambda x, skipped: x.sum(axis=0) / math.sqrt(len(x)),
    "weightedmean": weightedmean,
    "lasttoken": lambda x, skipped: x[-1],
}


class ReferenceOps:
    """ops.Ops, at once. What each op computes is said there."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def embed(
        self,
        words: TableRows,
        ids: Ints,
        positions: tuple[Floats, Ints] | None,
        token_types: tuple[Floats, Ints] | None,
        norm: Norm | None,
    ) -> Array:
        return self.embed_rows(words[ids], positions, token_types, norm)

    def embed_rows(
        self,
        inputs_embeds: Array,
        positions: tuple[Floats, Ints] | None,
        token_types: tuple[Floats, Ints] | None,
        norm: Norm | None,
    ) -> Array:
        x = inputs_embeds.astype(self.dtype)  # [T, H]
        for part in (token_types, positions):  # HF's order of adding
            if part is not None:
                table, rows = part
                x = x + table[rows]
        return x if norm is None else self.layer_norm(x, norm)

    def linear(
        self,
        x: Array,  # [rows, in]
        weights: Linear,
        *,
        activation: Activation | None = None,
        residual: Array | None = None,
    ) -> Array:
        if activation is not None and residual is not None:
            raise ValueError("linear: an activation or a residual, not both")
        if weights.dtype == "int8":
            values, scale = quantized_rows(x.astype(np.float32, copy=False))
            sums = values @ weights.weight.T.astype(np.float64)  # [rows, out], exact
            y = (sums.astype(np.float32) * weights.scales * scale).astype(self.dtype)
        else:
            y = rounded(x, weights.dtype) @ weights.weight.T
        added = [weights.bias] if residual is None else [residual, weights.bias]
        for term in added:
            if term is not None:
                y = y + term
        return y if activation is None else ACTIVATIONS[activation](y)

    def multiply(self, a: Array, b: Array) -> Array:
        return a * b

    def rotary(self, qkv: Array, table: Floats, positions: Ints, *, heads: int, head_size: int) -> Array:
        cos, sin = np.split(table[positions].astype(qkv.dtype)[:, None, None], 2, axis=-1)  # each [T, 1, 1, D / 2]
        q_and_k, v = np.split(qkv.reshape(len(qkv), 3, heads, head_size), [2], axis=1)
        x, y = np.split(q_and_k, 2, axis=-1)
        rotated = np.concatenate([x * cos - y * sin, y * cos + x * sin], axis=-1)
        return np.concatenate([rotated, v], axis=1).reshape(qkv.shape)

    def attention(
        self,
        qkv: Array,  # [T, 3H]
        cu_seqlens: Ints,
        key_lens: Ints,
        *,
        heads: int,
        head_size: int,
        head_mask: Array | None = None,
        allowed: Floats | None = None,
        probs: bool = False,
        relative: RelativeBias | RelativeKey | None = None,
        columns: Ints | None = None,
        window: int | None = None,
        causal: bool = False,
        cached: Cached | None = None,
        dtype: Dtype = "float32",
    ) -> tuple[Array, Array | None]:
        scale = 1.0 / math.sqrt(head_size)
        context = np.zeros((len(qkv), heads * head_size), qkv.dtype)
        all_probs: list[Array] = []
        done = 0  # of allowed
        for b, (begin, end, new) in enumerate(zip(cu_seqlens[:-1], cu_seqlens[1:], key_lens, strict=True)):
            rows = qkv[begin:end].reshape(end - begin, 3, heads, head_size)
            q, k, v = rounded(rows.transpose(1, 2, 0, 3), dtype)  # each [N, length, D]
            k, v, past, keys = k[:, :new], v[:, :new], 0, new
            if cached is not None:
                past, keys = cached.past[b], cached.past[b] + new
                held = cached.floats[cached.at[b] :][: 2 * heads * cached.room[b] * head_size]
                held = held.reshape(2, heads, cached.room[b], head_size)
                held[:, :, past:keys] = k, v
                k, v = held[:, :, :keys]
            if keys == 0:  # no probabilities, and the context stays 0
                continue
            scores = q @ k.transpose(0, 2, 1) * scale  # [N, length, key_len]
            if relative is not None:
                assert columns is not None, "relative attention needs columns"
                scores = scores + relative.scores(q, k, columns[begin:end], columns[begin : begin + keys])
            attends = np.ones(scores.shape[1:], np.bool_)  # [length, key_len]
            if allowed is not None:
                attends &= allowed[done : done + attends.size].reshape(attends.shape) != 0
                done += attends.size
            if window is not None or causal:
                assert columns is not None, "a window needs columns"
                behind = columns[begin : begin + new] - columns[begin:end, None]  # how far the key is behind the query
                if window is not None:
                    attends[:, past:] &= np.abs(behind) <= window
                if causal:
                    attends[:, past:] &= behind <= 0
            highest = scores.max(axis=-1, keepdims=True, where=attends, initial=-np.inf)
            exps = np.exp(scores - np.where(highest == -np.inf, 0, highest), where=attends, out=np.zeros_like(scores))
            sums = exps.sum(axis=-1, keepdims=True)
            share = np.divide(1.0, sums, where=sums != 0, out=np.zeros_like(sums))
            if head_mask is not None:
                share = share * head_mask[:heads, None, None].astype(share.dtype)
            mixed = rounded(exps, dtype) @ v * share  # [N, length, D]
            context[begin:end] = mixed.transpose(1, 0, 2).reshape(end - begin, -1)
            all_probs.append((exps * share).ravel())
        if not probs:
            return context, None
        return context, np.concatenate(all_probs) if all_probs else np.zeros(0, qkv.dtype)

    def layer_norm(self, x: Array, norm: Norm) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        normed: Array = centred / np.sqrt(variance + norm.eps)
        normed = normed * norm.weight
        return normed if norm.bias is None else normed + norm.bias

    def take(self, x: Array, rows: Ints) -> Array:
        return x[rows]

    def pool(self, x: Array, cu_seqlens: Ints, key_lens: Ints, mode: Pooling, *, first: Ints | None = None) -> Array:
        pooled = np.zeros((len(key_lens), x.shape[1]), x.dtype)  # [B, H]
        for b, (begin, keys) in enumerate(zip(cu_seqlens[:-1], key_lens, strict=True)):
            start = begin if first is None else first[b]
            if start < begin + keys:
                pooled[b] = POOLINGS[mode](x[start : begin + keys], start - begin)
        return pooled

    def concat(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=1)

    def normalize(self, x: Array) -> Array:
        norms = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        unit: Array = x / np.maximum(norms, 1e-12)
        return unit


# Store, program, backend ---------------------------------------------------------------------------------


class ReferenceStore:
    """ops.Store: arrays as they come, in the reference's dtype, but for the weights of `linear` in the store's."""

    def __init__(self, dtype: np.dtype[Any], reduced: Dtype = "float32") -> None:
        self.dtype, self.reduced = dtype, checked_dtype(reduced)

    def linear(
        self,
        weight: Floats | Quantized,
        bias: Floats | None,
        *,
        heads_out: int | None = None,
        heads_in: int | None = None,
    ) -> Linear:
        kept = None if bias is None else self._kept(bias)
        if not isinstance(weight, Quantized) and self.reduced == "int8":
            weight = Quantized.of(weight)
        if isinstance(weight, Quantized):
            return Linear(weight.values, kept, "int8", weight.scales)
        return Linear(self._kept(rounded(weight, self.reduced)), kept, self.reduced)

    def norm(self, weight: Floats, bias: Floats | None, eps: float) -> Norm:
        return Norm(self._kept(weight), None if bias is None else self._kept(bias), eps)

    def table(self, rows: TableRows) -> TableRows:
        return rows  # gathered rows are converted, not the whole table

    def relative_bias(self, bias: Floats) -> RelativeBias:
        return RelativeBias(self._kept(bias))

    def relative_key(self, rows: Floats, *, query: bool, scaled: bool = True) -> RelativeKey:
        kept = self._kept(rows)
        return RelativeKey(kept if scaled else kept * kept.dtype.type(math.sqrt(kept.shape[1])), query)

    def attention_dtype(self, qkv: Linear, relative: RelativeBias | RelativeKey | None = None) -> Dtype:
        return "float32" if qkv.dtype == "float32" or isinstance(relative, RelativeKey) else "bfloat16"

    def _kept(self, x: Floats) -> Array:
        return x.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class ReferenceProgram:
    """ops.Program: the forward pass itself."""

    ops: ReferenceOps
    forward: Forward

    def __call__(self, batch: Batch) -> dict[str, Any]:
        return self.forward(self.ops, batch)


class Reference:
    """ops.Backend in NumPy, in float32 or float64."""

    name = "reference"

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype: wanted float32 or float64, found {self.dtype}")

    def store(self, nbytes: int, *, dtype: Dtype = "float32") -> ReferenceStore:
        return ReferenceStore(self.dtype, dtype)

    def cache(self, layers: int, sequences: int, heads: int, room: int, head_size: int) -> Array:
        return np.empty((layers, sequences, 2, heads, room, head_size), self.dtype)

    def record(self, forward: Forward, given: Collection[str] = ()) -> ReferenceProgram:
        return ReferenceProgram(ReferenceOps(self.dtype), forward)


backend = Reference()
