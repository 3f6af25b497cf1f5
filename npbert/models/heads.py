"""Heads: what they are, their tensors, and their forward pass on an encoder's rows.

All heads have one form, whose names `architecture.HeadNames` gives: a linear with an activation, a LayerNorm, a linear;
or without the first two. They differ in the rows that they look at and in the width of what they give.

Source: transformers' models, whose logits these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from npbert_kernels.ops import Activation, Batch, Forward, Ops, Placed, Rows, Store, TableRows

from npbert.checks import wrong
from npbert.files.checkpoint import Checkpoint
from npbert.models.architecture import Encoder, HeadNames
from npbert.models.config import ACTIVATIONS, EncoderConfig
from npbert.models.weights import NamedWeights, Shapes, canonical_name, place_linear, place_norm

RowsOf: TypeAlias = Literal["tokens", "first"]


class Kind(NamedTuple):
    """What all heads for one thing have in common, whatever the architecture."""

    rows: RowsOf  # those that it looks at: of all tokens, or of each sequence's position 0
    width: int | Literal["vocab_size", "num_labels"]  # how many numbers it gives for a row, or the config's key for it

    @property
    def labelled(self) -> bool:
        """Whether its numbers have names, config.id2label."""
        return self.width == "num_labels"


KINDS: dict[str, Kind] = {
    "masked_lm": Kind("tokens", "vocab_size"),
    "causal_lm": Kind("tokens", "vocab_size"),
    "replaced_tokens": Kind("tokens", 1),
    "token_classification": Kind("tokens", "num_labels"),
    "question_answering": Kind("tokens", 2),
    "next_sentence": Kind("first", 2),
    "sentence_order": Kind("first", 2),
    "sequence_classification": Kind("first", "num_labels"),
    "multiple_choice": Kind("first", 1),
}
"""What a head is for."""


class Head(NamedTuple):
    """A head's weights, placed in a backend's store."""

    rows: RowsOf
    pooled: bool  # whether the encoder's pooler comes first
    dense: Placed | None  # [H or E, H]
    activation: Activation | None
    norm: Placed | None  # [H or E]
    out: Placed  # [width, H or E]


def width(config: EncoderConfig, kind: str) -> int:
    """How many numbers a head gives for a row."""
    said = KINDS[kind].width
    found = said if isinstance(said, int) else getattr(config, said)
    assert isinstance(found, int)
    return found


def tied(config: EncoderConfig, names: HeadNames) -> bool:
    """Whether the last weight is that of the word embeddings."""
    return names.tied and config.tie_word_embeddings


def bias_name(config: EncoderConfig, names: HeadNames) -> str:
    """The last bias: beside the linear where the head has it there and the weight is tied, else the linear's own."""
    return names.bias if names.bias and tied(config, names) else f"{names.out}.bias"


def head_aliases(config: EncoderConfig, kind: str) -> dict[str, list[str]]:
    """HF's name -> what files may call the tensor, the name that counts first; of tensors that have several names."""
    names = config.architecture.heads[kind]
    aliases = {bias_name(config, names): [f"{names.out}.bias", names.bias]} if names.bias else {}
    words = config.architecture.words
    return {**aliases, words: [words, f"{names.out}.weight"]} if tied(config, names) else aliases


def untied(config: EncoderConfig, checkpoint: Checkpoint, kind: str) -> bool:
    """Whether a file has a last weight that is not the word embeddings', though config.json says so."""
    names = config.architecture.heads[kind]
    if not tied(config, names):
        return False
    stored = {canonical_name(name, config.architecture.prefix): name for name in checkpoint}
    words, own = stored.get(config.architecture.words), stored.get(f"{names.out}.weight")
    if words is None or own is None:
        return False
    if "I8" in (checkpoint.dtype(words), checkpoint.dtype(own)):
        return True
    return not np.array_equal(checkpoint.read(words), checkpoint.read(own))


