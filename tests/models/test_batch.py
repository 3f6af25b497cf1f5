"""Packing: against a slow definition in plain Python, and every bad array by its message."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from npbert_kernels.cuda.parts import split

from npbert.models.batch import (
    REMEMBERED_TOKENS,
    checked_integers,
    pack,
    pack_lists,
    unpack_probs,
    unpack_tokens,
)
from npbert.models.bert.bert import BertConfig

CONFIG = BertConfig(
    vocab_size=100,
    hidden_size=4,
    num_attention_heads=2,
    num_hidden_layers=3,
    intermediate_size=8,
    max_position_embeddings=20,
)
masks = st.tuples(st.integers(1, 6), st.integers(1, 20)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 1))
)


def numbered(B: int, S: int) -> np.ndarray:
    """Ids that are all different, up to the vocabulary's size."""
    return (np.arange(B * S) % 100).reshape(B, S)


@given(masks, st.booleans(), st.booleans(), st.booleans())
def test_pack(mask: np.ndarray, with_types: bool, with_positions: bool, embeds: bool) -> None:
    """Row by row: what is kept, in order, then column 0 where it is not."""
    B, S = mask.shape
    ids = numbered(B, S)
    rng = np.random.default_rng(0)
    types = rng.integers(0, 2, (B, S)) if with_types else None
    positions = rng.integers(0, 20, (B, S)) if with_positions else None
    vectors = rng.standard_normal((B, S, 4)) if embeds else None
    packed = pack(CONFIG, None if embeds else ids, mask, types, positions, None, vectors)
    batch = packed.batch

    columns, cu_seqlens, key_lens, first = [], [0], [], []
    for b in range(B):
        kept = [s for s in range(S) if mask[b, s]]
        order = kept if 0 in kept else [*kept, 0]
        first.append(cu_seqlens[-1] + order.index(0))
        key_lens.append(len(kept))
        cu_seqlens.append(cu_seqlens[-1] + len(order))
        columns += [(b, s) for s in order]
    where = tuple(np.array(columns).T)
    if embeds:
        assert batch.ids is None
        np.testing.assert_array_equal(batch.inputs_embeds, vectors[where].astype(np.float32))
    else:
        assert batch.inputs_embeds is None
        np.testing.assert_array_equal(batch.ids, ids[where])
    np.testing.assert_array_equal(batch.positions, where[1] if positions is None else positions[where])
    np.testing.assert_array_equal(batch.token_types, np.zeros(len(columns)) if types is None else types[where])
    np.testing.assert_array_equal(batch.cu_seqlens, cu_seqlens)
    np.testing.assert_array_equal(batch.key_lens, key_lens)
    np.testing.assert_array_equal(batch.first, first)
    for array in (batch.ids, batch.inputs_embeds, batch.positions, batch.token_types, batch.cu_seqlens):
        assert array is None or array.flags.c_contiguous
    for array in (batch.positions, batch.token_types, batch.cu_seqlens, batch.key_lens, batch.first):
        assert array.dtype == np.int64


@given(masks)
def test_unpack(mask: np.ndarray) -> None:
    """Each packed row goes back to where it came from, and the rest is 0."""
    B, S = mask.shape
    packed = pack(CONFIG, numbered(B, S), mask)
    T = len(packed.batch.positions)
    x = np.arange(1, 1 + T * 3, dtype=np.float32).reshape(T, 3)
    padded = unpack_tokens(packed, x)
    there = mask.astype(bool)
    there[:, 0] = True
    assert padded.shape == (B, S, 3)
    assert not padded[~there].any()
    at = 0
    probs, wanted = [], np.zeros((B, 2, S, S), np.float32)
    for b in range(B):
        keys = np.flatnonzero(mask[b])
        queries = [*keys, *([] if mask[b, 0] else [0])]
        np.testing.assert_array_equal(padded[b, queries], x[at : at + len(queries)])
        at += len(queries)
        for head in range(2):
            for q in queries:
                for k in keys:
                    probs.append(len(probs) + 1)
                    wanted[b, head, q, k] = len(probs)
    np.testing.assert_array_equal(unpack_probs(packed, np.array(probs, np.float32), 2), wanted)


