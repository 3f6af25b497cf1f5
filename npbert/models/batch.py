"""Padded arrays in, one packed batch for the model; packed arrays out, padded again. All checks are here.

Tokens that the attention mask excludes are dropped, wherever they stand, and the others keep their positions.
Only position 0 stays, as a query that is never a key, so that a row's first output is what it would have been
with padding. At dropped positions, outputs are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from npbert_kernels.ops import BATCH_FIELDS, Along, Batch, Floats, Ints
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array, checked_floats, checked_integers, checked_lists, flat_integers, place, wrong
from npbert.models.config import EncoderConfig

ANY = 2**64  # a limit that no integer reaches
LOWEST_SCORE = -10000  # what is added to the score of a key that counts for nothing, or less than that
TOKEN_FIELDS = tuple(one for one in BATCH_FIELDS if one.along is Along.TOKENS)
REMEMBERED_TOKENS = 8192  # batches up to this size share their indices: 16 of them are 2 MiB at most


class Packed(NamedTuple):
    """A packed batch and the way back to [B, S]."""

    batch: Batch
    sequences: int  # B
    length: int  # S
    rows: Ints | None = None  # [T] where each packed row stands in B * S; None where all stand in place

    def kept(self) -> NDArray[np.bool_]:
        """[B, S]: what the attention mask keeps."""
        mask = np.zeros(self.sequences * self.length, np.bool_)
        batch = self.batch
        is_key = np.zeros(len(batch.positions) + 1, np.int64)  # + 1 where keys begin, - 1 where they end
        np.add.at(is_key, batch.cu_seqlens[:-1], 1)
        np.add.at(is_key, batch.cu_seqlens[:-1] + batch.key_lens, -1)
        keys = np.cumsum(is_key[:-1]).astype(np.bool_)
        mask[np.arange(len(keys)) if self.rows is None else self.rows] = keys
        return mask.reshape(self.sequences, self.length)


def pack(
    config: EncoderConfig,
    input_ids: ArrayLike | None,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
    head_mask: ArrayLike | None = None,
    inputs_embeds: ArrayLike | None = None,
    padding: bool = False,
) -> Packed:
    """Checks a call's arrays and packs the tokens that the mask keeps.

    Args:
        input_ids: [B, S] integers in 0 to V - 1, or
        inputs_embeds: [B, S, E] finite numbers that stand in for the word embeddings.
        attention_mask: [B, S] of 0 and 1 (or bool); None keeps all. [B, S, S] and [B, 1, S, S] say of each query which
            keys it attends to, [B, 1, S] and [B, 1, 1, S] of all of them; see `_read_mask`.
        token_type_ids: [B, S] integers; None is 0 everywhere. They make no difference to families without token types.
        position_ids: [B, S] or [1, S] integers; None counts each row's columns, or in RoBERTa's kin its tokens.
        head_mask: [N] or [L, N] finite factors on the attention probabilities.
        padding: pack what the mask excludes as well, as queries that are never keys.

    Raises:
        ValueError: names the argument, where in it, what was wanted and what was found.
    """
    if input_ids is not None and inputs_embeds is not None:
        raise ValueError("wanted one of input_ids and inputs_embeds, found both")
    ids: Ints | None = None
    embeds: Floats | None = None
    counted = position_ids is None  # positions, which end somewhere
    if input_ids is not None:
        found = as_array("input_ids", input_ids)
        if found.ndim == 2:
            _check_length(config, "input_ids", found.shape[1], counted)
        ids = checked_integers("input_ids", found, config.vocab_size)
        if ids.ndim != 2:
            wrong("input_ids", "the shape [sequences, tokens]", list(ids.shape))
        shape, name = ids.shape, "input_ids"
        ids = ids.reshape(-1)
    elif inputs_embeds is not None:
        found = as_array("inputs_embeds", inputs_embeds)
        if found.ndim == 3:
            _check_length(config, "inputs_embeds", found.shape[1], counted)
        embeds = checked_floats("inputs_embeds", found)
        if embeds.ndim != 3 or embeds.shape[2] != config.embedding_size:
            wrong("inputs_embeds", f"the shape [sequences, tokens, {config.embedding_size}]", list(embeds.shape))
        shape, name = embeds.shape[:2], "inputs_embeds"
        embeds = embeds.reshape(-1, config.embedding_size)
    else:
        raise ValueError("wanted one of input_ids and inputs_embeds, found neither")
    B, S = shape
    if S == 0 and B > 0:
        wrong(name, "at least one token in each row", f"the shape {[B, S]}")

    columns, token_types, cu_seqlens, key_lens, first = (
        _layout(B, S) if B * S <= REMEMBERED_TOKENS else _layout.__wrapped__(B, S)
    )
    if position_ids is None:
        positions = _positions(config, name, ids, columns, (B, S))
    else:
        positions = checked_integers("position_ids", position_ids, config.max_position_embeddings)
        if positions.shape not in ((B, S), (1, S)):
            wrong("position_ids", f"the shape {[B, S]} or {[1, S]}", list(positions.shape))
        # A copy: of rows of one token it would stay a view in which all are one number.
        positions = np.ascontiguousarray(np.broadcast_to(positions, (B, S))).reshape(-1)
    if token_type_ids is not None:
        given = checked_integers("token_type_ids", token_type_ids, _type_limit(config))
        if given.shape != (B, S):
            wrong("token_type_ids", f"the shape {[B, S]}", list(given.shape))
        if config.architecture.token_types:
            token_types = given.reshape(-1)
    stands = columns if config.needs_columns else None
    factors = None if head_mask is None else _head_mask(config, head_mask)
    kept, allowed = (None, None) if attention_mask is None else _read_mask(attention_mask, (B, S))
    batch = Batch(
        ids=ids,
        positions=positions,
        token_types=token_types,
        cu_seqlens=cu_seqlens,
        key_lens=key_lens,
        first=first,
        inputs_embeds=embeds,
        head_mask=factors,
        allowed=allowed,
        columns=stands,
    )
    if kept is None:
        return Packed(batch, B, S)
    rows, cu_seqlens, key_lens, first = _keep_all(kept) if padding else _keep(kept)
    taken = {one.name: array[rows] for one in TOKEN_FIELDS if (array := getattr(batch, one.name)) is not None}
    return Packed(replace(batch, **taken, cu_seqlens=cu_seqlens, key_lens=key_lens, first=first), B, S, rows)


def pack_lists(
    config: EncoderConfig,
    ids: Sequence[Sequence[int]],
    token_types: Sequence[Sequence[int]] | None = None,
    select: Sequence[Sequence[int]] | None = None,
) -> Batch:
    """Packs lists of ids, as a tokenizer gives them, without padding them first.

    select: for each list the columns, ascending, that Batch.selected is to hold.

    Raises:
        ValueError: a list is empty, too long, or holds an id or a column out of range; its index is named.
    """
    ids = checked_lists("ids", ids)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    longest = config.max_tokens
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= longest:
        b = int(np.argmax((lengths < 1) | (lengths > longest)))
        wrong(f"ids[{b}]", f"1 to {longest} tokens (max_position_embeddings)", int(lengths[b]))
    cu_seqlens = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(lengths, out=cu_seqlens[1:])
    first = cu_seqlens[:-1]
    types = np.zeros(cu_seqlens[-1], np.int64)
    if token_types is not None:
        token_types = checked_lists("token_types", token_types)
        for b, row in enumerate(token_types):
            if b < len(ids) and len(row) != lengths[b]:
                wrong(f"token_types[{b}]", f"{lengths[b]} of them, as of ids", len(row))
        if len(token_types) != len(ids):
            wrong("token_types", f"{len(ids)} lists, as of ids", len(token_types))
        given = flat_integers("token_types", token_types, _type_limit(config), first)
        types = given if config.architecture.token_types else types
    flat = flat_integers("ids", ids, config.vocab_size, first)
    columns = np.arange(cu_seqlens[-1]) - np.repeat(first, lengths)
    positions = columns
    if (padding := config.padding_position) is not None and len(flat):
        real = flat != padding
        counted = np.cumsum(real)
        positions = (counted - np.repeat(counted[first] - real[first], lengths)) * real + padding
    selected, cu_selected = (None, None) if select is None else _selected(select, lengths, first)
    return Batch(
        ids=flat,
        positions=positions,
        token_types=types,
        cu_seqlens=cu_seqlens,
        key_lens=lengths,
        first=first,
        columns=columns if config.needs_columns else None,
        selected=selected,
        cu_selected=cu_selected,
    )


def _selected(select: Sequence[Sequence[int]], lengths: Ints, first: Ints) -> tuple[Ints, Ints]:
    """selected [R], cu_selected [B + 1]."""
    select = checked_lists("columns", select)
    if len(select) != len(lengths):
        wrong("columns", f"{len(lengths)} lists, as of ids", len(select))
    cu_selected = np.zeros(len(select) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, select), np.int64, len(select)), out=cu_selected[1:])
    columns = flat_integers("columns", select, int(lengths.max(initial=0)), cu_selected[:-1])
    for b, (begin, end) in enumerate(pairwise(cu_selected)):
        row = columns[begin:end]
        if begin < end and (row[-1] >= lengths[b] or (np.diff(row) <= 0).any()):
            wrong(f"columns[{b}]", f"ascending numbers of 0 to {lengths[b] - 1}", row.tolist())
    return columns + np.repeat(first, np.diff(cu_selected)), cu_selected


def one_token(like: Batch) -> Batch:
    """A batch of one token, to run a program that was made for batches like this one."""
    parts: dict[str, Any] = {}
    for one in BATCH_FIELDS:
        array = getattr(like, one.name)
        if array is None or one.along is Along.BATCH:
            parts[one.name] = array
        elif one.along is Along.BOUNDARIES:
            parts[one.name] = np.arange(2)
        else:  # the one token is a key, and the pair that it makes is allowed
            fill = np.ones if one.name in ("key_lens", "allowed") else np.zeros
            parts[one.name] = fill((1, *array.shape[1:]), array.dtype)
    return Batch(**parts)


def unpack_tokens(packed: Packed, x: Floats) -> Floats:
    """[T, H] -> [B, S, H]: a view of x where nothing was dropped, else 0 where something was."""
    shape = (packed.sequences, packed.length, x.shape[1])
    if packed.rows is None:
        return x.reshape(shape)
    padded = np.zeros((shape[0] * shape[1], shape[2]), x.dtype)
    padded[packed.rows] = x
    return padded.reshape(shape)


def unpack_probs(packed: Packed, probs: Floats, heads: int, past: NDArray[np.bool_] | None = None) -> Floats:
    """Flat probabilities -> [B, N, S, P + S], queries by keys; 0 where either was dropped.

    past: [B, P], which tokens of earlier calls are keys.
    """
    P = 0 if past is None else past.shape[1]
    shape = (packed.sequences, heads, packed.length, P + packed.length)
    if packed.rows is None and (past is None or past.all()):
        return probs.reshape(shape)
    padded = np.zeros(shape, probs.dtype)
    places = np.arange(len(packed.batch.positions)) if packed.rows is None else packed.rows
    columns = places % packed.length  # [T]
    done = 0
    for b, new in enumerate(packed.batch.key_lens):
        queries = columns[packed.batch.cu_seqlens[b] : packed.batch.cu_seqlens[b + 1]]
        keys = queries[:new] if past is None else np.concatenate([np.flatnonzero(past[b]), P + queries[:new]])
        size = heads * len(queries) * len(keys)
        padded[b][:, queries[:, None], keys] = probs[done : done + size].reshape(heads, len(queries), len(keys))
        done += size
    return padded


@lru_cache(maxsize=16)
def _layout(B: int, S: int) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """columns [T], token_types [T], cu_seqlens [B + 1], key_lens, first [B] where nothing is dropped."""
    cu_seqlens = np.arange(B + 1) * S
    arrays = np.tile(np.arange(S if B else 0), B), np.zeros(B * S, np.int64), cu_seqlens, np.full(B, S), cu_seqlens[:-1]
    for array in arrays:
        array.flags.writeable = False  # they are shared between calls
    return arrays


def _read_mask(attention_mask: ArrayLike, shape: tuple[int, int]) -> tuple[NDArray[np.bool_] | None, Floats | None]:
    """[B, S], what the mask keeps, and flat [B * S * S], which keys each query attends to; None where that is all.

    Only one of the two is there: what is the same for all queries is a mask of keys.
    """
    mask = as_array("attention_mask", attention_mask)
    if mask.dtype.kind not in "biuf":
        wrong("attention_mask", "0 and 1, as integers, floats or bool", f"the dtype {mask.dtype}")
    B, S = shape
    if mask.shape not in (shape, (B, S, S), (B, 1, S), (B, 1, S, S), (B, 1, 1, S)):
        wrong("attention_mask", f"the shape {[B, S]}, {[B, S, S]} or {[B, 1, S, S]}", list(mask.shape))
    # transformers adds floats of four axes to scores as they are.
    added = mask.ndim == 4 and mask.dtype.kind == "f"
    kept: NDArray[np.bool_] = mask == (0 if added else 1)
    keeps = np.count_nonzero(kept)
    if keeps == mask.size:
        return None, None
    drops = mask <= LOWEST_SCORE if added else mask == 0
    if keeps + np.count_nonzero(drops) != mask.size:
        where = tuple(np.argwhere(~kept & ~drops)[0])
        wanted = f"0, or {LOWEST_SCORE} and less: floats of four axes are added to scores" if added else "0 or 1"
        wrong(place("attention_mask", where), wanted, mask[where])
    if mask.ndim == 2:
        return kept, None
    kept = kept.reshape(B, -1, S)
    if (kept == kept[:, :1]).all():
        return kept[:, 0], None
    return None, np.ascontiguousarray(kept.reshape(-1), np.float32)


def mask_of_rows(attention_mask: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """[B, S], what a mask keeps for all queries.

    Raises:
        ValueError: it is none, or queries have keys of their own.
    """
    kept, allowed = _read_mask(attention_mask, shape)
    if allowed is not None:
        wrong("attention_mask", f"the shape {list(shape)}, the same for all queries", list(np.shape(attention_mask)))
    return np.ones(shape, np.bool_) if kept is None else kept


def _keep(kept: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    """rows [T], cu_seqlens [B + 1], key_lens, first [B]: what is kept, then position 0 if it isn't."""
    B, S = kept.shape
    key_lens = np.count_nonzero(kept, axis=1)
    asks_only = ~kept[:, 0]  # [B]
    cu_seqlens = np.zeros(B + 1, np.int64)
    np.cumsum(key_lens + asks_only, out=cu_seqlens[1:])
    first = np.where(asks_only, cu_seqlens[1:] - 1, cu_seqlens[:-1])
    is_key = np.ones(cu_seqlens[-1], np.bool_)
    is_key[first[asks_only]] = False
    rows = np.empty(cu_seqlens[-1], np.int64)
    rows[is_key] = np.flatnonzero(kept)
    rows[~is_key] = np.flatnonzero(asks_only) * S
    return rows, cu_seqlens, key_lens, first


