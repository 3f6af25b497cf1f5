"""Models as users call them: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from npbert_kernels.ops import Backend, Batch, Floats, Forward, Program
from numpy.typing import ArrayLike

from npbert import batch as batches
from npbert.bert import (
    LAST_HIDDEN_STATE,
    POOLER_OUTPUT,
    Bert,
    Pool,
    attention_name,
    embed_forward,
    hidden_state_name,
    model_forward,
)
from npbert.checkpoint import Checkpoint
from npbert.config import AutoConfig, BertConfig
from npbert.hub import resolve
from npbert.outputs import BaseModelOutputWithPooling
from npbert.weights import has_pooler, load_bert, parameter_table, store_nbytes

BACKENDS = ("cpu", "reference")

# Larger batches are run in parts of whole sequences: activations take 4 (5 H + I) bytes a token, 55 MB for
# BERT-base at this many, and more rows at once make nothing faster.
TOKEN_BUDGET = 2048

POOLINGS: tuple[Pool, ...] = ("cls", "max", "mean")  # several are joined in this order


@dataclass(frozen=True)
class Embedding:
    """The word embeddings, read-only: as they stand in the file where that holds them as float32."""

    weight: Floats  # [V, H]

    def __call__(self, input_ids: ArrayLike) -> Floats:
        """Rows of the table: integers [...] -> float32 [..., H].

        Raises:
            ValueError: an id that is no integer or out of range.
        """
        rows: Floats = self.weight[batches.checked_integers("input_ids", input_ids, len(self.weight))]
        return rows

    @property
    def num_embeddings(self) -> int:
        """V."""
        return len(self.weight)

    @property
    def embedding_dim(self) -> int:
        """H."""
        return len(self.weight[0])


class BertModel:
    """A BERT encoder. Made by `from_pretrained`; several threads may call one model at once.

    Follows transformers.BertModel: https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertModel
    """

    config: BertConfig

    def __init__(self, bert: Bert, checkpoint: Checkpoint, backend: Backend, words: Floats) -> None:
        """Internal: weights placed in a store of the backend's; words [V, H] maps the checkpoint's file."""
        self.config = bert.config
        self._bert = bert
        self._checkpoint = checkpoint
        self._backend = backend
        self._words = words
        self._programs: dict[object, Program] = {}

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        add_pooling_layer: bool = True,
        backend: str | Backend = "cpu",
    ) -> BertModel:
        """Loads a model from its config.json and its safetensors files.

        Args:
            name: a folder, a hub id, or `package:NAME` (an installed package that carries a model folder).
            revision, token, cache_dir, local_files_only: as huggingface_hub takes them; hub ids only.
            add_pooling_layer: False leaves the pooler out; pooler_output is None then. A pooler that the file
                lacks is left out as well, with a warning.
            backend: "cpu" (compiled kernels) or "reference" (NumPy: slow, needs no compiler).

        Raises:
            OSError: no such model, or a file can't be read.
            ValueError: the config or the weights are damaged, incomplete, or ask for what is not supported.
        """
        folder = resolve(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        config = BertConfig.from_pretrained(folder)
        chosen = _backend(backend)
        checkpoint = Checkpoint.open(folder)
        try:
            pooler = add_pooling_layer and has_pooler(checkpoint)
            if add_pooling_layer and not pooler:
                warnings.warn(
                    f"{folder}: the file has no weights for a pooler: pooler_output will be None",
                    stacklevel=2,
                )
            store = chosen.store(store_nbytes(config, pooler=pooler))
            bert, words = load_bert(config, checkpoint, store, pooler=pooler)
        except BaseException:
            checkpoint.close()
            raise
        return cls(bert, checkpoint, chosen, words)

    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """The outputs of a padded batch; nothing is computed on padding.

        Args:
            input_ids: [B, S] integers of any dtype, or
            inputs_embeds: [B, S, H], in place of the word embeddings.
            attention_mask: [B, S] of 0 and 1 (bool, integers or floats), holes allowed; None keeps all.
            token_type_ids: [B, S] integers; None is 0 everywhere.
            position_ids: [B, S] or [1, S] integers; None counts the columns from 0.
            head_mask: [N] or [L, N] factors on the attention probabilities of heads.
            output_attentions, output_hidden_states, return_dict: None is what the config says.

        Returns:
            BaseModelOutputWithPooling, or with return_dict=False the tuple of what is in it, all float32:
            last_hidden_state [B, S, H]; pooler_output [B, H], unless there is no pooler; if asked for,
            hidden_states, L + 1 times [B, S, H], and attentions, L times [B, N, S, S].
            At positions that the mask excludes outputs are 0, but for position 0, which is computed always.
            A row that is masked whole attends to nothing: its attention context is 0.

        Raises:
            ValueError: an argument is not as above; names it, what was wanted and what was found, and where.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        config = self.config
        attentions = config.output_attentions if output_attentions is None else bool(output_attentions)
        hidden = config.output_hidden_states if output_hidden_states is None else bool(output_hidden_states)
        packed = batches.pack(config, input_ids, attention_mask, token_type_ids, position_ids, head_mask, inputs_embeds)
        has_embeds, has_head_mask = inputs_embeds is not None, head_mask is not None
        key = (hidden, attentions, has_embeds, has_head_mask)
        program = self._programs.get(key) or self._record(
            key,
            model_forward(self._bert, hidden_states=hidden, attentions=attentions),
            inputs_embeds=has_embeds,
            head_mask=has_head_mask,
        )
        if packed.sequences == 0:
            output = self._empty_output(packed.length, hidden, attentions)
        else:
            output = self._output(packed, self._run(program, packed.batch), hidden, attentions)
        as_dict = config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

    forward = __call__

    def embed(
        self,
        ids: Sequence[Sequence[int]],
        pooling: Pool | Sequence[Pool] = "mean",
        normalize: bool = False,
        token_types: Sequence[Sequence[int]] | None = None,
    ) -> Floats:
        """One vector for each list of ids, pooled as part of the forward pass; any number of lists.

        Args:
            ids: lists of token ids, special tokens included, without padding.
            pooling: "cls", "max" or "mean", or several, which are joined in this order.
            normalize: divide each vector by its Euclidean norm.
            token_types: as ids; None is 0 everywhere.

        Returns:
            float32 [B, H times the number of poolings].

        Raises:
            ValueError, OSError: as a call of the model.
        """
        given = (pooling,) if isinstance(pooling, str) else tuple(pooling)
        if not given or not set(given) <= set(POOLINGS):
            raise ValueError(f"pooling: wanted some of {', '.join(POOLINGS)}, found {pooling!r}")
        modes = tuple(mode for mode in POOLINGS if mode in given)
        joined = len(modes) > 1  # normalized as a whole, then, and not by the program
        batch = batches.pack_lists(self.config, ids, token_types)
        if not len(ids):
            return np.zeros((0, self.config.hidden_size * len(modes)), np.float32)
        key = (modes, normalize and not joined)
        program = self._programs.get(key) or self._record(
            key, embed_forward(self._bert, modes, normalize=normalize and not joined)
        )
        vectors = self._run(program, batch)
        if not joined:
            return vectors[modes[0]]
        rows = np.concatenate([vectors[mode] for mode in modes], axis=1)  # [B, modes * H]
        if normalize:
            rows /= np.maximum(np.sqrt((rows * rows).sum(axis=1, keepdims=True)), 1e-12)
        return rows

    def get_input_embeddings(self) -> Embedding:
        """The word embeddings."""
        self._checkpoint.check_unchanged()
        return Embedding(self._words)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has, as transformers counts them. All of them are trainable."""
        tables = ("word embeddings", "position embeddings", "token type embeddings")
        return sum(count for part, count in self.parameter_table() if not (exclude_embeddings and part in tables))

    def parameter_table(self) -> list[tuple[str, int]]:
        """(part, how many parameters) for each part of the model; together they are all of them."""
        return parameter_table(self.config, pooler=self._bert.pooler is not None)

    def eval(self) -> BertModel:
        """The model itself: it is always in evaluation mode."""
        return self

    def _record(self, key: object, forward: Forward, **reads: bool) -> Program:
        # No lock, which a fork could leave taken for ever: two threads may record the same, and one of them stays.
        return self._programs.setdefault(key, self._backend.record(forward, **reads))

    def _run(self, program: Program, batch: Batch) -> dict[str, Floats]:
        self._checkpoint.check_unchanged()
        if len(batch.positions) <= TOKEN_BUDGET:
            return program(batch)
        parts = [program(part) for part in batches.split(batch, TOKEN_BUDGET)]
        # One output after another, each let go at once, so that only one is held twice.
        return {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}

    def _output(
        self, packed: batches.Packed, arrays: dict[str, Floats], hidden: bool, attentions: bool
    ) -> BaseModelOutputWithPooling:
        last = batches.unpack_tokens(packed, arrays[LAST_HIDDEN_STATE])
        layers = range(self.config.num_hidden_layers)
        hidden_states = probs = None
        if hidden:
            states = [batches.unpack_tokens(packed, arrays.pop(hidden_state_name(layer))) for layer in layers]
            hidden_states = (*states, last)
        if attentions:
            heads = self.config.num_attention_heads
            probs = tuple(batches.unpack_probs(packed, arrays.pop(attention_name(layer)), heads) for layer in layers)
        return BaseModelOutputWithPooling(last, arrays.get(POOLER_OUTPUT), hidden_states, probs)

    def _empty_output(self, length: int, hidden: bool, attentions: bool) -> BaseModelOutputWithPooling:
        config = self.config
        H, N, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers

        def empty(*shape: int) -> Floats:
            return np.zeros((0, *shape), np.float32)

        return BaseModelOutputWithPooling(
            empty(length, H),
            None if self._bert.pooler is None else empty(H),
            tuple(empty(length, H) for _ in range(layers + 1)) if hidden else None,
            tuple(empty(N, length, length) for _ in range(layers)) if attentions else None,
        )


MODELS: dict[str, type[BertModel]] = {BertConfig.model_type: BertModel}
"""model_type -> model class."""


class AutoModel:
    """Picks the model class by the `model_type` of a config.json."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **model_arguments: Any,
    ) -> BertModel:
        """Loads a model: a folder, a hub id, or `package:NAME`. Other arguments go to the class picked.

        Raises:
            OSError: no such model, or a file can't be read.
            ValueError: `model_type` is missing or not supported, or as the class that it names says.
        """
        folder = resolve(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        config = AutoConfig.from_pretrained(folder)
        return MODELS[config.model_type].from_pretrained(folder, **model_arguments)


def _backend(given: str | Backend) -> Backend:
    if not isinstance(given, str):
        return given
    if given not in BACKENDS:
        raise ValueError(f"backend: wanted one of {', '.join(BACKENDS)}, found {given!r}")
    chosen: Backend = importlib.import_module(f"npbert_kernels.{given}").backend
    return chosen