@pytest.mark.parametrize("dtype", [None, bool, np.int8, np.int32, np.int64, np.uint8, np.float32, np.float64])
def test_nothing_dropped_is_a_view(dtype: Any) -> None:
    mask = None if dtype is None else np.ones((2, 5), dtype)
    packed = pack(CONFIG, numbered(2, 5), mask)
    x = np.zeros((10, 3), np.float32)
    assert packed.rows is None
    assert np.shares_memory(unpack_tokens(packed, x), x)
    probs = np.zeros(2 * 2 * 5 * 5, np.float32)
    assert np.shares_memory(unpack_probs(packed, probs, 2), probs)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.uint64, np.float16, np.float32, np.float64])
def test_masks_of_any_dtype(dtype: Any) -> None:
    mask = np.array([[1, 0, 1], [1, 1, 0]], dtype)
    np.testing.assert_array_equal(pack(CONFIG, numbered(2, 3), mask).batch.ids, [0, 2, 3, 4])


LOW = float(np.finfo(np.float32).min)


@pytest.mark.parametrize(
    "form",
    [
        lambda mask: mask[:, None],
        lambda mask: mask[:, None, None],
        lambda mask: mask[:, None].repeat(5, axis=1),
        lambda mask: mask[:, None, None].repeat(5, axis=2).astype(bool),
        lambda mask: mask[:, None].repeat(5, axis=1).astype(np.float32),
        lambda mask: np.where(mask, 0, -np.inf)[:, None, None],
        lambda mask: np.where(mask, 0, LOW)[:, None, None].repeat(5, axis=2),
        lambda mask: np.where(mask, 0.0, -10000.0)[:, None, None],
    ],
)
def test_a_mask_that_all_queries_share_is_one_of_keys(form: Any) -> None:
    mask = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]])
    found, wanted = pack(CONFIG, numbered(3, 5), form(mask)), pack(CONFIG, numbered(3, 5), mask)
    assert found.batch.allowed is None
    for name, array in vars(wanted.batch).items():
        np.testing.assert_array_equal(getattr(found.batch, name), array, name)
    np.testing.assert_array_equal(found.rows, wanted.rows)
    whole = pack(CONFIG, numbered(3, 5), form(np.ones_like(mask)))
    assert whole.rows is None
    assert whole.batch.allowed is None


@pytest.mark.parametrize(
    "form",
    [lambda pairs: pairs, lambda pairs: pairs[:, None], lambda pairs: np.where(pairs, 0, LOW)[:, None]],
)
def test_a_mask_of_each_query(form: Any) -> None:
    """All tokens are there: a key that a query does not see may be another's, or a query itself."""
    pairs = np.random.default_rng(0).random((3, 5, 5)) < 0.5
    packed = pack(CONFIG, numbered(3, 5), form(pairs))
    batch = packed.batch
    assert packed.rows is None
    assert packed.kept().all()
    np.testing.assert_array_equal(batch.key_lens, [5, 5, 5])
    np.testing.assert_array_equal(batch.allowed, pairs.reshape(-1))
    parts = list(split(batch, 10))
    assert [len(part.key_lens) for part in parts] == [2, 1]
    np.testing.assert_array_equal(np.concatenate([part.allowed for part in parts]), batch.allowed)


def test_large_batches_are_as_small_ones() -> None:
    """Beyond what is remembered, the same indices are made anew."""
    B = REMEMBERED_TOKENS // 10 + 1
    batch = pack(CONFIG, numbered(B, 10)).batch
    np.testing.assert_array_equal(batch.positions, np.arange(B * 10) % 10)
    np.testing.assert_array_equal(batch.cu_seqlens, np.arange(B + 1) * 10)
    np.testing.assert_array_equal(batch.first, np.arange(B) * 10)


IDS = np.array([[1, 2, 3], [4, 5, 99]])


@pytest.mark.parametrize(
    "ids",
    [
        IDS.tolist(),
        IDS.astype(np.int8),
        IDS.astype(np.uint64),
        IDS.astype(">i4"),
        IDS.astype(">i8"),
        np.asfortranarray(IDS),
        np.repeat(IDS, 2, axis=1)[:, ::2],
        IDS[::-1][::-1],
    ],
    ids=["list", "int8", "uint64", "big-endian 4", "big-endian", "columns", "strided", "reversed"],
)
def test_integers_of_any_kind(ids: Any) -> None:
    batch = pack(CONFIG, ids, token_type_ids=np.zeros_like(ids)).batch
    np.testing.assert_array_equal(batch.ids, [1, 2, 3, 4, 5, 99])
    assert batch.ids.dtype == np.int64
    assert batch.ids.dtype.isnative


