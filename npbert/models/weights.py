"""A checkpoint's tensors -> an encoder: which there are, in which shapes, and into which field each goes."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from npbert_kernels.ops import Dtype, Floats, Ints, Placed, Quantized, Store, TableRows, check_scales

from npbert.checks import brief, listed, show
from npbert.files.checkpoint import Checkpoint
from npbert.files.stored_table import DTYPES
from npbert.models.bert.forward import Encoder, Layer
from npbert.models.bert.relative import bias_by_distance
from npbert.models.config import EncoderConfig
from npbert.models.family import EMBEDDINGS_NORM, POSITIONS, TOKEN_TYPES, WORDS

Shapes = dict[str, tuple[int, ...]]

SCALES = "_scale"  # behind the name of an int8 weight [out, in]: its scales [out]
BLOCK = 2**15  # elements that int8 is made of at a time: larger copies leave the cache, and malloc gives them back
TABLES = (WORDS, POSITIONS, TOKEN_TYPES)  # gathered from, never multiplied with


def layer_prefix(config: EncoderConfig, weights: int) -> str:
    """What the names of a set of weights begin with."""
    group, inner = divmod(weights, config.inner_group_num)
    return config.family.layer_prefix.format(group=group, inner=inner)


def projection_name(config: EncoderConfig) -> str | None:
    """The linear from E to H, where there is one."""
    factorised = config.embedding_size != config.hidden_size
    return config.family.projection if factorised or config.family.always_projected else None


def encoder_shapes(config: EncoderConfig, *, pooler: bool) -> Shapes:
    """HF's name -> shape, of every weight of an encoder, in the order of use."""
    family, names = config.family, config.family.layer
    E, H, I = config.embedding_size, config.hidden_size, config.intermediate_size  # noqa: E741
    P, D = config.max_position_embeddings, config.head_size
    shapes: Shapes = {}

    def linear(name: str, out: int, width: int) -> None:
        shapes.update({f"{name}.weight": (out, width), f"{name}.bias": (out,)})

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    shapes |= {WORDS: (config.vocab_size, E), POSITIONS: (P, E)}
    if family.token_types:
        shapes[TOKEN_TYPES] = (config.type_vocab_size, E)
    norm(EMBEDDINGS_NORM, E)
    if projection := projection_name(config):
        linear(projection, H, E)
    if family.relative_bias:
        shapes[family.relative_bias] = (config.relative_attention_num_buckets, config.num_attention_heads)
    for weights in range(config.weight_sets):
        prefix, heads = layer_prefix(config, weights), config.heads_of(weights)
        for name in (names.query, names.key, names.value):
            linear(prefix + name, heads * D, H)
        if config.position_embedding_type != "absolute":
            shapes[prefix + names.relative_key] = (2 * P - 1, D)
        linear(prefix + names.attention_output, H, heads * D)
        norm(prefix + names.attention_norm, H)
        linear(prefix + names.intermediate, I, H)
        linear(prefix + names.output, H, I)
        norm(prefix + names.output_norm, H)
    if pooler and family.pooler:
        linear(family.pooler, H, H)
    return shapes


def parameter_table(config: EncoderConfig, shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, int]]:
    """(part, how many parameters) for each part of a model; together they are all of them."""
    counts: dict[str, int] = {}
    for name, shape in shapes.items():
        part = _part(config, name)
        counts[part] = counts.get(part, 0) + math.prod(shape)
    return list(counts.items())


EMBEDDING_PARTS = ("word embeddings", "position embeddings", "token type embeddings", "relative positions")
"""Parts that transformers keeps as nn.Embedding, and leaves out where embeddings are not to be counted."""


def _part(config: EncoderConfig, name: str) -> str:
    family = config.family
    if name in (family.relative_bias,) or name.endswith(f".{family.layer.relative_key}"):
        return EMBEDDING_PARTS[3]
    if name in TABLES:
        return EMBEDDING_PARTS[TABLES.index(name)]
    if name.startswith(EMBEDDINGS_NORM):
        return "embeddings' LayerNorm"
    owner = name.rpartition(".")[0]
    if owner == family.projection:
        return "embeddings' projection"
    if owner == family.pooler:
        return "pooler"
    if not name.startswith(family.layer_prefix.partition("{")[0]):
        return "head"
    layer = family.layer
    attention = (layer.query, layer.key, layer.value, layer.attention_output, layer.attention_norm)
    return "attention" if owner.endswith(tuple(f".{part}" for part in attention)) else "feed-forward"


WRAPPER = "module."  # torch's DataParallel puts it before each name, once for each time that a model is wrapped


