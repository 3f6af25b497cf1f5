"""What pre-norm models with rotary positions add: gates, angles, windows, norms without a bias; against the reference.

Run by test_isa.py once more for each ISA that this machine has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from bounds import assert_within, norm_bound
from hypothesis import example, given
from hypothesis import strategies as st
from npbert_kernels.cpu import backend as cpu
from one_op import batch_of, run
from test_ops_cpu import EPS, TINY, TRUTH, both, lengths, normal, seeds, widths


@given(seeds, lengths, widths, st.booleans())
def test_multiply(seed: int, lengths: list[int], width: int, per_sequence: bool) -> None:
    """To the bit; and what follows finds zeros behind the last column."""
    a, b = normal(seed, (sum(lengths), width), (sum(lengths), width))
    first = np.cumsum([0, *lengths])[:-1]

    def op(store: Any) -> Any:
        def forward(ops: Any, batch: Any, a: Any, b: Any) -> Any:
            rows = [ops.take(x, batch.first) if per_sequence else x for x in (a, b)]
            product = ops.multiply(*rows)
            return {"product": product, "unit": ops.normalize(product)}

        return forward

    found, truth = both(op, [a, b], batch_of(lengths, first=first))
    np.testing.assert_array_equal(found["product"], (a * b)[first] if per_sequence else a * b)
    assert_within(found["unit"], truth["unit"], (width + 4) * EPS * np.abs(truth["unit"]) + TINY)


def test_multiply_wants_rows_as_wide() -> None:
    a, b = normal(0, (3, 4), (3, 5))
    with pytest.raises(ValueError, match="multiply: x has 5 columns, the weight wants 4"):
        run(cpu, lambda store: lambda ops, batch, a, b: {"y": ops.multiply(a, b)}, [a, b], batch_of([3]))


@given(seeds, lengths, st.integers(1, 4), st.integers(1, 40))
@example(0, [70, 1, 33], 3, 32)
def test_rotary(seed: int, lengths: list[int], heads: int, half: int) -> None:
    """Queries and keys turn, values do not; attention reads what comes of them."""
    size, P = 2 * half, 50
    width, T = heads * size, sum(lengths)
    qkv, table = normal(seed, (T, 3 * width), (P, size))
    positions = np.random.default_rng(seed).integers(0, P, T)
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        into, out = (
            store.linear(identity, None, heads_out=heads),
            store.linear(identity[:width, :width], None, heads_in=heads),
        )
        angles = store.table(table)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            turned = ops.rotary(ops.linear(x, into), angles, batch.positions, heads=heads, head_size=size)
            given = {"heads": heads, "head_size": size}
            context, probs = ops.attention(turned, batch.cu_seqlens, batch.key_lens, **given, probs=True)
            return {"context": ops.linear(context, out), "probs": probs}

        return forward

    found, truth = both(op, [qkv], batch_of(lengths, positions=positions))
    q_and_k = qkv.reshape(T, 3, heads, 2, half)[:, :2].astype(np.float64)
    cos, sin = (np.abs(part)[:, None, None] for part in np.split(table[positions].astype(np.float64), 2, axis=1))
    x, y = np.abs(q_and_k[..., 0, :]), np.abs(q_and_k[..., 1, :])
    turned = np.concatenate([x * cos + y * sin, y * cos + x * sin], axis=-1)  # as large as they can be
    largest = size * turned[:, 0].max() * turned[:, 1].max() / math.sqrt(size)
    # Each of a product's factors is off by three roundings of its own size.
    off = (2 * (size + 4 + 6) * largest + 2 * max(lengths) + 16) * EPS
    assert_within(found["probs"], truth["probs"], off * np.abs(truth["probs"]) + 2 * TINY, "probs")
    bound = 2 * off * np.abs(qkv[:, 2 * width :]).max() + 2 * max(lengths) * TINY
    assert_within(found["context"], truth["context"], bound, "context")


@given(
    seeds,
    lengths,
    st.integers(1, 4),
    st.integers(1, 40),
    st.sampled_from([None, 0, 1, 4, 100]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@example(0, [200, 1, 64], 3, 64, None, True, False, False, None)
@example(0, [90, 7, 130, 1, 260, 33, 64, 99, 128], 2, 20, 20, False, True, False, None)
def test_attention_within_reach(
    seed: int,
    lengths: list[int],
    heads: int,
    size: int,
    window: int | None,
    causal: bool,
    holes: bool,
    pairs: bool,
    data: st.DataObject | None,
) -> None:
    """Columns may have holes; rows that are no keys stand in column 0; some queries are left without a key."""
    key_lens = [data.draw(st.integers(0, n)) for n in lengths] if data else lengths
    rng, width = np.random.default_rng(seed), heads * size
    P = max(lengths) + (int(rng.integers(1, 9)) if holes else 0)
    columns = [np.sort(rng.permutation(P)[:n]) if holes else np.arange(n) for n in lengths]
    for row, keys in zip(columns, key_lens, strict=True):
        row[keys:] = 0
    (qkv,) = normal(seed, (sum(lengths), 3 * width))
    identity = np.eye(3 * width, dtype=np.float32)
    allowed = (rng.random(np.dot(lengths, key_lens)) < 0.6).astype(np.float32) if pairs else None

    def op(store: Any) -> Any:
        into, out = (
            store.linear(identity, None, heads_out=heads),
            store.linear(identity[:width, :width], None, heads_in=heads),
        )

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "columns": batch.columns, "window": window, "causal": causal}
            arguments = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            context, probs = ops.attention(*arguments, **given, allowed=batch.allowed, probs=True)
            alone, _ = ops.attention(*arguments, **given, allowed=batch.allowed)
            return {"context": ops.linear(context, out), "probs": probs, "alone": ops.linear(alone, out)}

        return forward

    batch = batch_of(lengths, key_lens, columns=np.concatenate(columns).astype(np.int64), allowed=allowed)
    found, truth = both(op, [qkv], batch)
    np.testing.assert_array_equal(found["alone"], found["context"])
    np.testing.assert_array_equal(found["probs"][truth["probs"] == 0], 0)
    magnitudes = np.abs(qkv).astype(np.float64).reshape(-1, 3, heads, size)
    largest = size * magnitudes[:, 0].max() * magnitudes[:, 1].max() / math.sqrt(size)
    off = (2 * (size + 4) * largest + 2 * max(lengths) + 16) * EPS
    assert_within(found["probs"], truth["probs"], off * truth["probs"] + 2 * TINY, "probs")
    bound = 2 * off * magnitudes[:, 2].max() + 2 * max(lengths) * TINY
    assert_within(found["context"], truth["context"], bound, "context")
    begin = at = 0
    for length, keys, row in zip(lengths, key_lens, columns, strict=True):
        probs = found["probs"][at : at + heads * length * keys].reshape(heads, length, keys)
        apart = row[:keys] - row[:length, None]
        outside = (apart > 0 if causal else False) | (np.abs(apart) > (P if window is None else window))
        assert not probs[:, outside].any()
        begin, at = begin + length, at + heads * length * keys


@pytest.mark.parametrize(("window", "causal"), [(3, False), (None, True), (3, True)])
def test_bits_do_not_depend_on_what_is_out_of_reach(window: int | None, causal: bool) -> None:
    """A query's context is that of a sequence which ends where its reach does."""
    heads, size, n, query = 2, 20, 150, 40
    width = heads * size
    (qkv,) = normal(0, (n, 3 * width))
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        into = store.linear(identity, None, heads_out=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "columns": batch.columns, "window": window, "causal": causal}
            return {"context": ops.attention(ops.linear(x, into), batch.cu_seqlens, batch.key_lens, **given)[0]}

        return forward

    end = query + 1 if causal else query + 1 + (window or 0)
    whole = run(cpu, op, [qkv], batch_of([n], columns=np.arange(n)))["context"]
    part = run(cpu, op, [qkv[:end]], batch_of([end], columns=np.arange(end)))["context"]
    np.testing.assert_array_equal(part[query], whole[query])


