"""What a tokenizer's call gives: a dict with its keys as attributes, and the way from tokens to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from npbert.checks import as_count, checked_count, show
from npbert.text.errors import guarded

if TYPE_CHECKING:
    from tokenizers import Encoding


class CharSpan(NamedTuple):
    """Characters start to end - 1 of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens start to end - 1 of a row."""

    start: int
    end: int


class BatchEncoding(dict[str, Any]):
    """`encoding["input_ids"]` is `encoding.input_ids`; `encoding[0]` is row 0 as `tokenizers` has it.

    The methods take a row and an index in it, or the index alone: then the row is 0. None says that nothing
    lies there, for instance that a token is a special one; a row that there is not raises IndexError. Where a text
    was truncated without `return_overflowing_tokens`, the rows' own `overflowing` need not hold all that was cut off.

    Raises:
        KeyError, AttributeError: there is no such key.
        ValueError: what should be a number of a row, token, word or character is none.
        IndexError: there is no such row, as in what `pad` gives, which has none.
        ValueError: a number of a token, a word or a character is below 0 (a token's may count from the row's end).

    Follows transformers.BatchEncoding.
    """

    def __init__(self, data: Iterable[tuple[str, Any]] = (), encodings: Sequence[Encoding] = ()) -> None:
        super().__init__(data)
        self._encodings = list(encodings)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self._encodings[key]
        if (row := as_count(key)) is not None:
            return self._encodings[row]
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        # Only what is no ordinary attribute comes here.
        try:
            return super().__getitem__(name)
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute or key {name!r}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self.items()), self._encodings)

    def __repr__(self) -> str:
        return dict.__repr__(self)

    @property
    def data(self) -> dict[str, Any]:
        """The keys and values alone."""
        return dict(self)

    @property
    def encodings(self) -> list[Encoding]:
        """The rows as `tokenizers` has them, with what each overflowed as rows of its own."""
        return self._encodings

    @property
    @guarded("row")
    def n_sequences(self) -> int | None:
        """1 for single texts, 2 for pairs; None without rows."""
        return self._encodings[0].n_sequences if self._encodings else None

    @guarded("row")
    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row, as strings."""
        return self._row(batch_index).tokens

    @guarded("row")
    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row: 0 in the first text, 1 in the second, None for special tokens."""
        return self._row(batch_index).sequence_ids

    @guarded("row")
    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the number of its word, None for special tokens."""
        return self._row(batch_index).word_ids

    @guarded("row")
    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which text a token is of: 0, 1 or None."""
        row, token = self._token(batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    @guarded("row")
    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word that a token is of, or None."""
        row, token = self._token(batch_or_token_index, token_index)
        word: int | None = row.token_to_word(token)
        return word

    @guarded("row")
    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters that a token stands for, or None."""
        row, token = self._token(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return CharSpan(*span) if span is not None else None

    @guarded("row")
    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word, or None."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, checked_count("sequence_index", sequence_index, 0))
        return TokenSpan(*span) if span is not None else None

    @guarded("row")
    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word, or None."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_chars(word, checked_count("sequence_index", sequence_index, 0))
        return CharSpan(*span) if span is not None else None

    @guarded("row")
    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that a character is in, or None."""
        row, char = self._place(batch_or_char_index, char_index)
        return row.char_to_token(char, checked_count("sequence_index", sequence_index, 0))

    @guarded("row")
    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The number of the word that a character is in, or None."""
        row, char = self._place(batch_or_char_index, char_index)
        return row.char_to_word(char, checked_count("sequence_index", sequence_index, 0))

    def _row(self, index: int) -> Encoding:
        count = as_count(index)
        if count is None:
            raise ValueError(f"batch_index: wanted the number of a row, found {show(index)}")
        return self._encodings[count]

    def _place(self, first: int, second: int | None) -> tuple[Encoding, int]:
        row, index = (self._row(0), first) if second is None else (self._row(first), second)
        return row, checked_count("index", index, 0)

    def _token(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """As `_place`, where a negative token counts from the row's end."""
        row, token = (self._row(0), first) if second is None else (self._row(first), second)
        count = as_count(token)
        return row, checked_count("index", token if count is None or count >= 0 else len(row) + count, 0)
