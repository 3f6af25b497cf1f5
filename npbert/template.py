"""Where a tokenizer puts special tokens around a text, or around and between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding


@dataclass(frozen=True)
class Template:
    """[CLS] A [SEP], or [CLS] A [SEP] B [SEP]: one more part than there are texts."""

    parts: tuple[list[int], ...]  # ids of the special tokens before, between and after the texts
    part_types: tuple[int, ...]  # the token type of each part
    text_types: tuple[int, ...]  # the token type of each text

    @property
    def count(self) -> int:
        """How many special tokens there are."""
        return sum(map(len, self.parts))

    def ids(self, *texts: list[int]) -> list[int]:
        """The ids of texts with special tokens around them."""
        ids = list(self.parts[0])
        for text, part in zip(texts, self.parts[1:], strict=True):
            ids += text
            ids += part
        return ids

    def token_types(self, *lengths: int) -> list[int]:
        """The token types of texts of so many tokens, special tokens included."""
        types = [self.part_types[0]] * len(self.parts[0])
        for length, text_type, part, part_type in zip(
            lengths, self.text_types, self.parts[1:], self.part_types[1:], strict=True
        ):
            types += [text_type] * length
            types += [part_type] * len(part)
        return types


def read_template(row: Encoding, texts: int) -> Template:
    """The template by which a row was made of so many texts of at least a token each.

    Raises:
        ValueError: the texts are not in order, each once and in one piece, or a part has several token types.
    """
    parts: list[list[int]] = [[]]
    types: list[set[int]] = [set()]
    text_types: list[set[int]] = []
    before: int | None = None
    for index, kind, text in zip(row.ids, row.type_ids, row.sequence_ids, strict=True):
        if text is None:
            parts[-1].append(index)
            types[-1].add(kind)
        elif text == before:
            text_types[-1].add(kind)
        else:
            if text != len(text_types):
                raise ValueError(f"wanted text {len(text_types)} next, found text {text}")
            text_types.append({kind})
            parts.append([])
            types.append(set())
        before = text
    if len(text_types) != texts:
        raise ValueError(f"wanted {texts} texts, found {len(text_types)}")
    if any(len(kinds) > 1 for kinds in (*types, *text_types)):
        raise ValueError(
            "wanted one token type for each text and each group of special tokens, found several"
        )
    return Template(
        tuple(parts),
        tuple(min(kinds, default=0) for kinds in types),
        tuple(min(kinds) for kinds in text_types),
    )