@given(seeds, lengths, widths)
def test_a_norm_without_a_bias(seed: int, lengths: list[int], width: int) -> None:
    """By itself, and where words are looked up."""
    x, weight, words = normal(seed, (sum(lengths), width), (width,), (11, width))
    ids = np.random.default_rng(seed).integers(0, 11, sum(lengths))

    def op(store: Any) -> Any:
        norm, table = store.norm(weight, None, 1e-5), store.table(words)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            return {"norm": ops.layer_norm(x, norm), "unit": ops.normalize(ops.layer_norm(x, norm))}

        return forward, lambda ops, batch: {"embed": ops.embed(table, batch.ids, None, None, norm)}

    found, truth = both(lambda store: op(store)[0], [x], batch_of(lengths))
    zeros = np.zeros_like(weight)
    assert_within(found["norm"], truth["norm"], norm_bound(x, weight, zeros, 1e-5, EPS))
    assert np.isfinite(found["unit"]).all()
    found, truth = both(lambda store: op(store)[1], [], batch_of(lengths, ids=ids))
    assert_within(found["embed"], truth["embed"], norm_bound(words[ids], weight, zeros, 1e-5, EPS))


def going_on(backend: Any, qkv: list[np.ndarray], cuts: list[list[int]], heads: int, size: int) -> list[np.ndarray]:
    """Causal attention of sequences [n, 3 N D] that come in several calls, cut at these places; contexts [n, N D].

    Sequences of a call lie in a cache in the opposite order, each with room of its own.
    """
    width, B, (L, layer) = heads * size, len(qkv), (3, 1)
    identity = np.eye(3 * width, dtype=np.float32)
    ends = [[*cut, len(rows)] for cut, rows in zip(cuts, qkv, strict=True)]
    room = [len(rows) + b for b, rows in enumerate(qkv)]
    blocks = [backend.cache(1, 1, heads, rows, size).size for rows in room]
    cache = np.full((L, sum(blocks)), np.nan, backend.cache(1, 1, heads, 1, size).dtype)
    at = sum(blocks) - np.cumsum(blocks)

    def op(store: Any) -> Any:
        into, out = (
            store.linear(identity, None, heads_out=heads),
            store.linear(identity[:width, :width], None, heads_in=heads),
        )

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "columns": batch.columns, "causal": True, "probs": True}
            parts = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            context, probs = ops.attention(*parts, **given, cached=batch.cached(layer))
            return {"context": ops.linear(context, out), "probs": probs}

        return forward

    past, found = np.zeros(B, np.int64), [[] for _ in qkv]
    for step in range(len(cuts[0]) + 1):
        lengths = [end[step] - begin for end, begin in zip(ends, past, strict=True)]
        rows = np.concatenate([x[begin:][:n] for x, begin, n in zip(qkv, past, lengths, strict=True)])
        fields = {"cache": cache, "cache_at": at, "cache_room": np.array(room), "past_lens": past}
        columns = np.concatenate([np.arange(n) for n in lengths])
        output = run(backend, op, [rows], batch_of(lengths, columns=columns, **fields))
        done = 0
        for b, context in enumerate(np.split(output["context"], np.cumsum(lengths)[:-1])):
            found[b].append(context)
            pairs = heads * lengths[b] * (past[b] + lengths[b])
            probs = output["probs"][done : done + pairs].reshape(heads, lengths[b], -1)
            done += pairs
            np.testing.assert_allclose(probs.sum(axis=2), 1, rtol=0, atol=100 * EPS)
            assert not np.triu(probs, past[b] + 1).any()
        assert done == len(output["probs"])
        past = past + lengths
    assert np.isnan(cache[[0, 2]]).all()
    return [np.concatenate(parts) for parts in found]


