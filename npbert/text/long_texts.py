"""How much of a long text has to be read to know its first tokens."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenizers import Regex
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFC, NFD, NFKC, NFKD, BertNormalizer, Lowercase, Precompiled, Replace, StripAccents
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Metaspace, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from npbert.text.inputs import check_unicode
from npbert.text.rows import in_pieces
from npbert.text.seams import Seams
from npbert.text.steps import steps_of

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Encode: TypeAlias = "Callable[[Sequence[str]], list[Encoding]]"

PART = 2**14  # characters that are read at once, of texts that are read to their end
NEAR = 2**12  # characters to look for a space in
CHARS_PER_TOKEN = 6  # of a long text's beginning; English has 4 to 5, and too few are noticed


class LongTexts:
    """Reads no more of a long text than its first tokens need. They are the same as without the cut.

    A text is cut where every tokenizer of its kind ends a word, so that the tokens of the part before the cut
    are the first tokens of the whole, because nothing looks across. That there are enough of them is counted,
    not guessed: where there are too few, more is read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        after = _after_words(tokenizer)
        # A pattern of which the end is a place to cut, compiled when there is a long text.
        self._end_of_word = after or _before_spaces(tokenizer)
        self._seams = Seams(tokenizer, _taken(tokenizer)) if self._end_of_word and not after else None

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
            pieces = in_pieces([texts[index] for index in long], CHARS_PER_TOKEN * count)
            beginnings = [beginning for piece in pieces for beginning in self._read(piece, count, encode)[0]]
            for index, beginning in zip(long, beginnings, strict=True):
                shorter[index] = beginning
        return shorter

    def shorten_pair(self, first: str, second: str | None, count: int, encode: Encode) -> tuple[str, str | None]:
        """As `shorten`, of two texts of which the one with more tokens keeps more of them, or of one.

        For when they share an odd number of tokens: the longer one gets the odd token. If they are equal, the
        second one does.
        """
        if second is None:
            return self.shorten([first], count, encode)[0], None
        if self._end_of_word is None or max(len(first), len(second)) <= CHARS_PER_TOKEN * count:
            return first, second
        swapped = self._has_more(first, second, encode)
        shorter, longer = (second, first) if swapped else (first, second)
        (shorter,), (row,) = self._read([shorter], count, encode)
        (longer,), _ = self._read([longer], max(count, len(row) + 1), encode)
        return (longer, shorter) if swapped else (shorter, longer)

    def shorten_words(self, words: Sequence[str], count: int, encode: Callable[[Any], list[Encoding]]) -> Sequence[str]:
        """As `shorten`, of a text that is a list of words, none of which looks at another.

        encode: gives the tokens of texts that are words.
        """
        read = count
        while read < len(words) and len(encode([words[:read]])[0]) < count:
            read *= 4
        return words[:read]

    def rows(self, text: str, encode: Encode) -> Iterator[list[int]]:
        """The ids of a text, one row after the other, of which a part of it is read at a time."""
        begin = 0
        while True:
            end = len(text) if self._end_of_word is None else self._cut(text, begin, begin + PART)
            before = text[begin - 1 : begin] if begin else ""  # what follows a cut is read as it stands behind it
            known, row = encode([before, text[begin - len(before) : end]])
            yield row.ids[len(known) :]
            begin = end
            if begin >= len(text):
                return

    def _has_more(self, first: str, second: str, encode: Encode) -> bool:
        """Whether the first of two texts has more tokens than the second."""
        counts, rows = [0, 0], [self.rows(text, encode) for text in (first, second)]
        while True:
            behind = 0 if counts[0] <= counts[1] else 1
            row = next(rows[behind], None)
            if row is None:  # it has no more than the other one
                return behind == 1
            counts[behind] += len(row)

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
        """The text up to the first place to cut it after so many characters; the whole if there is none."""
        if len(text) <= chars or self._end_of_word is None:
            return text
        if not text.isascii():
            check_unicode(text, "text")  # as if it were read whole
        return text[: self._cut(text, 0, chars)]

    def _cut(self, text: str, begin: int, least: int) -> int:
        """The first place to cut a text from `least` on; its end if there is none."""
        pattern = re.compile(self._end_of_word or "")
        if self._seams is not None:
            # Not far, since a text without spaces has seams, and one with spaces needs none.
            end = pattern.search(text, least, least + NEAR)
            if end is not None:
                return end.end()
            seam = self._seams.find(text, max(least, begin + 1), least + NEAR)
            if seam is not None:
                return seam
        end = pattern.search(text, least)
        return end.end() if end else len(text)


