"""The similarity of each vector of one set to each of another, under sentence-transformers' names.

What is float64 stays so, and all else is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array, copied, wrong
from npbert.sequences import described

Vectors: TypeAlias = NDArray[Any]  # float32, or float64

SMALLEST_NORM = 1e-12  # what PyTorch's normalize divides by at least
BLOCK = 2**24  # numbers of a block of differences or of scores: 64 MiB of float32
PRODUCTS = 2**32  # of two numbers, for a block of scores: some tenths of a second


def normalize_embeddings(embeddings: ArrayLike) -> Vectors:
    """Each vector of [..., H] divided by its Euclidean norm; a vector of zeros stays.

    Raises:
        ValueError: they are no numbers.
    """
    return unit(as_vectors("embeddings", embeddings))


def unit(x: Vectors) -> Vectors:
    """[..., H]: each row divided by its Euclidean norm; a row of zeros stays."""
    norms = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))  # [..., 1]
    divided: Vectors = x / np.maximum(norms, x.dtype.type(SMALLEST_NORM))
    return divided


def cos_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n, m]: the cosine of the angle between each pair of rows of [n, H] and [m, H], -1 to 1.

    Raises:
        ValueError: they are not vectors of numbers, or not of one length.
    """
    a, b = both_rows(a, b)
    return products(unit(a), unit(b))


def dot_score(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n, m]: the dot product of each pair of rows of [n, H] and [m, H].

    Raises:
        ValueError: they are not vectors of numbers, or not of one length.
    """
    return products(*both_rows(a, b))


def euclidean_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n, m]: minus the Euclidean distance of each pair of rows, so that nearer is greater.

    Raises:
        ValueError: they are not vectors of numbers, or not of one length.
    """
    return _by_differences(*both_rows(a, b), _negative_length)


def manhattan_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n, m]: minus the sum of absolute differences of each pair of rows.

    Raises:
        ValueError: they are not vectors of numbers, or not of one length.
    """
    return _by_differences(*both_rows(a, b), _negative_sum)


def pairwise_cos_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n]: the cosine of the angle between each row of [n, H] and the same row of another; of two [H] a number.

    Raises:
        ValueError: they are not vectors of numbers, not of one length, or not as many.
    """
    a, b = row_pairs(a, b)
    return _sum(unit(a) * unit(b))


def pairwise_dot_score(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n]: the dot product of each row of [n, H] and the same row of another; errors as `pairwise_cos_sim`."""
    a, b = row_pairs(a, b)
    return _sum(a * b)


def pairwise_euclidean_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n]: minus the Euclidean distance of each row to the same row of another; errors as `pairwise_cos_sim`."""
    a, b = row_pairs(a, b)
    return _negative_length(a - b)


def pairwise_manhattan_sim(a: ArrayLike, b: ArrayLike) -> Vectors:
    """[n]: minus the sum of absolute differences of each row and the same row of another; errors as the others."""
    a, b = row_pairs(a, b)
    return _negative_sum(a - b)


def pairwise_angle_sim(x: ArrayLike, y: ArrayLike) -> Vectors:
    """[n]: |cosine + sine| of the angle between each row of [n, H] and the same row of another, as complex numbers.

    Number i and number i + H / 2 of a row are one; where H is odd, a 0 follows the last.

    Raises:
        ValueError: they are not vectors of numbers, not of one length, or not as many.

    Source: AnglE, https://arxiv.org/abs/2309.12871
    """
    a, b = row_pairs(x, y)
    a, b = (unit(np.pad(side, [(0, 0)] * (side.ndim - 1) + [(0, side.shape[-1] % 2)])) for side in (a, b))
    (real_a, imaginary_a), (real_b, imaginary_b) = (np.split(side, 2, axis=-1) for side in (a, b))
    sines = _sum(imaginary_a * real_b - real_a * imaginary_b)
    angles: Vectors = np.abs(_sum(a * b) + sines)
    return angles


SIMILARITIES: dict[str, Callable[[ArrayLike, ArrayLike], Vectors]] = {
    "cosine": cos_sim,
    "dot": dot_score,
    "euclidean": euclidean_sim,
    "manhattan": manhattan_sim,
}
PAIRWISE: dict[str, Callable[[ArrayLike, ArrayLike], Vectors]] = {
    "cosine": pairwise_cos_sim,
    "dot": pairwise_dot_score,
    "euclidean": pairwise_euclidean_sim,
    "manhattan": pairwise_manhattan_sim,
}


