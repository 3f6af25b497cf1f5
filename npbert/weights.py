"""BERT's weights as a table: which tensors there are, in which shapes, and into which field each goes."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from npbert_kernels.ops import Floats, Placed, Store

from npbert.bert import Bert, Layer
from npbert.checkpoint import Checkpoint
from npbert.config import BertConfig

# Shapes in letters: H hidden, I intermediate, V vocabulary, P positions, Y token types. In the order of use.
WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
EMBEDDINGS = {
    WORDS: "VH",
    POSITIONS: "PH",
    TOKEN_TYPES: "YH",
    "embeddings.LayerNorm.weight": "H",
    "embeddings.LayerNorm.bias": "H",
}
LAYER = {
    "attention.self.query.weight": "HH",
    "attention.self.query.bias": "H",
    "attention.self.key.weight": "HH",
    "attention.self.key.bias": "H",
    "attention.self.value.weight": "HH",
    "attention.self.value.bias": "H",
    "attention.output.dense.weight": "HH",
    "attention.output.dense.bias": "H",
    "attention.output.LayerNorm.weight": "H",
    "attention.output.LayerNorm.bias": "H",
    "intermediate.dense.weight": "IH",
    "intermediate.dense.bias": "I",
    "output.dense.weight": "HI",
    "output.dense.bias": "H",
    "output.LayerNorm.weight": "H",
    "output.LayerNorm.bias": "H",
}
POOLER = {"pooler.dense.weight": "HH", "pooler.dense.bias": "H"}

TABLES = (WORDS, POSITIONS, TOKEN_TYPES)  # gathered from, never multiplied with

# What files carry besides and a bare encoder has no use for: an index 0, 1, 2, ... and the pretraining heads.
HARMLESS = re.compile(r"embeddings\.position_ids|cls\..+")


def layer_prefix(layer: int) -> str:
    return f"encoder.layer.{layer}."


def weight_shapes(config: BertConfig, *, pooler: bool) -> dict[str, tuple[int, ...]]:
    """HF's name -> shape, of every weight that a model of this config has."""
    sizes = {
        "H": config.hidden_size,
        "I": config.intermediate_size,
        "V": config.vocab_size,
        "P": config.max_position_embeddings,
        "Y": config.type_vocab_size,
    }
    letters = dict(EMBEDDINGS)
    for layer in range(config.num_hidden_layers):
        letters |= {layer_prefix(layer) + name: shape for name, shape in LAYER.items()}
    if pooler:
        letters |= POOLER
    return {name: tuple(sizes[letter] for letter in shape) for name, shape in letters.items()}


def parameter_table(config: BertConfig, *, pooler: bool) -> list[tuple[str, int]]:
    """(part, how many parameters) for each part of the model; together they are all of them."""
    counts: dict[str, int] = {}
    for name, shape in weight_shapes(config, pooler=pooler).items():
        part = _part(name)
        counts[part] = counts.get(part, 0) + math.prod(shape)
    return list(counts.items())


def _part(name: str) -> str:
    if name.startswith("encoder."):
        return "attention" if ".attention." in name else "feed-forward"
    if name.startswith("pooler."):
        return "pooler"
    # embeddings.word_embeddings.weight -> word embeddings
    part = name.split(".")[1].replace("_", " ")
    return "embeddings' LayerNorm" if part == "LayerNorm" else part


def canonical_name(stored: str) -> str:
    """The name of a tensor in today's BertModel: without the prefixes of wrappers, and no gamma and beta."""
    name = stored
    while name.startswith("module."):
        name = name.removeprefix("module.")
    name = name.removeprefix("bert.")
    return re.sub(
        r"\bLayerNorm\.(gamma|beta)$",
        lambda match: "LayerNorm.weight" if match[1] == "gamma" else "LayerNorm.bias",
        name,
    )


def has_pooler(names: Iterable[str]) -> bool:
    """Whether any of a checkpoint's names is one of the pooler's."""
    return any(canonical_name(name) in POOLER for name in names)


