"""The forward pass of BERT and its kin, written once, on ops alone. It knows nothing of threads, tiles or devices.

Source: https://arxiv.org/abs/1810.04805, and transformers' models, whose outputs these are. What tells one family
from another is which of an Encoder's parts it has: see `family` and `weights`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from npbert_kernels.ops import Batch, Dtype, Forward, Ops, Placed, Rows, TableRows

from npbert.models.config import EncoderConfig

Pool: TypeAlias = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
POOLS: tuple[Pool, ...] = get_args(Pool)
Tail: TypeAlias = Callable[[Ops, Rows], Rows]  # what is done with pooled vectors: [B, width] -> [B, another]

LAST_HIDDEN_STATE = "last_hidden_state"
POOLER_OUTPUT = "pooler_output"
EMBEDDING = "embedding"


def hidden_state_name(layer: int) -> str:
    return f"hidden_states.{layer}"


def attention_name(layer: int) -> str:
    return f"attentions.{layer}"


@dataclass(frozen=True)
class Layer:
    heads: int  # N, less those that are pruned
    qkv: Placed  # [3 N D, H]: query, key and value heads
    relative: Placed | None  # what scores gain by the distance of query and key
    attention_dtype: Dtype  # of q k^T and of probs v
    attention_output: Placed  # [H, N D]
    attention_norm: Placed  # [H]
    intermediate: Placed  # [I, H]
    output: Placed  # [H, I]
    output_norm: Placed  # [H]


@dataclass(frozen=True)
class Encoder:
    """An encoder's weights, placed in a backend's store."""

    config: EncoderConfig
    word_rows: TableRows  # [V, E]
    words: Placed  # [V, E]
    positions: Placed  # [max_position_embeddings, E]
    token_types: Placed  # [type_vocab_size, E]
    embeddings_norm: Placed  # [E]
    projection: Placed | None  # [H, E]
    layers: tuple[Layer, ...]  # in the order of use; where they share weights, the same one several times
    pooler: Placed | None  # [H, H]


def embeddings(encoder: Encoder, ops: Ops, batch: Batch) -> Rows:
    """[T, H]."""
    positions = (encoder.positions, batch.positions)
    token_types = (encoder.token_types, batch.token_types)
    if batch.inputs_embeds is not None:
        x = ops.embed_rows(batch.inputs_embeds, positions, token_types, encoder.embeddings_norm)  # [T, E]
    else:
        x = ops.embed(encoder.words, batch.ids, positions, token_types, encoder.embeddings_norm)  # [T, E]
    return x if encoder.projection is None else ops.linear(x, encoder.projection)


def encoder_layer(
    encoder: Encoder, layer: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
) -> tuple[Rows, Rows | None]:
    """x [T, H] -> [T, H] and, if asked for, the probabilities. With `rows` [R], only those rows: [R, H]."""
    config, weights = encoder.config, encoder.layers[layer]
    qkv = ops.linear(x, weights.qkv)  # [T, 3 N D]
    context, p = ops.attention(
        qkv,
        batch.cu_seqlens,
        batch.key_lens,
        heads=weights.heads,
        head_size=config.head_size,
        head_mask=None if batch.head_mask is None else batch.head_mask[layer],
        allowed=batch.allowed,
        probs=probs,
        relative=weights.relative,
        columns=batch.columns,
        dtype=weights.attention_dtype,
    )
    if rows is not None:  # nothing below looks at other rows
        context, x = ops.take(context, rows), ops.take(x, rows)
    x = ops.layer_norm(ops.linear(context, weights.attention_output, residual=x), weights.attention_norm)
    hidden = ops.linear(x, weights.intermediate, activation=config.activation_op)  # [T, I]
    x = ops.layer_norm(ops.linear(hidden, weights.output, residual=x), weights.output_norm)
    return x, p


def encode(
    encoder: Encoder,
    ops: Ops,
    batch: Batch,
    *,
    hidden_states: bool = False,
    attentions: bool = False,
    rows: Rows | None = None,
) -> tuple[Rows, dict[str, Rows]]:
    """The last layer's [T, H], or with `rows` [R] only those rows of it, [R, H]; and by name what else is asked for.

    hidden_states: what goes into each layer, and last_hidden_state. attentions: each layer's probabilities.
    """
    outputs: dict[str, Rows] = {}
    x = embeddings(encoder, ops, batch)
    last = len(encoder.layers) - 1
    for layer in range(len(encoder.layers)):
        if hidden_states:
            outputs[hidden_state_name(layer)] = x
        wanted = rows if layer == last and not hidden_states else None
        x, p = encoder_layer(encoder, layer, ops, batch, x, probs=attentions, rows=wanted)
        if attentions:
            outputs[attention_name(layer)] = p
    if hidden_states:
        outputs[LAST_HIDDEN_STATE] = x
        x = x if rows is None else ops.take(x, rows)
    return x, outputs


def pooler(encoder: Encoder, ops: Ops, first: Rows) -> Rows:
    """The rows of the sequences' position 0, [B, H] -> [B, H]."""
    return ops.linear(first, encoder.pooler, activation="tanh")


def model_forward(encoder: Encoder, *, hidden_states: bool = False, attentions: bool = False) -> Forward:
    """The bare model's outputs: each token's vector, the pooler's if there is one, and what else is asked for."""

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        x, outputs = encode(encoder, ops, batch, hidden_states=hidden_states, attentions=attentions)
        outputs[LAST_HIDDEN_STATE] = x
        if encoder.pooler is not None:
            outputs[POOLER_OUTPUT] = pooler(encoder, ops, ops.take(x, batch.first))
        return outputs

    return forward


def embed_forward(
    encoder: Encoder,
    pooling: tuple[Pool, ...],
    tail: Tail | None = None,
    *,
    normalize: bool = False,
    skip: bool = False,
    skip_cls: bool = False,
) -> Forward:
    """One vector for each sequence, [B, width]: what `pooling` gives side by side, then `tail`, then its direction.

    With `skip`, pooling begins at the rows that the batch has in `pooled_from`; "cls" does so with `skip_cls`.
    """

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        if pooling == ("cls",):  # the last layer is then needed for those rows alone
            vectors, _ = encode(encoder, ops, batch, rows=batch.pooled_from if skip_cls else batch.first)
        else:
            x, _ = encode(encoder, ops, batch)
            parts = [pool(ops, batch, x, mode, skip=skip_cls if mode == "cls" else skip) for mode in pooling]  # [B, H]
            vectors = parts[0] if len(parts) == 1 else ops.concat(parts)
        if tail is not None:
            vectors = tail(ops, vectors)
        return {EMBEDDING: ops.normalize(vectors) if normalize else vectors}

    return forward


def pool(ops: Ops, batch: Batch, x: Rows, mode: Pool, *, skip: bool = False) -> Rows:
    """[T, H] -> [B, H]."""
    if mode == "cls":
        return ops.take(x, batch.pooled_from if skip else batch.first)
    return ops.pool(x, batch.cu_seqlens, batch.key_lens, mode, **({"first": batch.pooled_from} if skip else {}))
