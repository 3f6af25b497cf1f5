"""How many tokens of each text stay, and how much of a long text has to be read to know them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from npbert.texts import check_unicode

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Strategy: TypeAlias = Literal["longest_first", "only_first", "only_second"]
STRATEGIES: tuple[Strategy, ...] = ("longest_first", "only_first", "only_second")

CHARS_PER_TOKEN = 6  # of a long text's beginning; English has 4 to 5, and too few are noticed


def kept_lengths(first: int, second: int | None, room: int, strategy: Strategy) -> tuple[int, int]:
    """How many tokens of a text and of its pair stay, so that together they are at most `room`.

    Follows truncate_encodings of the tokenizers library, but for its errors, which become ValueError.
    """
    total = first + (second or 0)
    if total <= room:
        return first, second or 0
    if room == 0:
        return 0, 0
    if strategy == "only_second" and second is None:
        raise ValueError("truncation: 'only_second' wants a pair, found one text, and it is too long")
    if strategy == "longest_first":
        if second is None:
            return room, 0
        shorter = min(first, second)
        if 2 * shorter > room:
            shorter = room // 2
        longer = room - shorter
        return (longer, shorter) if first > second else (shorter, longer)

    fixed = (second or 0) if strategy == "only_first" else first
    if fixed >= room:
        raise ValueError(
            f"truncation: {strategy!r} can't be done: the other text has {fixed} tokens already, where "
            f"max_length leaves room for {room} without special tokens"
        )
    return (room - fixed, fixed) if strategy == "only_first" else (fixed, room - fixed)


class LongTexts:
    """Reads no more of a long text than its first tokens need. They are the same as without the cut.

    A text is cut right after a character c where BERT's tokenizer always ends a word: white space, which
    separates; punctuation, a word of its own; a Chinese character, which gets a space on either side. Then
    the tokens of the part before the cut are the first tokens of the whole, because nothing looks across:

    - an added token matches only where its own characters stand, and no c is a character of one;
    - the normalizer maps character by character, but for canonical decomposition, which reorders combining
      marks up to a character that is none, and c is none;
    - words are split after c, and WordPiece sees one word at a time.

    That there are enough of them is counted, not guessed: where there are too few, more is read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._end_of_word: re.Pattern[str] | None = None
        normalizer = tokenizer.normalizer
        if not (
            isinstance(normalizer, BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            and isinstance(tokenizer.model, WordPiece)
        ):
            return  # a pipeline of which the above isn't known: texts are read whole
        contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        contents += [normalizer.normalize_str(content) for content in contents]
        taken = set("".join(contents))
        if any(character.isspace() for character in taken):
            return  # the normalizer makes many characters a space
        ends = {*" \t\n\r", *string.punctuation, *"、。！，？"} - taken
        chinese = "\u3400-\u4dbf\u4e00-\u9fff" if normalizer.handle_chinese_chars else ""
        if any("\u3400" <= character <= "\u9fff" for character in taken):
            chinese = ""
        self._end_of_word = re.compile(f"[{re.escape(''.join(sorted(ends)))}{chinese}]")

    def encode(
        self, texts: Sequence[Any], count: int | None, encode: Callable[[Sequence[Any]], list[Encoding]]
    ) -> list[Encoding]:
        """`encode(texts)`, where of a text of more than `count` tokens only the first are sure to be there.

        Args:
            texts: what to read.
            count: how many tokens of each text are needed; None for all.
            encode: gives the tokens of texts, without special tokens.
        """
        if count is None or self._end_of_word is None:
            return encode(texts)
        chars = CHARS_PER_TOKEN * count
        if all(len(text) <= chars for text in texts):
            return encode(texts)
        beginnings = [self._beginning(text, chars) for text in texts]
        rows = encode(beginnings)
        while True:
            short = [
                index
                for index, (row, beginning, text) in enumerate(zip(rows, beginnings, texts, strict=True))
                if len(row) < count and len(beginning) < len(text)
            ]
            if not short:
                return rows
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
        end = self._end_of_word.search(text, chars)
        return text[: end.end()] if end else text
