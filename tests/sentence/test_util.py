"""npbert.util against sentence_transformers.util, on NumPy arrays."""

from __future__ import annotations

import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers.util as theirs
import torch
from hypothesis import given
from hypothesis import strategies as st

import npbert
from npbert import SentenceTransformer, util
from npbert.sentence import retrieval as retrieval_module

EPS = float(np.finfo(np.float32).eps)
SIMILARITIES = [name for name in util.__all__ if name.endswith(("_sim", "_score"))]


def vectors(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", util.__all__)
def test_arguments_are_sentence_transformers(name: str) -> None:
    mine, original = (inspect.signature(getattr(module, name)).parameters for module in (util, theirs))
    assert list(mine) == list(original)
    for key, parameter in original.items():
        if not callable(parameter.default):
            assert mine[key].default == parameter.default
    if "score_function" in mine:
        assert mine["score_function"].default is util.cos_sim


def test_it_is_an_attribute_of_the_package() -> None:
    assert npbert.util is util


@pytest.mark.parametrize("name", SIMILARITIES)
def test_similarities(name: str) -> None:
    mine, original = getattr(util, name), getattr(theirs, name)
    pairs = name.startswith("pairwise")
    a, b = vectors(0, 5, 33), vectors(1, 5 if pairs else 3, 33)
    a[2] = 0
    forms: list[tuple[Any, Any]] = [(a, b), (a.astype(np.float64), b.astype(np.float64)), (list(a), b.tolist())]
    forms += [(a.astype(np.float16), b.astype(np.float16)), (a.tolist(), b.tolist())]
    if name != "pairwise_angle_sim":  # which wants rows
        forms.append((a[0], b[0]))
    for x, y in forms:
        found, wanted = mine(x, y), original(x, y).numpy()
        assert found.dtype == wanted.dtype
        assert np.shape(found) == wanted.shape
        # Sums of 33 terms in another order, of float16's numbers in float32; euclidean distances of torch by products
        # lose what two large squares share.
        bound = 33 * np.finfo(wanted.dtype).eps * max(1, np.abs(wanted).max())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)


def test_normalized_and_truncated() -> None:
    x = vectors(0, 4, 7)
    x[1] = 0
    for given_ in (x, x[0], x[None], x.astype(np.float64)):
        wanted = theirs.normalize_embeddings(torch.from_numpy(given_)).numpy()
        np.testing.assert_allclose(util.normalize_embeddings(given_), wanted, rtol=0, atol=4 * EPS)
        for dim in (None, 1, 3, 99):
            kept = util.truncate_embeddings(given_, dim)
            np.testing.assert_array_equal(kept, theirs.truncate_embeddings(given_, dim))
            assert kept.dtype == given_.dtype


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_quantized(precision: Any) -> None:
    x, others = vectors(0, 9, 21), vectors(1, 30, 21)
    x[:, 3] = 1
    ranges = np.stack([np.full(21, -1.5, np.float32), np.full(21, 2, np.float32)])
    for given_ in (x, list(x), x[:0], x.astype(np.float64)):
        for more in ({}, {"ranges": ranges}, {"calibration_embeddings": others}):
            found = util.quantize_embeddings(given_, precision, **more)
            wanted = np.asarray(theirs.quantize_embeddings(given_, precision, **more))
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(
        util.quantize_embeddings(x[0], precision, ranges), theirs.quantize_embeddings(x[0], precision, ranges)
    )
    if precision in ("int8", "uint8"):
        with pytest.raises(ValueError, match="wanted several texts to take each column's range from, found one"):
            util.quantize_embeddings(x[:1], precision)


