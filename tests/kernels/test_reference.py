"""Each op of the reference against torch in float64, over shapes and edges that hypothesis draws.

Bounds are those of the textbooks: a sum of n products is off by at most n eps times the sum of their sizes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from bounds import embed_bound, norm_bound
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from npbert_kernels.ops import ACTIVATIONS, POOLINGS, Batch
from npbert_kernels.reference import ACTIVATIONS as FUNCTIONS
from npbert_kernels.reference import Reference, backend
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

DTYPES = (np.float32, np.float64)
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**32 - 1)
widths = st.integers(1, 70)
lengths = st.lists(st.integers(1, 20), min_size=1, max_size=5)

TORCH = {
    "gelu_erf": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "gelu_10": lambda x: F.gelu(x).clip(-10, 10),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
}


class Forward:
    """Ops, store and random arrays of one dtype."""

    def __init__(self, dtype: Any, seed: int) -> None:
        backend = Reference(dtype)
        self.ops = backend.record(lambda ops, batch: {}).ops
        self.store = backend.store(0)
        self.eps = float(np.finfo(dtype).eps)
        self.dtype = dtype
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> np.ndarray:
        """As weights come, float32; in the dtype where the store or the op converts them."""
        return self.rng.standard_normal(shape, np.float32)

    def rows(self, *shape: int) -> np.ndarray:
        return self.normal(*shape).astype(self.dtype)


def truth(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(x, np.float64))


def assert_within(found: np.ndarray, wanted: torch.Tensor, bound: Any, dtype: Any) -> None:
    assert found.dtype == dtype
    assert found.shape == tuple(wanted.shape)
    error = np.abs(found - wanted.numpy())
    assert (error <= bound).all(), f"off by {error.max():.3g}, allowed {np.max(bound):.3g}"


def test_every_activation_is_there() -> None:
    assert set(FUNCTIONS) == set(ACTIVATIONS) == set(TORCH)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_activations(name: str, dtype: Any, data: st.DataObject) -> None:
    width = 32 if dtype == np.float32 else 64
    numbers = st.floats(-1e4, 1e4, width=width)
    x = data.draw(arrays(dtype, st.integers(0, 20), elements=numbers))
    wanted = TORCH[name](truth(x))
    # The argument of exp, erf or tanh is rounded, which moves the result by no more than that part of itself;
    # torch's own float64 adds 1 to erf, and is off by an eps of that.
    eps = float(np.finfo(dtype).eps)
    bound = 8 * eps * np.abs(wanted.numpy()) + 4 * 2.0**-52 * np.abs(x) + float(np.finfo(dtype).tiny)
    if name in ("gelu_tanh", "silu", "quick_gelu", "mish"):
        bound = bound + 8 * eps * np.abs(x)  # 1 + tanh cancels in the tail; exp's argument is as long as x
    assert_within(FUNCTIONS[name](x), wanted, bound, dtype)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_far_out(name: str) -> None:
    """No NaN, no warning, whatever float32 comes in."""
    x = np.array([-3.4e38, -1e20, -200, -100, -0.0, 0.0, 1e-45, 100, 1e12], np.float32)
    with np.errstate(all="raise", under="ignore", over="ignore"):
        y = FUNCTIONS[name](x)
    assert not np.isnan(y).any()
    assert y[4] == y[5] == (0.5 if name == "sigmoid" else 0)
    assert abs(y[2]) == (1 if name == "tanh" else 0)


def test_gelu_keeps_its_tail() -> None:
    """0.5 x (1 + erf(x / sqrt 2)) is 0 from -5.5 on in float32; the function is not."""
    assert FUNCTIONS["gelu_erf"](np.array([-8], np.float32))[0] == pytest.approx(-8 * 6.22096057e-16, rel=1e-6)


@given(
    dtypes,
    seeds,
    st.integers(1, 9),
    widths,
    widths,
    st.sampled_from([None, *ACTIVATIONS, "residual"]),
    st.booleans(),
)
def test_linear(dtype: Any, seed: int, rows: int, width: int, out: int, then: str | None, bias: bool) -> None:
    f = Forward(dtype, seed)
    x, weight = f.rows(rows, width), f.normal(out, width)
    b = f.normal(out) if bias else None
    residual = f.rows(rows, out) if then == "residual" else None
    activation = None if then == "residual" else then
    found = f.ops.linear(x, f.store.linear(weight, b), activation=activation, residual=residual)
    wanted = F.linear(truth(x), truth(weight), None if b is None else truth(b))
    size = np.abs(x).astype(np.float64) @ np.abs(weight).T + (0 if b is None else np.abs(b))
    if residual is not None:
        wanted, size = wanted + truth(residual), size + np.abs(residual)
    if activation is not None:
        wanted = TORCH[activation](wanted)
    # No activation is steeper than 1.13 or adds more than 16 eps of its argument's size.
    assert_within(found, wanted, (1.13 * (width + 3) + 16) * f.eps * size, dtype)


def test_linear_takes_an_activation_or_a_residual() -> None:
    f = Forward(np.float32, 0)
    x = f.rows(2, 2)
    with pytest.raises(ValueError, match="not both"):
        f.ops.linear(x, f.store.linear(f.normal(2, 2), None), activation="relu", residual=x)


@given(dtypes, seeds, lengths, st.integers(1, 4), st.integers(1, 33), st.data())
def test_attention(dtype: Any, seed: int, lengths: list[int], heads: int, head_size: int, data: st.DataObject) -> None:
    f = Forward(dtype, seed)
    cu_seqlens = np.cumsum([0, *lengths])
    key_lens = np.array([data.draw(st.integers(0, length)) for length in lengths])
    head_mask = data.draw(st.sampled_from([None, f.rng.random(heads, np.float32)]))
    width = heads * head_size
    qkv = f.rows(cu_seqlens[-1], 3 * width)
    context, probs = f.ops.attention(
        qkv, cu_seqlens, key_lens, heads=heads, head_size=head_size, head_mask=head_mask, probs=True
    )
    alone, none = f.ops.attention(qkv, cu_seqlens, key_lens, heads=heads, head_size=head_size, head_mask=head_mask)
    assert none is None
    np.testing.assert_array_equal(alone, context)

    done = 0
    for b, length in enumerate(lengths):
        keys = int(key_lens[b])
        rows = slice(cu_seqlens[b], cu_seqlens[b + 1])
        q, k, v = truth(qkv[rows]).reshape(length, 3, heads, head_size).permute(1, 2, 0, 3)
        factor = truth(np.ones(heads) if head_mask is None else head_mask)[:, None, None]
        if keys == 0:
            assert not context[rows].any()
            continue
        wanted = F.scaled_dot_product_attention(q, k[:, :keys], v[:, :keys]) * factor
        p = torch.softmax(q @ k[:, :keys].mT / math.sqrt(head_size), -1) * factor
        # A score off by d moves a probability by at most 2 d of itself.
        size = (q.abs() @ k[:, :keys].abs().mT).max().item() / math.sqrt(head_size)
        off = (2 * (head_size + 4) * size + 2 * keys + 8) * f.eps
        flat = heads * length * keys
        assert_within(probs[done : done + flat].reshape(p.shape), p, off * p.numpy(), dtype)
        merged = wanted.permute(1, 0, 2).reshape(length, width)
        assert_within(context[rows], merged, 2 * off * v.abs().max().item(), dtype)
        done += flat
    assert done == len(probs)


@given(dtypes, seeds, lengths, st.integers(1, 3), st.integers(1, 20), st.sampled_from(["bias", "key", "query"]))
def test_relative_attention(dtype: Any, seed: int, lengths: list[int], heads: int, head_size: int, kind: str) -> None:
    """The formulas of HF, which look up a [length, keys] matrix of distances; columns have holes."""
    f = Forward(dtype, seed)
    cu_seqlens = np.cumsum([0, *lengths])
    key_lens = np.array([f.rng.integers(1, length + 1) for length in lengths])
    P = max(lengths) + 3
    columns = np.concatenate([np.sort(f.rng.permutation(P)[:length]) for length in lengths])
    qkv = f.rows(cu_seqlens[-1], 3 * heads * head_size)
    table = f.normal(heads, 2 * P - 1) if kind == "bias" else f.normal(2 * P - 1, head_size)
    placed = f.store.relative_bias(table) if kind == "bias" else f.store.relative_key(table, query=kind == "query")
    context, probs = f.ops.attention(
        qkv, cu_seqlens, key_lens, heads=heads, head_size=head_size, probs=True, relative=placed, columns=columns
    )
    done = 0
    for begin, end, keys in zip(cu_seqlens[:-1], cu_seqlens[1:], key_lens, strict=True):
        q, k, v = truth(qkv[begin:end]).reshape(end - begin, 3, heads, head_size).permute(1, 2, 0, 3)
        k, v = k[:, :keys], v[:, :keys]
        own, others = (torch.from_numpy(columns[begin : begin + n]) for n in (end - begin, keys))
        behind = own[:, None] - others[None, :]  # [length, keys]: how far a key stands behind its query
        scores = q @ k.mT
        size = (q.abs() @ k.abs().mT).max().item()
        if kind == "bias":
            scores = scores + truth(table)[:, P - 1 - behind] * math.sqrt(head_size)
            size += float(np.abs(table).max()) * math.sqrt(head_size)
        else:
            rows = truth(table)[behind + P - 1]  # [length, keys, D]
            scores = scores + torch.einsum("hld,lrd->hlr", q, rows)
            size += torch.einsum("hld,lrd->hlr", q.abs(), rows.abs()).max().item()
            if kind == "query":
                scores = scores + torch.einsum("hrd,lrd->hlr", k, rows)
                size += torch.einsum("hrd,lrd->hlr", k.abs(), rows.abs()).max().item()
        p = torch.softmax(scores / math.sqrt(head_size), -1)
        off = (2 * (2 * head_size + 8) * size / math.sqrt(head_size) + 2 * keys + 8) * f.eps
        flat = p.numel()
        assert_within(probs[done : done + flat].reshape(p.shape), p, off * p.numpy(), dtype)
        merged = (p @ v).permute(1, 0, 2).reshape(end - begin, -1)
        assert_within(context[begin:end], merged, 2 * off * v.abs().max().item(), dtype)
        done += flat
    assert done == len(probs)


@given(
    dtypes,
    seeds,
    lengths,
    st.integers(1, 3),
    st.integers(1, 20),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
    st.booleans(),
)
def test_attention_within_reach(
    dtype: Any, seed: int, lengths: list[int], heads: int, head_size: int, window: int | None, causal: bool, own: bool
) -> None:
    """As torch masks it. Columns have holes; `own` leaves out pairs besides. A query without a key gets zeros."""
    f = Forward(dtype, seed)
    cu_seqlens = np.cumsum([0, *lengths])
    key_lens = np.array([f.rng.integers(1, length + 1) for length in lengths])
    columns = np.concatenate([np.sort(f.rng.permutation(max(lengths) + 3)[:length]) for length in lengths])
    allowed = (f.rng.random(np.dot(lengths, key_lens)) < 0.7).astype(np.float32)
    qkv = f.rows(cu_seqlens[-1], 3 * heads * head_size)
    reach = {"columns": columns, "window": window, "causal": causal, "allowed": allowed if own else None}
    context, probs = f.ops.attention(qkv, cu_seqlens, key_lens, heads=heads, head_size=head_size, probs=True, **reach)
    done = pairs = 0
    for begin, end, keys in zip(cu_seqlens[:-1], cu_seqlens[1:], key_lens, strict=True):
        length = end - begin
        q, k, v = truth(qkv[begin:end]).reshape(length, 3, heads, head_size).permute(1, 2, 0, 3)
        k, v = k[:, :keys], v[:, :keys]
        behind = torch.from_numpy(columns[begin : begin + keys] - columns[begin:end, None])
        mask = torch.ones(length, keys, dtype=torch.bool)
        mask = mask if window is None else mask & (behind.abs() <= window)
        mask = mask & (behind <= 0) if causal else mask
        if own:
            mask = mask & torch.from_numpy(allowed[pairs : pairs + mask.numel()].reshape(mask.shape) != 0)
        pairs += mask.numel()
        there = mask.any(-1)
        some = mask | ~there[:, None]  # torch has NaN where a query has no key
        wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=some) * there[:, None]
        p = (q @ k.mT / math.sqrt(head_size)).masked_fill(~some, -math.inf).softmax(-1) * there[:, None]
        size = (q.abs() @ k.abs().mT).max().item() / math.sqrt(head_size)
        off = (2 * (head_size + 4) * size + 2 * keys + 8) * f.eps
        assert_within(probs[done : done + p.numel()].reshape(p.shape), p, off * p.numpy(), dtype)
        merged = wanted.permute(1, 0, 2).reshape(length, -1)
        assert_within(context[begin:end], merged, 2 * off * v.abs().max().item(), dtype)
        done += p.numel()
    assert done == len(probs)


@given(dtypes, seeds, st.integers(1, 9), st.integers(1, 4), st.integers(1, 20))
def test_rotary(dtype: Any, seed: int, rows: int, heads: int, half: int) -> None:
    """As transformers has it: both halves of a head by the same angles, the second one's sign turned."""
    f = Forward(dtype, seed)
    positions = f.rng.integers(0, 7, rows)
    qkv, angles = f.rows(rows, 6 * heads * half), f.rng.uniform(-9, 9, (7, half))
    table = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = f.ops.rotary(qkv, table, positions, heads=heads, head_size=2 * half)
    q, k, v = truth(qkv).reshape(rows, 3, heads, 2 * half).unbind(1)
    cos, sin = (truth(np.tile(part, 2)[positions]) for part in np.split(table, 2, axis=1))
    turned = apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1)
    wanted = torch.stack([*turned, v], dim=1).reshape(rows, -1)
    size = np.abs(qkv).max()  # of two products and their sum, and of torch's own, in float32
    assert_within(found, wanted, 2 * size * (2 * f.eps + 2 * 2.0**-24), dtype)
    np.testing.assert_array_equal(found.reshape(rows, 3, -1)[:, 2], qkv.reshape(rows, 3, -1)[:, 2])


