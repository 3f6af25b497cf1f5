"""What an architecture offers: the table of its tensors, their way into a store, and its forward pass.

Models, heads, pooling, pipelines and sentences know no more of it than what stands here. An architecture is a file, or
a folder, beside this one: a config class, whose `architecture` is an instance of a subclass of Architecture; a subclass
of Encoder, the forward pass on ops alone; and the classes that users name.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from npbert_kernels.ops import Activation, Batch, Dtype, Ints, Ops, Rows, Store, TableRows

from npbert.models.weights import NamedWeights, Shapes, canonical_name

LAST_HIDDEN_STATE = "last_hidden_state"
POOLER_OUTPUT = "pooler_output"

EMBEDDING_PARTS = ("word embeddings", "position embeddings", "token type embeddings", "relative positions")
"""Parts that transformers keeps as nn.Embedding, and leaves out where embeddings are not to be counted."""


def hidden_state_name(layer: int) -> str:
    """The name of what goes into a layer."""
    return f"hidden_states.{layer}"


def attention_name(layer: int) -> str:
    """The name of a layer's probabilities."""
    return f"attentions.{layer}"


class Encoder(ABC):
    """An encoder's weights, placed in a backend's store, and its forward pass, which calls ops and nothing else."""

    words: TableRows  # [V, E] the word embeddings
    heads: tuple[int, ...]  # N of each layer, without heads that are pruned

    @property
    def has_pooler(self) -> bool:
        """Whether `pooler` can be called."""
        return False

    @abstractmethod
    def embeddings(self, ops: Ops, batch: Batch) -> Rows:
        """[T, H], the input of the first layer."""

    @abstractmethod
    def layer(
        self, index: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
    ) -> tuple[Rows, Rows | None]:
        """x [T, H] -> [T, H] and, with `probs`, the probabilities. With `rows` [R] only those rows: [R, H]."""

    def final(self, ops: Ops, x: Rows) -> Rows:
        """The last layer's rows -> last_hidden_state: a norm, in architectures that have one there."""
        return x

    def pooler(self, ops: Ops, first: Rows) -> Rows:
        """The rows of the sequences' position 0, [B, H] -> [B, H]."""
        raise AssertionError(f"{type(self).__name__} has no pooler")

    def encode(
        self, ops: Ops, batch: Batch, *, hidden_states: bool = False, attentions: bool = False, rows: Rows | None = None
    ) -> tuple[Rows, dict[str, Rows]]:
        """Returns last_hidden_state, [T, H] (or [R, H] if `rows` are given), and a dict of the other requested outputs.

        hidden_states: the input of each layer, and last_hidden_state. attentions: each layer's probabilities.
        """
        outputs: dict[str, Rows] = {}
        x = self.embeddings(ops, batch)
        last = len(self.heads) - 1
        for index in range(len(self.heads)):
            if hidden_states:
                outputs[hidden_state_name(index)] = x
            wanted = rows if index == last and not hidden_states else None
            x, p = self.layer(index, ops, batch, x, probs=attentions, rows=wanted)
            if attentions:
                outputs[attention_name(index)] = p
        x = self.final(ops, x)
        if hidden_states:
            outputs[LAST_HIDDEN_STATE] = x
            x = x if rows is None else ops.take(x, rows)
        return x, outputs


class HeadNames(NamedTuple):
    """A head: a linear with an activation, a LayerNorm, a linear; the first two only where it has them."""

    out: str  # the last linear
    dense: str | None = None
    activation: Activation | None = None  # None: the config's hidden_act
    activation_key: str | None = None  # the config's key that names the activation, where that is not hidden_act
    norm: str | None = None
    factorised: bool = False  # dense leads to E, not to H
    pooled: bool = False  # dense is the encoder's pooler
    biases: tuple[bool | str, bool | str, bool | str] = (True, True, True)  # see `has_bias`
    bias: str | None = None  # the last bias's name, where it is not, or not only, `<out>.bias`
    tied: bool = False  # the last weight is the word embeddings', unless the config says otherwise

    def has_bias(self, config: Any, at: int) -> bool:
        """Whether dense, norm and out (0, 1, 2) have a bias: a key is the config's that says it."""
        said = self.biases[at]
        return said if isinstance(said, bool) else bool(getattr(config, said))


TOKEN_CLASSIFICATION, QUESTION_ANSWERING = HeadNames(out="classifier"), HeadNames(out="qa_outputs")
POOLED_CLASSIFIER = HeadNames(out="classifier", pooled=True)