@pytest.mark.parametrize("shape", [(1, 3), (2, 3)])
def test_positions_for_all_rows_or_each(shape: tuple[int, int]) -> None:
    positions = np.broadcast_to([5, 4, 3], shape)
    np.testing.assert_array_equal(pack(CONFIG, IDS, None, None, positions).batch.positions, [5, 4, 3, 5, 4, 3])


def test_positions_for_all_rows_of_one_token() -> None:
    """Kernels read them from their address on: a view that repeats one number holds no others."""
    positions = pack(CONFIG, [[1], [2], [3]], position_ids=[[7]]).batch.positions
    assert positions.flags.c_contiguous
    assert positions.tolist() == [7, 7, 7]


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_head_mask_for_all_layers_or_each(shape: tuple[int, ...]) -> None:
    head_mask = np.arange(np.prod(shape)).reshape(shape)
    found = pack(CONFIG, IDS, head_mask=head_mask).batch.head_mask
    np.testing.assert_array_equal(found, np.broadcast_to(head_mask, (3, 2)))
    assert found.dtype == np.float32


def test_positions_may_be_fewer_than_tokens_if_given() -> None:
    ids = np.zeros((1, 30), np.int64)
    assert len(pack(CONFIG, ids, position_ids=ids).batch.ids) == 30


@pytest.mark.parametrize("S", [0, 3])
def test_no_rows(S: int) -> None:
    packed = pack(CONFIG, np.zeros((0, S), np.int64), np.zeros((0, S)), np.zeros((0, S), int), None)
    assert (packed.sequences, packed.length, len(packed.batch.ids)) == (0, S, 0)


ONES = np.ones((2, 3))
EMBEDS = np.zeros((2, 3, 4))


def changed(array: np.ndarray, where: Any, value: Any) -> np.ndarray:
    array = array.copy()
    array[where] = value
    return array