def canonical_name(stored: str, prefix: str) -> str:
    """The name of a tensor in today's bare model: without the prefixes of wrappers, and no gamma and beta.

    prefix: the family's own. Tensors of a head never had it.
    """
    begin = 0
    while stored.startswith(WRAPPER, begin):
        begin += len(WRAPPER)
    name = stored[begin:].removeprefix(prefix)
    return re.sub(
        r"\bLayerNorm\.(gamma|beta)$",
        lambda match: "LayerNorm.weight" if match[1] == "gamma" else "LayerNorm.bias",
        name,
    )


def has_pooler(config: EncoderConfig, names: Iterable[str]) -> bool:
    """Whether any of a checkpoint's names is one of the pooler's."""
    family = config.family
    return any(canonical_name(name, family.prefix).rpartition(".")[0] == family.pooler for name in names)


def harmless(config: EncoderConfig) -> str:
    """A pattern of names that are no news where they are left over: indices, pretraining heads, a pooler."""
    pooler = rf"|{re.escape(config.family.pooler)}\.(weight|bias)" if config.family.pooler else ""
    return rf"embeddings\.(position|token_type)_ids|{config.family.pretraining}{pooler}"


class NamedWeights:
    """A checkpoint's tensors by their canonical names, each wanted one there and of its right shape.

    Args:
        shapes: canonical name -> shape, of all that are wanted.
        head: those of them that belong to a head, and not to the encoder, its pooler included.
        aliases: canonical name -> the names that it may have in a file, of which the first that is there counts.
        hint: what to say where weights of the head are missing.

    Raises:
        ValueError: weights are missing (they are counted, and the first are listed), are there twice, or have another
            shape.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        prefix: str,
        shapes: Mapping[str, tuple[int, ...]],
        head: Collection[str] = (),
        aliases: Mapping[str, Sequence[str]] | None = None,
        hint: str = "",
    ) -> None:
        self.checkpoint = checkpoint
        self.shapes = shapes
        self._stored: dict[str, str] = {}
        self._scales: dict[str, str] = {}  # canonical name of an int8 weight -> its scales as stored
        self.left_over: dict[str, str] = {}  # canonical name -> as stored
        self.kept: dict[str, tuple[int, Ints]] = {}  # canonical name -> (axis, indices): what `read` gives of it
        where = _where(checkpoint)
        for stored in checkpoint:
            name = canonical_name(stored, prefix)
            weight = name.removesuffix(SCALES)
            those = self._scales if weight != name else self._stored
            if weight not in shapes:
                self.left_over[name] = stored
            elif weight in those:
                two = f"{brief(those[weight])} and {brief(stored)}"
                raise ValueError(f"{where}: {name}: wanted once, found as {two}")
            else:
                those[weight] = stored
        for name, others in (aliases or {}).items():
            there = {**self.left_over, **self._stored}
            if first := next((other for other in others if other in there), None):
                self._stored[name] = there[first]
                self.left_over.pop(first, None)
        if missing := [name for name in shapes if name not in self._stored]:
            if any(name in head for name in missing):
                hint += "; AutoModel loads the encoder alone"
            else:
                others = list(self.left_over.values()) if len(missing) == len(shapes) else []
                hint = f"; found {listed(others)}" if others else ""
            raise ValueError(f"{where}: missing weights ({len(missing)}): {listed(missing)}{hint}")
        for name, wanted in shapes.items():
            stored = self._stored[name]
            if (found := checkpoint.shape(stored)) != wanted:
                raise ValueError(
                    f"{checkpoint.path(stored)}: {brief(stored)}: wanted the shape {list(wanted)} that "
                    f"config.json gives, found {show(list(found))}"
                )
            if checkpoint.dtype(stored) == "I8":
                self._check_scales(name, wanted)
            elif name in self._scales:  # which say nothing of floats
                self.left_over[name + SCALES] = self._scales.pop(name)

    def _check_scales(self, name: str, shape: tuple[int, ...]) -> None:
        stored = self._stored[name]
        where, scales = self.checkpoint.path(stored), self._scales.get(name)
        if scales is None or len(shape) != 2:
            name = brief(stored)
            raise ValueError(f"{where}: {name}: is int8, wanted its scales as {name}{SCALES}, found none")
        if (found := self.checkpoint.shape(scales)) != shape[:1]:
            raise ValueError(f"{where}: {brief(scales)}: wanted the shape {[shape[0]]}, found {show(list(found))}")

    def is_int8(self, name: str) -> bool:
        return self.checkpoint.dtype(self._stored[name]) == "I8"

    def read_matrix(self, name: str) -> Floats | Quantized:
        """A weight of a linear as it is stored: int8 with its scales, or float32."""
        if not self.is_int8(name):
            return self.read(name)
        values, scales = self.checkpoint.read_int8(self._stored[name]), self.checkpoint.read(self._scales[name])
        self._check_scale_values(name, scales)
        if name in self.kept:
            axis, indices = self.kept[name]
            values = np.ascontiguousarray(values.take(indices, axis))
            scales = scales[indices] if axis == 0 else scales
        return Quantized(values, scales)

    def _check_scale_values(self, name: str, scales: Floats) -> None:
        try:
            check_scales(scales, self.shapes[name][0])
        except ValueError as error:
            stored = self._stored[name]
            raise ValueError(f"{self.checkpoint.path(stored)}: {brief(stored)}: {error}") from None

    def read(self, name: str, out: Floats | None = None) -> Floats:
        """out: an array to read it into."""
        if not self.is_int8(name) and name not in self.kept:
            return self.checkpoint.read(self._stored[name], out=out)
        if self.is_int8(name):
            quantized = self.read_matrix(name)
            assert isinstance(quantized, Quantized)
            array = quantized[:]
        else:
            axis, indices = self.kept[name]
            array = np.ascontiguousarray(self.checkpoint.read(self._stored[name]).take(indices, axis))
        if out is None:
            return array
        out[...] = array
        return out

    def table(self, name: str, dtype: Dtype) -> TableRows:
        """A tensor [V, E] that stays in the file, where rows can be read from it as the kernels do; else in memory.

        In int8, what is made of its floats, a block of rows at a time.
        """
        stored = self._stored[name]
        if self.is_int8(name) or dtype != "int8":
            if not hasattr(os, "pread") or self.checkpoint.dtype(stored) not in DTYPES:
                return self.read_matrix(name)
            table = self.checkpoint.table(stored, self._scales[name] if self.is_int8(name) else None)
            if table.scales is not None:
                self._check_scale_values(name, table.scales)
            return table
        V, E = self.shapes[name]
        values, scales, block = np.empty((V, E), np.int8), np.empty(V, np.float32), -(-BLOCK // E)
        for begin in range(0, V, block):
            part = Quantized.of(self.checkpoint.read(stored, (begin, begin + block)))
            values[begin : begin + block], scales[begin : begin + block] = part.values, part.scales
        return Quantized(values, scales)

    def warn_left_over(self, harmless: str, stacklevel: int) -> None:
        """harmless: a pattern of canonical names whose absence from the model is no news."""
        odd = [stored for name, stored in self.left_over.items() if not re.fullmatch(harmless, name)]
        if odd:
            message = f"{_where(self.checkpoint)}: tensors not used ({len(odd)}): {listed(odd)}"
            warnings.warn(message, stacklevel=stacklevel + 1)


def _joined(weights: NamedWeights, names: Sequence[str], out: int, width: int) -> Floats | Quantized:
    """Matrices [out, width] one below the other; in int8 if all of them are."""
    if all(map(weights.is_int8, names)):
        parts = [part for name in names if isinstance(part := weights.read_matrix(name), Quantized)]
        return Quantized(np.concatenate([p.values for p in parts]), np.concatenate([p.scales for p in parts]))
    joined = np.empty((len(names) * out, width), np.float32)
    for index, name in enumerate(names):
        weights.read(name, joined[index * out : (index + 1) * out])
    return joined


def matrices(config: EncoderConfig) -> list[str]:
    """The weights of the encoder's linear layers: what a reduced dtype is of."""
    shapes = encoder_shapes(config, pooler=False)
    parts = {name: _part(config, name) for name, shape in shapes.items() if len(shape) == 2}
    return [name for name, part in parts.items() if part not in EMBEDDING_PARTS]


