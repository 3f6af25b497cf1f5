"""The similarity of each vector of one set to each of another, under sentence-transformers' names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

SMALLEST_NORM = np.float32(1e-12)  # what PyTorch's normalize divides by at least


def unit_rows(x: Floats) -> Floats:
    """[n, H]: each row divided by its Euclidean norm; a row of zeros stays."""
    norms = np.sqrt(np.sum(x * x, axis=1, keepdims=True))  # [n, 1]
    unit: Floats = x / np.maximum(norms, SMALLEST_NORM)
    return unit


def cosine(a: Floats, b: Floats) -> Floats:
    """[n, m]: the cosine of the angle between each pair of rows, -1 to 1."""
    return dot(unit_rows(a), unit_rows(b))


def dot(a: Floats, b: Floats) -> Floats:
    """[n, m]: the dot product of each pair of rows."""
    products: Floats = a @ b.T
    return products


def euclidean(a: Floats, b: Floats) -> Floats:
    """[n, m]: minus the Euclidean distance of each pair of rows, so that nearer is greater."""
    return _by_row(a, b, lambda row: -np.sqrt(np.sum(np.square(b - row), axis=1)))


def manhattan(a: Floats, b: Floats) -> Floats:
    """[n, m]: minus the sum of absolute differences of each pair of rows."""
    return _by_row(a, b, lambda row: -np.sum(np.abs(b - row), axis=1))


SIMILARITIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "manhattan": manhattan,
}

# The same of rows in pairs: [n] from [n, H] and [n, H].
PAIRWISE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": lambda a, b: np.sum(unit_rows(a) * unit_rows(b), axis=1),
    "dot": lambda a, b: np.sum(a * b, axis=1),
    "euclidean": lambda a, b: -np.sqrt(np.sum(np.square(a - b), axis=1)),
    "manhattan": lambda a, b: -np.sum(np.abs(a - b), axis=1),
}


def as_rows(name: str, embeddings: ArrayLike) -> Floats:
    """[n, H] from one vector [H], several [n, H], or a list of vectors.

    Raises:
        ValueError: they are neither, or not numbers.
    """
    try:
        rows = np.asarray(embeddings, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: wanted vectors of numbers, found {type(embeddings).__name__}: {error}") from None
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name}: wanted an array [H] or [n, H], found shape {rows.shape}")
    return rows[None, :] if rows.ndim == 1 else rows


def similarity(name: str, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Floats:
    """[n, m]: the named similarity of each row of [n, H] to each row of [m, H].

    Raises:
        ValueError: the vectors are not of one length, or are not numbers.
    """
    return SIMILARITIES[name](*_both(embeddings1, embeddings2))


def pairwise(name: str, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Floats:
    """[n]: the named similarity of each row of [n, H] to the same row of another [n, H].

    Raises:
        ValueError: the vectors are not of one length, not as many, or are not numbers.
    """
    a, b = _both(embeddings1, embeddings2)
    if len(a) != len(b):
        raise ValueError(f"embeddings1 and embeddings2: wanted as many vectors in both, found {len(a)} and {len(b)}")
    return PAIRWISE[name](a, b)


def _both(embeddings1: ArrayLike, embeddings2: ArrayLike) -> tuple[Floats, Floats]:
    a, b = as_rows("embeddings1", embeddings1), as_rows("embeddings2", embeddings2)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"embeddings1 and embeddings2: wanted vectors of one length, found {a.shape[1]} and {b.shape[1]}"
        )
    return a, b


def _by_row(a: Floats, b: Floats, scores_of: Callable[[Floats], Floats]) -> Floats:
    # Row by row: all differences at once would be [n, m, H].
    scores = np.empty((len(a), len(b)), dtype=np.float32)
    for index, row in enumerate(a):
        scores[index] = scores_of(row)
    return scores