BAD = {
    "neither": ({}, "wanted one of input_ids and inputs_embeds, found neither"),
    "both": (
        {"input_ids": IDS, "inputs_embeds": EMBEDS},
        "wanted one of input_ids and inputs_embeds, found both",
    ),
    "float ids": ({"input_ids": IDS * 1.0}, "input_ids: wanted integers, found the dtype float64"),
    "bool ids": ({"input_ids": IDS > 1}, "input_ids: wanted integers, found the dtype bool"),
    "object ids": ({"input_ids": [[1, None]]}, "input_ids: wanted integers, found the dtype object"),
    "text ids": ({"input_ids": [["a"]]}, "input_ids: wanted integers, found the dtype <U1"),
    "huge ids": ({"input_ids": [[2**70]]}, "input_ids: wanted integers, found the dtype object"),
    "ragged ids": ({"input_ids": [[1, 2], [3]]}, "input_ids: wanted an array, or lists of one length: "),
    "scalar ids": ({"input_ids": 5}, "input_ids: wanted the shape [sequences, tokens], found []"),
    "1-D ids": ({"input_ids": IDS[0]}, "input_ids: wanted the shape [sequences, tokens], found [3]"),
    "3-D ids": ({"input_ids": IDS[None]}, "input_ids: wanted the shape [sequences, tokens], found [1, 2, 3]"),
    "empty list": ({"input_ids": []}, "input_ids: wanted integers, found the dtype float64"),
    "rows without tokens": (
        {"input_ids": np.zeros((2, 0), int)},
        "input_ids: wanted at least one token in each row, found the shape [2, 0]",
    ),
    "too many tokens": (
        {"input_ids": np.zeros((1, 21), int)},
        "input_ids: wanted rows of at most 20 tokens (max_position_embeddings), found 21",
    ),
    "too many vectors": (
        {"inputs_embeds": np.zeros((1, 21, 4))},
        "inputs_embeds: wanted rows of at most 20 tokens (max_position_embeddings), found 21",
    ),
    "negative id": ({"input_ids": changed(IDS, (1, 2), -1)}, "input_ids[1, 2]: wanted 0 to 99, found -1"),
    "id of a padding label": (
        {"input_ids": changed(IDS, (0, 2), -100), "attention_mask": [[1, 1, 0], [1, 1, 1]]},
        "input_ids[0, 2]: wanted 0 to 99, found -100",
    ),
    "id too large": ({"input_ids": changed(IDS, (0, 1), 100)}, "input_ids[0, 1]: wanted 0 to 99, found 100"),
    "id 1e8": (
        {"input_ids": changed(IDS, (1, 0), 10**8)},
        "input_ids[1, 0]: wanted 0 to 99, found 100000000",
    ),
    "uint64 id": (
        {"input_ids": changed(IDS.astype(np.uint64), (1, 0), 2**64 - 1)},
        "input_ids[1, 0]: wanted 0 to 99, found 18446744073709551615",
    ),
    "smallest id": (
        {"input_ids": changed(IDS, (1, 0), -(2**63))},
        "input_ids[1, 0]: wanted 0 to 99, found -9223372036854775808",
    ),
    "token type": (
        {"input_ids": IDS, "token_type_ids": [[0, 0, 2], [0, 0, 0]]},
        "token_type_ids[0, 2]: wanted 0 to 1, found 2",
    ),
    "token types' shape": (
        {"input_ids": IDS, "token_type_ids": [[0, 0, 0]]},
        "token_type_ids: wanted the shape [2, 3], found [1, 3]",
    ),
    "token types' dtype": (
        {"input_ids": IDS, "token_type_ids": ONES},
        "token_type_ids: wanted integers, found the dtype float64",
    ),
    "position": (
        {"input_ids": IDS, "position_ids": [[0, 1, 20]]},
        "position_ids[0, 2]: wanted 0 to 19, found 20",
    ),
    "positions' shape": (
        {"input_ids": IDS, "position_ids": [0, 1, 2]},
        "position_ids: wanted the shape [2, 3] or [1, 3], found [3]",
    ),
    "mask's shape": (
        {"input_ids": IDS, "attention_mask": ONES[:1]},
        "attention_mask: wanted the shape [2, 3], [2, 3, 3] or [2, 1, 3, 3], found [1, 3]",
    ),
    "3-D mask": (
        {"input_ids": IDS, "attention_mask": np.ones((2, 3, 2))},
        "attention_mask: wanted the shape [2, 3], [2, 3, 3] or [2, 1, 3, 3], found [2, 3, 2]",
    ),
    "pair of one half": (
        {"input_ids": IDS, "attention_mask": changed(np.ones((2, 3, 3)), (1, 2, 0), 0.5)},
        "attention_mask[1, 2, 0]: wanted 0 or 1, found 0.5",
    ),
    "scores of 1": (
        {"input_ids": IDS, "attention_mask": np.ones((2, 1, 1, 3))},
        "attention_mask[0, 0, 0, 0]: wanted 0, or -10000 and less: floats of four axes are added to scores, found 1.0",
    ),
    "scores of NaN": (
        {"input_ids": IDS, "attention_mask": changed(np.zeros((2, 1, 3, 3)), (1, 0, 2, 1), np.nan)},
        "attention_mask[1, 0, 2, 1]: wanted 0, or -10000 and less: floats of four axes are added to scores, found nan",
    ),
    "mask of 2": (
        {"input_ids": IDS, "attention_mask": changed(ONES, (1, 1), 2)},
        "attention_mask[1, 1]: wanted 0 or 1, found 2.0",
    ),
    "mask of NaN": (
        {"input_ids": IDS, "attention_mask": changed(ONES, (0, 1), np.nan)},
        "attention_mask[0, 1]: wanted 0 or 1, found nan",
    ),
    "additive mask": (
        {"input_ids": IDS, "attention_mask": changed(ONES * 0, (0, 1), -10000)},
        "attention_mask[0, 1]: wanted 0 or 1, found -10000.0",
    ),
    "mask of text": (
        {"input_ids": IDS, "attention_mask": [["1"] * 3] * 2},
        "attention_mask: wanted 0 and 1, as integers, floats or bool, found the dtype <U1",
    ),
    "embeddings' width": (
        {"inputs_embeds": np.zeros((2, 3, 5))},
        "inputs_embeds: wanted the shape [sequences, tokens, 4], found [2, 3, 5]",
    ),
    "embeddings' shape": (
        {"inputs_embeds": np.zeros((3, 4))},
        "inputs_embeds: wanted the shape [sequences, tokens, 4], found [3, 4]",
    ),
    "embeddings of NaN": (
        {"inputs_embeds": changed(EMBEDS, (1, 2, 3), np.nan)},
        "inputs_embeds[1, 2, 3]: wanted a finite float32, found nan",
    ),
    "embeddings beyond float32": (
        {"inputs_embeds": changed(EMBEDS, (0, 0, 1), 1e39)},
        "inputs_embeds[0, 0, 1]: wanted a finite float32, found 1e+39",
    ),
    "embeddings of text": (
        {"inputs_embeds": [[["a"] * 4]]},
        "inputs_embeds: wanted numbers, found the dtype <U1",
    ),
    "head mask's shape": (
        {"input_ids": IDS, "head_mask": np.ones(3)},
        "head_mask: wanted the shape [2] or [3, 2], found [3]",
    ),
    "head mask of Inf": (
        {"input_ids": IDS, "head_mask": [np.inf, 1]},
        "head_mask[0]: wanted a finite float32, found inf",
    ),
    "a torch tensor": (
        {"input_ids": torch.zeros(1, 2, dtype=torch.long)},
        "input_ids: wanted a NumPy array, found a torch tensor: call its .numpy()",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(case: str) -> None:
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        pack(CONFIG, **{"input_ids": None, **arguments})


# Lists of ids -----------------------------------------------------------------------------------------------

id_lists = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=20), max_size=8)