def store_nbytes(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """What goes into a store, in bytes of float32."""
    return 4 * sum(math.prod(shape) for name, shape in shapes.items() if name not in TABLES)


def place_linear(weights: NamedWeights, store: Store, name: str) -> Placed:
    """The linear of that name, with its bias."""
    return store.linear(weights.read_matrix(f"{name}.weight"), weights.read(f"{name}.bias"))


def place_norm(weights: NamedWeights, store: Store, name: str, eps: float) -> Placed:
    return store.norm(weights.read(f"{name}.weight"), weights.read(f"{name}.bias"), eps)


def load_encoder(
    config: EncoderConfig, weights: NamedWeights, store: Store, precise: Store, *, pooler: bool, dtype: Dtype
) -> Encoder:
    """Places an encoder's weights in a store of a dtype, one after another in the order of use: few are held twice.

    The pooler goes into `precise`, a store of float32.

    The word embeddings [V, E] stay in the file, unless it holds floats and the dtype is int8; see NamedWeights.table.

    Raises:
        OSError: a file can't be read.
        ValueError: weights are not finite.
    """
    family, E, P = config.family, config.embedding_size, config.max_position_embeddings
    words = weights.table(WORDS, dtype)
    absolute = config.position_embedding_type == "absolute"
    # What a family lacks is a table of zeros, pages that nothing has touched: the forward pass needs no cases.
    positions = weights.read(POSITIONS) if absolute else np.zeros((P, E), np.float32)
    token_types = weights.read(TOKEN_TYPES) if family.token_types else np.zeros((1, E), np.float32)
    embeddings_norm = place_norm(weights, store, EMBEDDINGS_NORM, config.layer_norm_eps)
    projection = projection_name(config)
    projected = place_linear(weights, store, projection) if projection else None
    biases: dict[tuple[int, ...], Placed] = {}  # of the heads that are kept: most layers share one
    if family.relative_bias:
        by_distance = bias_by_distance(weights.read(family.relative_bias), P)  # [N, 2P - 1]
        for index in range(config.weight_sets):
            if (heads := tuple(config.kept_heads(index))) not in biases:
                biases[heads] = store.relative_bias(np.ascontiguousarray(by_distance[list(heads)]))
    sets = [
        load_layer(config, weights, store, index, biases.get(tuple(config.kept_heads(index))), dtype)
        for index in range(config.weight_sets)
    ]
    return Encoder(
        config=config,
        word_rows=words,
        words=store.table(words),
        positions=store.table(positions),
        token_types=store.table(token_types),
        embeddings_norm=embeddings_norm,
        projection=projected,
        layers=tuple(sets[index] for index in config.layer_weights),
        pooler=place_linear(weights, precise, family.pooler) if pooler and family.pooler else None,
    )


def load_layer(
    config: EncoderConfig, weights: NamedWeights, store: Store, index: int, relative: Placed | None, dtype: Dtype
) -> Layer:
    """Places a set of weights in a store of a dtype; `relative` is the bias that it shares with others, if any."""
    names, prefix, eps = config.family.layer, layer_prefix(config, index), config.layer_norm_eps
    heads = config.heads_of(index)
    # One [3 N D, H] from three: the hidden state is read once for all of them.
    parts = [prefix + name for name in (names.query, names.key, names.value)]
    matrix = _joined(weights, [f"{name}.weight" for name in parts], heads * config.head_size, config.hidden_size)
    bias = np.concatenate([weights.read(f"{name}.bias") for name in parts])
    qkv = store.linear(matrix, bias, heads_out=heads)
    # In int8 too: bfloat16 costs attention less than the weights' int8 has cost already.
    reduced = dtype != "float32" or isinstance(matrix, Quantized)
    del matrix
    attention_dtype: Dtype = "bfloat16" if reduced else "float32"
    if config.position_embedding_type != "absolute":
        attention_dtype = "float32"  # queries and keys are multiplied with distances as well
        query = config.position_embedding_type == "relative_key_query"
        rows = weights.read(prefix + names.relative_key)  # [2P - 1, D]
        relative = store.relative_key(rows, query=query, scaled=config.family.relative_scaled)
    output = prefix + names.attention_output
    return Layer(
        heads=heads,
        qkv=qkv,
        relative=relative,
        attention_dtype=attention_dtype,
        attention_output=store.linear(
            weights.read_matrix(f"{output}.weight"), weights.read(f"{output}.bias"), heads_in=heads
        ),
        attention_norm=place_norm(weights, store, prefix + names.attention_norm, eps),
        intermediate=place_linear(weights, store, prefix + names.intermediate),
        output=place_linear(weights, store, prefix + names.output),
        output_norm=place_norm(weights, store, prefix + names.output_norm, eps),
    )


def pruning(stored: EncoderConfig, config: EncoderConfig) -> dict[str, tuple[int, Ints]]:
    """Name -> (axis, indices) of what is left of a tensor, for each that `config` prunes more than `stored` did."""
    names, D = config.family.layer, config.head_size
    kept: dict[str, tuple[int, Ints]] = {}
    for index in config.pruned_heads:
        had, has = stored.kept_heads(index), config.kept_heads(index)
        if had != has:
            prefix = layer_prefix(config, index)
            heads = np.array([had.index(head) for head in has])
            rows = (heads[:, None] * D + np.arange(D)).ravel()
            for name in (names.query, names.key, names.value):
                kept |= {f"{prefix}{name}.weight": (0, rows), f"{prefix}{name}.bias": (0, rows)}
            kept[f"{prefix}{names.attention_output}.weight"] = (1, rows)
    return kept


def _where(checkpoint: Checkpoint) -> str:
    """The file, or the folder of the shards."""
    paths = checkpoint.paths
    return str(paths[0] if len(paths) == 1 else paths[0].parent) if paths else "the checkpoint"