def _keep_all(kept: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    """As _keep, with all that is not kept behind what is."""
    B, S = kept.shape
    key_lens = np.count_nonzero(kept, axis=1)
    begins = np.arange(B) * S
    order = np.argsort(~kept, axis=1, kind="stable")  # [B, S] columns
    first = begins + np.where(kept[:, 0], 0, key_lens)
    return (order + begins[:, None]).reshape(-1), np.arange(B + 1) * S, key_lens, first


def _check_length(config: EncoderConfig, name: str, S: int, counted: bool) -> None:
    """Before anything of that length is made. RoBERTa's kin count tokens alone, without padding: in `_positions`."""
    longest = config.max_position_embeddings if config.relative_attention else config.max_tokens
    if longest < S and (config.relative_attention or (counted and config.padding_position is None)):
        wrong(name, f"rows of at most {longest} tokens (max_position_embeddings)", S)


def _positions(config: EncoderConfig, name: str, ids: Ints | None, columns: Ints, shape: tuple[int, int]) -> Ints:
    """[B * S], where the caller gives none. HF's rule for RoBERTa: padding is told by its id, not by the mask."""
    longest, padding = config.max_tokens, config.padding_position
    if padding is None:
        return columns
    if ids is None:
        if shape[1] > longest:
            wrong(name, f"rows of at most {longest} tokens (max_position_embeddings)", shape[1])
        return columns + (padding + 1)
    real = ids.reshape(shape) != padding
    counted = np.cumsum(real, axis=1)
    if shape[1] > longest and (over := counted[:, -1] > longest).any():
        row = int(np.argmax(over))
        wanted = f"at most {longest} tokens besides padding (max_position_embeddings)"
        wrong(f"{name}[{row}]", wanted, counted[row, -1])
    positions: Ints = (counted * real + padding).reshape(-1)
    return positions


def _type_limit(config: EncoderConfig) -> int:
    """Token types are below it: any integers where they make no difference."""
    if config.architecture.token_types is None:
        raise ValueError("token_type_ids: wanted None: that they are looked up among the words is not computed here")
    return config.type_vocab_size if config.architecture.token_types else ANY


def _head_mask(config: EncoderConfig, head_mask: ArrayLike) -> Floats:
    """[L, the most heads that a layer keeps]: those of kept heads first, where some are pruned."""
    L, N = len(config.layer_weights), config.num_attention_heads
    factors = checked_floats("head_mask", head_mask)
    if factors.shape not in ((N,), (L, N)):
        wrong("head_mask", f"the shape {[N]} or {[L, N]}", list(factors.shape))
    heads = [config.kept_heads(weights) for weights in config.layer_weights]
    rows = np.ones((L, max(map(len, heads))), np.float32)
    for row, kept, given in zip(rows, heads, np.broadcast_to(factors, (L, N)), strict=True):
        row[: len(kept)] = given[kept]
    return rows