def as_vectors(name: str, embeddings: ArrayLike) -> Vectors:
    """[..., H] of one vector, several, or a list of vectors: float64 where they are that, else float32.

    Raises:
        ValueError: they are not numbers.
    """
    found = as_array(name, embeddings)
    if found.dtype.kind not in "biuf" or found.ndim == 0:
        wrong(name, "vectors of numbers", f"{described(embeddings)} of the dtype {found.dtype}")
    # A list of numbers is float64 to NumPy, and float32 to sentence-transformers.
    wide = found.dtype == np.float64 and _is_float64(embeddings)
    dtype = np.float64 if wide else np.float32
    if found.dtype == dtype and found.flags.c_contiguous:
        return found
    return copied(name, found, dtype)  # the same numbers give the same bits, however they lie


def _is_float64(embeddings: Any) -> bool:
    if isinstance(embeddings, list | tuple):
        return len(embeddings) > 0 and all(hasattr(row, "dtype") and row.dtype == np.float64 for row in embeddings)
    return True


def as_rows(name: str, embeddings: ArrayLike) -> Vectors:
    """[n, H] from one vector [H], several [n, H], or a list of vectors.

    Raises:
        ValueError: they are neither, or not numbers.
    """
    rows = as_vectors(name, embeddings)
    if rows.ndim > 2:
        raise ValueError(f"{name}: wanted an array [H] or [n, H], found shape {rows.shape}")
    return rows[None, :] if rows.ndim == 1 else rows


def both_rows(a: ArrayLike, b: ArrayLike, names: tuple[str, str] = ("a", "b")) -> tuple[Vectors, Vectors]:
    """Two sets of vectors of one length.

    Raises:
        ValueError: they are none.
    """
    rows, others = as_rows(names[0], a), as_rows(names[1], b)
    if rows.shape[1] != others.shape[1]:
        found = f"{rows.shape[1]} and {others.shape[1]}"
        raise ValueError(f"{names[0]} and {names[1]}: wanted vectors of one length, found {found}")
    return rows, others


def row_pairs(a: ArrayLike, b: ArrayLike, names: tuple[str, str] = ("a", "b")) -> tuple[Vectors, Vectors]:
    """Two sets of vectors of one length, as many in each: both [n, H], or [H].

    Raises:
        ValueError: they are none.
    """
    rows, others = both_rows(a, b, names)
    if len(rows) != len(others):
        found = f"{len(rows)} and {len(others)}"
        raise ValueError(f"{names[0]} and {names[1]}: wanted as many vectors in both, found {found}")
    alone = np.ndim(a) == np.ndim(b) == 1
    return (rows[0], others[0]) if alone else (rows, others)


def similarity(name: str, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Vectors:
    """[n, m]: the named similarity of each row of [n, H] to each row of [m, H].

    Raises:
        ValueError: the vectors are not of one length, or are not numbers.
    """
    return SIMILARITIES[name](*both_rows(embeddings1, embeddings2, ("embeddings1", "embeddings2")))


def pairwise(name: str, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Vectors:
    """[n]: the named similarity of each row of [n, H] to the same row of another [n, H].

    Raises:
        ValueError: the vectors are not of one length, not as many, or are not numbers.
    """
    return PAIRWISE[name](*row_pairs(embeddings1, embeddings2, ("embeddings1", "embeddings2")))


def products(a: Vectors, b: Vectors) -> Vectors:
    """[n, m]: a block of rows at a time, so that Ctrl-C is heard."""
    scores = _scores(a, b)
    columns = max(len(b), len(b) * a.shape[1] * BLOCK // PRODUCTS)
    for rows in blocks(len(a), columns):
        np.matmul(a[rows], b.T, out=scores[rows])
    return scores


def _scores(a: Vectors, b: Vectors) -> Vectors:
    """[n, m], not filled."""
    try:
        return np.empty((len(a), len(b)), np.result_type(a, b))
    except MemoryError:
        found = f"{len(a)} by {len(b)} of them"
        raise ValueError(f"embeddings1 and embeddings2: wanted scores that fit memory, found {found}") from None


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of so many rows that a block of [rows, columns] has at most BLOCK numbers."""
    step = max(1, BLOCK // max(1, columns))
    for begin in range(0, rows, step):
        yield slice(begin, min(begin + step, rows))


def _by_differences(a: Vectors, b: Vectors, scores_of: Callable[[Vectors], Vectors]) -> Vectors:
    """[n, m] from the differences [.., H] of each pair; row by row, and no more of them than a block holds."""
    scores = _scores(a, b)
    for index, row in enumerate(a):
        for part in blocks(*b.shape):
            scores[index, part] = scores_of(b[part] - row)
    return scores


def _sum(x: Vectors) -> Vectors:
    total: Vectors = np.sum(x, axis=-1)
    return total


def _negative_length(off: Vectors) -> Vectors:
    lengths: Vectors = -np.sqrt(np.sum(np.square(off), axis=-1))
    return lengths


def _negative_sum(off: Vectors) -> Vectors:
    sums: Vectors = -np.sum(np.abs(off), axis=-1)
    return sums
