"""Each op of the CPU backend against the reference in float64, over edges that hypothesis draws.

Run by test_isa.py once more for each ISA that this machine has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from bounds import assert_within, embed_bound, norm_bound
from hypothesis import example, given
from hypothesis import strategies as st
from npbert_kernels.cpu import backend as cpu
from npbert_kernels.ops import ACTIVATIONS, POOLINGS, Batch
from npbert_kernels.reference import Reference
from one_op import batch_of, run

TRUTH = Reference(np.float64)
EPS = 2.0**-23
TINY = 2.0**-126
# What activation.py states, without fused multiply-add, of max(1, |x|).
STATED = dict.fromkeys(ACTIVATIONS, 3e-07) | {"relu": 0.0, "tanh": 5 * EPS}
STEEPEST = 1.13  # the largest slope of any activation

seeds = st.integers(0, 2**32 - 1)
widths = st.integers(1, 100)
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def both(op: Any, operands: list[np.ndarray], batch: Batch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the CPU finds, and the truth."""
    found, truth = run(cpu, op, operands, batch), run(TRUTH, op, operands, batch)
    for array in found.values():
        assert array.dtype == np.float32
    return found, truth


def linear_case(seed: int, rows: int, k: int, out: int, then: str | None, bias: bool, lengths: list[int]) -> None:
    x, weight, b, residual = normal(seed, (rows, k), (out, k), (out,), (rows, out))
    b = b if bias else None

    def op(store: Any) -> Any:
        placed = store.linear(weight, b)

        def forward(ops: Any, batch: Any, x: Any, residual: Any = None) -> Any:
            return {"y": ops.linear(x, placed, activation=then if residual is None else None, residual=residual)}

        return forward

    operands = [x, residual] if then == "residual" else [x]
    found, truth = both(op, operands, batch_of(lengths))
    size = np.abs(x).astype(np.float64) @ np.abs(weight).T + (0 if b is None else np.abs(b))
    if then == "residual":
        size = size + np.abs(residual)
    bound = (k + 3) * EPS / 2 * size
    if then in ACTIVATIONS:
        bound = STEEPEST * bound + STATED[then] * np.maximum(1, size)
    assert_within(found["y"], truth["y"], bound)


@given(seeds, lengths, widths, widths, st.sampled_from([None, *ACTIVATIONS, "residual"]), st.booleans())
def test_linear(seed: int, lengths: list[int], k: int, out: int, then: str | None, bias: bool) -> None:
    linear_case(seed, sum(lengths), k, out, then, bias, lengths)


