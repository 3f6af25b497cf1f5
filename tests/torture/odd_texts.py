"""Texts that are hard to read: pieces of every script, broken ones, special tokens, runs, and any code point at all."""

from __future__ import annotations

import random
from dataclasses import dataclass

from strings import GLUE, PIECES

SPECIAL = (
    "[MASK]",
    "[CLS]",
    "[SEP]",
    "[PAD]",
    "[UNK]",
    "<s>",
    "</s>",
    "<mask>",
    "<pad>",
    "<unk>",
    "▁",
    "##",
    "Ġ",
    "<s>NOTUSED",
)
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u200b", "\u1680", "\x1c", "\x85")
SURROGATES = ("\ud800", "\udfff", "\udc00\ud800")


@dataclass(frozen=True)
class Piece:
    """A part of one of a case's texts. The text is what its parts make, in order."""

    slot: int  # which text
    text: str

    def __str__(self) -> str:
        return f"text {self.slot}: + {self.text!r}"

    @property
    def mark(self) -> str:
        return repr(self.text)


def pieces(dice: random.Random, slot: int, most: int) -> list[Piece]:
    """The parts of a text."""
    return [Piece(slot, _piece(dice)) for _ in range(dice.choice([0, 1, 1, 2, 3, 5, most]))]


def joined(steps: tuple[object, ...], slots: int) -> list[str]:
    """The texts that are left of so many."""
    parts: list[list[str]] = [[] for _ in range(slots)]
    for step in steps:
        if isinstance(step, Piece):
            parts[step.slot].append(step.text)
    return ["".join(part) for part in parts]


def _piece(dice: random.Random) -> str:
    way = dice.random()
    if way < 0.5:
        piece = dice.choice(PIECES)
        if dice.random() < 0.2:
            piece = piece[: dice.randint(0, len(piece))]
        return piece + dice.choice(GLUE)
    if way < 0.62:
        return dice.choice(SPECIAL) + dice.choice(GLUE)
    if way < 0.72:
        return dice.choice(SPACES) * dice.choice([1, 1, 2, 5])
    if way < 0.86:
        return "".join(_character(dice) for _ in range(dice.choice([1, 1, 2, 6])))
    if way < 0.93:
        return dice.choice(PIECES) * dice.choice([2, 7, 60])
    if way < 0.96:
        return (dice.choice(PIECES) + " ") * dice.choice([30, 400])
    if way < 0.965:
        return dice.choice(SURROGATES)
    return dice.choice(["the ", "cat", "un", "able", "s", ", ", "a "])


def _character(dice: random.Random) -> str:
    """Any code point that is one."""
    top = dice.choice([0x7F, 0xFF, 0x24F, 0x600, 0x3000, 0xD7FF, 0xFFFF, 0x1FFFF, 0x10FFFF])
    code = dice.randrange(top + 1)
    return chr(code) if not 0xD800 <= code <= 0xDFFF else "\ufffd"
