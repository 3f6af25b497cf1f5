"""Embeddings in fewer bits, as sentence-transformers' `quantize_embeddings` makes them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Precision: TypeAlias = Literal["float32", "int8", "uint8", "binary", "ubinary"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

LEVELS = 255  # steps between the least and the greatest value of a column


def in_precision(embeddings: NDArray[np.float32], precision: str) -> NDArray[Any]:
    """[n, H] float32 -> float32 [n, H], (u)int8 [n, H], or a bit for each sign in [n, ceil(H / 8)].

    int8 and uint8 divide the range between the least and the greatest value of each column into 255 steps, so
    a text's bytes depend on the texts around it, and one text alone has no range. binary and ubinary do not.

    Raises:
        ValueError: no such precision, or a range asked of a single embedding.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: wanted one of {', '.join(PRECISIONS)}, found {precision!r}")
    if precision == "float32":
        return embeddings
    if precision in ("binary", "ubinary"):
        bits = np.packbits(embeddings > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 0x80).view(np.int8)  # the same as subtracting 128
    if len(embeddings) == 1:
        raise ValueError(
            f"precision={precision!r}: wanted several texts to take each column's range from, found one; "
            "encode in float32, or use 'binary'"
        )
    if not len(embeddings):
        return np.empty(embeddings.shape, dtype=precision)
    least = embeddings.min(axis=0)  # [H]
    steps = (embeddings.max(axis=0) - least) / np.float32(LEVELS)
    steps[steps == 0] = 1
    levels = np.clip(np.floor((embeddings - least) / steps), 0, LEVELS)  # [n, H]
    whole: NDArray[Any] = levels if precision == "uint8" else levels - 128
    return whole.astype(precision)
