"""What a bare encoder gives, as forward passes: each token's vector, or one for each sequence, pooled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from npbert_kernels.ops import Batch, Forward, Ops, Rows

from npbert.models.architecture import LAST_HIDDEN_STATE, POOLER_OUTPUT, Encoder

Pool: TypeAlias = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
POOLS: tuple[Pool, ...] = get_args(Pool)
Tail: TypeAlias = Callable[[Ops, Rows], Rows]  # what is done with pooled vectors: [B, width] -> [B, another]

EMBEDDING = "embedding"


def model_forward(encoder: Encoder, *, hidden_states: bool = False, attentions: bool = False) -> Forward:
    """The bare model's outputs: each token's vector, the pooler's if there is one, and what else is asked for."""

    def forward(ops: Ops, batch: Batch) -> dict[str, Rows]:
        x, outputs = encoder.encode(ops, batch, hidden_states=hidden_states, attentions=attentions)
        outputs[LAST_HIDDEN_STATE] = x
        if encoder.has_pooler:
            outputs[POOLER_OUTPUT] = encoder.pooler(ops, ops.take(x, batch.first))
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
            vectors, _ = encoder.encode(ops, batch, rows=batch.pooled_from if skip_cls else batch.first)
        else:
            x, _ = encoder.encode(ops, batch)
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