def _after_words(tokenizer: Tokenizer) -> str | None:
    """Where to cut a text for BERT's pipeline; None for others.

    Right after a character c where it always ends a word: white space, which separates; punctuation, a word of
    its own; a Chinese character, which gets a space on either side.

    - An added token matches only where its own characters stand, and no c is a character of one; nor is c
      white space where one is that takes all white space after it.
    - The normalizer maps character by character, but for canonical decomposition, which reorders combining
      marks up to a character that is none, and c is none.
    - Words are split after c, and WordPiece sees one word at a time.
    """
    normalizer = tokenizer.normalizer
    if not (
        isinstance(normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
    ):
        return None
    taken = _taken(tokenizer)
    if any(character.isspace() for character in taken):
        return None  # the normalizer makes many characters a space
    added = tokenizer.get_added_tokens_decoder().values()
    ends = {*string.punctuation, *"、。！，？"} - taken
    if not any(token.rstrip for token in added):
        ends |= set(" \t\n\r")
    chinese = "\u3400-\u4dbf\u4e00-\u9fff" if normalizer.handle_chinese_chars else ""
    if any("\u3400" <= character <= "\u9fff" for character in taken):
        chinese = ""
    return f"[{re.escape(''.join(sorted(ends)))}{chinese}]"


def _before_spaces(tokenizer: Tokenizer) -> str | None:
    """Where to cut a text for byte-level BPE, and for sentencepiece's pipelines; None for others.

    Between a letter or digit and white space after it.

    - No added token has white space in it, and none takes all white space after it.
    - Normalizers map character by character, or grapheme by grapheme (a space begins one), or reorder and
      compose what is no white space; those that replace strings find none that begins with a letter or digit
      and has white space in it.
    - Words are split before white space, and the model sees one word at a time. A byte-level word may begin
      with a space, and white space is told apart by what follows it, but none of that is before the cut.
    """
    pre_tokenizer = tokenizer.pre_tokenizer
    words = steps_of(pre_tokenizer) if isinstance(pre_tokenizer, PreTokenizers) else [pre_tokenizer]
    normalizer = tokenizer.normalizer
    maps = steps_of(normalizer) if isinstance(normalizer, Normalizers) else [normalizer]
    if not all(step is None or isinstance(step, MAPS) or repr(step) in REPLACEMENTS for step in maps):
        return None
    if len(words) == 1 and isinstance(words[0], ByteLevel) and words[0].use_regex and maps == [None]:
        spaces = r" \t\n\r"
    elif len(words) == 1 and isinstance(words[0], Metaspace) and words[0].split:
        spaces = " "
    elif len(words) == 2 and isinstance(words[0], WhitespaceSplit) and isinstance(words[1], Metaspace):
        spaces = r" \t\n\r"
    else:
        return None
    if any(character.isspace() for character in _taken(tokenizer)):
        return None
    if any(token.rstrip for token in tokenizer.get_added_tokens_decoder().values()):
        return None
    return rf"(?<=\w)(?=[{spaces}])"


MAPS = (NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Precompiled)
REPLACEMENTS = {
    repr(Replace(*pair))
    for pair in (
        ("``", '"'),
        ("''", '"'),
        (Regex(" {2,}"), " "),
        (Regex(r"\A +| +\z"), ""),
    )  # the last of a text's ends
}


def _taken(tokenizer: Tokenizer) -> set[str]:
    """The characters of added tokens, as they are and as they are looked for."""
    added = tokenizer.get_added_tokens_decoder().values()
    taken = {character for token in added for character in token.content}
    for token in added:
        if token.normalized and tokenizer.normalizer is not None:
            taken |= set(tokenizer.normalizer.normalize_str(token.content))
    return taken
