"""Models as users call them: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict

import numpy as np
from npbert_kernels.ops import OPTIONAL, Backend, Batch, Dtype, Floats, Forward, Program, Quantized, Store, TableRows
from numpy.typing import ArrayLike

from npbert.arrays import checked_integers, checked_lists
from npbert.checks import check_bool, checked_count, checked_path, wrong
from npbert.files.checkpoint import Checkpoint
from npbert.files.hub import HUB, HubArguments, resolve
from npbert.files.names import ADAPTER_CONFIG, SINGLE_WEIGHTS
from npbert.files.regular_file import exists
from npbert.files.safetensors_file import write_safetensors
from npbert.files.staging import staged
from npbert.keywords import OtherArguments
from npbert.models import architectures
from npbert.models import batch as batches
from npbert.models.architecture import (
    EMBEDDING_PARTS,
    LAST_HIDDEN_STATE,
    POOLER_OUTPUT,
    Encoder,
    attention_name,
    hidden_state_name,
)
from npbert.models.cache import KeyValueCache
from npbert.models.call_arguments import CALL, INPUTS, CallArguments
from npbert.models.config import EncoderConfig, config_of
from npbert.models.config_values import head_lists
from npbert.models.devices import ENGINE, EngineArguments, backend_for
from npbert.models.open_weights import open_weights
from npbert.models.outputs import BaseModelOutputWithPooling, ModelOutput
from npbert.models.pooling import EMBEDDING, POOLS, Pool, Tail, embed_forward, model_forward
from npbert.models.weights import SCALES, NamedWeights, Shapes
from npbert.sequences import as_list
from npbert.signatures import Arguments

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class LoadingArguments(HubArguments, EngineArguments, OtherArguments, total=False):
    """Of a model's `from_pretrained`."""


class PoolerArguments(TypedDict, total=False):
    """
    add_pooling_layer: False leaves the pooler out; pooler_output is None then. A pooler that the file
        lacks is left out as well, with a warning. DistilBERT and ELECTRA have none.
    """

    add_pooling_layer: bool


class BareLoadingArguments(LoadingArguments, PoolerArguments, total=False):
    """Of a bare model's `from_pretrained`."""


LOADING = HUB + ENGINE
BARE_LOADING = LOADING + Arguments(PoolerArguments, add_pooling_layer=True)


class Embedding:
    """The word embeddings, which stay in the model's file, but for int8 made of floats and on systems without pread."""

    def __init__(self, rows: TableRows) -> None:
        """rows: [V, E]."""
        self.rows = rows

    @property
    def weight(self) -> Floats:
        """float32 [V, E], read-only; read from the file each time.

        Raises:
            OSError: the file can't be read, or has changed since the model was loaded.
        """
        weight: Floats = self.rows[:].view()
        weight.flags.writeable = False
        return weight

    def __call__(self, input_ids: ArrayLike) -> Floats:
        """Rows of the table: integers [...] -> float32 [..., E].

        Raises:
            ValueError: an id that is no integer or out of range.
            OSError: as of `weight`.
        """
        rows: Floats = self.rows[checked_integers("input_ids", input_ids, self.num_embeddings)]
        return rows

    @property
    def num_embeddings(self) -> int:
        """V."""
        return self.rows.shape[0]

    @property
    def embedding_dim(self) -> int:
        """E."""
        return self.rows.shape[1]


class Called(NamedTuple):
    """What came of a call, to be put into an output."""

    packed: batches.Packed
    arrays: dict[str, Floats]  # what the forward pass named, of packed rows
    hidden_states: tuple[Floats, ...] | None  # [B, S, H] each
    attentions: tuple[Floats, ...] | None  # [B, N, S, S] each

    def tokens(self, name: str) -> Floats:
        """An output of each token, [B, S, width]; 0 where the mask excludes it."""
        return batches.unpack_tokens(self.packed, self.arrays[name])


