"""Texts -> rows of the `tokenizers` library, in pieces of bounded size, truncated without its own product of overflows.

The library cuts a text that is too long into as many parts as it takes, whether they are wanted or not, keeps them, and
pairs all parts of one text with all of the other: two long texts have no end of them, and it ends the process where
memory does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tokenizers.models import WordPiece

from npbert.text.backends import share
from npbert.text.huge import HUGE, check_memory, heard
from npbert.text.inputs import Texts
from npbert.text.lengths import Lengths, Strategy

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PIECE = 2**17  # characters read at once, in some tenths of a second: a kilobyte of memory for each, in Chinese
SAMPLE = 2**14  # characters, or words, by which the tokens of a huge text are guessed
LONG = 6  # characters for each token of room, from which on a text may overflow by much
MOST_OVERFLOW = 2**22  # tokens of one text's rows with all that overflows: two or three GB


def size(item: Any) -> int:
    """How many characters the library has to read of a text, of a list of words, or of a pair of either or None."""
    return 0 if item is None else len(item) if isinstance(item, str) else sum(map(size, item))


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


def rows_of(
    backend: Tokenizer,
    texts: Texts,
    lengths: Lengths,
    side: str,
    add_special_tokens: bool = True,
    overflow: int | None = None,
    offsets: bool = True,
) -> Iterator[Encoding]:
    """A row for each text or pair, truncated and not padded.

    Args:
        backend: the tokenizer, without truncation.
        texts: what to read.
        lengths: how rows are truncated.
        side: where.
        add_special_tokens: whether they are put around.
        overflow: how many tokens each overflowing row repeats; None where nothing that overflows is wanted.
        offsets: whether they are wanted.

    Raises:
        MemoryError: there is too little for the row of a text.
        ValueError: too much would overflow.
    """
    given = {"is_pretokenized": texts.words, "add_special_tokens": add_special_tokens}

    def bare(some: Sequence[Any]) -> list[Encoding]:
        return encoded(backend.encode_batch_fast, some, is_pretokenized=texts.words, add_special_tokens=False)

    tokenizer, cut = backend, None
    if lengths.truncation is not None and lengths.max_length is not None:
        special = backend.num_special_tokens_to_add if add_special_tokens else (lambda pair: 0)
        rooms = [lengths.max_length - special(pair) for pair in (False, True)]
        if overflow is not None:
            check_overflow(texts.items(), lambda text: len(bare([text])[0]), lengths, overflow, rooms)
        elif lengths.truncation == "longest_first":
            cut = Truncation(backend, rooms, side)
        # Truncation is state of a `tokenizers.Tokenizer`, which may not be set while another thread uses it. So a call
        # makes its own, in a few microseconds: vocabulary and pipeline are shared, not copied.
        tokenizer = share(backend)
        tokenizer.enable_truncation(
            lengths.max_length, stride=overflow or 0, strategy=lengths.truncation, direction=side
        )
    encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    for pairs in in_pieces(list(zip(texts.first, texts.second, strict=True))):
        for text in (text for pair in pairs for text in pair if text is not None):
            if (characters := size(text)) > HUGE:
                sample = text[:SAMPLE]
                tokens = len(bare([sample])[0]) / max(1, size(sample))
                check_memory(characters, tokens, isinstance(backend.model, WordPiece))
        apart = [cut is not None and cut.is_needed(pair) for pair in pairs]
        items = [a if b is None else (a, b) for (a, b), own in zip(pairs, apart, strict=True) if not own]
        others = iter(encoded(encode, items, **given))
        if cut is None or not any(apart):
            yield from others
            continue
        long = [pair for pair, own in zip(pairs, apart, strict=True) if own]
        truncated = cut.encode(long, offsets, texts.words, add_special_tokens)
        yield from (next(truncated if own else others) for own in apart)


class Truncation:
    """Truncates texts and pairs, the longest first: each text by itself, then put together."""

    def __init__(self, backend: Tokenizer, rooms: Sequence[int], side: str) -> None:
        """
        Args:
            backend: the tokenizer.
            rooms: how many tokens of a text are kept, and how many of two.
            side: where they are cut.
        """
        # Offsets are trimmed by what comes after, once.
        self._backend, self._bare = backend, share(backend, post_processor=False)
        self._rooms, self._side = rooms, side

    def is_needed(self, item: Any) -> bool:
        """Whether it would overflow by much. Of others the library makes rows in several threads."""
        return size(item) > LONG * self._rooms[item[1] is not None]

    def encode(self, items: Sequence[Any], offsets: bool, words: bool, add_special_tokens: bool) -> Iterator[Encoding]:
        """The rows of items, as the library's, without most of what overflows.

        Args:
            items: (text, text), or (text, None).
            offsets: whether they are wanted.
            words: whether texts are lists of words.
            add_special_tokens: whether they are put around.
        """
        encode = self._bare.encode_batch if offsets else self._bare.encode_batch_fast
        texts = [text for item in items for text in item if text is not None]
        rows = iter(encoded(encode, texts, is_pretokenized=words, add_special_tokens=False))
        for _, second in items:
            row, other = next(rows), None if second is None else next(rows)
            lengths = kept(len(row), 0 if other is None else len(other), self._rooms[other is not None])
            self._cut(row, lengths[0])
            if other is not None:
                self._cut(other, lengths[1])
            yield self._backend.post_process(row, other, add_special_tokens)

    def _cut(self, row: Encoding, length: int) -> None:
        if len(row) > length + 1:
            row.truncate(length + 1, direction=self._side)  # what overflows is let go by the next
        row.truncate(length, direction=self._side)


def encoded(encode: Callable[..., list[Encoding]], texts: Sequence[Any], **given: Any) -> list[Encoding]:
    """`encode(texts)`, in which Ctrl-C is heard while a long one is read."""
    if any(size(text) > PIECE for text in texts):
        return heard(lambda: encode(texts, **given))
    return encode(texts, **given)


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
