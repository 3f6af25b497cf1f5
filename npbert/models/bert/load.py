"""BERT's kin: their tensors by name and shape, and how these become a BertEncoder.

What tells one of them from another is data: the names of its tensors, and a few flags. Names are as in transformers'
bare model; a layer's follow its prefix. All but `relative_key` and `relative_bias` name a linear or a LayerNorm, whose
tensors are `<name>.weight` and `<name>.bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from npbert_kernels.ops import Dtype, Ints, Placed, Store

from npbert.models.architecture import EMBEDDING_PARTS, Architecture, HeadNames, kept_rows
from npbert.models.bert.forward import BertEncoder, Layer
from npbert.models.bert.relative import bias_by_distance
from npbert.models.config import EncoderConfig
from npbert.models.weights import NamedWeights, Shapes, joined, place_linear, place_norm

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
EMBEDDINGS_NORM = "embeddings.LayerNorm"


class LayerNames(NamedTuple):
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"
    relative_key: str = "attention.self.distance_embedding.weight"  # where position_embedding_type asks for it


LAYER = LayerNames()


@dataclass(frozen=True)
class BertKin(Architecture):
    """The defaults are BERT's."""

    words = WORDS
    tables = (WORDS, POSITIONS, TOKEN_TYPES)

    prefix: str
    names: LayerNames = LAYER
    layer_prefix: str = "encoder.layer.{group}."  # `inner` counts the layers of a group
    projection: str | None = None  # of factorised embeddings, E to H
    always_projected: bool = False  # also where E is H
    pooler: str | None = "pooler.dense"
    token_types: bool = True
    relative_scaled: bool = True  # what relative positions add to scores is divided by the root of D with them
    relative_bias: str | None = None  # added to all layers' scores, by how far query and key are apart
    pretraining: str = r"cls\..+"  # regex: what files often carry besides, and a bare encoder has no use for
    heads: Mapping[str, HeadNames] = field(default_factory=dict)

    @property
    def unused(self) -> str:  # type: ignore[override]
        return rf"embeddings\.(position|token_type)_ids|{self.pretraining}"

    def relative(self, config: EncoderConfig) -> bool:
        return config.position_embedding_type != "absolute" or self.relative_bias is not None

    def prefix_of(self, config: EncoderConfig, weights: int) -> str:
        """What the names of a set of weights begin with."""
        group, inner = divmod(weights, config.inner_group_num)
        return self.layer_prefix.format(group=group, inner=inner)

    def projection_of(self, config: EncoderConfig) -> str | None:
        """The linear from E to H, where there is one."""
        factorised = config.embedding_size != config.hidden_size
        return self.projection if factorised or self.always_projected else None

    def shapes(self, config: EncoderConfig, *, pooler: bool) -> Shapes:
        names = self.names
        E, H, I = config.embedding_size, config.hidden_size, config.intermediate_size  # noqa: E741
        P, D = config.max_position_embeddings, config.head_size
        shapes: Shapes = {}

        def linear(name: str, out: int, width: int) -> None:
            shapes.update({f"{name}.weight": (out, width), f"{name}.bias": (out,)})

        def norm(name: str, width: int) -> None:
            shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

        shapes |= {WORDS: (config.vocab_size, E), POSITIONS: (P, E)}
        if self.token_types:
            shapes[TOKEN_TYPES] = (config.type_vocab_size, E)
        norm(EMBEDDINGS_NORM, E)
        if projection := self.projection_of(config):
            linear(projection, H, E)
        if self.relative_bias:
            shapes[self.relative_bias] = (config.relative_attention_num_buckets, config.num_attention_heads)
        for weights in range(config.weight_sets):
            prefix, heads = self.prefix_of(config, weights), config.heads_of(weights)
            for name in (names.query, names.key, names.value):
                linear(prefix + name, heads * D, H)
            if config.position_embedding_type != "absolute":
                shapes[prefix + names.relative_key] = (2 * P - 1, D)
            linear(prefix + names.attention_output, H, heads * D)
            norm(prefix + names.attention_norm, H)
            linear(prefix + names.intermediate, I, H)
            linear(prefix + names.output, H, I)
            norm(prefix + names.output_norm, H)
        if pooler and self.pooler:
            linear(self.pooler, H, H)
        return shapes

    def part(self, config: EncoderConfig, name: str) -> str:
        names = self.names
        if name in (self.relative_bias,) or name.endswith(f".{names.relative_key}"):
            return EMBEDDING_PARTS[3]
        if name in self.tables:
            return EMBEDDING_PARTS[self.tables.index(name)]
        if name.startswith(EMBEDDINGS_NORM):
            return "embeddings' LayerNorm"
        owner = name.rpartition(".")[0]
        if owner == self.projection:
            return "embeddings' projection"
        if owner == self.pooler:
            return "pooler"
        if not name.startswith(self.layer_prefix.partition("{")[0]):
            return "head"
        attention = (names.query, names.key, names.value, names.attention_output, names.attention_norm)
        return "attention" if owner.endswith(tuple(f".{part}" for part in attention)) else "feed-forward"

    def load(
        self, config: EncoderConfig, weights: NamedWeights, store: Store, precise: Store, *, pooler: bool, dtype: Dtype
    ) -> BertEncoder:
        P = config.max_position_embeddings
        words = weights.table(WORDS, dtype)
        absolute = config.position_embedding_type == "absolute"
        positions = store.table(weights.read(POSITIONS)) if absolute else None
        token_types = store.table(weights.read(TOKEN_TYPES)) if self.token_types else None
        embeddings_norm = place_norm(weights, store, EMBEDDINGS_NORM, config.layer_norm_eps)
        projection = self.projection_of(config)
        projected = place_linear(weights, store, projection) if projection else None
        biases: dict[tuple[int, ...], Placed] = {}  # of the heads that are kept: most layers share one
        if self.relative_bias:
            by_distance = bias_by_distance(weights.read(self.relative_bias), P)  # [N, 2P - 1]
            for index in range(config.weight_sets):
                if (heads := tuple(config.kept_heads(index))) not in biases:
                    biases[heads] = store.relative_bias(np.ascontiguousarray(by_distance[list(heads)]))
        sets = [
            self._load_layer(config, weights, store, index, biases.get(tuple(config.kept_heads(index))))
            for index in range(config.weight_sets)
        ]
        return BertEncoder(
            config=config,
            words=words,
            word_table=store.table(words),
            positions=positions,
            token_types=token_types,
            embeddings_norm=embeddings_norm,
            projection=projected,
            layers=tuple(sets[index] for index in config.layer_weights),
            pooler_weights=place_linear(weights, precise, self.pooler) if pooler and self.pooler else None,
        )

    def _load_layer(
        self,
        config: EncoderConfig,
        weights: NamedWeights,
        store: Store,
        index: int,
        relative: Placed | None,
    ) -> Layer:
        """Places a set of weights in a store; `relative` is the bias that it shares with others, if any."""
        names, prefix, eps = self.names, self.prefix_of(config, index), config.layer_norm_eps
        heads = config.heads_of(index)
        # One [3 N D, H] from three: the hidden state is read once for all of them.
        parts = [prefix + name for name in (names.query, names.key, names.value)]
        matrix = joined(weights, [f"{name}.weight" for name in parts], heads * config.head_size, config.hidden_size)
        bias = np.concatenate([weights.read(f"{name}.bias") for name in parts])
        qkv = store.linear(matrix, bias, heads_out=heads)
        del matrix
        if config.position_embedding_type != "absolute":
            query = config.position_embedding_type == "relative_key_query"
            rows = weights.read(prefix + names.relative_key)  # [2P - 1, D]
            relative = store.relative_key(rows, query=query, scaled=self.relative_scaled)
        output = prefix + names.attention_output
        return Layer(
            heads=heads,
            qkv=qkv,
            relative=relative,
            attention_dtype=store.attention_dtype(qkv, relative),
            attention_output=store.linear(
                weights.read_matrix(f"{output}.weight"), weights.read(f"{output}.bias"), heads_in=heads
            ),
            attention_norm=place_norm(weights, store, prefix + names.attention_norm, eps),
            intermediate=place_linear(weights, store, prefix + names.intermediate),
            output=place_linear(weights, store, prefix + names.output),
            output_norm=place_norm(weights, store, prefix + names.output_norm, eps),
        )

    def pruning(self, stored: EncoderConfig, config: EncoderConfig) -> dict[str, tuple[int, Ints]]:
        names = self.names
        kept: dict[str, tuple[int, Ints]] = {}
        for index in config.pruned_heads:
            if (rows := kept_rows(stored, config, index)) is not None:
                prefix = self.prefix_of(config, index)
                for name in (names.query, names.key, names.value):
                    kept |= {f"{prefix}{name}.weight": (0, rows), f"{prefix}{name}.bias": (0, rows)}
                kept[f"{prefix}{names.attention_output}.weight"] = (1, rows)
        return kept
