"""How much of a long text has to be read to know its first tokens."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from npbert.texts import check_unicode

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Encode: TypeAlias = "Callable[[Sequence[str]], list[Encoding]]"

CHARS_PER_TOKEN = 6  # of a long text's beginning; English has 4 to 5, and too few are noticed


class LongTexts:
    """Reads no more of a long text than its first tokens need. They are the same as without the cut.

    A text is cut right after a character c where BERT's tokenizer always ends a word: white space, which
    separates; punctuation, a word of its own; a Chinese character, which gets a space on either side. Then
    the tokens of the part before the cut are the first tokens of the whole, because nothing looks across:

    - an added token matches only where its own characters stand, and no c is a character of one; nor is c
      white space where one is that takes all white space after it;
    - the normalizer maps character by character, but for canonical decomposition, which reorders combining
      marks up to a character that is none, and c is none;
    - words are split after c, and WordPiece sees one word at a time.

    That there are enough of them is counted, not guessed: where there are too few, more is read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._end_of_word: str | None = None  # a pattern, compiled when there is a long text
        normalizer = tokenizer.normalizer
        if not (
            isinstance(normalizer, BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            and isinstance(tokenizer.model, WordPiece)
        ):
            return  # a pipeline of which the above isn't known: texts are read whole
        added = tokenizer.get_added_tokens_decoder().values()
        taken = {character for token in added for character in token.content}
        for token in added:
            if token.normalized:
                taken |= set(normalizer.normalize_str(token.content))
        if any(character.isspace() for character in taken):
            return  # the normalizer makes many characters a space
        ends = {*string.punctuation, *"、。！，？"} - taken
        if not any(token.rstrip for token in added):
            ends |= set(" \t\n\r")
        chinese = "\u3400-\u4dbf\u4e00-\u9fff" if normalizer.handle_chinese_chars else ""
        if any("\u3400" <= character <= "\u9fff" for character in taken):
            chinese = ""
        self._end_of_word = f"[{re.escape(''.join(sorted(ends)))}{chinese}]"

    def encode(self, texts: Sequence[str], count: int, encode: Encode) -> list[Encoding]:
        """`encode(texts)`, where of a text of more than `count` tokens only the first are sure to be there.

        Args:
            texts: what to read.
            count: how many tokens of each text are needed.
            encode: gives the tokens of texts, without special tokens.
        """
        return self._read(texts, count, encode)[1]

    def shorten(self, texts: Sequence[str], count: int, encode: Encode) -> list[str]:
        """The texts, of the long ones a beginning that holds their first `count` tokens."""
        shorter = list(texts)
        long = [index for index, text in enumerate(texts) if len(text) > CHARS_PER_TOKEN * count]
        if long and self._end_of_word is not None:
            beginnings, _ = self._read([texts[index] for index in long], count, encode)
            for index, beginning in zip(long, beginnings, strict=True):
                shorter[index] = beginning
        return shorter

    def _read(self, texts: Sequence[str], count: int, encode: Encode) -> tuple[list[str], list[Encoding]]:
        """Beginnings of texts, and their tokens: `count` at least, or the text is whole."""
        chars = CHARS_PER_TOKEN * count
        beginnings = [self._beginning(text, chars) for text in texts]
        rows = encode(beginnings)
        while True:
            short = [
                index
                for index, (row, beginning, text) in enumerate(zip(rows, beginnings, texts, strict=True))
                if len(row) < count and len(beginning) < len(text)
            ]
            if not short:
                return beginnings, rows
            chars *= 4
            again = [self._beginning(texts[index], chars) for index in short]
            for index, beginning, row in zip(short, again, encode(again), strict=True):
                beginnings[index], rows[index] = beginning, row

    def _beginning(self, text: str, chars: int) -> str:
        """The text up to the first end of a word after so many characters; the whole if there is none."""
        if len(text) <= chars or self._end_of_word is None:
            return text
        if not text.isascii():
            check_unicode(text, "text")  # as if it were read whole
        end = re.compile(self._end_of_word).search(text, chars)
        return text[: end.end()] if end else text