def head_shapes(config: EncoderConfig, kind: str) -> Shapes:
    """HF's name -> shape, of a head's own tensors."""
    names = config.architecture.heads[kind]
    H, middle = config.hidden_size, config.embedding_size if names.factorised else config.hidden_size
    shapes: Shapes = {}
    if names.dense:
        shapes[f"{names.dense}.weight"] = (middle, H)
        if names.has_bias(config, 0):
            shapes[f"{names.dense}.bias"] = (middle,)
    if names.norm:
        shapes[f"{names.norm}.weight"] = (middle,)
        if names.has_bias(config, 1):
            shapes[f"{names.norm}.bias"] = (middle,)
    if not tied(config, names):
        shapes[f"{names.out}.weight"] = (width(config, kind), middle)
    if names.has_bias(config, 2):
        shapes[bias_name(config, names)] = (width(config, kind),)
    return shapes


def check_heads(config: EncoderConfig, kinds: Iterable[str]) -> None:
    """Raises ValueError where a key that only these heads read has a wrong value, or one that is not computed here."""
    for kind in kinds:
        config.check_head(kind)
        if KINDS[kind].labelled:
            config.check_labels()
        activation_of(config, config.architecture.heads[kind])


def place_head(config: EncoderConfig, weights: NamedWeights, store: Store, kind: str, words: TableRows) -> Head:
    """Places a head's weights in a store; a tied one is packed from the word embeddings [V, E], as the encoder's are.

    int8 embeddings are dequantized to float32 first.
    """
    names = config.architecture.heads[kind]
    dense = place_linear(weights, store, names.dense) if names.dense else None
    norm = place_norm(weights, store, names.norm, config.layer_norm_eps) if names.norm else None
    weight = words[:] if tied(config, names) else weights.read(f"{names.out}.weight")
    out = store.linear(weight, weights.read_if_there(bias_name(config, names)))
    return Head(KINDS[kind].rows, names.pooled, dense, activation_of(config, names), norm, out)


def activation_of(config: EncoderConfig, names: HeadNames) -> Activation | None:
    """Behind the first linear; None where there is none."""
    if names.dense is None or names.activation is not None:
        return names.activation
    if names.activation_key is None:
        return config.activation_op
    name = getattr(config, names.activation_key)
    if name is not None and not (isinstance(name, str) and name in ACTIVATIONS):
        raise wrong(names.activation_key, "null or one of " + ", ".join(ACTIVATIONS), name)
    return ACTIVATIONS[name] if name else None


def logits(head: Head, encoder: Encoder, ops: Ops, x: Rows) -> Rows:
    """[rows, H] -> [rows, width]."""
    if head.pooled:
        x = encoder.pooler(ops, x)
    if head.dense is not None:
        x = ops.linear(x, head.dense, activation=head.activation)
    if head.norm is not None:
        x = ops.layer_norm(x, head.norm)
    return ops.linear(x, head.out)


def head_forward(
    encoder: Encoder,
    heads: Mapping[str, Head],
    *,
    hidden_states: bool = False,
    attentions: bool = False,
    selected: bool = False,
) -> Forward:
    """Each head's logits by what it is for, and what else is asked for.

    The last layer is computed for those rows alone that a head looks at, if that is one head and nothing else is asked
    for. With `selected` heads of tokens look at the batch's selected rows.
    """

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        chosen = {"tokens": batch.selected if selected else None, "first": batch.first}
        wanted = {head.rows for head in heads.values()}
        rows = chosen[wanted.pop()] if len(wanted) == 1 else None
        x, outputs = encoder.encode(ops, batch, hidden_states=hidden_states, attentions=attentions, rows=rows)
        for kind, head in heads.items():
            looked_at = x if rows is not None or head.rows == "tokens" else ops.take(x, batch.first)
            outputs[kind] = logits(head, encoder, ops, looked_at)
        return outputs

    return forward