@pytest.mark.parametrize("then", [None, "gelu_erf", "residual"])
@pytest.mark.parametrize(
    ("rows", "k", "out"),
    [(1, 769, 33), (143, 768, 64), (144, 769, 31), (145, 1537, 130), (501, 300, 257), (700, 31, 15)],
)
def test_linear_in_several_blocks(rows: int, k: int, out: int, then: str | None) -> None:
    """Of rows, of k, of chunks of the batch."""
    most = 97
    linear_case(0, rows, k, out, then, True, [most] * (rows // most) + ([rows % most] if rows % most else []))


@pytest.mark.parametrize("out", [1, 15, 16, 17, 31, 33, 48])
def test_nothing_stands_behind_what_sigmoid_makes(out: int) -> None:
    """It makes 1/2 of the zeros behind a row's end, which the norm of a row would count."""
    x, weight = normal(0, (5, 7), (out, 7))

    def op(store: Any) -> Any:
        square = store.linear(weight, None)
        return lambda ops, batch, x: {"y": ops.normalize(ops.linear(x, square, activation="sigmoid"))}

    found, truth = both(op, [x], batch_of([5]))
    # Numbers up to 1 that are off by 3e-7 as activation.py states it, divided by a norm of 1/8 or more.
    assert_within(found["y"], truth["y"], np.full(truth["y"].shape, 8 * 2 * 3e-7 + (out + 4) * EPS))


def test_linear_wants_as_many_columns_as_the_weight() -> None:
    x, weight = normal(0, (3, 4), (5, 6))
    with pytest.raises(ValueError, match="linear: x has 4 columns, the weight wants 6"):
        run(
            cpu,
            lambda store: lambda ops, batch, x: {"y": ops.linear(x, store.linear(weight, None))},
            [x],
            batch_of([3]),
        )


def attention_case(
    seed: int,
    lengths: list[int],
    key_lens: list[int],
    heads: int,
    size: int,
    mask: bool,
    spread: float,
    pairs: float = 1.0,
) -> None:
    """pairs: the share of keys that a query attends to."""
    rows, width = sum(lengths), heads * size
    (qkv,) = normal(seed, (rows, 3 * width))
    qkv[:, : 2 * width] *= np.float32(spread)  # how far scores lie from each other
    head_mask = np.random.default_rng(seed).uniform(-1, 2, (3, heads)).astype(np.float32) if mask else None
    allowed = None
    if pairs < 1:
        allowed = (np.random.default_rng(seed).random(np.dot(lengths, key_lens)) < pairs).astype(np.float32)
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        into = store.linear(identity, None, heads_out=heads)
        out = store.linear(identity[:width, :width], None, heads_in=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "allowed": batch.allowed}
            if mask:
                given["head_mask"] = batch.head_mask[1]
            arguments = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            context, probs = ops.attention(*arguments, **given, probs=True)
            alone, none = ops.attention(*arguments, **given)
            assert none is None
            return {"context": ops.linear(context, out), "probs": probs, "alone": ops.linear(alone, out)}

        return forward

    found, truth = both(op, [qkv], batch_of(lengths, key_lens, head_mask=head_mask, allowed=allowed))
    assert_context_and_probs(found, truth, qkv, lengths, key_lens, heads, size, head_mask)


def assert_context_and_probs(
    found: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
    qkv: np.ndarray,
    lengths: list[int],
    key_lens: list[int],
    heads: int,
    size: int,
    head_mask: np.ndarray | None,
) -> None:
    """A score off by d moves a probability by at most 2 d of itself; below 2^-126 beside the largest is nothing."""
    np.testing.assert_array_equal(found["alone"], found["context"])
    begin = at = 0
    for length, keys in zip(lengths, key_lens, strict=True):
        rows = slice(begin, begin + length)
        begin += length
        if keys == 0:
            for name in ("context", "alone"):
                assert not found[name][rows].any()
            continue
        q, k, v = np.abs(qkv[rows]).astype(np.float64).reshape(length, 3, heads, size).transpose(1, 2, 0, 3)
        largest = (q @ k[:, :keys].transpose(0, 2, 1)).max() / math.sqrt(size)
        off = (2 * (size + 4) * largest + 2 * keys + 16) * EPS
        flat = slice(at, at + heads * length * keys)
        at = flat.stop
        factor = 1.0 if head_mask is None else np.abs(head_mask).max()
        wanted = truth["probs"][flat]
        assert_within(found["probs"][flat], wanted, off * np.abs(wanted) + 2 * factor * TINY, "probs")
        for name in ("context", "alone"):
            bound = 2 * off * factor * v.max() + 2 * keys * TINY
            assert_within(found[name][rows], truth[name][rows], bound, name)
    assert at == len(found["probs"]) == len(truth["probs"])


@given(
    seeds, lengths, st.integers(1, 5), st.integers(1, 80), st.booleans(), st.sampled_from([0.0, 1.0, 5.0]), st.data()
)
@example(0, [1], 1, 1, False, 1.0, None)
@example(0, [200, 1, 64], 3, 64, True, 1.0, None)
@example(0, [33, 32, 31], 12, 32, False, 1.0, None)
def test_attention(
    seed: int, lengths: list[int], heads: int, size: int, mask: bool, spread: float, data: st.DataObject | None
) -> None:
    key_lens = [data.draw(st.integers(0, length)) for length in lengths] if data else lengths
    attention_case(seed, lengths, key_lens, heads, size, mask, spread)


@pytest.mark.parametrize("spread", [1e8, 1e15])
def test_attention_with_scores_of_any_size(spread: float) -> None:
    """All of a query's attention goes to one key: a maximum's rounding is far more than what exponents can hold."""
    lengths, heads, size = [40, 3, 17], 2, 20
    (qkv,) = normal(1, (sum(lengths), 3 * heads * size))
    qkv[:, : 2 * heads * size] *= np.float32(spread)

    def op(store: Any) -> Any:
        into = store.linear(np.eye(qkv.shape[1], dtype=np.float32), None, heads_out=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            parts = (ops.linear(x, into), batch.cu_seqlens, batch.key_lens)
            return {"probs": ops.attention(*parts, heads=heads, head_size=size, probs=True)[1]}

        return forward

    found, truth = both(op, [qkv], batch_of(lengths))
    assert sorted(set(truth["probs"])) == [0, 1]
    assert_within(found["probs"], truth["probs"], np.full(len(truth["probs"]), 2 * TINY), "probs")


def test_attention_without_any_key() -> None:
    attention_case(0, [3, 1], [0, 0], 2, 5, False, 1.0)


def test_attention_of_many_chunks() -> None:
    """Probabilities and context of a batch that is taken through in several chunks."""
    lengths = [90, 7, 130, 1, 260, 33, 64, 99, 128]
    attention_case(1, lengths, [n - n % 3 for n in lengths], 2, 20, True, 1.0)


@given(seeds, lengths, st.integers(1, 4), st.integers(1, 40), st.sampled_from([0.0, 0.1, 0.6]), st.data())
@example(1, [90, 7, 130, 1, 260, 33, 64, 99, 128], 2, 20, 0.9, None)
def test_attention_to_some_keys(
    seed: int, lengths: list[int], heads: int, size: int, pairs: float, data: st.DataObject | None
) -> None:
    """Each query has its own, and some have none."""
    key_lens = [data.draw(st.integers(0, length)) for length in lengths] if data else lengths
    attention_case(seed, lengths, key_lens, heads, size, False, 1.0, pairs)


def test_a_mask_of_all_pairs_is_none() -> None:
    """To the bit."""
    lengths = [5, 40, 1]
    (qkv,) = normal(0, (46, 24))

    def op(store: Any) -> Any:
        into, out = (
            store.linear(np.eye(24, dtype=np.float32), None, heads_out=2),
            store.linear(np.eye(8, dtype=np.float32), None, heads_in=2),
        )

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": 2, "head_size": 4, "probs": True, "allowed": batch.allowed}
            context, probs = ops.attention(ops.linear(x, into), batch.cu_seqlens, batch.key_lens, **given)
            return {"context": ops.linear(context, out), "probs": probs}

        return forward

    ones = np.ones(25 + 1600 + 1, np.float32)
    found, wanted = (run(cpu, op, [qkv], batch_of(lengths, allowed=allowed)) for allowed in (ones, None))
    for name in ("context", "probs"):
        np.testing.assert_array_equal(found[name], wanted[name])


def one_layer(heads: int, size: int, layer: int) -> Any:
    """Attention of the first 3 heads size columns, with that row of the head mask."""

    def op(store: Any) -> Any:
        width = heads * size
        into = store.linear(np.eye(3 * width, 3 * 12 * size, dtype=np.float32), None, heads_out=heads)
        out = store.linear(np.eye(width, dtype=np.float32), None, heads_in=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"heads": heads, "head_size": size, "head_mask": batch.head_mask[layer], "probs": True}
            context, probs = ops.attention(ops.linear(x, into), batch.cu_seqlens, batch.key_lens, **given)
            return {f"context {layer}": ops.linear(context, out), f"probs {layer}": probs}

        return forward

    return op


@given(seeds, lengths, st.lists(st.integers(1, 12), min_size=2, max_size=4), st.integers(1, 20), st.data())
def test_layers_differ_in_heads(
    seed: int, lengths: list[int], heads: list[int], size: int, data: st.DataObject
) -> None:
    """Pruned ones. The head mask has a row for each, as long as the layer with most heads wants."""
    key_lens = [data.draw(st.integers(0, length)) for length in lengths]
    (qkv,) = normal(seed, (sum(lengths), 3 * 12 * size))
    mask = np.random.default_rng(seed).uniform(-1, 2, (len(heads), max(heads))).astype(np.float32)
    layers = [one_layer(n, size, layer) for layer, n in enumerate(heads)]

    def op(store: Any) -> Any:
        forwards = [layer(store) for layer in layers]
        return lambda ops, batch, x: {k: v for forward in forwards for k, v in forward(ops, batch, x).items()}

    found, truth = both(op, [qkv], batch_of(lengths, key_lens, head_mask=mask))
    for layer, n in enumerate(heads):
        width = n * size
        alone = run(
            cpu, one_layer(n, size, 0), [qkv], batch_of(lengths, key_lens, head_mask=mask[layer : layer + 1, :n].copy())
        )
        for name in ("context", "probs"):
            np.testing.assert_array_equal(found[f"{name} {layer}"], alone[f"{name} 0"])
        case = {
            "context": found[f"context {layer}"],
            "probs": found[f"probs {layer}"],
            "alone": found[f"context {layer}"],
        }
        wanted = {
            "context": truth[f"context {layer}"],
            "probs": truth[f"probs {layer}"],
            "alone": truth[f"context {layer}"],
        }
        assert_context_and_probs(case, wanted, qkv[:, : 3 * width], lengths, key_lens, n, size, mask[layer])


def test_attention_ignores_what_is_no_key() -> None:
    """Rows behind key_lens[b] are queries alone: what they hold reaches no other row."""
    lengths, heads, size = [6, 3], 2, 9
    rows, width = sum(lengths), heads * size
    (qkv,) = normal(0, (rows, 3 * width))
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        placed = store.linear(identity, None, heads_out=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            parts = (ops.linear(x, placed), batch.cu_seqlens, batch.key_lens)
            return {"context": ops.attention(*parts, heads=heads, head_size=size)[0]}

        return forward

    batch = batch_of(lengths, [5, 3])
    before = run(cpu, op, [qkv], batch)["context"]
    changed = qkv.copy()
    changed[5] = 1e3
    after = run(cpu, op, [changed], batch)["context"]
    others = np.arange(rows) != 5
    np.testing.assert_array_equal(before[others], after[others])
    assert (before[5] != after[5]).any()


@given(seeds, lengths, widths, st.sampled_from([0.0, 100.0, -3.0]), st.sampled_from([1e-12, 1e-5]))
def test_layer_norm(seed: int, lengths: list[int], width: int, shift: float, norm_eps: float) -> None:
    x, weight, bias = normal(seed, (sum(lengths), width), (width,), (width,))
    x += np.float32(shift)

    def op(store: Any) -> Any:
        placed = store.norm(weight, bias, norm_eps)
        return lambda ops, batch, x: {"y": ops.layer_norm(x, placed)}

    found, truth = both(op, [x], batch_of(lengths))
    assert_within(found["y"], truth["y"], norm_bound(x, weight, bias, norm_eps, EPS))


@given(seeds, lengths, widths, st.booleans())
def test_embed(seed: int, lengths: list[int], width: int, rows_given: bool) -> None:
    rng, T = np.random.default_rng(seed), sum(lengths)
    tables = normal(seed, (11, width), (41, width), (2, width))
    weight, bias = normal(seed + 1, (width,), (width,))
    ids, positions, types = (rng.integers(0, len(table), T) for table in tables)

    def op(store: Any) -> Any:
        words, position_table, type_table = (store.table(table) for table in tables)
        norm = store.norm(weight, bias, 1e-12)

        def forward(ops: Any, batch: Any) -> Any:
            others = ((position_table, batch.positions), (type_table, batch.token_types), norm)
            if rows_given:
                return {"y": ops.embed_rows(batch.inputs_embeds, *others)}
            return {"y": ops.embed(words, batch.ids, *others)}

        return forward

    embeds, given = (tables[0][ids], ["inputs_embeds"]) if rows_given else (None, [])
    batch = batch_of(lengths, ids=ids, positions=positions, token_types=types, inputs_embeds=embeds)
    found, truth = (backend.record(op(backend.store(0)), given)(batch) for backend in (cpu, TRUTH))
    parts = [table[index] for table, index in zip(tables, (ids, positions, types), strict=True)]
    assert_within(found["y"], truth["y"], embed_bound(parts, weight, bias, 1e-12, EPS))


@pytest.mark.parametrize("mode", [mode for mode in POOLINGS if mode != "lasttoken"])
@pytest.mark.parametrize("where", [0, 3, 6])
def test_pool_keeps_nan(mode: Any, where: int) -> None:
    rows, width = 7, 3
    (weight,) = normal(0, (width, width))
    x = np.ones((rows, width), np.float32)
    x[where] = np.nan  # inputs of a linear, whose products with 0 are NaN in the whole row

    def op(store: Any) -> Any:
        placed = store.linear(weight, None)
        return lambda ops, batch, x: {"y": ops.pool(ops.linear(x, placed), batch.cu_seqlens, batch.key_lens, mode)}

    assert np.isnan(run(cpu, op, [x], batch_of([rows]))["y"]).all()


@pytest.mark.parametrize("where", [0, 4, 6])
def test_nan_stays_and_spreads_no_further(where: int) -> None:
    """In every op NaN is where the reference has it: in its own row, and for attention in its own sequence."""
    heads, size, lengths = 2, 5, [3, 4, 2]
    width = heads * size
    x, weight, bias = normal(0, (sum(lengths), 3 * width), (3 * width, 3 * width), (3 * width,))
    x[where] = np.nan

    def op(store: Any) -> Any:
        square, qkv = store.linear(weight, bias), store.linear(weight, bias, heads_out=heads)
        out, norm = store.linear(weight[:width, :width].copy(), None, heads_in=heads), store.norm(bias, bias, 1e-5)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            parts = (ops.linear(x, qkv), batch.cu_seqlens, batch.key_lens)
            context, probs = ops.attention(*parts, heads=heads, head_size=size, probs=True)
            return {
                **{name: ops.linear(x, square, activation=name) for name in ACTIVATIONS},
                "norm": ops.layer_norm(x, norm),
                "unit": ops.normalize(x),
                "first": ops.take(x, batch.first),
                "mean": ops.pool(x, batch.cu_seqlens, batch.key_lens, "mean"),
                "context": ops.linear(context, out),
                "probs": probs,
            }

        return forward

    found, truth = both(op, [x], batch_of(lengths))
    for name, wanted in truth.items():
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(wanted), name)
    assert np.isnan(found["tanh"]).any(axis=1).tolist() == [row == where for row in range(sum(lengths))]


@given(seeds, lengths, widths, st.sampled_from([1.0, 1e-15, 0.0, 1e15]), st.booleans())
def test_normalize(seed: int, lengths: list[int], width: int, scale: float, per_sequence: bool) -> None:
    (x,) = normal(seed, (sum(lengths), width))
    x *= np.float32(scale)

    def op(store: Any) -> Any:
        return lambda ops, batch, x: {"y": ops.normalize(ops.take(x, batch.first) if per_sequence else x)}

    found, truth = both(op, [x], batch_of(lengths))
    assert_within(found["y"], truth["y"], (width + 4) * EPS * np.abs(truth["y"]))


@given(seeds, lengths, widths, widths, st.data())
def test_take_and_what_follows(seed: int, lengths: list[int], width: int, out: int, data: st.DataObject) -> None:
    """Rows of sequences through linear, as a pooler has them, and residuals of rows as short."""
    begins = np.cumsum([0, *lengths])
    first = np.array([begins[b] + data.draw(st.integers(0, n - 1)) for b, n in enumerate(lengths)])
    x, weight, bias, other = normal(seed, (sum(lengths), width), (out, width), (out,), (sum(lengths), out))

    def op(store: Any) -> Any:
        placed = store.linear(weight, bias)

        def forward(ops: Any, batch: Any, x: Any, other: Any) -> Any:
            taken = ops.take(x, batch.first)
            return {
                "taken": taken,
                "tanh": ops.linear(taken, placed, activation="tanh"),
                "sum": ops.linear(taken, placed, residual=ops.take(other, batch.first)),
            }

        return forward

    found, truth = both(op, [x, other], batch_of(lengths, first=first))
    np.testing.assert_array_equal(found["taken"], x[first])
    size = np.abs(x[first]).astype(np.float64) @ np.abs(weight).T + np.abs(bias)
    bound = (width + 3) * EPS / 2 * size
    assert_within(found["tanh"], truth["tanh"], bound + STATED["tanh"], "tanh")
    assert_within(found["sum"], truth["sum"], bound + (width + 3) * EPS / 2 * np.abs(other[first]), "sum")


def test_an_output_may_be_read_on() -> None:
    """What the caller gets and what the next op reads are one array; and one output may have two names."""
    x, weight = normal(0, (9, 20), (20, 20))

    def op(store: Any) -> Any:
        placed = store.linear(weight, None)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            y = ops.linear(x, placed, activation="relu")
            return {"y": y, "same": y, "z": ops.linear(y, placed, residual=y)}

        return forward

    found, truth = both(op, [x], batch_of([4, 5]))
    np.testing.assert_array_equal(found["y"], found["same"])
    assert_within(found["z"], truth["z"], 1e-3)
    assert (found["y"] >= 0).all()


def test_no_sequences() -> None:
    x = np.zeros((0, 4), np.float32)
    found = run(cpu, lambda store: lambda ops, batch, x: {"x": ops.take(x, batch.first)}, [x], batch_of([]))
    assert found["x"].shape == (0, 4)


def test_a_program_runs_again_on_other_batches() -> None:
    """Workspaces are kept: each next batch finds the last one's numbers there."""
    (x,) = normal(0, (300, 24))
    weight, bias = normal(1, (24,), (24,))

    def forward_of(backend: Any) -> Any:
        store = backend.store(0)
        norm, table = store.norm(weight, bias, 1e-5), store.table(x)
        flat = store.table(np.zeros((1, 24), np.float32))

        def forward(ops: Any, batch: Any) -> Any:
            y = ops.embed(table, batch.ids, (flat, batch.positions), (flat, batch.token_types), norm)
            return {"y": y, "pooled": ops.pool(y, batch.cu_seqlens, batch.key_lens, "mean")}

        return backend.record(forward)

    program, truth = forward_of(cpu), forward_of(TRUTH)
    rng = np.random.default_rng(0)
    for lengths in ([1], [200, 3], [2, 2], [64], [65, 1], [400], [5]):
        batch = batch_of(lengths, ids=rng.integers(0, 300, sum(lengths)))
        found, wanted = program(batch), truth(batch)
        bound = norm_bound(x[batch.ids], weight, bias, 1e-5, EPS)
        assert_within(found["y"], wanted["y"], bound)
        assert_within(found["pooled"], wanted["pooled"], bound.max() + 450 * EPS * np.abs(wanted["y"]).max())
