"""Texts -> rows of the `tokenizers` library, in pieces of bounded size, truncated without its own product of overflows.

The library cuts a text that is too long into as many parts as it takes, whether they are wanted or not, and pairs all
parts of one text with all of the other: two long texts have no end of them, and it ends the process where memory does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from npbert.text.backends import share
from npbert.text.lengths import Lengths, Strategy

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PIECE = 2**17  # characters read at once, in some tenths of a second: a kilobyte of memory for each, in Chinese
MOST_PRODUCT = 2**10  # characters of one text times those of the other, for each token of room: a MB or two
MOST_OVERFLOW = 2**22  # tokens of one text's rows with all that overflows: two or three GB


def size(item: Any) -> int:
    """How many characters the library has to read of a text, of a list of words, or of a pair of either."""
    return len(item) if isinstance(item, str) else sum(map(size, item))


def in_pieces(items: Sequence[Any], most: int | None = None) -> Iterator[Sequence[Any]]:
    """Items, so many at once that they have no more than PIECE characters, or one that has more.

    most: no more characters of an item are read.
    """
    begin = total = 0
    for index, item in enumerate(items):
        more = size(item) if most is None else min(size(item), most)
        if total + more > PIECE and index > begin:
            yield items[begin:index]
            begin, total = index, 0
        total += more
    if begin < len(items):
        yield items[begin:] if begin else items


def kept(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts truncation leaves, the longest first, as the library has it."""
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (long, short) if first > second else (short, long)


def pad(rows: Sequence[Encoding], lengths: Lengths, side: str, token: tuple[str, int], type_id: int) -> None:
    """Pads rows, and what overflows of each, as the library does a batch.

    token: the padding token and its id.
    """
    target = lengths.max_length if lengths.padding == "max_length" else None
    target = max(map(len, rows), default=0) if target is None else target
    target += -target % (lengths.multiple or 1)
    for row in rows:
        row.pad(target, direction=side, pad_id=token[1], pad_type_id=type_id, pad_token=token[0])


class PairTruncation:
    """Truncates pairs of which the library would make too many rows: each text by itself, then put together."""

    def __init__(self, backend: Tokenizer, room: int, side: str) -> None:
        """
        Args:
            backend: the tokenizer.
            room: how many tokens of both texts are kept.
            side: where they are cut.
        """
        self._backend, self._room, self._side = backend, room, side

    def is_needed(self, item: Any) -> bool:
        """Whether an item is such a pair."""
        return isinstance(item, tuple) and size(item[0]) * size(item[1]) > MOST_PRODUCT * max(self._room, 1)

    def encode(self, pairs: Sequence[Any], is_pretokenized: bool, add_special_tokens: bool) -> Iterator[Encoding]:
        """The rows of pairs, as the library's, without what overflows."""
        # Offsets are trimmed by what comes after, once.
        bare = share(self._backend, post_processor=False)
        texts = [text for pair in pairs for text in pair]
        rows = iter(bare.encode_batch(texts, is_pretokenized=is_pretokenized, add_special_tokens=False))
        for first, second in zip(rows, rows, strict=True):
            for row, length in zip((first, second), kept(len(first), len(second), self._room), strict=True):
                if len(row) > length + 1:
                    row.truncate(length + 1, direction=self._side)  # what overflows is let go by the next
                row.truncate(length, direction=self._side)
            yield self._backend.post_process(first, second, add_special_tokens)


def check_overflow(
    items: Sequence[Any], count: Callable[[Any], int], lengths: Lengths, stride: int, rooms: Sequence[int]
) -> None:
    """Checks that there is an end of what overflows, before it is made.

    Args:
        items: texts, lists of words, or pairs of either.
        count: gives the number of tokens of a text.
        lengths: how long rows become.
        stride: how many tokens each overflowing row repeats.
        rooms: how many tokens of one text a row has, and how many of two.

    Raises:
        ValueError: a text has too many rows; its index is named.
    """
    length, strategy = lengths.max_length or 0, lengths.truncation
    for index, item in enumerate(items):
        texts = item if isinstance(item, tuple) else (item,)
        room = rooms[len(texts) - 1]
        # A character is three tokens at most, but for a few.
        if _count_rows([3 * size(text) for text in texts], room, stride, strategy) * length <= MOST_OVERFLOW:
            continue
        tokens = _count_rows([count(text) for text in texts], room, stride, strategy) * length
        if tokens > MOST_OVERFLOW:
            raise ValueError(
                f"text[{index}]: return_overflowing_tokens: wanted at most {MOST_OVERFLOW} tokens in all rows of a "
                f"text, found {tokens}: a shorter text, a larger max_length or a smaller stride has fewer"
            )


def _count_rows(counts: Sequence[int], room: int, stride: int, strategy: Strategy | None) -> int:
    """How many rows texts of so many tokens have: each part of one with each of the other."""
    if len(counts) == 1:
        left = [room]
    elif strategy == "longest_first":
        left = [*kept(counts[0], counts[1], room)]
    else:
        cut = 0 if strategy == "only_first" else 1
        left = [*counts]
        left[cut] = room - counts[1 - cut]
    rows = 1
    for count, length in zip(counts, left, strict=True):
        if count > length:
            rows *= 1 + -(-(count - length) // max(1, length - stride))
    return rows
