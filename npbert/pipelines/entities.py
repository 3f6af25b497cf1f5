"""Tokens with label scores -> entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from npbert_kernels.ops import Floats

Strategy = Literal["none", "simple", "first", "average", "max"]
STRATEGIES = ("none", "simple", "first", "average", "max")

Entity = dict[str, Any]
Join = Callable[[list[str]], str]  # tokens -> text


@dataclass(frozen=True)
class Token:
    """A token of a text, with what the model says of it."""

    index: int  # in the row
    word: str
    start: int  # in the text
    end: int
    continues: bool  # the word that the token before it belongs to
    scores: Floats  # [labels]


def entities_of(tokens: Sequence[Token], strategy: Strategy, labels: Mapping[int, str], join: Join) -> list[Entity]:
    """Entities in order: one for each token with "none", else groups of neighbours with the same label."""
    if strategy == "none":
        return [
            {
                "entity": labels[int(token.scores.argmax())],
                "score": float(token.scores.max()),
                "index": token.index,
                "word": token.word,
                "start": token.start,
                "end": token.end,
            }
            for token in tokens
        ]
    words = [[token] for token in tokens]
    if strategy != "simple":
        words = _words(tokens)
    return _grouped([_labelled(word, strategy, labels, join) for word in words], join)


def without_overlaps(entities: Sequence[Entity]) -> list[Entity]:
    """Of entities that overlap, which windows over a text give, the longest; of equally long ones the likeliest."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: int(entity["start"])):
        if kept and kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            if _rank(entity) > _rank(kept[-1]):
                kept[-1] = entity
        else:
            kept.append(entity)
    return kept


def _rank(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.continues:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _labelled(tokens: Sequence[Token], strategy: Strategy, labels: Mapping[int, str], join: Join) -> Entity:
    """A word with the label of its first token, of its surest one, or the one that is likeliest on average."""
    if strategy == "average":
        scores: Floats = np.stack([token.scores for token in tokens]).mean(axis=0)
    elif strategy == "max":
        scores = max(tokens, key=lambda token: float(token.scores.max())).scores
    else:
        scores = tokens[0].scores
    return {
        "entity": labels[int(scores.argmax())],
        "score": float(scores.max()),
        # A token that is no word of its own yet keeps its mark ("##ing"): joining the group removes it.
        "word": tokens[0].word if strategy == "simple" else join([token.word for token in tokens]),
        "start": tokens[0].start,
        "end": tokens[-1].end,
    }


def _grouped(words: Sequence[Entity], join: Join) -> list[Entity]:
    """Neighbours with the same tag together; a tag that begins with "B-" begins a group."""
    groups: list[list[Entity]] = []
    for word in words:
        begins, tag = _tag(word["entity"])
        if groups and not begins and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(word)
        else:
            groups.append([word])
    return [
        {
            "entity_group": group[0]["entity"].split("-", 1)[-1],
            "score": float(np.mean([word["score"] for word in group])),
            "word": join([word["word"] for word in group]),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in groups
    ]


def _tag(label: str) -> tuple[bool, str]:
    """(begins a group, the tag). A label without a prefix goes on."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label
