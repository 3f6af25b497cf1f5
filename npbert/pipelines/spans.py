"""Scores of first and last tokens -> spans of tokens that may be the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from npbert_kernels.ops import Floats
from numpy.typing import NDArray

from npbert.models.scores import largest, softmax


@dataclass(frozen=True)
class Span:
    """Tokens `first` to `last`, both included."""

    first: int
    last: int
    score: float


def best_spans(logits: Floats, allowed: NDArray[np.bool_], count: int, longest: int) -> tuple[list[Span], float]:
    """The likeliest spans, and how likely it is that there is no answer.

    Args:
        logits: [T, 2], of each token as the first and as the last of the answer.
        allowed: [T], which tokens may be in an answer. The first, [CLS], may not: it stands for no answer, and
            has its share in the probability.
        count: how many spans at most.
        longest: how many tokens a span has at most.

    Returns:
        Spans, the likeliest first, and the score of [CLS] as the answer.
    """
    counted = allowed.copy()
    counted[0] = True
    first, last = np.zeros((2, len(logits)), np.float32)
    first[counted], last[counted] = softmax(logits[counted].T)
    nothing = float(first[0] * last[0])

    (tokens,) = np.nonzero(allowed)
    scores = first[tokens, None] * last[tokens]  # [A, A] of the allowed tokens, first by last
    length = tokens - tokens[:, None]
    flat = np.flatnonzero((length >= 0) & (length < longest))
    found = scores.reshape(-1)[flat]
    best = flat[largest(found, count)]
    rows, columns = np.unravel_index(best, scores.shape)
    spans = [
        Span(int(tokens[row]), int(tokens[column]), float(scores[row, column]))
        for row, column in zip(rows, columns, strict=True)
    ]
    return spans, nothing