@given(id_lists)
def test_lists_are_packed_as_arrays_are(lists: list[list[int]]) -> None:
    S = max(map(len, lists), default=1)
    ids = np.zeros((len(lists), S), np.int64)
    mask = np.zeros_like(ids)
    for b, row in enumerate(lists):
        ids[b, : len(row)] = row
        mask[b, : len(row)] = 1
    types = [[i % 2 for i in row] for row in lists]
    padded = pack(CONFIG, ids, mask, ids % 2).batch
    found = pack_lists(CONFIG, lists, types)
    for name in ("ids", "positions", "token_types", "cu_seqlens", "key_lens", "first"):
        np.testing.assert_array_equal(getattr(found, name), getattr(padded, name), err_msg=name)
        assert getattr(found, name).dtype == np.int64
    assert not pack_lists(CONFIG, lists).token_types.any()


@pytest.mark.parametrize(
    ("ids", "token_types", "message"),
    [
        ([[1], []], None, "ids[1]: wanted 1 to 20 tokens (max_position_embeddings), found 0"),
        ([[1], [1] * 21], None, "ids[1]: wanted 1 to 20 tokens (max_position_embeddings), found 21"),
        ([[1], [2, 100]], None, "ids[1][1]: wanted 0 to 99, found 100"),
        ([[1, 1], [-1, 2]], None, "ids[1][0]: wanted 0 to 99, found -1"),
        ([[1.5]], None, "ids: wanted lists of integers, found the dtype float64"),
        ([[1, 2]], [[0, 2]], "token_types[0][1]: wanted 0 to 1, found 2"),
        ([[1, 2]], [[0]], "token_types[0]: wanted 2 of them, as of ids, found 1"),
        ([[1, 2]], [], "token_types: wanted 1 lists, as of ids, found 0"),
        ([[1, 2]], [[0, 0], [0]], "token_types: wanted 1 lists, as of ids, found 2"),
    ],
)
def test_bad_lists(ids: Any, token_types: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        pack_lists(CONFIG, ids, token_types)


# Splitting --------------------------------------------------------------------------------------------------


@given(masks, st.integers(1, 50), st.booleans())
def test_split(mask: np.ndarray, tokens: int, embeds: bool) -> None:
    """Whole sequences, within the budget unless there is just one, as if each part had been packed alone."""
    B, S = mask.shape
    vectors = np.arange(B * S * 4.0).reshape(B, S, 4)

    def packed(rows: slice) -> Any:
        if embeds:
            return pack(CONFIG, None, mask[rows], inputs_embeds=vectors[rows], head_mask=[1, 2]).batch
        return pack(CONFIG, numbered(B, S)[rows], mask[rows], head_mask=[1, 2]).batch

    whole = packed(slice(None))
    done = 0
    for part in split(whole, tokens):
        count = len(part.key_lens)
        assert count == 1 or len(part.positions) <= tokens
        wanted = packed(slice(done, done + count))
        for name in vars(wanted):
            np.testing.assert_array_equal(getattr(part, name), getattr(wanted, name), err_msg=name)
            array = getattr(part, name)
            assert array is None or array.flags.c_contiguous
        done += count
    assert done == B


def test_what_fits_is_not_split() -> None:
    whole = pack(CONFIG, IDS).batch
    assert next(split(whole, 6)) is whole
    assert len(list(split(whole, 5))) == 2


def test_checked_integers_keeps_shapes() -> None:
    for shape in ((), (3,), (2, 1, 2)):
        found = checked_integers("x", np.ones(shape, np.int32), 2)
        assert found.shape == shape
        assert found.dtype == np.int64