@given(dtypes, seeds, st.integers(1, 9), widths)
def test_multiply(dtype: Any, seed: int, rows: int, width: int) -> None:
    f = Forward(dtype, seed)
    a, b = f.rows(rows, width), f.rows(rows, width)
    wanted = truth(a) * truth(b)
    assert_within(f.ops.multiply(a, b), wanted, f.eps * np.abs(wanted.numpy()), dtype)


@given(dtypes, seeds, st.integers(1, 9), widths, st.floats(-100, 100), st.sampled_from([1e-12, 1e-5]), st.booleans())
def test_layer_norm(dtype: Any, seed: int, rows: int, width: int, shift: float, norm_eps: float, biased: bool) -> None:
    f = Forward(dtype, seed)
    x = f.rows(rows, width) + np.asarray(shift, dtype)
    weight, bias = f.normal(width), f.normal(width) * biased
    found = f.ops.layer_norm(x, f.store.norm(weight, bias if biased else None, norm_eps))
    wanted = F.layer_norm(truth(x), (width,), truth(weight), truth(bias) if biased else None, norm_eps)
    bound = norm_bound(x, weight, bias, norm_eps, f.eps)
    bound += norm_bound(x, weight, bias, norm_eps, 2.0**-52)  # torch's own
    assert_within(found, wanted, bound, dtype)