SCORES = {"cosine": (util.cos_sim, theirs.cos_sim), "dot": (util.dot_score, theirs.dot_score)}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("queries", "corpus", "top_k"), [(7, 300, 10), (1, 5, 10), (3, 40, 40), (4, 50, 1), (2, 9, 0)])
def test_search(score: str, queries: int, corpus: int, top_k: int) -> None:
    a, b = vectors(0, queries, 24), vectors(1, corpus, 24)
    mine, original = SCORES[score]
    wanted = theirs.semantic_search(torch.from_numpy(a), torch.from_numpy(b), top_k=top_k, score_function=original)
    whole = util.semantic_search(a, b, top_k=top_k, score_function=mine)
    assert [[hit["corpus_id"] for hit in hits] for hits in whole] == [[h["corpus_id"] for h in hits] for hits in wanted]
    for found, right in zip(whole, wanted, strict=True):
        np.testing.assert_allclose([h["score"] for h in found], [h["score"] for h in right], rtol=0, atol=24 * 9 * EPS)
        assert all(type(h["corpus_id"]) is int and type(h["score"]) is float for h in found)
    for sizes in ({"query_chunk_size": 2, "corpus_chunk_size": 7}, {"corpus_chunk_size": 1}, {"query_chunk_size": 3}):
        parts = util.semantic_search(a, b, top_k=top_k, score_function=mine, **sizes)
        assert _ids(parts) == _ids(whole)
    if queries == 1:
        assert _ids(util.semantic_search(a[0], b, top_k=top_k, score_function=mine)) == _ids(whole)


def _ids(found: list[list[dict[str, Any]]]) -> list[list[int]]:
    return [[hit["corpus_id"] for hit in hits] for hits in found]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12), st.integers(1, 9))
def test_of_equal_scores_the_first_comes_first(numbers: list[int], top_k: int, chunk: int) -> None:
    """Whatever the blocks; which of equals sentence-transformers takes goes by its chunks."""
    corpus = np.array(numbers, np.float32)[:, None]
    (found,) = util.semantic_search(
        np.ones((1, 1)), corpus, corpus_chunk_size=chunk, top_k=top_k, score_function=util.dot_score
    )
    order = np.argsort(-corpus[:, 0], kind="stable")[:top_k]
    assert [hit["corpus_id"] for hit in found] == order.tolist()
    (original,) = theirs.semantic_search(
        torch.ones(1, 1),
        torch.from_numpy(corpus),
        corpus_chunk_size=chunk,
        top_k=top_k,
        score_function=theirs.dot_score,
    )
    assert [hit["score"] for hit in found] == [hit["score"] for hit in original]


def test_search_without_anything() -> None:
    assert util.semantic_search(vectors(0, 2, 3), np.zeros((0, 3), np.float32)) == [[], []]
    assert util.semantic_search(np.zeros((0, 3), np.float32), vectors(0, 2, 3)) == []


def test_not_a_number_comes_last() -> None:
    corpus = np.array([[np.nan], [1], [2], [np.nan], [3]], np.float32)
    for chunk in (1, 2, 5):
        (found,) = util.semantic_search(
            np.ones((1, 1)), corpus, corpus_chunk_size=chunk, top_k=3, score_function=util.dot_score
        )
        assert [hit["score"] for hit in found][:1] == [3]


@pytest.mark.parametrize("sizes", [{}, {"query_chunk_size": 7, "corpus_chunk_size": 11}])
@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"max_pairs": 17}, {"top_k": 2, "max_pairs": 5}])
def test_paraphrases(sizes: dict[str, int], limits: dict[str, int]) -> None:
    x = vectors(0, 60, 16)
    found = util.paraphrase_mining_embeddings(x, **sizes, **limits)
    wanted = theirs.paraphrase_mining_embeddings(torch.from_numpy(x), **limits)
    assert [pair[1:] for pair in found] == [pair[1:] for pair in wanted]
    np.testing.assert_allclose([p[0] for p in found], [p[0] for p in wanted], rtol=0, atol=16 * EPS)
    assert all(i < j and type(i) is type(j) is int for _, i, j in found)


def test_paraphrases_of_texts(encoder: Path) -> None:
    model = SentenceTransformer(encoder, backend="reference")
    texts = ["the cat", "a fox", "the cat over a fox", "quick"]
    wanted = util.paraphrase_mining_embeddings(model.encode(texts, prompt="query: "))
    assert util.paraphrase_mining(model, texts, prompt="query: ") == wanted
    assert len(wanted) == 6


