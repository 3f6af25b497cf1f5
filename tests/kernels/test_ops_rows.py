"""Ops that choose rows or join them, against the reference in float64.

Run by test_isa.py once more for each ISA that this machine has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import assert_within
from hypothesis import given
from hypothesis import strategies as st
from npbert_kernels.cpu import get_num_threads, set_num_threads
from npbert_kernels.cpu.blocking import CHUNK_TOKENS
from npbert_kernels.ops import POOLINGS
from one_op import batch_of
from test_ops_cpu import EPS, STATED, both, lengths, normal, seeds, widths


def selection(choices: list[list[int]], lengths: list[int]) -> dict[str, np.ndarray]:
    begins = np.cumsum([0, *lengths])
    rows = [begins[b] + np.array(chosen, np.int64) for b, chosen in enumerate(choices)]
    return {"selected": np.concatenate(rows), "cu_selected": np.cumsum([0, *map(len, choices)])}


def selected_case(seed: int, lengths: list[int], choices: list[list[int]], width: int, out: int) -> None:
    """Chosen rows through everything that may follow, beside rows of tokens and of sequences."""
    x, weight, bias, other = normal(seed, (sum(lengths), width), (out, width), (out,), (sum(lengths), out))
    fields = selection(choices, lengths)
    rows = fields["selected"]

    def op(store: Any) -> Any:
        placed, norm = store.linear(weight, bias), store.norm(bias, bias, 1e-5)

        def forward(ops: Any, batch: Any, x: Any, other: Any) -> Any:
            taken = ops.take(x, batch.selected)
            y = ops.linear(taken, placed, activation="tanh")
            return {
                "taken": taken,
                "tanh": y,
                "sum": ops.linear(taken, placed, residual=ops.take(other, batch.selected)),
                "norm": ops.layer_norm(ops.take(other, batch.selected), norm),
                "unit": ops.normalize(taken),
                "first": ops.linear(ops.take(x, batch.first), placed),
                "all": ops.linear(x, placed),
            }

        return forward

    found, truth = both(op, [x, other], batch_of(lengths, **fields))
    np.testing.assert_array_equal(found["taken"], x[rows])
    assert len(found["tanh"]) == len(rows)
    assert len(found["first"]) == len(lengths)
    size = np.abs(x).astype(np.float64) @ np.abs(weight).T + np.abs(bias)
    bound = (width + 3) * EPS / 2 * size
    assert_within(found["all"], truth["all"], bound, "all")
    assert_within(found["tanh"], truth["tanh"], bound[rows] + STATED["tanh"], "tanh")
    assert_within(found["sum"], truth["sum"], bound[rows] + (width + 3) * EPS / 2 * np.abs(other[rows]), "sum")
    assert_within(found["unit"], truth["unit"], (width + 4) * EPS * np.abs(truth["unit"]), "unit")
    np.testing.assert_array_equal(found["first"], found["all"][np.cumsum([0, *lengths])[:-1]])
    assert np.isfinite(found["norm"]).all()
    if len(rows):
        assert np.abs(found["norm"] - truth["norm"]).max() < 1e-3


@given(seeds, lengths, widths, widths, st.data())
def test_selected(seed: int, lengths: list[int], width: int, out: int, data: st.DataObject) -> None:
    choices = [sorted(data.draw(st.sets(st.integers(0, n - 1)))) for n in lengths]
    selected_case(seed, lengths, choices, width, out)


@pytest.mark.parametrize("threads", [1, 3])
def test_selected_in_several_chunks(threads: int) -> None:
    """Some chunks have no chosen row at all."""
    before = get_num_threads()
    set_num_threads(threads)
    lengths = [CHUNK_TOKENS // 2] * 12
    selected_case(0, lengths, [[], [], [], [3, 7], [], [0, *range(20, 60)], [], [], [], [], [1], []], 24, 40)
    set_num_threads(before)


def test_no_row_is_selected() -> None:
    selected_case(0, [5, 3], [[], []], 7, 9)


@given(seeds, lengths, st.lists(widths, min_size=1, max_size=4), st.sampled_from(["tokens", "first", "selected"]))
def test_concat(seed: int, lengths: list[int], parts: list[int], rows: str) -> None:
    """Side by side, to the bit; what follows reads whole vectors, and finds zeros behind the last part."""
    arrays = normal(seed, *((sum(lengths), width) for width in parts))
    fields = selection([[n - 1] for n in lengths], lengths)

    def op(store: Any) -> Any:
        def forward(ops: Any, batch: Any, *given: Any) -> Any:
            if rows != "tokens":
                given = tuple(ops.take(x, getattr(batch, rows)) for x in given)
            joined = ops.concat(given)
            return {"joined": joined, "unit": ops.normalize(ops.concat(given))}

        return forward

    found, truth = both(op, arrays, batch_of(lengths, **fields))
    np.testing.assert_array_equal(found["joined"], truth["joined"])
    assert_within(found["unit"], truth["unit"], (sum(parts) + 4) * EPS * np.abs(truth["unit"]))


@given(seeds, lengths, widths, st.sampled_from(POOLINGS), st.booleans(), st.data())
def test_pool(seed: int, lengths: list[int], width: int, mode: Any, skips: bool, data: st.DataObject) -> None:
    """Every way of pooling, over all keys or from a row on."""
    key_lens = [data.draw(st.integers(0, n)) for n in lengths]
    begins = np.cumsum([0, *lengths])
    first = np.array([begins[b] + (data.draw(st.integers(0, n - 1)) if skips else 0) for b, n in enumerate(lengths)])
    (x,) = normal(seed, (sum(lengths), width))

    def op(store: Any) -> Any:
        def forward(ops: Any, batch: Any, x: Any) -> Any:
            given = {"first": batch.first} if skips else {}
            return {"y": ops.pool(x, batch.cu_seqlens, batch.key_lens, mode, **given)}

        return forward

    found, truth = both(op, [x], batch_of(lengths, key_lens, first=first))
    for b, keys in enumerate(key_lens):
        kept = np.abs(x[first[b] : begins[b] + keys]).astype(np.float64)
        if len(kept) == 0 or mode in ("max", "lasttoken"):
            bound = np.zeros(width)
        else:  # each term is rounded as often as there are terms; no mean is larger than their root of a sum
            bound = (len(kept) + 4) * EPS * np.sqrt(len(kept)) * kept.max(axis=0)
        assert_within(found["y"][b], truth["y"][b], bound)
