"""Where a word without an end can be cut: between two letters that stand together in no token.

Chinese, Japanese, Korean and Thai have no spaces between words, so for sentencepiece and byte-level BPE a text is one
word. All ways to split it end a token at such a place, so the tokens before it are those of the text before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenizers.models import BPE, Unigram
from tokenizers.pre_tokenizers import ByteLevel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LETTERS = (
    *((0x3400, 0x4DB5), (0x4E00, 0x9FA5)),  # Chinese
    *((0x3041, 0x3093), (0x30A1, 0x30F6)),  # Japanese
    (0xAC00, 0xD7A3),  # Korean, in syllables
    (0x0E01, 0x0E2E),  # Thai consonants
)
"""Letters that no version of Unicode joins to the one before them or behind them: each begins a grapheme."""


class Seams:
    """The places in words where they can be cut.

    - Both letters stay as they are in the normalizer, which maps graphemes, and neither is one of an added token.
    - No token has them side by side, in the letters that the model has for them, so no token lies across.
    - The model finds the tokens of a word from its beginning (Unigram), or joins what some token has joined (BPE).
    - The letter before has a token of its own, so that it is no part of an unknown one, which takes what follows it.
    """

    def __init__(self, tokenizer: Tokenizer, taken: set[str]) -> None:
        """taken: the characters of added tokens."""
        self._tokenizer = tokenizer
        self._taken = taken
        model = tokenizer.model
        plain = isinstance(model, BPE) and not (
            model.continuing_subword_prefix or model.end_of_word_suffix or model.ignore_merges
        )
        self._possible = plain or isinstance(model, Unigram)
        self._spell: Callable[[str], str] = _bytes_of if isinstance(tokenizer.pre_tokenizer, ByteLevel) else str
        self._joined: set[str] | None = None  # pairs of letters that some token has side by side
        self._known: set[str] = set()  # letters that are tokens
        self._plain: dict[str, bool] = {}

    def find(self, text: str, begin: int, end: int) -> int | None:
        """The first place from `begin` on, and before `end`, where the text can be cut."""
        if not self._possible:
            return None
        for place in range(max(begin, 1), min(end, len(text))):
            if self._is_seam(text[place - 1], text[place]):
                return place
        return None

    def _is_seam(self, before: str, after: str) -> bool:
        if not (self._stays(before) and self._stays(after)):
            return False
        if self._joined is None:
            self._read_vocabulary()
        left, right = self._spell(before)[-1], self._spell(after)[0]
        return left in self._known and left + right not in (self._joined or ())

    def _stays(self, letter: str) -> bool:
        found = self._plain.get(letter)
        if found is None:
            is_letter = any(low <= ord(letter) <= high for low, high in LETTERS) and letter not in self._taken
            normalizer = self._tokenizer.normalizer if is_letter else None
            found = is_letter and (normalizer is None or normalizer.normalize_str(letter) == letter)
            self._plain[letter] = found
        return found

    def _read_vocabulary(self) -> None:
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        self._known = {token for token in vocabulary if len(token) == 1}
        self._joined = {token[place : place + 2] for token in vocabulary for place in range(len(token) - 1)}


def _bytes_of(letter: str) -> str:
    """A letter beyond ASCII as byte-level BPE writes its bytes."""
    return "".join(_BYTES[byte] for byte in letter.encode())


def _byte_letters() -> dict[int, str]:
    """Bytes that print are themselves, others follow from 256 on. Source: GPT-2's bytes_to_unicode."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + index) for index, byte in enumerate(others)}


_BYTES = _byte_letters()