@given(dtypes, seeds, st.integers(1, 9), widths, st.booleans())
def test_embed(dtype: Any, seed: int, tokens: int, width: int, rows_given: bool) -> None:
    f = Forward(dtype, seed)
    tables = [f.normal(size, width) for size in (11, 7, 2)]
    indices = [f.rng.integers(0, len(table), tokens) for table in tables]
    weight, bias = f.normal(width), f.normal(width)
    norm = f.store.norm(weight, bias, 1e-12)
    words, positions, token_types = (f.store.table(table) for table in tables)
    others = ((positions, indices[1]), (token_types, indices[2]))
    if rows_given:
        found = f.ops.embed_rows(tables[0][indices[0]], *others, norm)
    else:
        found = f.ops.embed(words, indices[0], *others, norm)
    parts = [F.embedding(torch.from_numpy(i), truth(table)) for i, table in zip(indices, tables, strict=True)]
    summed = sum(parts)
    wanted = F.layer_norm(summed, (width,), truth(weight), truth(bias), 1e-12)
    bound = embed_bound([part.numpy() for part in parts], weight, bias, 1e-12, f.eps)
    assert_within(found, wanted, bound, dtype)


@given(dtypes, seeds, lengths, widths, st.sampled_from(POOLINGS), st.booleans(), st.data())
def test_pool(
    dtype: Any, seed: int, lengths: list[int], width: int, mode: Any, from_first: bool, data: st.DataObject
) -> None:
    f = Forward(dtype, seed)
    cu_seqlens = np.cumsum([0, *lengths])
    key_lens = np.array([data.draw(st.integers(0, length)) for length in lengths])
    skipped = np.array([data.draw(st.integers(0, length - 1)) if from_first else 0 for length in lengths])
    x = f.rows(cu_seqlens[-1], width)
    found = f.ops.pool(x, cu_seqlens, key_lens, mode, first=cu_seqlens[:-1] + skipped if from_first else None)
    for b, (keys, skip) in enumerate(zip(key_lens, skipped, strict=True)):
        kept = truth(x[cu_seqlens[b] + skip : cu_seqlens[b] + keys])
        n = len(kept)
        weights = torch.arange(skip + 1, skip + n + 1, dtype=torch.float64)[:, None]
        if n == 0:
            assert not found[b].any()
        elif mode == "max":
            assert_within(found[b], kept.amax(0), 0, dtype)
        elif mode == "lasttoken":
            assert_within(found[b], kept[-1], 0, dtype)
        else:
            shares = {"mean": 1 / n, "mean_sqrt_len_tokens": n**-0.5, "weightedmean": weights / weights.sum()}
            terms = kept * shares[mode]
            # a rounding for each addition, and some for weight, sum of weights, root and quotient
            assert_within(found[b], terms.sum(0), (n + 4) * f.eps * terms.abs().sum(0).numpy(), dtype)