def kept_rows(stored: Any, config: Any, weights: int) -> Ints | None:
    """Of the N D rows that a set of weights has for its heads, those that `config` keeps; None if that is all."""
    had, has = stored.kept_heads(weights), config.kept_heads(weights)
    if had == has:
        return None
    heads = np.array([had.index(head) for head in has])
    rows: Ints = (heads[:, None] * config.head_size + np.arange(config.head_size)).ravel()
    return rows


def fused_pruning(stored: Any, config: Any, qkv: str, output: str, *, out_axis: int = 0) -> dict[str, tuple[int, Ints]]:
    """As Architecture.pruning, where a layer has one linear for its queries, keys and values.

    qkv, output: names of the linears, with {} for the layer. out_axis: that of a weight along which its outputs lie.
    """
    kept: dict[str, tuple[int, Ints]] = {}
    for index in config.pruned_heads:
        if (rows := kept_rows(stored, config, index)) is not None:
            whole = len(stored.kept_heads(index)) * stored.head_size
            of_all = np.concatenate([rows + part * whole for part in range(3)])
            kept[f"{qkv.format(index)}.weight"] = (out_axis, of_all)
            kept[f"{qkv.format(index)}.bias"] = (0, of_all)
            kept[f"{output.format(index)}.weight"] = (1 - out_axis, rows)
    return kept


class Architecture(ABC):
    """An architecture's tensors, and how they become an Encoder. `config` is always one of its own config class."""

    prefix: str  # of the encoder's tensors in the file of a model with a head
    words: ClassVar[str]  # the name of the word embeddings [V, E]
    tables: ClassVar[tuple[str, ...]]  # names of embedding tables, which are gathered from and never multiplied with
    pooler: str | None = None  # the pooler's linear
    token_types: bool | None = False  # whether token types make a difference; None: one that is not computed
    heads: Mapping[str, HeadNames]  # what a head is for (see `heads.KINDS`) -> its tensors
    unused: str = "(?!)"  # regex of tensor names that may stay unused without a warning, the pooler's aside
    turned: str = "(?!)"  # regex of weights' names that are stored [in, out], as transformers' Conv1D has them

    @abstractmethod
    def shapes(self, config: Any, *, pooler: bool) -> Shapes:
        """HF's name -> shape, of every weight of an encoder, in the order of use."""

    @abstractmethod
    def part(self, config: Any, name: str) -> str:
        """The part of a model that a tensor belongs to: one of EMBEDDING_PARTS, "attention", "feed-forward", ..."""

    @abstractmethod
    def load(
        self, config: Any, weights: NamedWeights, store: Store, precise: Store, *, pooler: bool, dtype: Dtype
    ) -> Encoder:
        """Places an encoder's weights in a store of a dtype, one by one in the order of use: few are held twice.

        The pooler goes into `precise`, a store of float32. The word embeddings [V, E] stay in the file, unless it holds
        floats and the dtype is int8; see NamedWeights.table.

        Raises:
            OSError: a file can't be read.
            ValueError: weights are not finite.
        """

    def pruning(self, stored: Any, config: Any) -> dict[str, tuple[int, Ints]]:
        """Name -> (axis, indices) of what is left of a tensor, for each that `config` prunes more than `stored` did."""
        return {}

    def relative(self, config: Any) -> bool:
        """Whether a table of distances between query and key bounds the length of a row."""
        return False

    def needs_columns(self, config: Any) -> bool:
        """Whether attention depends on how far query and key are apart."""
        return self.relative(config)

    def matrices(self, config: Any) -> list[str]:
        """The weights of the encoder's linear layers: those that a reduced dtype reduces."""
        shapes = self.shapes(config, pooler=False)
        return [
            name for name, shape in shapes.items() if len(shape) == 2 and self.part(config, name) not in EMBEDDING_PARTS
        ]

    def has_pooler(self, names: Iterable[str]) -> bool:
        """Whether any of a checkpoint's names is one of the pooler's."""
        return any(canonical_name(name, self.prefix).rpartition(".")[0] == self.pooler for name in names)

    @property
    def harmless(self) -> str:
        """Regex of tensor names that may stay unused without a warning: indices, pretraining heads, a pooler."""
        pooler = rf"|{re.escape(self.pooler)}\.(weight|bias)" if self.pooler else ""
        return self.unused + pooler

    def parameter_table(self, config: Any, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, int]]:
        """(part, how many parameters) for each part of a model; together they are all of them."""
        counts: dict[str, int] = {}
        for name, shape in shapes.items():
            part = self.part(config, name)
            counts[part] = counts.get(part, 0) + math.prod(shape)
        return list(counts.items())

    def store_nbytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """The size of a store for these tensors, in bytes of float32: embedding tables are not part of it."""
        return sum(4 * math.prod(shape) for name, shape in shapes.items() if name not in self.tables)
