"""What tells one dtype from another, in one table. A new one is a row here, and its arithmetic in kernels/dot.py.

A matrix of a dtype is stored in words of 32 bits, the first element in the lowest bits of each. What an element needs
besides its bits stands in headers: before each row of activations, and before each panel of a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ops import Dtype, Floats

Bytes: TypeAlias = NDArray[np.uint8]
WORD_BYTES = 4

INT8_HEADER = 16  # bytes: a row's scale (float32) and its zero point (int32), and two words that stay 0


def _int8_panel_header(rows: Bytes, k: int) -> tuple[NDArray[Any], ...]:
    """Minus the sum of each row's values, which a zero point is multiplied with, and each row's scale."""
    values = rows[:, INT8_HEADER : INT8_HEADER + k].view(np.int8)
    return -values.sum(axis=1, dtype=np.int32), rows[:, :4].copy().view(np.float32)[:, 0]


class Format(NamedTuple):
    """How a dtype is laid out."""

    name: Dtype
    per_word: int  # elements in a word
    of_linear: bool = True  # whether weights of `linear` may have it; else tables alone do
    attention: Dtype = "float32"  # what attention multiplies where queries, keys and values come from such a weight
    most_k: int | None = None  # products that a sum holds whatever they are; None: any number
    row_header: int = 0  # bytes before the words of a row
    panel_header: int = 0  # rows of words before the words of a panel
    panel_header_of: Callable[[Bytes, int], tuple[NDArray[Any], ...]] = lambda rows, k: ()
    """A panel's header from a weight's rows, headers included, and k: [n] of 32 bits for each of its rows of words."""

    @property
    def whole_rows(self) -> bool:
        """Whether an element's bits depend on all of its row: then a row is converted, and a sum made, as a whole."""
        return self.row_header > 0

    def words(self, k: int) -> int:
        """Words that k elements take."""
        return -(-k // self.per_word)

    def row_bytes(self, width: int) -> int:
        """Bytes of a row in memory, its header included."""
        return self.row_header + self.words(width) * WORD_BYTES


FORMATS = (
    Format("float32", 1),
    Format("bfloat16", 2, attention="bfloat16"),
    Format(
        "int8",
        4,
        attention="bfloat16",  # it costs less than the weights' int8 has cost already
        most_k=(2**31 - 1) // (255 * 128),
        row_header=INT8_HEADER,
        panel_header=2,
        panel_header_of=_int8_panel_header,
    ),
    Format("float16", 2, of_linear=False),
)
"""By code, which is what recorder and kernels name a dtype by."""

CODES = {format.name: code for code, format in enumerate(FORMATS)}
FLOAT32 = CODES["float32"]  # of activations, and of all that is added to a product

# What compiled code reads of the table, by code.
PER_WORD = tuple(format.per_word for format in FORMATS)
ROW_HEADER = tuple(format.row_header for format in FORMATS)
PANEL_HEADER = tuple(format.panel_header for format in FORMATS)
WHOLE_ROWS = tuple(format.whole_rows for format in FORMATS)


def rows_of_int8(values: NDArray[np.int8], scales: Floats) -> Bytes:
    """A weight that is int8 already, values [n, k] and scales [n]: rows of words behind their headers, [n, bytes]."""
    n, k = values.shape
    int8 = FORMATS[CODES["int8"]]
    rows = np.zeros((n, int8.row_bytes(k)), np.uint8)
    rows[:, :4] = scales.reshape(n, 1).view(np.uint8)
    rows[:, int8.row_header : int8.row_header + k] = values.view(np.uint8)
    return rows
