"""The forward pass of BERT and its kin, written once, on ops alone. It knows nothing of threads, tiles or devices.

Source: https://arxiv.org/abs/1810.04805, and transformers' models, whose outputs these are. What tells one family
from another is which parts an encoder has: see `load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from npbert_kernels.ops import Batch, Dtype, Ops, Placed, Rows, TableRows

from npbert.models.architecture import Encoder
from npbert.models.config import EncoderConfig


class Layer(NamedTuple):
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
class BertEncoder(Encoder):
    """A part that a family lacks is None."""

    config: EncoderConfig
    words: TableRows  # [V, E]
    word_table: Placed  # [V, E]
    positions: Placed | None  # [max_position_embeddings, E]
    token_types: Placed | None  # [type_vocab_size, E]
    embeddings_norm: Placed  # [E]
    projection: Placed | None  # [H, E]
    layers: tuple[Layer, ...]  # in the order of use; where they share weights, the same one several times
    pooler_weights: Placed | None  # [H, H]

    @cached_property
    def heads(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(layer.heads for layer in self.layers)

    @property
    def has_pooler(self) -> bool:
        return self.pooler_weights is not None

    def embeddings(self, ops: Ops, batch: Batch) -> Rows:
        positions = None if self.positions is None else (self.positions, batch.positions)
        token_types = None if self.token_types is None else (self.token_types, batch.token_types)
        if batch.inputs_embeds is not None:
            x = ops.embed_rows(batch.inputs_embeds, positions, token_types, self.embeddings_norm)  # [T, E]
        else:
            x = ops.embed(self.word_table, batch.ids, positions, token_types, self.embeddings_norm)  # [T, E]
        return x if self.projection is None else ops.linear(x, self.projection)

    def layer(
        self, index: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
    ) -> tuple[Rows, Rows | None]:
        config, weights = self.config, self.layers[index]
        qkv = ops.linear(x, weights.qkv)  # [T, 3 N D]
        context, p = ops.attention(
            qkv,
            batch.cu_seqlens,
            batch.key_lens,
            heads=weights.heads,
            head_size=config.head_size,
            head_mask=batch.head_mask_of(index),
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
        return ops.layer_norm(ops.linear(hidden, weights.output, residual=x), weights.output_norm), p

    def pooler(self, ops: Ops, first: Rows) -> Rows:
        return ops.linear(first, self.pooler_weights, activation="tanh")
