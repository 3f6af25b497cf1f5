"""Truncation, written down once more: rows of ids that were not cut, cut as `longest_first` cuts, and put together."""

from __future__ import annotations

from collections.abc import Sequence


def kept(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts are kept where so many have room: the longer one is cut first.

    Of a text alone, `second` is 0.
    """
    if first + second <= room:
        return first, second
    less, more = sorted((first, second))
    more = less if less > room else max(less, room - less)
    if less + more > room:
        less = room // 2
        more = less + room % 2
    return (less, more) if first <= second else (more, less)


def put_together(
    rows: tuple[Sequence[int], Sequence[int]], around: tuple[list[int], list[int], list[int]], length: int, side: str
) -> list[int]:
    """The ids of a text or a pair, special tokens included, of which there are so many at most.

    rows: each text's ids without special tokens; none of a text that is not there.
    around: the special tokens before, between (none of a text alone) and behind them.
    """
    before, between, after = around
    counts = kept(len(rows[0]), len(rows[1]), length - len(before) - len(between) - len(after))
    first, second = (
        list(row[:count] if side == "right" else row[len(row) - count :])
        for row, count in zip(rows, counts, strict=True)
    )
    return [*before, *first, *between, *second, *after]
