"""Attention that knows how far query and key are apart, against the reference in float64.

Run by test_isa.py once more for each ISA that this machine has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bounds import assert_within
from hypothesis import example, given
from hypothesis import strategies as st
from one_op import batch_of
from test_ops_cpu import EPS, TINY, both, lengths, normal, seeds

KINDS = ("bias", "key", "key and query")


@given(seeds, lengths, st.integers(1, 4), st.integers(1, 40), st.sampled_from(KINDS), st.booleans(), st.data())
@example(0, [70, 1, 33], 3, 32, "bias", False, None)
@example(0, [70, 1, 33], 3, 32, "key and query", False, None)
def test_relative(
    seed: int, lengths: list[int], heads: int, size: int, kind: str, holes: bool, data: st.DataObject | None
) -> None:
    """With holes in the mask columns are not consecutive; rows that are no keys stand in column 0."""
    key_lens = [data.draw(st.integers(0, n)) for n in lengths] if data else lengths
    rng = np.random.default_rng(seed)
    P = max(lengths) + (rng.integers(1, 9) if holes else 0)
    columns = [np.sort(rng.permutation(P)[:n]) if holes else np.arange(n) for n in lengths]
    for row, keys in zip(columns, key_lens, strict=True):
        row[keys:] = 0
    width = heads * size
    (qkv,) = normal(seed, (sum(lengths), 3 * width))
    (table,) = normal(seed + 1, (heads, 2 * P - 1) if kind == "bias" else (2 * P - 1, size))
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        into = store.linear(identity, None, heads_out=heads)
        out = store.linear(identity[:width, :width], None, heads_in=heads)
        if kind == "bias":
            relative = store.relative_bias(table)
        else:
            relative = store.relative_key(table, query=kind == "key and query")

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "relative": relative, "columns": batch.columns}
            arguments = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            context, probs = ops.attention(*arguments, **given, probs=True)
            return {"context": ops.linear(context, out), "probs": probs}

        return forward

    found, truth = both(op, [qkv], batch_of(lengths, key_lens, columns=np.concatenate(columns).astype(np.int64)))
    begin = at = 0
    for length, keys in zip(lengths, key_lens, strict=True):
        rows = slice(begin, begin + length)
        begin += length
        if keys == 0:
            assert not found["context"][rows].any()
            continue
        q, k, v = np.abs(qkv[rows]).astype(np.float64).reshape(length, 3, heads, size).transpose(1, 2, 0, 3)
        # a score and all that is summed up for it, in the size that it could have at most
        largest = (q @ k[:, :keys].transpose(0, 2, 1)).max() / math.sqrt(size)
        if kind == "bias":
            largest += np.abs(table).max()
        else:
            both_sides = q.max() + (k.max() if kind == "key and query" else 0)
            largest += both_sides * np.abs(table).max() * math.sqrt(size)
        off = (2 * (2 * size + 8) * largest + 2 * keys + 16) * EPS
        flat = slice(at, at + heads * length * keys)
        at = flat.stop
        wanted = truth["probs"][flat]
        assert_within(found["probs"][flat], wanted, off * np.abs(wanted) + 2 * TINY, "probs")
        assert_within(found["context"][rows], truth["context"][rows], 2 * off * v.max() + 2 * keys * TINY, "context")
    assert at == len(found["probs"]) == len(truth["probs"])


def test_it_matters() -> None:
    """A key far behind gets what the table says, and heads have rows of their own."""
    heads, size, n = 2, 3, 20
    bias = np.zeros((heads, 2 * n - 1), np.float32)
    bias[1, n - 1 + 4] = 50.0  # the key four columns behind the query, in the second head
    identity = np.eye(3 * heads * size, dtype=np.float32)

    def op(store: Any) -> Any:
        into, relative = store.linear(identity, None, heads_out=heads), store.relative_bias(bias)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            parts = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            given = {"heads": heads, "head_size": size, "relative": relative, "columns": batch.columns}
            return {"probs": ops.attention(*parts, **given, probs=True)[1]}

        return forward

    (qkv,) = normal(0, (n, 3 * heads * size))
    found, _ = both(op, [qkv], batch_of([n], columns=np.arange(n)))
    probs = found["probs"].reshape(heads, n, n)
    assert (probs[1].argmax(axis=1)[: n - 4] == np.arange(4, n)).all()
    assert not (probs[0].argmax(axis=1)[: n - 4] == np.arange(4, n)).all()