@given(dtypes, seeds, st.integers(1, 9), widths, st.sampled_from([1.0, 1e-15, 0.0, 1e15]))
def test_normalize(dtype: Any, seed: int, rows: int, width: int, scale: float) -> None:
    f = Forward(dtype, seed)
    x = f.rows(rows, width) * np.asarray(scale, dtype)
    found = f.ops.normalize(x)
    wanted = F.normalize(truth(x))
    assert_within(found, wanted, (width + 4) * f.eps * np.abs(wanted.numpy()), dtype)


@given(dtypes, seeds, st.integers(1, 9), widths)
def test_take(dtype: Any, seed: int, rows: int, width: int) -> None:
    f = Forward(dtype, seed)
    x = f.rows(rows, width)
    indices = f.rng.integers(0, rows, 5)
    np.testing.assert_array_equal(f.ops.take(x, indices), truth(x)[torch.from_numpy(indices)].numpy())


@given(dtypes, seeds, st.integers(1, 9), st.lists(widths, min_size=1, max_size=4))
def test_concat(dtype: Any, seed: int, rows: int, parts: list[int]) -> None:
    f = Forward(dtype, seed)
    given = [f.rows(rows, width) for width in parts]
    found = f.ops.concat(given)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, torch.cat([truth(x) for x in given], dim=1).numpy())


def test_program_is_the_forward_pass() -> None:
    one, two = np.arange(1), np.array([0, 1])
    batch = Batch(ids=one, positions=one, token_types=one, cu_seqlens=two, key_lens=two[1:], first=one)
    program = backend.record(lambda ops, batch: {"ids": ops.take(batch.ids, batch.first)})
    np.testing.assert_array_equal(program(batch)["ids"], [0])


def test_dtype() -> None:
    assert backend.dtype == np.float32
    assert backend.name == "reference"
    with pytest.raises(ValueError, match="dtype: wanted float32 or float64, found float16"):
        Reference(np.float16)
