"""The batches that are timed, and the arithmetic that their real tokens cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Feed: TypeAlias = dict[str, NDArray[np.int64]]
FEED_NAMES = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Case:
    """One batch: a name and the length of each sequence."""

    name: str
    lengths: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def padded_tokens(self) -> int:
        return len(self.lengths) * max(self.lengths)

    def feed(self) -> Feed:
        """input_ids, attention_mask, token_type_ids, each [B, S]; random ids that both vocabularies hold."""
        mask = np.arange(max(self.lengths)) < np.array(self.lengths)[:, None]
        ids = np.random.default_rng(1).integers(1000, 30000, mask.shape)
        return {
            "input_ids": ids * mask,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": np.zeros_like(ids),
        }

    def compared(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of an engine's output [B, S, H] what all engines must agree on: the real tokens."""
        rows: NDArray[np.float32] = output[self.feed()["attention_mask"].astype(bool)]
        return rows


@dataclass(frozen=True)
class IdsCase(Case):
    """A batch of these ids, a list for each sequence."""

    ids: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]]) -> IdsCase:
        return cls("ids", tuple(map(len, ids)), tuple(map(tuple, ids)))

    def feed(self) -> Feed:
        feed = super().feed()
        feed["input_ids"][feed["attention_mask"] == 1] = np.concatenate(self.ids)
        return feed


@dataclass(frozen=True)
class TextCase(Case):
    """A list of texts, of so many tokens each, special ones included."""

    def texts(self, vocabulary: Sequence[str]) -> list[str]:
        """Random words of a WordPiece vocabulary, each of which is one token."""
        words = np.array([word for word in vocabulary if word.isascii() and word.isalpha() and word.islower()])
        generator = np.random.default_rng(2)
        return [" ".join(generator.choice(words, length - 2)) for length in self.lengths]

    def compared(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        return output


def _ragged() -> tuple[int, ...]:
    """Texts as they come: 32 log-normal lengths, 785 tokens, 1,760 when padded to the longest."""
    lengths = np.exp(np.random.default_rng(0).normal(3.2, 0.6, 32)).astype(int)
    return tuple(np.clip(lengths, 5, 128).tolist())


CASES = {
    case.name: case
    for case in (
        Case("1x16", (16,)),
        Case("1x128", (128,)),
        Case("8x128", (128,) * 8),
        Case("ragged", _ragged()),
    )
}

TEXT_CASES = {case.name: case for case in (TextCase("32 mixed", _ragged()), TextCase("32 equal", (32,) * 32))}
ALL_CASES: dict[str, Case] = {**CASES, **TEXT_CASES}


@dataclass(frozen=True)
class Sizes:
    """What the arithmetic of an encoder depends on; HF's names."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int

    @property
    def weights(self) -> int:
        """Of the matrices that every token meets: four H x H and two H x I a layer."""
        hidden, inner = self.hidden_size, self.intermediate_size
        return self.num_hidden_layers * (4 * hidden**2 + 2 * hidden * inner)


def flops(sizes: Sizes, lengths: tuple[int, ...]) -> int:
    """Floating-point operations of the encoder's matrix products on real tokens alone, 2 a multiply-add.

    In each layer four H x H products and two H x I ones for every token, and q k^T and probs v: each
    length x length x H for every sequence. LayerNorm, softmax, GELU and biases are not counted.
    """
    attention = 4 * sizes.num_hidden_layers * sizes.hidden_size * sum(length**2 for length in lengths)
    return 2 * sizes.weights * sum(lengths) + attention
