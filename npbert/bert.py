"""BERT's forward pass, written once, on ops alone. It knows nothing of threads, tiles or devices.

Source: https://arxiv.org/abs/1810.04805, and transformers' BertModel, whose outputs these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from npbert_kernels.ops import Batch, Forward, Ops, Placed, Rows

from npbert.config import BertConfig

Pool: TypeAlias = Literal["cls", "max", "mean"]

LAST_HIDDEN_STATE = "last_hidden_state"
POOLER_OUTPUT = "pooler_output"


def hidden_state_name(layer: int) -> str:
    return f"hidden_states.{layer}"


def attention_name(layer: int) -> str:
    return f"attentions.{layer}"


@dataclass(frozen=True)
class Layer:
    qkv: Placed  # [3H, H]: query, key and value heads
    attention_output: Placed  # [H, H]
    attention_norm: Placed  # [H]
    intermediate: Placed  # [I, H]
    output: Placed  # [H, I]
    output_norm: Placed  # [H]


@dataclass(frozen=True)
class Bert:
    """A BERT encoder's weights, placed in a backend's store."""

    config: BertConfig
    words: Placed  # [V, H]
    positions: Placed  # [max_position_embeddings, H]
    token_types: Placed  # [type_vocab_size, H]
    embeddings_norm: Placed  # [H]
    layers: tuple[Layer, ...]
    pooler: Placed | None  # [H, H]


def embeddings(bert: Bert, ops: Ops, batch: Batch) -> Rows:
    """[T, H]."""
    positions = (bert.positions, batch.positions)
    token_types = (bert.token_types, batch.token_types)
    if batch.inputs_embeds is not None:
        return ops.embed_rows(batch.inputs_embeds, positions, token_types, bert.embeddings_norm)
    return ops.embed(bert.words, batch.ids, positions, token_types, bert.embeddings_norm)


def encoder_layer(
    bert: Bert, layer: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
) -> tuple[Rows, Rows | None]:
    """x [T, H] -> [T, H] and, if asked for, the probabilities. With `rows` [B], only those rows: [B, H]."""
    config, weights = bert.config, bert.layers[layer]
    qkv = ops.linear(x, weights.qkv)  # [T, 3H]
    context, p = ops.attention(
        qkv,
        batch.cu_seqlens,
        batch.key_lens,
        heads=config.num_attention_heads,
        head_size=config.head_size,
        head_mask=None if batch.head_mask is None else batch.head_mask[layer],
        probs=probs,
    )
    if rows is not None:  # nothing below looks at other rows
        context, x = ops.take(context, rows), ops.take(x, rows)
    x = ops.layer_norm(ops.linear(context, weights.attention_output, residual=x), weights.attention_norm)
    hidden = ops.linear(x, weights.intermediate, activation=config.activation)  # [T, I]
    x = ops.layer_norm(ops.linear(hidden, weights.output, residual=x), weights.output_norm)
    return x, p


def pooler(bert: Bert, ops: Ops, first: Rows) -> Rows:
    """The rows of the sequences' position 0, [B, H] -> [B, H]."""
    return ops.linear(first, bert.pooler, activation="tanh")


def model_forward(bert: Bert, *, hidden_states: bool = False, attentions: bool = False) -> Forward:
    """BertModel's outputs: each token's vector, the pooler's if there is one, and what else is asked for."""

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        outputs: dict[str, Rows] = {}
        x = embeddings(bert, ops, batch)
        for layer in range(len(bert.layers)):
            if hidden_states:
                outputs[hidden_state_name(layer)] = x
            x, p = encoder_layer(bert, layer, ops, batch, x, probs=attentions)
            if attentions:
                outputs[attention_name(layer)] = p
        outputs[LAST_HIDDEN_STATE] = x
        if bert.pooler is not None:
            outputs[POOLER_OUTPUT] = pooler(bert, ops, ops.take(x, batch.first))
        return outputs

    return forward


def embed_forward(bert: Bert, pooling: tuple[Pool, ...], *, normalize: bool = False) -> Forward:
    """One vector for each sequence and way of pooling, [B, H] each."""
    last = len(bert.layers) - 1

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        x = embeddings(bert, ops, batch)
        for layer in range(last):
            x, _ = encoder_layer(bert, layer, ops, batch, x)
        if pooling == ("cls",):  # the last layer is then needed for those rows alone
            x, _ = encoder_layer(bert, last, ops, batch, x, rows=batch.first)
            outputs = {"cls": x}
        else:
            x, _ = encoder_layer(bert, last, ops, batch, x)
            outputs = {mode: pool(ops, batch, x, mode) for mode in pooling}
        return {mode: ops.normalize(rows) for mode, rows in outputs.items()} if normalize else outputs

    return forward


def pool(ops: Ops, batch: Batch, x: Rows, mode: Pool) -> Rows:
    """[T, H] -> [B, H]."""
    if mode == "cls":
        return ops.take(x, batch.first)
    return ops.pool(x, batch.cu_seqlens, batch.key_lens, mode)
