"""The same text gives the same bits, whatever batch it comes in, in which order, how padded, by how many threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import load_backend
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from npbert_kernels.cpu import backend as cpu
from npbert_kernels.cpu import get_num_threads, set_num_threads
from npbert_kernels.cpu.blocking import CHUNK_TOKENS
from npbert_kernels.ops import POOLINGS
from one_op import batch_of
from parity import loaded
from sentences import sentences

from npbert import AutoModel, AutoTokenizer, BertModel, SentenceTransformer


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.fixture(scope="module")
def small(bert_folder: Callable[..., Path]) -> BertModel:
    """Its sizes are no multiple of any vector."""
    sizes = {"hidden_size": 45, "num_attention_heads": 3, "intermediate_size": 67, "max_position_embeddings": 256}
    return AutoModel.from_pretrained(bert_folder(**sizes))


def row(seed: int, length: int) -> list[int]:
    return np.random.default_rng((seed, length)).integers(0, 61, length).tolist()


def outputs(model: BertModel, **arguments: Any) -> dict[str, np.ndarray]:
    """Everything that a model gives, as [B, ...] arrays."""
    found = model(**arguments, output_hidden_states=True, output_attentions=True)
    given_layers = {f"hidden_states {i}": array for i, array in enumerate(found.hidden_states)}
    given_layers |= {f"attentions {i}": array for i, array in enumerate(found.attentions)}
    return {"pooler_output": found.pooler_output, "last_hidden_state": found.last_hidden_state, **given_layers}


@cache
def alone(model: BertModel, seed: int, length: int) -> dict[str, np.ndarray]:
    """The outputs of one row by itself, by one thread."""
    before = get_num_threads()
    set_num_threads(1)
    found = outputs(model, input_ids=np.array([row(seed, length)]))
    set_num_threads(before)
    return found


def assert_same_bits(found: np.ndarray, wanted: np.ndarray, columns: np.ndarray, what: str) -> None:
    """found: one row of a padded batch, in which the text stands at these columns; 0 and nothing else elsewhere."""
    if what == "pooler_output":
        np.testing.assert_array_equal(found, wanted, what)
        return
    index = np.ix_(range(len(found)), columns, columns) if what.startswith("attentions") else columns
    np.testing.assert_array_equal(found[index], wanted, what)
    rest = found.copy()
    rest[index] = 0
    assert not rest.any(), what


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 120)), min_size=1, max_size=12),
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from(["right", "left", "holes"]),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_any_batch(
    small: BertModel, rows: list[tuple[int, int]], threads: int, side: str, padding: int, dice: Any
) -> None:
    """Padding of any length, on either side or in the middle; what is masked may be any token."""
    S = max(length for _, length in rows) + padding
    ids = np.array([row(99, S)] * len(rows))
    mask, positions = np.zeros((len(rows), S), int), np.zeros((len(rows), S), int)
    places = []
    for b, (seed, length) in enumerate(rows):
        columns = np.arange(length)
        if side == "left":
            columns += S - length
        elif side == "holes":
            columns = np.array(sorted([0, *dice.sample(range(1, S), length - 1)]))
        ids[b, columns], mask[b, columns], positions[b, columns] = row(seed, length), 1, np.arange(length)
        places.append(columns)
    set_num_threads(threads)
    found = outputs(small, input_ids=ids, attention_mask=mask, position_ids=positions)
    for b, (seed, length) in enumerate(rows):
        for name, wanted in alone(small, seed, length).items():
            if side == "left" and length < S:
                if name == "pooler_output":
                    continue  # column 0 is padding, which the pooler reads all the same
                if name != "last_hidden_state" and not name.startswith("hidden"):
                    continue
                np.testing.assert_array_equal(found[name][b][places[b]], wanted[0], name)
            else:
                assert_same_bits(found[name][b], wanted[0], places[b], name)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "family", ["bert", "bert, relative_key_query", "roberta", "albert, groups", "mpnet", "modernbert", "gpt2"]
)
def test_many_chunks(family_folder: Callable[..., Path], family: str, threads: int) -> None:
    """A batch of several chunks is cut elsewhere for each number of threads, and for each batch around a text."""
    model_type, config = FAMILIES[family]
    small = loaded(family_folder(model_type, **{**config, "max_position_embeddings": 256}), load_backend("cpu"))
    lengths = [1 + 37 * i % 200 for i in range(6 * CHUNK_TOKENS // 100)]
    assert sum(lengths) > 4 * CHUNK_TOKENS
    set_num_threads(threads)
    ids = [row(i % 3, length) for i, length in enumerate(lengths)]
    found = small.embed(ids, "mean")
    backwards = small.embed(ids[::-1], "mean")[::-1]
    np.testing.assert_array_equal(found, backwards)
    for i in range(0, len(ids), 3):
        np.testing.assert_array_equal(found[i], small.embed([ids[i]], "mean")[0])


@cache
def every_op() -> Any:
    """The program of each op that families and heads add to BERT's, on tokens, selected rows and sequences."""
    width, heads, size, P = 21, 3, 7, 200
    rng = np.random.default_rng(0)
    weight, up = (rng.standard_normal(shape, np.float32) for shape in ((3 * width, width), (40, 2 * width)))
    bias, keys = (rng.standard_normal(shape, np.float32) for shape in ((heads, 2 * P - 1), (2 * P - 1, size)))
    store = cpu.store(0)
    words, one = (
        store.table(rng.standard_normal((61, width), np.float32)),
        store.table(np.zeros((1, width), np.float32)),
    )
    norm = store.norm(*np.ones((2, width), np.float32), 1e-5)
    qkv, joint = store.linear(weight, None, heads_out=heads), store.linear(up, None)
    out = store.linear(np.ascontiguousarray(weight[:width]), None, heads_in=heads)
    relative = [store.relative_bias(bias), *(store.relative_key(keys, query=query) for query in (False, True))]

    def forward(ops: Any, batch: Any) -> dict[str, Any]:
        x = ops.embed(words, batch.ids, (one, batch.positions), (one, batch.token_types), norm)
        for placed in relative:
            given = {"heads": heads, "head_size": size, "relative": placed, "columns": batch.columns}
            context, _ = ops.attention(ops.linear(x, qkv), batch.cu_seqlens, batch.key_lens, **given)
            x = ops.layer_norm(ops.linear(context, out, residual=x), norm)
        some = ops.take(x, batch.selected)
        pooled = [ops.pool(x, batch.cu_seqlens, batch.key_lens, mode, first=batch.first) for mode in POOLINGS]
        return {
            "selected": ops.normalize(ops.linear(ops.concat([some, some]), joint, activation="gelu_erf")),
            "sequences": ops.concat([*pooled, ops.linear(ops.concat(pooled[:2]), joint, activation="tanh")]),
        }

    return cpu.record(forward)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 150), st.booleans()), min_size=1, max_size=20),
    st.sampled_from([1, 2, 3, 5]),
)
def test_ops_of_families_and_heads(rows: list[tuple[int, int, bool]], threads: int) -> None:
    """Texts with holes or without, some rows of each chosen (of some texts none), each text alone and with others."""

    def fields(seed: int, length: int, holes: bool) -> tuple[list[int], np.ndarray, int, np.ndarray]:
        rng = np.random.default_rng((seed, length, holes))
        columns = np.sort(rng.permutation(200)[:length]) if holes else np.arange(length)
        return row(seed, length), columns, int(rng.integers(0, length)), np.flatnonzero(rng.random(length) < 0.2)

    def answer(rows: list[tuple[int, int, bool]]) -> list[tuple[bytes, bytes]]:
        texts = [fields(*one) for one in rows]
        begins, cuts = (np.cumsum([0, *map(len, part)]) for part in ([t[0] for t in texts], [t[3] for t in texts]))
        found = every_op()(
            batch_of(
                [len(text[0]) for text in texts],
                ids=np.concatenate([text[0] for text in texts]),
                columns=np.concatenate([text[1] for text in texts]),
                first=begins[:-1] + [text[2] for text in texts],
                selected=np.concatenate([begin + text[3] for begin, text in zip(begins, texts, strict=False)]),
                cu_selected=cuts,
            )
        )
        parts = itertools.pairwise(cuts)
        selected = [found["selected"][begin:end].tobytes() for begin, end in parts]
        return list(zip(selected, [one.tobytes() for one in found["sequences"]], strict=True))

    set_num_threads(threads)
    together = answer(rows)
    set_num_threads(1)
    assert together == [answer([one])[0] for one in rows]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_embeddings_are_the_outputs(small: BertModel, pooling: Any) -> None:
    """Whatever is asked for beside it: rows that the last layer computes alone, attentions, hidden states."""
    lengths = [5, 33, 1, 64, 17]
    found = small.embed([row(0, length) for length in lengths], pooling)
    for vector, length in zip(found, lengths, strict=True):
        state = alone(small, 0, length)["last_hidden_state"][0]
        if pooling == "mean":
            assert np.abs(vector - state.mean(axis=0)).max() < 1e-5
        else:
            np.testing.assert_array_equal(vector, state[0] if pooling == "cls" else state.max(axis=0))


def test_minilm(minilm: Path) -> None:
    """Real sentences, embedded in batches of all sizes, in any order."""
    model = SentenceTransformer(str(minilm))
    texts = sentences(48)
    dice = np.random.default_rng(0)
    set_num_threads(1)
    wanted = np.concatenate([model.encode([text]) for text in texts])
    for threads, batch_size in ((1, 48), (2, 1), (2, 7), (3, 32)):
        set_num_threads(threads)
        order = dice.permutation(len(texts))
        found = model.encode([texts[i] for i in order], batch_size=batch_size)
        np.testing.assert_array_equal(found, wanted[order])


def test_minilm_padded(minilm: Path) -> None:
    """The tokens' own vectors, through the padded call."""
    model, tokenizer = AutoModel.from_pretrained(minilm), AutoTokenizer.from_pretrained(minilm)
    texts = sentences(10)
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=200, return_tensors="np")
    set_num_threads(2)
    together = model(**inputs).last_hidden_state
    set_num_threads(1)
    for b, text in enumerate(texts):
        one = model(**tokenizer([text], truncation=True, max_length=200, return_tensors="np")).last_hidden_state[0]
        np.testing.assert_array_equal(together[b, : len(one)], one)
        assert not together[b, len(one) :].any()