@pytest.mark.parametrize(("size", "batch"), [(1, 1024), (2, 7), (4, 30), (40, 1024), (500, 1024)])
def test_communities(size: int, batch: int) -> None:
    rng = np.random.default_rng(0)
    centres = vectors(1, 6, 12)
    groups = [centre + 0.25 * rng.standard_normal((6 * n + 1, 12)) for n, centre in enumerate(centres)]
    x = rng.permutation(np.concatenate(groups)).astype(np.float32)
    for threshold in (0.5, 0.9, 2.0):
        found = util.community_detection(x, threshold, size, batch)
        assert found == theirs.community_detection(torch.from_numpy(x), threshold, size, batch)
    assert util.community_detection(np.zeros((0, 3), np.float32)) == []
    assert util.community_detection(x[0], 0.5, 1) == [[0]]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of scores and a few more of its size, where all scores would be 64 MB."""
    monkeypatch.setattr(retrieval_module, "BLOCK", 2**18)
    a, b = vectors(0, 4000, 2), vectors(1, 4000, 2)
    for search in (lambda: util.semantic_search(a, b, 4000), lambda: util.paraphrase_mining_embeddings(a, top_k=3)):
        tracemalloc.start()
        search()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: util.semantic_search(x, x[:, :2]), "query_embeddings and corpus_embeddings: wanted vectors of one "),
        (lambda x: util.semantic_search(x, x, top_k=1.5), "top_k: wanted a whole number, 0 or more, found 1.5"),
        (lambda x: util.semantic_search(x, x, 0), "query_chunk_size: wanted a whole number, 1 or more, found 0"),
        (lambda x: util.semantic_search(x, ["a"]), "corpus_embeddings: wanted vectors of numbers, found list"),
        (
            lambda x: util.semantic_search(x, x, score_function=lambda a, b: a),
            r"score_function: wanted numbers \[4, 4\]",
        ),
        (lambda x: util.paraphrase_mining_embeddings(x, max_pairs=0), "max_pairs: wanted a whole number, 1 or more"),
        (lambda x: util.community_detection(x, "high"), "threshold: wanted a finite number, found 'high'"),
        (lambda x: util.community_detection(x, show_progress_bar=None), "show_progress_bar: wanted True or False"),
        (lambda x: util.cos_sim(x, x[:, :2]), "a and b: wanted vectors of one length, found 3 and 2"),
        (lambda x: util.pairwise_cos_sim(x, x[:2]), "a and b: wanted as many vectors in both, found 4 and 2"),
        (lambda x: util.dot_score(np.ma.array(x, mask=x > 0), x), "a: wanted no masked numbers, found some"),
        (lambda x: util.truncate_embeddings(x, 0), "truncate_dim: wanted a whole number, 1 or more, found 0"),
        (lambda x: util.quantize_embeddings(x, "int4"), "precision: wanted one of 'float32', .*, found 'int4'"),
        (lambda x: util.quantize_embeddings(x, "int8", x), r"ranges: wanted the shape \[2, 3\], found \[4, 3\]"),
        (
            lambda x: util.quantize_embeddings(x.astype(np.int8), "binary"),
            "embeddings: wanted floats, found int8: they",
        ),
    ],
)
def test_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        call(vectors(0, 4, 3))


@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"])
def test_the_same_numbers_give_the_same_bits_however_they_lie(name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((7, 96)).astype(np.float32) for _ in range(2))
    function = getattr(util, name)
    wanted = function(a, b)
    for other in (np.repeat(a, 2, axis=1)[:, ::2], a[::-1].copy()[::-1], np.asfortranarray(a)):
        np.testing.assert_array_equal(function(other, b), wanted)
        np.testing.assert_array_equal(function(b, other), function(b, a))


@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"])
def test_scores_that_fit_no_memory(name: str) -> None:
    many, nothing = np.broadcast_to(np.float32(1), (2**21, 2**21)), np.zeros((2**21, 0), np.float32)
    with pytest.raises(ValueError, match=r"^a: wanted an array that fits memory, found the shape \[2097152, "):
        getattr(util, name)(many, many)
    with pytest.raises(ValueError, match=r": wanted scores that fit memory, found 2097152 by 2097152 of them$"):
        getattr(util, name)(nothing, nothing)