class EncoderModel:
    """An encoder, with or without a head. Made by `from_pretrained`; several threads may call one model at once.

    A class with a head says which tensors the head has (`head_shapes`), places them (`_place_head`), and makes
    forward passes from `Encoder.encode`, which `_call` runs on padded arrays and `run_lists` on lists of ids.
    """

    config_class: ClassVar[type[EncoderConfig]]
    config: EncoderConfig

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.__mro__[1].__doc__  # help() looks no further than the class itself

    def __init__(
        self,
        config: EncoderConfig | None = None,
        weights: NamedWeights | None = None,
        backend: Backend | None = None,
        *,
        pooler: bool = False,
        dtype: Dtype = "float32",
    ) -> None:
        """Internal: config is that of the folder which holds the weights."""
        if config is None or weights is None or backend is None:
            name = type(self).__name__
            raise TypeError(f"{name}: wanted {name}.from_pretrained(name), which has weights, found a call")
        self._dtype = dtype
        self._stored_config = config
        self._weights = weights
        self._backend = backend
        self._pooler = pooler
        self._place(config)

    @classmethod
    @LOADING
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **given: Unpack[LoadingArguments]
    ) -> Self:
        """Loads a model from its config.json and its safetensors files.

        Args:
            pretrained_model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries
                a model folder).
            others: what changes nothing here, of what transformers takes; the rest is refused.

        Raises:
            OSError: no such model, or a file can't be read.
            ValueError: the config or the weights are damaged, incomplete, or ask for what is not supported.
        """
        arguments = LOADING.of(f"{cls.__name__}.from_pretrained", given)
        return cls._load(pretrained_model_name_or_path, arguments, cls.uses_pooler())

    @classmethod
    def _load(cls, name: str | os.PathLike[str], arguments: dict[str, Any], pooler: bool | None) -> Self:
        """
        Args:
            name, arguments: as of `from_pretrained`.
            pooler: None takes what the file has.
        """
        folder = resolve(name, **HUB.among(arguments))
        backend, dtype = backend_for(**ENGINE.among(arguments)), arguments["dtype"]
        config = config_of(folder, cls.config_class)
        checkpoint = open_weights(folder, config)
        try:
            if pooler is None:
                pooler = config.architecture.has_pooler(checkpoint)
                if config.architecture.pooler and not pooler:
                    why = "the file has no weights for a pooler: pooler_output will be None"
                    warnings.warn(f"{folder}: {why}", stacklevel=3)
            config = cls.settled(config, checkpoint)
            weights = cls.named_weights(config, checkpoint, pooler=pooler)
            if other := architectures.mistaken(config, cls):
                same = f"whose head has tensors of the same names, but another meaning than {cls.__name__}'s"
                warnings.warn(f"{folder}: config.json names {other}, {same}", stacklevel=3)
            weights.warn_left_over(config.architecture.harmless, stacklevel=3)
            return cls(config, weights, backend, pooler=pooler, dtype=dtype)
        except BaseException:
            checkpoint.close()
            raise

    @classmethod
    def named_weights(cls, config: EncoderConfig, checkpoint: Checkpoint, *, pooler: bool) -> NamedWeights:
        """The model's tensors in a file, checked to be there and of their shapes."""
        head = cls.head_shapes(config)
        shapes = {**config.architecture.shapes(config, pooler=pooler), **head}
        hint = architectures.hint(config, cls.__name__)
        of_head = [name for name in shapes if head and name.startswith((*head, f"{config.architecture.pooler}."))]
        return NamedWeights(checkpoint, config.architecture.prefix, shapes, of_head, cls.head_aliases(config), hint)

    # What a head adds -----------------------------------------------------------------------------------------

    @classmethod
    def uses_pooler(cls) -> bool:
        """Whether the head begins with the encoder's pooler."""
        return False

    @classmethod
    def head_shapes(cls, config: EncoderConfig) -> Shapes:
        """The head's tensors by HF's names, without those that are tied to the encoder's."""
        return {}

    @classmethod
    def head_aliases(cls, config: EncoderConfig) -> Mapping[str, Sequence[str]]:
        """Name -> what files may call the tensor, the name that counts first."""
        return {}

    @classmethod
    def settled(cls, config: EncoderConfig, checkpoint: Checkpoint) -> EncoderConfig:
        """The config that fits the file, where the file tells what the config gets wrong."""
        return config

    def _place_head(self, config: EncoderConfig, weights: NamedWeights, store: Store, words: TableRows) -> None:
        """Called after the encoder's weights were placed, and again whenever heads are pruned.

        words: the encoder's word embeddings [V, E].
        """

    def _place(self, config: EncoderConfig) -> None:
        weights, before = self._weights, getattr(self, "config", config)
        architecture = config.architecture
        nbytes, head_nbytes = map(architecture.store_nbytes, (self._shapes(config), self.head_shapes(config)))
        store = self._backend.store(nbytes, dtype=self._dtype)
        # Heads are a hundredth of the arithmetic, and what they decide shows at once.
        precise = store if self._dtype == "float32" else self._backend.store(head_nbytes)
        try:
            weights.kept = architecture.pruning(self._stored_config, config)
            encoder = architecture.load(config, weights, store, precise, pooler=self._pooler, dtype=self._dtype)
            self._place_head(config, weights, precise, encoder.words)
        except BaseException:
            weights.kept = architecture.pruning(self._stored_config, before)
            raise
        self.config = config
        self._encoder = encoder
        self._programs: dict[object, Program] = {}

    def _shapes(self, config: EncoderConfig) -> Shapes:
        """HF's name -> shape, of all weights."""
        return {**config.architecture.shapes(config, pooler=self._pooler), **self.head_shapes(config)}

    # Running --------------------------------------------------------------------------------------------------

    def _call(
        self,
        forward: Callable[..., Forward],
        arguments: dict[str, Any],
        *,
        padding: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Called:
        """Runs forward(encoder, hidden_states=, attentions=), which a model has one of, on a padded batch.

        Args:
            arguments: of the model's call.
            padding: compute what the mask excludes as well.
            cache: what the arguments go on from; the caller adds the tokens to it, once the call can't fail any more.
        """
        config = self.config
        attentions = flag("output_attentions", arguments["output_attentions"], config.output_attentions)
        hidden = flag("output_hidden_states", arguments["output_hidden_states"], config.output_hidden_states)
        inputs = {name: arguments[name] for name in INPUTS.defaults}
        inputs = inputs if cache is None else cache.inputs(config, inputs)
        packed = batches.pack(config, **inputs, padding=padding)
        batch = packed.batch if cache is None else cache.with_room(packed.batch)
        past = cache.kept if cache is not None and cache.get_seq_length() else None
        given = tuple(name for name in OPTIONAL if getattr(batch, name) is not None)
        key = (hidden, attentions, given)
        program = self._programs.get(key) or self._record(
            key, forward(self._encoder, hidden_states=hidden, attentions=attentions), given
        )
        arrays = self._run(program, batch)
        hidden_states = probs = None
        if hidden:
            names = (*map(hidden_state_name, range(len(self._encoder.heads))), LAST_HIDDEN_STATE)
            hidden_states = tuple(batches.unpack_tokens(packed, arrays.pop(name)) for name in names)
        if attentions:
            probs = tuple(
                batches.unpack_probs(packed, arrays.pop(attention_name(index)), heads, past)
                for index, heads in enumerate(self._encoder.heads)
            )
        return Called(packed, arrays, hidden_states, probs)

    def _returned(self, output: ModelOutput, return_dict: bool | None) -> Any:
        """The output, or its tuple where the caller or the config wants that."""
        return output if flag("return_dict", return_dict, self.config.return_dict) else output.to_tuple()

    def run_lists(
        self,
        key: object,
        forward: Callable[[], Forward],
        ids: Sequence[Sequence[int]],
        token_types: Sequence[Sequence[int]] | None = None,
        columns: Sequence[Sequence[int]] | None = None,
    ) -> dict[str, Floats]:
        """Runs a forward pass, recorded once for each key, on lists of ids without padding them.

        columns: for each list those, ascending, that Batch.selected is to hold.

        Returns:
            The arrays that the forward pass named: [T, width], [B, width] or [R, width].

        Raises:
            ValueError, OSError: as a call of the model.
        """
        batch = batches.pack_lists(self.config, ids, token_types, columns)
        return self._run(self._programs.get(key) or self._record(key, forward()), batch)

    @property
    def backend(self) -> Backend:
        """What runs the model, and keeps the weights of a tail."""
        return self._backend

    @property
    def encoder(self) -> Encoder:
        """The weights as placed; others once heads are pruned."""
        return self._encoder

    def _record(self, key: object, forward: Forward, given: Collection[str] = ()) -> Program:
        # No lock, which a fork could leave taken for ever: two threads may record the same, and one of them stays.
        return self._programs.setdefault(key, self._backend.record(forward, given))

    def _run(self, program: Program, batch: Batch) -> dict[str, Floats]:
        if not len(batch.positions):  # nothing to run: the shapes of something, and none of its rows
            return {name: array[:0] for name, array in program(batches.one_token(batch)).items()}
        return program(batch)

    # Weights --------------------------------------------------------------------------------------------------

    def prune_heads(self, heads_to_prune: Mapping[int, Sequence[int]]) -> None:
        """Leaves attention heads out, as transformers.PreTrainedModel.prune_heads did; no other thread may be calling.

        Args:
            heads_to_prune: layer -> heads, numbered as in the whole model. Of layers that share weights, those of
                the first come first. What is pruned already may be named again.

        Raises:
            ValueError: no such layer or head, or none of a layer's heads would be left.
            OSError: the model's file, which the weights are read from again, can't be read.
        """
        config = self.config
        layers, heads = config.weight_sets, config.num_attention_heads
        checked = head_lists("heads_to_prune", heads_to_prune, layers, heads)
        together = {index: {*config.pruned_heads.get(index, ()), *checked.get(index, ())} for index in range(layers)}
        pruned = head_lists("heads_to_prune", together, layers, heads)
        self._place(replace(config, pruned_heads=pruned))

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes config.json and model.safetensors, float32 under HF's names, into a folder, made if need be.

        A model in int8 keeps its matrices and word embeddings so, each X.weight [out, in] with its scales
        X.weight_scale [out].

        Raises:
            OSError: it can't be written, or the model's own file can't be read.
            ValueError: the folder has an adapter.
        """
        folder = checked_path("save_directory", save_directory)
        check_no_adapter(folder)
        with staged(folder) as stage:
            replace(self.config, architectures=[type(self).__name__], dtype="float32").save_pretrained(stage)
            self._write_weights(stage / SINGLE_WEIGHTS)

    def _write_weights(self, path: Path) -> None:
        architecture, words = self.config.architecture, self._encoder.words
        head, all_shapes = self.head_shapes(self.config), self._shapes(self.config)
        prefix = architecture.prefix if head else ""
        names = {name if name in head else prefix + name: name for name in all_shapes}
        shapes = {written: all_shapes[name] for written, name in names.items()}
        matrices = architecture.matrices(self.config)
        reduced = {name for name in matrices if self._dtype == "int8" or self._weights.is_int8(name)}
        if isinstance(words, Quantized) or self._weights.is_int8(architecture.words):
            reduced.add(architecture.words)
        int8 = [written for written, name in names.items() if name in reduced]
        scales = {written + SCALES: names[written] for written in int8}
        shapes |= {written: shapes[written.removesuffix(SCALES)][:1] for written in scales}

        def read(written: str) -> Any:
            name = scales.get(written) or names[written]
            if name not in reduced:
                return self._weights.read(name)
            own = name == architecture.words and isinstance(words, Quantized)
            matrix: Any = words if own else self._weights.read_matrix(name)
            quantized = matrix if isinstance(matrix, Quantized) else Quantized.of(matrix)
            return quantized.scales if written in scales else quantized.values

        write_safetensors(path, shapes, read, int8)

    def get_input_embeddings(self) -> Embedding:
        """The word embeddings, a float32 or int8 table [V, E].

        Raises:
            OSError: the file can't be read, or has changed since the model was loaded.
        """
        rows = self._encoder.words
        _ = rows[:0]  # of none of them, to hear of that now
        return Embedding(rows)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model has, as transformers counts them. All of them are trainable."""
        check_bool("only_trainable", only_trainable)
        check_bool("exclude_embeddings", exclude_embeddings)
        return sum(
            count for part, count in self.parameter_table() if not (exclude_embeddings and part in EMBEDDING_PARTS)
        )

    def parameter_table(self) -> list[tuple[str, int]]:
        """(part, how many parameters) for each part of the model; together they are all of them."""
        return self.config.architecture.parameter_table(self.config, self._shapes(self.config))

    def __repr__(self) -> str:
        config = self.config
        layers = f"{config.num_hidden_layers} layers of width {config.hidden_size}"
        return f"{type(self).__name__}({layers}, {self.num_parameters():,} parameters, {self._dtype})"

    def eval(self) -> Self:
        """The model itself: it is always in evaluation mode."""
        return self


class BareModel(EncoderModel):
    """An encoder without a head: last_hidden_state [B, S, H], pooler_output [B, H], float32.

    Source: transformers' class of the same name, as of all families' classes.
    """

    @classmethod
    @BARE_LOADING
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **given: Unpack[BareLoadingArguments]
    ) -> Self:
        """As of models with heads, errors included.

        Args:
            pretrained_model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries
                a model folder).
        """
        arguments = BARE_LOADING.of(f"{cls.__name__}.from_pretrained", given)
        pooler = arguments["add_pooling_layer"]
        check_bool("add_pooling_layer", pooler)
        return cls._load(pretrained_model_name_or_path, arguments, None if pooler else False)

    @CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[CallArguments]) -> Any:
        """The outputs of a padded batch; nothing is computed on padding.

        Returns:
            BaseModelOutputWithPooling, or with return_dict=False the tuple of what is in it, all float32:
            last_hidden_state [B, S, H]; pooler_output [B, H], unless there is no pooler; if asked for,
            hidden_states, L + 1 times [B, S, H], and attentions, L times [B, N, S, S].
            At positions that the mask excludes outputs are 0, but for position 0, which is computed always.
            A row that is masked whole attends to nothing, nor does a query that has no key: the context is 0.

        Raises:
            ValueError: an argument is not as above; names it, what was wanted and what was found, and where.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        arguments = CALL.by_name(BareModel.__call__, places, given)
        called = self._call(model_forward, arguments)
        hidden_states = called.hidden_states
        last = called.tokens(LAST_HIDDEN_STATE) if hidden_states is None else hidden_states[-1]
        output = BaseModelOutputWithPooling(last, called.arrays.get(POOLER_OUTPUT), hidden_states, called.attentions)
        return self._returned(output, arguments["return_dict"])

    forward = __call__

    def embed(
        self,
        ids: Sequence[Sequence[int]],
        pooling: Pool | Sequence[Pool] = "mean",
        normalize: bool = False,
        token_types: Sequence[Sequence[int]] | None = None,
        *,
        tail: Tail | None = None,
        skip: int = 0,
        skip_cls: bool = False,
    ) -> Floats:
        """One vector for each list of ids, pooled as part of the forward pass; any number of lists.

        Args:
            ids: lists of token ids, special tokens included, without padding.
            pooling: "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean" or "lasttoken", or several,
                whose vectors are joined in their order.
            normalize: divide each vector by its Euclidean norm.
            token_types: as ids; None is 0 everywhere.
            tail: further ops on the vectors before they are normalized, with weights in the `backend`'s store.
            skip: so many tokens at the beginning of each list are not pooled; its last token always is.
            skip_cls: "cls" is the first token that is pooled then, and not the list's first in any case.

        Returns:
            float32 [B, H times the number of poolings], or as wide as the tail makes it.

        Raises:
            ValueError, OSError: as a call of the model.
        """
        modes = _modes(pooling)
        check_bool("normalize", normalize)
        skip = checked_count("skip", skip, 0)
        check_bool("skip_cls", skip_cls)
        skip_cls = skip > 0 and bool(skip_cls)
        if tail is not None and not callable(tail):
            raise wrong("tail", "None or a function of ops and rows", tail)
        batch = batches.pack_lists(self.config, ids, token_types)
        if skip:
            batch = replace(batch, pooled_from=batch.first + np.minimum(skip, batch.key_lens - 1))
        key = (modes, tail, bool(normalize), skip > 0, skip_cls)
        program = self._programs.get(key) or self._record(
            key, embed_forward(self._encoder, modes, tail, normalize=normalize, skip=skip > 0, skip_cls=skip_cls)
        )
        return self._run(program, batch)[EMBEDDING]

    def predict(self, ids: Sequence[Sequence[int]], token_types: Sequence[Sequence[int]] | None = None) -> list[Floats]:
        """The last layer's rows for each list of ids, without padding; any number of lists.

        Args:
            ids: lists of token ids, special tokens included.
            token_types: as ids; None is 0 everywhere.

        Returns:
            float32 [length, H] for each list.

        Raises:
            ValueError, OSError: as a call of the model.
        """
        ids = checked_lists("ids", ids)
        states = self.run_lists("predict", partial(_states_forward, self._encoder), ids, token_types)
        return np.split(states[LAST_HIDDEN_STATE], np.cumsum([len(row) for row in ids])[:-1]) if ids else []


def check_no_adapter(folder: Path) -> None:
    """Raises ValueError where a model is to be saved beside an adapter, which would be merged once more."""
    if exists(folder / ADAPTER_CONFIG):
        raise ValueError(f"save_directory: wanted a folder without {ADAPTER_CONFIG}, found {folder}")


def _states_forward(encoder: Encoder) -> Forward:
    return lambda ops, batch: {LAST_HIDDEN_STATE: encoder.encode(ops, batch)[0]}


def _modes(pooling: Any) -> tuple[Pool, ...]:
    """Ways of pooling, in their order."""
    modes = [pooling] if isinstance(pooling, str) else as_list(pooling)
    if not modes or not all(isinstance(mode, str) and mode in POOLS for mode in modes):
        raise wrong("pooling", f"some of {', '.join(POOLS)}", pooling)
    return tuple(modes)


def flag(name: str, given: bool | None, default: bool) -> bool:
    """An argument of a call that is True or False; None is what the config says."""
    if given is None:
        return default
    check_bool(name, given, none=True)
    return bool(given)