@given(seeds, st.integers(1, 4), st.integers(1, 40), st.integers(1, 4), st.data())
@example(0, 3, 32, 2, None)
def test_attention_goes_on_from_earlier_calls(
    seed: int, heads: int, size: int, steps: int, data: st.DataObject | None
) -> None:
    """The bits of one call, whatever sequences are beside and wherever they are cut; near the reference in float64."""
    lengths = [data.draw(st.integers(steps, 40)) for _ in range(3)] if data else [300, 33, 5]
    qkv = normal(seed, *((n, 3 * heads * size) for n in lengths))
    rng = np.random.default_rng(seed)
    cuts = [sorted(rng.choice(np.arange(1, n), steps - 1, replace=False).tolist()) for n in lengths]
    found = going_on(cpu, qkv, cuts, heads, size)
    for one, whole in zip(found, qkv, strict=True):
        np.testing.assert_array_equal(one, going_on(cpu, [whole], [[]], heads, size)[0])
    for one, truth, x in zip(found, going_on(TRUTH, qkv, cuts, heads, size), qkv, strict=True):
        q, k, v = np.abs(x).astype(np.float64).reshape(len(x), 3, heads, size).transpose(1, 2, 0, 3)
        off = (2 * (size + 4) * (q @ k.transpose(0, 2, 1)).max() / math.sqrt(size) + 2 * len(x) + 16) * EPS
        assert_within(one, truth, 2 * off * v.max() + 2 * len(x) * TINY)
