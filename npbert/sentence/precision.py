"""Embeddings in fewer bits, under sentence-transformers' names."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array, wrong
from npbert.checks import check_choice
from npbert.sentence.similarity import Vectors, as_vectors

Precision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

LEVELS = 255  # steps between the least and the greatest value of a column


def quantize_embeddings(
    embeddings: ArrayLike,
    precision: Precision,
    ranges: ArrayLike | None = None,
    calibration_embeddings: ArrayLike | None = None,
) -> NDArray[Any]:
    """[n, H] -> float32 [n, H], (u)int8 [n, H], or a bit for each sign in (u)int8 [n, ceil(H / 8)]; or of one [H].

    Args:
        embeddings: vectors of numbers.
        precision: "float32"; "int8" and "uint8" divide a range of each column into 255 steps, "binary" and "ubinary"
            keep the signs.
        ranges: [2, H], the least and the greatest value of each column. None is what calibration_embeddings have, or
            else the embeddings themselves: then a vector's bytes depend on those around it, and one alone has no range.
        calibration_embeddings: [m, H].

    Raises:
        ValueError: no such precision, a range asked of a single embedding, or ranges that do not fit.

    Source: sentence_transformers.quantize_embeddings, 6.2.
    """
    check_choice("precision", precision, PRECISIONS)
    if (found := as_array("embeddings", embeddings)).dtype in (np.int8, np.uint8):
        wrong("embeddings", "floats", f"{found.dtype}: they are quantized already")
    given = as_vectors("embeddings", embeddings)
    if given.ndim > 2:
        wrong("embeddings", "the shape [H] or [n, H]", list(given.shape))
    return in_precision(given, precision, _ranges(given, precision, ranges, calibration_embeddings))


def _ranges(x: Vectors, precision: str, ranges: ArrayLike | None, calibration: ArrayLike | None) -> Vectors | None:
    """[2, H] float32, the least and the greatest of each column; None where the embeddings themselves say."""
    if precision not in ("int8", "uint8"):
        return None
    width = x.shape[-1]
    if ranges is not None:
        found = as_vectors("ranges", ranges)
        if found.shape != (2, width):
            wrong("ranges", f"the shape [2, {width}]", list(found.shape))
        return found.astype(np.float32)
    if calibration is None:
        return None
    others = as_vectors("calibration_embeddings", calibration)
    if others.ndim != 2 or others.shape[1] != width or not len(others):
        wrong("calibration_embeddings", f"the shape [m, {width}] with m at least 1", list(others.shape))
    return np.stack([others.min(axis=0), others.max(axis=0)]).astype(np.float32)


def in_precision(embeddings: Vectors, precision: str, ranges: Vectors | None = None) -> NDArray[Any]:
    """[n, H] -> as `quantize_embeddings` says; ranges [2, H], where None those of the embeddings.

    Raises:
        ValueError: a range is asked of a single embedding.
    """
    if precision == "float32":
        return embeddings.astype(np.float32, copy=False)
    if precision in ("binary", "ubinary"):
        bits = np.packbits(embeddings > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 0x80).view(np.int8)  # the same as subtracting 128
    if not len(embeddings):
        return np.empty(embeddings.shape, dtype=precision)
    if ranges is None:
        if embeddings.ndim == 1 or len(embeddings) == 1:
            raise ValueError(
                f"precision={precision!r}: wanted several texts to take each column's range from, found one; "
                "encode in float32, or use 'binary'"
            )
        ranges = np.stack([embeddings.min(axis=0), embeddings.max(axis=0)]).astype(np.float32)
    least, most = ranges  # [H] each
    steps = (most - least) / np.float32(LEVELS)
    steps = np.where(steps == 0, np.float32(1), steps)
    levels = np.clip(np.floor((embeddings - least) / steps), 0, LEVELS)  # [n, H]
    whole: NDArray[Any] = levels if precision == "uint8" else levels - 128
    return whole.astype(precision)
