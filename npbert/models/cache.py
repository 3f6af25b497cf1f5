"""Keys and values that outlive a call, so that the next one computes new tokens alone."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from npbert_kernels.ops import Backend, Batch, Floats, Ints
from numpy.typing import ArrayLike, NDArray

from npbert.arrays import as_array, place, wrong
from npbert.models.batch import Packed, mask_of_rows
from npbert.models.config import EncoderConfig

ROOM = 64  # tokens that a new cache has room for, at least; it grows by doubling


class KeyValueCache:
    """The keys and values of a padded batch's tokens: a call with `use_cache=True` gives them, and the next takes them.

    A call that is given one adds its tokens to it. A call that fails leaves it as it was. It belongs to the model that
    made it, and one call at a time may have it. `copy.copy` and `copy.deepcopy` give one of the same model that goes on
    by itself.

    `cache[layer]` is (keys, values), float32 [B, N, P, D] each, of the P tokens so far; 0 where the mask left one out.
    """

    def __init__(self, owner: object, backend: Backend, layers: int, heads: int, head_size: int) -> None:
        """Internal: made by a model's call. owner: the weights that keys and values come from."""
        self.owner = owner
        self._backend = backend
        self._layers, self._heads, self._head_size = layers, heads, head_size
        self._memory: Floats = backend.cache(layers, 0, heads, 0, head_size)  # [L, B, 2, N, room, D or more]
        self._lens: Ints = np.zeros(0, np.int64)  # [B]
        self.kept: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)  # [B, P]: what masks kept

    def __copy__(self) -> KeyValueCache:
        L, B, _, N, room, _ = self._memory.shape
        other = KeyValueCache(self.owner, self._backend, L, N, self._head_size)
        other._memory = self._backend.cache(L, B, N, room, self._head_size)
        other._memory[:] = self._memory
        other._lens, other.kept = self._lens, self.kept  # which are never written to
        return other

    def __deepcopy__(self, memo: object) -> KeyValueCache:
        return copy(self)

    def __reduce__(self) -> str:
        raise TypeError("past_key_values: wanted by the model that they are of, which can't be pickled")

    def __len__(self) -> int:
        """L."""
        return self._layers

    def __getitem__(self, layer: int) -> tuple[Floats, Floats]:
        if not -self._layers <= layer < self._layers:
            raise IndexError(f"wanted a layer of {self._layers}, found {layer}")
        B, P = self.kept.shape
        found = np.zeros((2, B, self._heads, P, self._head_size), self._memory.dtype)
        for b, kept in enumerate(self.kept):
            found[:, b][:, :, kept] = self._memory[layer, b, :, :, : self._lens[b], : self._head_size]
        return found[0], found[1]

    def get_seq_length(self) -> int:
        """P, how many tokens each row has had so far, those that masks left out among them."""
        return int(self.kept.shape[1])

    def inputs(self, config: EncoderConfig, given: Mapping[str, Any]) -> dict[str, Any]:
        """A call's arguments for new tokens alone: positions go on, and the mask [B, P + S] is [B, S].

        Raises:
            ValueError: they do not go on from what is here.
        """
        inputs, P = dict(given), self.get_seq_length()
        name = "inputs_embeds" if given["input_ids"] is None else "input_ids"
        shape = as_array(name, given[name]).shape if given[name] is not None else ()
        if P == 0 or len(shape) < 2:
            return inputs
        B, S = shape[:2]
        if len(self._lens) != B:
            raise ValueError(f"past_key_values: wanted {B} rows, as {name} has, found {len(self._lens)}")
        if given["position_ids"] is None:
            if config.max_tokens < P + S:
                most = f"at most {config.max_tokens} tokens (max_position_embeddings), {P} of them in past_key_values"
                raise ValueError(f"{name}: wanted {most}, found {P + S}")
            inputs["position_ids"] = np.arange(P, P + S)[None]
        inputs["attention_mask"] = self._mask_of_new(given["attention_mask"], S)
        return inputs

    def _mask_of_new(self, attention_mask: ArrayLike | None, S: int) -> NDArray[np.bool_] | None:
        """[B, S] of a mask [B, P + S], which must keep of earlier tokens those that earlier calls kept."""
        B, P = self.kept.shape
        if attention_mask is None:
            if not self.kept.all():
                raise ValueError(f"attention_mask: wanted the shape {[B, P + S]}: earlier calls had one, found None")
            return None
        mask = mask_of_rows(attention_mask, (B, P + S))
        if (differs := mask[:, :P] != self.kept).any():
            where = tuple(np.argwhere(differs)[0])
            wrong(place("attention_mask", where), f"{int(self.kept[where])}, as in earlier calls", int(mask[where]))
        return mask[:, P:]

    def with_room(self, batch: Batch) -> Batch:
        """The batch, with memory that its keys and values are added to."""
        B, (_, blocks, _, _, room, width) = len(batch.key_lens), self._memory.shape
        if B == 0:
            return batch
        past = self._lens if len(self._lens) else np.zeros(B, np.int64)
        wanted = int((past + batch.key_lens).max())
        if blocks != B or wanted > room:
            grown = self._backend.cache(self._layers, B, self._heads, max(wanted, 2 * room, ROOM), self._head_size)
            grown[:, :blocks, :, :, :room] = self._memory
            self._memory, room = grown, grown.shape[4]
        return replace(
            batch,
            cache=self._memory.reshape(self._layers, -1),
            cache_at=np.arange(B) * (2 * self._heads * room * width),
            cache_room=np.full(B, room),
            past_lens=past,
        )

    def add(self, packed: Packed) -> None:
        """Counts the tokens of a call that has run."""
        new = packed.kept()
        P = self.get_seq_length()
        self.kept = np.concatenate([self.kept if P else np.zeros((len(new), 0), np.bool_), new], axis=1)
        self._lens = self.kept.sum(axis=1)
