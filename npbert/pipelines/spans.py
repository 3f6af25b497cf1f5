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


def best_spans(
    logits: Floats, allowed: NDArray[np.bool_], none: NDArray[np.bool_], count: int, longest: int
) -> tuple[list[Span], float]:
    """The likeliest spans, and how likely it is that there is no answer.

    Args:
        logits: [T, 2], of each token as the first and as the last of the answer.
        allowed: [T], which tokens may be in an answer.
        none: [T], which stand for there being no answer, [CLS] where there is one: they have their share in the
            probability.
        count: how many spans at most.
        longest: how many tokens a span has at most.

    Returns:
        Spans, the likeliest first, and the score of the first token as the answer, if it stands for none.
    """
    counted = allowed | none
    first, last = np.zeros((2, len(logits)), np.float32)
    if counted.any():
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
