"""A batch of more tokens than go through at once, in parts of whole sequences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ops import BATCH_FIELDS, Along, Batch


def split(batch: Batch, tokens: int) -> Iterator[Batch]:
    """The batch in runs of whole sequences: at most so many tokens each, or one sequence that has more."""
    cu_seqlens, B = batch.cu_seqlens, len(batch.key_lens)
    # Where each sequence's entries begin, and the last one's end, by what they are entries of: [B + 1] each.
    begins = {Along.TOKENS: cu_seqlens, Along.SEQUENCES: np.arange(B + 1)}
    if batch.cu_selected is not None:
        begins[Along.SELECTED] = batch.cu_selected
    if batch.allowed is not None:
        begins[Along.PAIRS] = np.concatenate([[0], np.cumsum(batch.pairs)])
    begin = 0
    while begin < B:
        fits = int(np.searchsorted(cu_seqlens, cu_seqlens[begin] + tokens, side="right")) - 1
        end = max(fits, begin + 1)
        if begin == 0 and end == B:
            yield batch
            return
        parts = {}
        for one in BATCH_FIELDS:
            array = getattr(batch, one.name)
            if array is not None and one.along is Along.BOUNDARIES:
                array = array[begin : end + 1]
            elif array is not None and one.along is not Along.BATCH:
                array = array[begins[one.along][begin] : begins[one.along][end]]
            if array is not None and one.counts is not None:
                array = array - begins[one.counts][begin]
            parts[one.name] = array
        yield Batch(**parts)
        begin = end
