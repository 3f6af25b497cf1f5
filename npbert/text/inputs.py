"""What a tokenizer may be given: a text, words, a pair, or a batch of these; and which of them is bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from npbert.sequences import as_list, described, is_table

Text: TypeAlias = str | Sequence[str]  # a text, or its words


class TextError(TypeError, ValueError):
    """A text is no text: not a str, or not valid Unicode. It is both, since others raise either."""


class Texts(NamedTuple):
    """A checked batch, but for lone surrogates: looking for them takes as long as tokenizing."""

    first: list[Text]
    second: list[Text | None]  # None where a text stands alone
    batched: bool  # False for one text: its answer has no batch axis
    words: bool  # each text is a list of words

    def items(self) -> list[Any]:
        """Each text, or (text, text) where it has a second: what `tokenizers` takes."""
        return [a if b is None else (a, b) for a, b in zip(self.first, self.second, strict=True)]

    def check_unicode(self) -> None:
        """Raises TextError for the first text that holds a lone surrogate."""
        for index, pair in enumerate(zip(self.first, self.second, strict=True)):
            for name, text in zip(("text", "text_pair"), pair, strict=True):
                where = f"{name}[{index}]" if self.batched else name
                if isinstance(text, str):
                    check_unicode(text, where)
                elif text is not None:
                    for number, word in enumerate(text):
                        check_unicode(word, f"{where}[{number}]")


def read_texts(text: Any, text_pair: Any, words: bool) -> Texts:
    """The texts of a tokenizer's call, told apart as transformers does.

    Args:
        text: a text, or a list of them; where `words`, a list of words, or a list of such lists. An item of
            a batch may be a pair (two texts, or two lists of words) where text_pair is None. What `as_list` takes for
            a list is one.
        text_pair: None, or what goes with `text`, item by item.
        words: texts come split into words.

    Raises:
        TextError: something is no text; where it stands is named.
        ValueError: the two batches differ in length.
    """
    if text is None:
        raise TextError("text: wanted a text or a list of texts, found None")
    text, text_pair = _listed(text, words), _listed(text_pair, words)
    batched = _is_list(text) and (not words or (len(text) > 0 and _is_list(text[0])))
    if not batched:
        _check(text, "text", words)
        if text_pair is not None:
            _check(text_pair, "text_pair", words)
        second = text_pair if text_pair else None  # an empty second text is none, as transformers has it
        return Texts([text], [second], False, words)

    if text_pair is None:
        pairs = []
        for index, item in enumerate(text):
            where = f"text[{index}]"
            if _is_pair(item, words):
                _check(item[0], f"{where}[0]", words)
                _check(item[1], f"{where}[1]", words)
                pairs.append((item[0], item[1]))
            else:
                _check(item, where, words)
                pairs.append((item, None))
        return Texts([first for first, _ in pairs], [second for _, second in pairs], True, words)

    if not _is_list(text_pair):
        raise TextError(f"text_pair: wanted a list as long as text, {len(text)} items, found {described(text_pair)}")
    if len(text_pair) != len(text):
        raise ValueError(f"text_pair: wanted a list as long as text, {len(text)} items, found {len(text_pair)}")
    for name, items in (("text", text), ("text_pair", text_pair)):
        for index, item in enumerate(items):
            _check(item, f"{name}[{index}]", words)
    return Texts(list(text), list(text_pair), True, words)


def list_of(name: str, value: Any, wanted: str = "a list of texts") -> list[Any]:
    """The items of a list, or of what is one by another name: see `as_list`.

    Raises:
        TextError: it is one text, a dict, a set, a table, an array of other axes than one, or no list at all.
    """
    items = as_list(value)
    if items is None:
        found = "one text" if isinstance(value, str) else described(value)
        hint = ": one of its columns is a list" if is_table(value) else ""
        raise TextError(f"{name}: wanted {wanted}, found {found}{hint}")
    return items


def checked_texts(name: str, value: Any, wanted: str = "a list of texts") -> list[str]:
    """A list of texts, checked, each a plain str.

    Raises:
        TextError: as `list_of`, or an item is no text; its index is named.
    """
    texts = list_of(name, value, wanted)
    check_texts(texts, name)
    return texts if {*map(type, texts)} <= {str} else [str(text) for text in texts]


def check_texts(texts: Sequence[Any], name: str, start: int = 0) -> None:
    """Raises TextError for the first item that is no text; `start` is the index of the first."""
    for index, text in enumerate(texts, start):
        _check(text, f"{name}[{index}]", words=False)
        check_unicode(text, f"{name}[{index}]")


def check_unicode(text: str, where: str) -> None:
    """Raises TextError where a text holds half of a surrogate pair, which stands for no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise TextError(
            f"{where}: wanted valid Unicode, found a lone surrogate, U+{half:04X}, at character {error.start}"
        ) from None


def _is_pair(item: Any, words: bool) -> bool:
    return _is_list(item) and len(item) == 2 and (not words or _is_list(item[0]))


def _listed(value: Any, words: bool) -> Any:
    """A list where it is one by another name, its words and pairs too; else as it is, for `_check` to refuse."""
    if isinstance(value, str) or value is None:
        return value
    items = as_list(value)
    if items is None:
        return value
    if {*map(type, items)} <= {str, list, tuple}:
        return items
    inner = (None if isinstance(item, str | list | tuple) else as_list(item) for item in items)
    return [
        item if listed is None or not (words or len(listed) == 2) else listed
        for item, listed in zip(items, inner, strict=True)
    ]


def _check(text: Any, where: str, words: bool) -> None:
    if not words:
        if not isinstance(text, str):
            raise TextError(f"{where}: wanted a text (str), found {described(text)}")
        return
    if not _is_list(text):
        raise TextError(f"{where}: wanted a list of words, found {described(text)}")
    for index, word in enumerate(text):
        if not isinstance(word, str):
            raise TextError(f"{where}[{index}]: wanted a word (str), found {described(word)}")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
