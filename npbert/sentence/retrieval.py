"""Searching and grouping vectors, with sentence-transformers' names, arguments, defaults and answers.

Scores are made in blocks, so that memory is bounded whatever the number of vectors. Of equal scores those of the lower
index come first.

Source: sentence_transformers.util, 6.2.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array
from npbert.checks import check_bool, checked_count, checked_number
from npbert.models.scores import largest
from npbert.sentence.similarity import BLOCK, Vectors, as_rows, both_rows, cos_sim, products, unit

if TYPE_CHECKING:
    from npbert.sentence.sentence_transformer import SentenceTransformer

QUERIES = 1024  # of a block at most: fewer would make products slower, more would make its rows short
Score: TypeAlias = Callable[[Any, Any], Any]  # [n, H] and [m, H] -> [n, m]


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[list[dict[str, int | float]]]:
    """For each query the vectors of the corpus that are most like it, the nearest first.

    Args:
        query_embeddings: [n, H], or one vector [H].
        corpus_embeddings: [m, H].
        query_chunk_size, corpus_chunk_size: how many of each are held against each other at once, at most.
        top_k: how many for each query, at most.
        score_function: of [a, H] and [b, H] makes scores [a, b].

    Returns:
        For each query [{"corpus_id": an index, "score": float}].

    Raises:
        ValueError: the vectors are not of one length, or an argument is not as above.
    """
    queries, corpus = both_rows(query_embeddings, corpus_embeddings, ("query_embeddings", "corpus_embeddings"))
    step = checked_count("query_chunk_size", query_chunk_size, 1)
    width = checked_count("corpus_chunk_size", corpus_chunk_size, 1)
    top_k = checked_count("top_k", top_k, 0)
    ids, scores = _nearest(queries, corpus, min(top_k, len(corpus)), step, width, score_function)
    return [
        [{"corpus_id": index, "score": score} for index, score in zip(row, of_row, strict=True)]
        for row, of_row in zip(ids.tolist(), scores.tolist(), strict=True)
    ]


def paraphrase_mining(
    model: SentenceTransformer,
    sentences: Sequence[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Score = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """The pairs of texts that are most alike: `paraphrase_mining_embeddings` of what the model makes of them.

    Raises:
        ValueError, OSError: as the model's `encode`, and as `paraphrase_mining_embeddings`.
    """
    embeddings = model.encode(
        sentences,
        prompt_name,
        prompt,
        batch_size,
        show_progress_bar,
        truncate_dim=truncate_dim,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[list[float | int]]:
    """The pairs of vectors that are most alike, the most alike first.

    Args:
        embeddings: [n, H].
        query_chunk_size, corpus_chunk_size: how many are held against how many at once, at most.
        max_pairs: how many pairs, at most.
        top_k: of each vector, so many others at most are looked at.
        score_function: of [a, H] and [b, H] makes scores [a, b], the same whichever comes first.

    Returns:
        [[score, i, j]] with i < j, each pair once.

    Raises:
        ValueError: an argument is not as above.
    """
    rows = as_rows("embeddings", embeddings)
    step = checked_count("query_chunk_size", query_chunk_size, 1)
    width = checked_count("corpus_chunk_size", corpus_chunk_size, 1)
    max_pairs, top_k = checked_count("max_pairs", max_pairs, 1), checked_count("top_k", top_k, 1)
    best: list[tuple[float, int, int]] = []  # a heap of (score, -i, -j): of equals the last pair goes first
    queued: set[tuple[int, int]] = set()
    for begin in range(0, len(rows), step):
        ids, scores = _nearest(rows[begin : begin + step], rows, min(top_k + 1, len(rows)), step, width, score_function)
        for i, (others, of_others) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True), begin):
            neighbours = [pair for pair in zip(others, of_others, strict=True) if pair[0] != i]
            for j, score in neighbours[:top_k]:
                pair = (i, j) if i < j else (j, i)
                entry = score, -pair[0], -pair[1]
                if pair in queued or (len(best) == max_pairs and entry <= best[0]):
                    continue
                queued.add(pair)
                if len(best) < max_pairs:
                    heapq.heappush(best, entry)
                else:
                    _, a, b = heapq.heappushpop(best, entry)
                    queued.discard((-a, -b))
    return [[score, -i, -j] for score, i, j in sorted(best, reverse=True)]


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Groups of vectors whose cosine with a central one is at least a threshold, the largest group first.

    Args:
        embeddings: [n, H].
        threshold: of the cosine.
        min_community_size: smaller groups are left out.
        batch_size: how many vectors are held against all at once, at most.
        show_progress_bar: whether to show how far it is.

    Returns:
        The indices of each group: its central vector first, then the others, the nearest first. No vector is in two.

    Raises:
        ValueError: an argument is not as above.
    """
    from npbert.progress import Progress

    least = np.float32(checked_number("threshold", threshold))
    size = checked_count("min_community_size", min_community_size, 1)
    step = checked_count("batch_size", batch_size, 1)
    check_bool("show_progress_bar", show_progress_bar)
    given = as_array("embeddings", embeddings)
    if given.shape[:1] == (0,):
        return []
    rows = unit(as_rows("embeddings", given))
    if len(rows) < size:
        return []
    step = min(step, max(1, BLOCK // len(rows)))
    found: list[tuple[int, NDArray[np.uint32]]] = []  # a central vector, and all that are near it
    with Progress(len(rows), "Finding clusters", "vectors", show_progress_bar) as progress:
        for begin in range(0, len(rows), step):
            scores = products(rows[begin : begin + step], rows)  # [step, n]
            near = scores >= least
            for row in np.flatnonzero(near.sum(axis=1) >= size):
                members = np.flatnonzero(near[row])
                order = np.argsort(-scores[row, members], kind="stable")
                found.append((begin + int(row), members[order].astype(np.uint32)))
            progress.advance(len(scores))
    return _apart(found, len(rows), size)


def _apart(found: list[tuple[int, NDArray[np.uint32]]], count: int, size: int) -> list[list[int]]:
    """Groups without what a larger one has already; those that become too small are left out."""
    used = np.zeros(count, np.bool_)
    groups = []
    for centre, members in sorted(found, key=lambda group: -len(group[1])):
        if used[centre]:
            continue
        left = members[~used[members]]
        if len(left) >= size:
            group = [centre, *left[left != centre].tolist()]
            groups.append(group)
            used[group] = True
    return sorted(groups, key=len, reverse=True)


def _nearest(
    queries: Vectors, corpus: Vectors, count: int, step: int, width: int, score_function: Score
) -> tuple[NDArray[np.int64], Vectors]:
    """ids [n, count] and scores [n, count] of the corpus, the greatest first; of equals the lowest id."""
    step = min(step, QUERIES)
    width = max(1, min(width, BLOCK // max(1, min(step, len(queries)))))
    ids, scores = np.zeros((len(queries), count), np.int64), np.zeros((len(queries), count), np.float64)
    if not count:
        return ids, scores
    for first in range(0, len(queries), step):
        rows = slice(first, first + step)
        ids[rows], scores[rows] = _nearest_of_block(queries[rows], corpus, count, width, score_function)
    return ids, scores


def _nearest_of_block(
    queries: Vectors, corpus: Vectors, count: int, width: int, score_function: Score
) -> tuple[NDArray[np.int64], Vectors]:
    """As `_nearest`, of so few queries that a block of scores is [queries, width]."""
    by_cosine = score_function is cos_sim
    if by_cosine:  # each side is divided by its norms once, not once for each block of the other
        queries, score_function = unit(queries), products
    ids = [np.zeros(0, np.int64)] * len(queries)
    best = [np.zeros(0)] * len(queries)
    for begin in range(0, len(corpus), width):
        part = corpus[begin : begin + width]
        made = as_array("score_function", score_function(queries, unit(part) if by_cosine else part))
        wanted = [len(queries), len(part)]
        if list(made.shape) != wanted or made.dtype.kind not in "biuf":
            raise ValueError(f"score_function: wanted numbers {wanted}, found {made.dtype} {list(made.shape)}")
        beyond = np.ones(made.shape, np.bool_)
        if begin >= count:  # each row has its number: only what is greater than the least of them comes in
            beyond = (
                made > np.nan_to_num([row[-1] for row in best], nan=-np.inf, neginf=-np.inf, posinf=np.inf)[:, None]
            )
        for row in np.flatnonzero(beyond.any(axis=1)).tolist():
            fresh = np.flatnonzero(beyond[row])
            both = np.concatenate([best[row], made[row, fresh]])
            order = largest(both, count)
            ids[row] = np.concatenate([ids[row], fresh + begin])[order]
            best[row] = both[order]
    return np.array(ids), np.array(best)
