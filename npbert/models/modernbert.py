"""ModernBERT: pre-norm, rotary positions, gated feed-forward layers, and local attention in two of three layers.

Source: https://arxiv.org/abs/2412.13663, and transformers' ModernBertModel, whose outputs these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from npbert_kernels.ops import Activation, Batch, Dtype, Ints, Ops, Placed, Rows, Store, TableRows

from npbert.checks import check_int, wrong
from npbert.models.architecture import EMBEDDING_PARTS, Architecture, Encoder, HeadNames, fused_pruning
from npbert.models.config import MAX_SIZE, EncoderConfig
from npbert.models.head_models import ForMaskedLM
from npbert.models.model import BareModel
from npbert.models.rotary import rotary_table, settled_parameters
from npbert.models.weights import NamedWeights, Shapes, named_shapes, place_halves, place_linear, place_norm

WORDS = "embeddings.tok_embeddings.weight"
FULL, LOCAL = "full_attention", "sliding_attention"


class Layer(NamedTuple):
    kind: str  # FULL or LOCAL
    attention_norm: Placed | None  # [H]; the first layer's is the embeddings'
    qkv: Placed  # [3 N D, H]
    attention_output: Placed  # [H, N D]
    feed_forward_norm: Placed  # [H]
    gated: Placed  # [I, H], with the activation
    gate: Placed  # [I, H]
    output: Placed  # [H, I]


@dataclass(frozen=True)
class ModernBertEncoder(Encoder):
    words: TableRows  # [V, H]
    word_table: Placed  # [V, H]
    embeddings_norm: Placed  # [H]
    layers: tuple[Layer, ...]
    final_norm: Placed  # [H]
    rotary: Mapping[str, Placed]  # a kind of layer -> [P, D]: cosines and sines
    window: int  # how many columns from a query its keys may stand in LOCAL layers
    head_size: int
    heads: tuple[int, ...]
    activation: Activation | None

    def embeddings(self, ops: Ops, batch: Batch) -> Rows:
        if batch.inputs_embeds is not None:
            return ops.embed_rows(batch.inputs_embeds, None, None, self.embeddings_norm)
        return ops.embed(self.word_table, batch.ids, None, None, self.embeddings_norm)

    def layer(
        self, index: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
    ) -> tuple[Rows, Rows | None]:
        weights, heads = self.layers[index], self.heads[index]
        normed = x if weights.attention_norm is None else ops.layer_norm(x, weights.attention_norm)
        qkv, table, D = ops.linear(normed, weights.qkv), self.rotary[weights.kind], self.head_size  # [T, 3 N D]
        context, p = ops.attention(
            ops.rotary(qkv, table, batch.positions, heads=heads, head_size=D),
            batch.cu_seqlens,
            batch.key_lens,
            heads=heads,
            head_size=D,
            head_mask=batch.head_mask_of(index),
            allowed=batch.allowed,
            probs=probs,
            columns=batch.columns,
            window=self.window if weights.kind == LOCAL else None,
        )
        if rows is not None:  # nothing below looks at other rows
            context, x = ops.take(context, rows), ops.take(x, rows)
        x = ops.linear(context, weights.attention_output, residual=x)  # [T, H]
        normed = ops.layer_norm(x, weights.feed_forward_norm)
        gated = ops.linear(normed, weights.gated, activation=self.activation)  # [T, I]
        hidden = ops.multiply(gated, ops.linear(normed, weights.gate))  # [T, I]
        return ops.linear(hidden, weights.output, residual=x), p

    def final(self, ops: Ops, x: Rows) -> Rows:
        return ops.layer_norm(x, self.final_norm)


HEADS = {
    "masked_lm": HeadNames(
        dense="head.dense",
        activation_key="classifier_activation",
        norm="head.norm",
        biases=("classifier_bias", "norm_bias", "decoder_bias"),
        out="decoder",
        tied=True,
    )
}


class ModernBert(Architecture):
    prefix = "model."
    words = WORDS
    tables = (WORDS,)
    heads = HEADS
    unused = r"(head|decoder|classifier)\..+"

    def needs_columns(self, config: ModernBertConfig) -> bool:
        return LOCAL in config.layer_types

    def shapes(self, config: ModernBertConfig, *, pooler: bool) -> Shapes:
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes: Shapes = {WORDS: (config.vocab_size, H)}

        def norm(name: str) -> None:
            shapes.update(named_shapes(name, (H,), config.norm_bias))

        norm("embeddings.norm")
        for index in range(config.num_hidden_layers):
            prefix, context = f"layers.{index}.", config.heads_of(index) * config.head_size  # N D
            if index:
                norm(prefix + "attn_norm")
            shapes |= named_shapes(prefix + "attn.Wqkv", (3 * context, H), config.attention_bias)
            shapes |= named_shapes(prefix + "attn.Wo", (H, context), config.attention_bias)
            norm(prefix + "mlp_norm")
            shapes |= named_shapes(prefix + "mlp.Wi", (2 * I, H), config.mlp_bias)
            shapes |= named_shapes(prefix + "mlp.Wo", (H, I), config.mlp_bias)
        norm("final_norm")
        return shapes

    def part(self, config: ModernBertConfig, name: str) -> str:
        if name.startswith("layers."):
            return "attention" if ".attn" in name else "feed-forward"
        parts = {"embeddings": "embeddings' LayerNorm", "final_norm": "last LayerNorm"}
        return EMBEDDING_PARTS[0] if name == WORDS else parts.get(name.partition(".")[0], "head")

    def load(
        self,
        config: ModernBertConfig,
        weights: NamedWeights,
        store: Store,
        precise: Store,
        *,
        pooler: bool,
        dtype: Dtype,
    ) -> ModernBertEncoder:
        words, eps = weights.table(WORDS, dtype), config.norm_eps
        embeddings_norm = place_norm(weights, store, "embeddings.norm", eps)
        heads = tuple(config.heads_of(index) for index in range(config.num_hidden_layers))
        layers = []
        for index, kind in enumerate(config.layer_types):
            prefix = f"layers.{index}."
            attention_norm = place_norm(weights, store, f"{prefix}attn_norm", eps) if index else None
            qkv = place_linear(weights, store, f"{prefix}attn.Wqkv", heads_out=heads[index])
            attention_output = place_linear(weights, store, f"{prefix}attn.Wo", heads_in=heads[index])
            feed_forward_norm = place_norm(weights, store, f"{prefix}mlp_norm", eps)
            gated, gate = place_halves(weights, store, f"{prefix}mlp.Wi")
            output = place_linear(weights, store, f"{prefix}mlp.Wo")
            layers.append(Layer(kind, attention_norm, qkv, attention_output, feed_forward_norm, gated, gate, output))
        P, D, angles = config.max_position_embeddings, config.head_size, config.rope_parameters
        return ModernBertEncoder(
            words=words,
            word_table=store.table(words),
            embeddings_norm=embeddings_norm,
            layers=tuple(layers),
            final_norm=place_norm(weights, store, "final_norm", eps),
            rotary={kind: store.table(rotary_table(P, D, angles[kind]["rope_theta"])) for kind in angles},
            window=config.local_attention // 2,
            head_size=D,
            heads=heads,
            activation=config.activation_op,
        )

    def pruning(self, stored: ModernBertConfig, config: ModernBertConfig) -> dict[str, tuple[int, Ints]]:
        return fused_pruning(stored, config, "layers.{}.attn.Wqkv", "layers.{}.attn.Wo")


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig(EncoderConfig):
    """The configuration of a ModernBERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/modernbert#transformers.ModernBertConfig
    """

    model_type = "modernbert"
    architecture = ModernBert()
    attribute_map: ClassVar[Mapping[str, str]] = {"hidden_act": "hidden_activation", "layer_norm_eps": "norm_eps"}

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_cutoff_factor: float = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | list[int] | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: Any = None  # FULL or LOCAL for each layer
    rope_parameters: Any = None  # {FULL or LOCAL: {"rope_type": ..., "rope_theta": ...}}
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False
    sparse_pred_ignore_index: int = -100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_size % 2:
            raise wrong("hidden_size", "an even width of a head, for rotary positions", self.head_size)
        self._settle_layers()
        if scaling := self.extra.get("rope_scaling"):
            raise wrong("rope_scaling", "none: angles are not scaled", scaling)
        bases = {FULL: self.extra.get("global_rope_theta", 160_000.0)}  # the older keys
        local = self.extra.get("local_rope_theta", 10_000.0)
        bases[LOCAL] = bases[FULL] if local is None else local
        settled = settled_parameters(self.rope_parameters, bases, self.max_position_embeddings)
        object.__setattr__(self, "rope_parameters", settled)

    def _settle_layers(self) -> None:
        """`layer_types` and `local_attention`, also where the file has other keys for them."""
        every, half = self.extra.get("global_attn_every_n_layers", 3), self.extra.get("sliding_window")
        check_int("global_attn_every_n_layers", every, 1, MAX_SIZE)
        if half is not None:  # as transformers takes it
            check_int("sliding_window", half, 1, MAX_SIZE // 2)
            object.__setattr__(self, "local_attention", 2 * half)
        check_int("local_attention", self.local_attention, 1, MAX_SIZE)
        L = self.num_hidden_layers
        kinds = [LOCAL if i % every else FULL for i in range(L)] if self.layer_types is None else self.layer_types
        if not isinstance(kinds, list) or len(kinds) != L or not all(kind in (FULL, LOCAL) for kind in kinds):
            raise wrong("layer_types", f"{FULL} or {LOCAL} for each of {L} layers", kinds)
        object.__setattr__(self, "layer_types", kinds)


class ModernBertModel(BareModel):
    config_class = ModernBertConfig


class ModernBertForMaskedLM(ForMaskedLM):
    config_class = ModernBertConfig