class NamedWeights:
    """A checkpoint's tensors by their canonical names, all there and each of its right shape.

    Raises:
        ValueError: weights are missing (all are listed), are there twice, or have another shape.
    """

    def __init__(self, checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._checkpoint = checkpoint
        self._stored: dict[str, str] = {}
        self.left_over: list[str] = []
        where = _where(checkpoint)
        for stored in checkpoint:
            name = canonical_name(stored)
            if name not in shapes:
                self.left_over.append(stored)
            elif name in self._stored:
                raise ValueError(f"{where}: {name}: wanted once, found as {self._stored[name]} and {stored}")
            else:
                self._stored[name] = stored
        if missing := [name for name in shapes if name not in self._stored]:
            raise ValueError(f"{where}: missing weights ({len(missing)}): {', '.join(missing)}")
        for name, wanted in shapes.items():
            stored = self._stored[name]
            if (found := checkpoint.shape(stored)) != wanted:
                raise ValueError(
                    f"{checkpoint.path(stored)}: {stored}: wanted the shape {list(wanted)} that "
                    f"config.json gives, found {list(found)}"
                )

    def read(self, name: str) -> Floats:
        return self._checkpoint.read(self._stored[name])

    def map(self, name: str) -> Floats:
        return self._checkpoint.map(self._stored[name])


def store_nbytes(config: BertConfig, *, pooler: bool) -> int:
    """What goes into a store, in bytes of float32."""
    shapes = weight_shapes(config, pooler=pooler)
    return 4 * sum(math.prod(shape) for name, shape in shapes.items() if name not in TABLES)


def load_bert(config: BertConfig, checkpoint: Checkpoint, store: Store, *, pooler: bool) -> tuple[Bert, Floats]:
    """Places a checkpoint's weights in a store, one after another in the order of use: few are held twice.

    Returns:
        The model, and its word embeddings [V, H], which stay mapped to the file. Warns of tensors left over.

    Raises:
        OSError: a file can't be read.
        ValueError: weights are missing, of another shape, or not finite.
    """
    weights = NamedWeights(checkpoint, weight_shapes(config, pooler=pooler))
    _warn_left_over(checkpoint, weights.left_over)

    def linear(name: str, **heads: int) -> Placed:
        return store.linear(weights.read(f"{name}.weight"), weights.read(f"{name}.bias"), **heads)

    def norm(name: str) -> Placed:
        weight, bias = weights.read(f"{name}.weight"), weights.read(f"{name}.bias")
        return store.norm(weight, bias, config.layer_norm_eps)

    def qkv(prefix: str) -> Placed:
        """One [3H, H] from three [H, H]: the hidden state is read once for all of them."""
        hidden = config.hidden_size
        weight = np.empty((3 * hidden, hidden), np.float32)
        bias = np.empty(3 * hidden, np.float32)
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * hidden, (part + 1) * hidden)
            weight[rows] = weights.read(f"{prefix}attention.self.{name}.weight")
            bias[rows] = weights.read(f"{prefix}attention.self.{name}.bias")
        return store.linear(weight, bias, heads_out=config.num_attention_heads)

    def layer(prefix: str) -> Layer:
        return Layer(
            qkv=qkv(prefix),
            attention_output=linear(f"{prefix}attention.output.dense", heads_in=config.num_attention_heads),
            attention_norm=norm(f"{prefix}attention.output.LayerNorm"),
            intermediate=linear(f"{prefix}intermediate.dense"),
            output=linear(f"{prefix}output.dense"),
            output_norm=norm(f"{prefix}output.LayerNorm"),
        )

    words = weights.map(WORDS)
    bert = Bert(
        config=config,
        words=store.table(words),
        positions=store.table(weights.read(POSITIONS)),
        token_types=store.table(weights.read(TOKEN_TYPES)),
        embeddings_norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(layer_prefix(index)) for index in range(config.num_hidden_layers)),
        pooler=linear("pooler.dense") if pooler else None,
    )
    return bert, words


def _warn_left_over(checkpoint: Checkpoint, left_over: list[str]) -> None:
    """A pooler is left over where none is wanted, and that is no news either."""
    names = {stored: canonical_name(stored) for stored in left_over}
    odd = [stored for stored, name in names.items() if name not in POOLER and not HARMLESS.fullmatch(name)]
    if odd:
        warnings.warn(f"{_where(checkpoint)}: tensors not used ({len(odd)}): {', '.join(odd)}", stacklevel=4)


def _where(checkpoint: Checkpoint) -> str:
    """The file, or the folder of the shards."""
    paths = checkpoint.paths
    return str(paths[0] if len(paths) == 1 else paths[0].parent) if paths else "the checkpoint"
