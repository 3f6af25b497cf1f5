"""How a batch is cut into chunks, and the memory that they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from npbert_kernels.cpu.blocking import CHUNK_TOKENS
from npbert_kernels.cpu.memory import pages
from npbert_kernels.cpu.program import _chunks


@given(st.lists(st.integers(1, 5 * CHUNK_TOKENS // 2), min_size=1, max_size=60))
def test_chunks(lengths: list[int]) -> None:
    """Whole sequences, none twice, none left out; none of a size that a workspace of its own would be needed for."""
    cu_seqlens = np.cumsum([0, *lengths])
    bounds = _chunks(cu_seqlens)
    assert bounds.dtype == np.int64
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    assert (np.diff(bounds) > 0).all()
    longest = max(lengths)  # as `workspace_bytes` counts on it
    assert np.diff(cu_seqlens[bounds]).max() <= max(longest, (3 * CHUNK_TOKENS + longest) // 2)


def test_equal_lengths() -> None:
    """Chunks of equal size, which threads finish at the same time."""
    assert _chunks(np.arange(9) * 128).tolist() == list(range(9))
    assert np.diff(_chunks(np.arange(65) * 16)).max() <= 1 + np.diff(_chunks(np.arange(65) * 16)).min()
    assert _chunks(np.array([0, 7, 16])).tolist() == [0, 2]


def test_more_memory_than_there_is() -> None:
    """As NumPy says it; an OSError would be a file's."""
    with pytest.raises(MemoryError, match=r"^Unable to allocate 1099511627776\.0 MiB$"):
        pages(2**60)
