"""ModernBERT: pre-norm, rotary positions, gated feed-forward layers, and local attention in two of three layers.

Source: https://arxiv.org/abs/2412.13663, and transformers' ModernBertModel, whose outputs these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from npbert_kernels.ops import Activation, Batch, Dtype, Floats, Ops, Placed, Quantized, Rows, Store, TableRows

from npbert.checks import check_int, check_number, wrong
from npbert.models.architecture import EMBEDDING_PARTS, Architecture, Encoder, HeadNames
from npbert.models.config import ACTIVATIONS, EncoderConfig
from npbert.models.head_models import ForMaskedLM
from npbert.models.model import BareModel
from npbert.models.weights import NamedWeights, Shapes, place_linear, place_norm

WORDS = "embeddings.tok_embeddings.weight"
FULL, LOCAL = "full_attention", "sliding_attention"
THETA = {FULL: ("global_rope_theta", 160_000.0), LOCAL: ("local_rope_theta", 10_000.0)}
"""A kind of layer -> the older key of its rotary base, and the base where no key says it."""


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
        table = self.rotary[weights.kind]
        qkv = ops.rotary(
            ops.linear(normed, weights.qkv), table, batch.positions, heads=heads, head_size=self.head_size
        )  # [T, 3 N D]
        context, p = ops.attention(
            qkv,
            batch.cu_seqlens,
            batch.key_lens,
            heads=heads,
            head_size=self.head_size,
            head_mask=None if batch.head_mask is None else batch.head_mask[index],
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


class ModernBert(Architecture):
    prefix = "model."
    words = WORDS
    tables = (WORDS,)
    heads: ClassVar[Mapping[str, HeadNames]] = {
        "masked_lm": HeadNames(
            dense="head.dense",
            activation_key="classifier_activation",
            norm="head.norm",
            biases=("classifier_bias", "norm_bias", "decoder_bias"),
            out="decoder",
            tied=True,
        )
    }
    unused = r"(head|decoder|classifier)\..+"

    def needs_columns(self, config: ModernBertConfig) -> bool:
        return LOCAL in config.layer_kinds

    def shapes(self, config: ModernBertConfig, *, pooler: bool) -> Shapes:
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes: Shapes = {WORDS: (config.vocab_size, H)}

        def norm(name: str) -> None:
            shapes[f"{name}.weight"] = (H,)
            if config.norm_bias:
                shapes[f"{name}.bias"] = (H,)

        def linear(name: str, out: int, width: int, bias: bool) -> None:
            shapes[f"{name}.weight"] = (out, width)
            if bias:
                shapes[f"{name}.bias"] = (out,)

        norm("embeddings.norm")
        for index in range(config.num_hidden_layers):
            prefix = f"layers.{index}."
            if index:
                norm(prefix + "attn_norm")
            linear(prefix + "attn.Wqkv", 3 * H, H, config.attention_bias)
            linear(prefix + "attn.Wo", H, H, config.attention_bias)
            norm(prefix + "mlp_norm")
            linear(prefix + "mlp.Wi", 2 * I, H, config.mlp_bias)
            linear(prefix + "mlp.Wo", H, I, config.mlp_bias)
        norm("final_norm")
        return shapes

    def part(self, config: ModernBertConfig, name: str) -> str:
        if name == WORDS:
            return EMBEDDING_PARTS[0]
        if name.startswith("embeddings."):
            return "embeddings' LayerNorm"
        if name.startswith("final_norm."):
            return "last LayerNorm"
        if not name.startswith("layers."):
            return "head"
        return "attention" if ".attn" in name else "feed-forward"

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
        words, eps, heads = weights.table(WORDS, dtype), config.norm_eps, config.num_attention_heads
        layers = []
        for index, kind in enumerate(config.layer_kinds):
            prefix = f"layers.{index}."
            gated, gate = _halves(weights, f"{prefix}mlp.Wi")
            layers.append(
                Layer(
                    kind=kind,
                    attention_norm=place_norm(weights, store, f"{prefix}attn_norm", eps) if index else None,
                    qkv=place_linear(weights, store, f"{prefix}attn.Wqkv", heads_out=heads),
                    attention_output=place_linear(weights, store, f"{prefix}attn.Wo", heads_in=heads),
                    feed_forward_norm=place_norm(weights, store, f"{prefix}mlp_norm", eps),
                    gated=store.linear(*gated),
                    gate=store.linear(*gate),
                    output=place_linear(weights, store, f"{prefix}mlp.Wo"),
                )
            )
        rotary = {kind: store.table(rotary_table(config, kind)) for kind in set(config.layer_kinds)}
        return ModernBertEncoder(
            words=words,
            word_table=store.table(words),
            embeddings_norm=place_norm(weights, store, "embeddings.norm", eps),
            layers=tuple(layers),
            final_norm=place_norm(weights, store, "final_norm", eps),
            rotary=rotary,
            window=config.local_attention // 2,
            head_size=config.head_size,
            heads=(heads,) * len(layers),
            activation=config.activation_op,
        )


def _halves(weights: NamedWeights, name: str) -> list[tuple[Floats | Quantized, Floats | None]]:
    """A linear [2 I, H] as two [I, H], each with its bias."""
    matrix, bias = weights.read_matrix(f"{name}.weight"), weights.read_if_there(f"{name}.bias")
    biases = [None, None] if bias is None else np.split(bias, 2)
    if isinstance(matrix, Quantized):
        parts = zip(np.split(matrix.values, 2), np.split(matrix.scales, 2), strict=True)
        return [(Quantized(*part), half) for part, half in zip(parts, biases, strict=True)]
    return list(zip(np.split(matrix, 2), biases, strict=True))


def rotary_table(config: ModernBertConfig, kind: str) -> Floats:
    """[P, D]: of each position the cosines, then the sines, of its D / 2 angles; float32, as transformers has them."""
    D = config.head_size
    frequencies = np.float32(1) / np.float32(config.theta(kind)) ** (
        np.arange(0, D, 2, dtype=np.float32) / np.float32(D)
    )
    angles = np.arange(config.max_position_embeddings, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


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
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | list[int] | None = 50282
    bos_token_id: int | None = 50281
    attention_bias: bool = False
    layer_types: list[str] | None = None
    global_attn_every_n_layers: int = 3
    rope_parameters: dict[str, Any] | None = None
    global_rope_theta: float | None = None
    local_rope_theta: float | None = None
    local_attention: int = 128
    mlp_bias: bool = False
    decoder_bias: bool = True
    classifier_bias: bool = False
    classifier_activation: str = "gelu"

    @property
    def layer_kinds(self) -> list[str]:
        """FULL or LOCAL, of each layer."""
        every = self.global_attn_every_n_layers
        return self.layer_types or [LOCAL if index % every else FULL for index in range(self.num_hidden_layers)]

    def theta(self, kind: str) -> float:
        """The base of the rotary positions of a kind of layer."""
        key, default = THETA[kind]
        older = getattr(self, key)
        said = ((self.rope_parameters or {}).get(kind) or {}).get("rope_theta")
        return float(said if said is not None else older if older is not None else default)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("local_attention", self.local_attention, 1, 2**31 - 1)
        check_int("global_attn_every_n_layers", self.global_attn_every_n_layers, 1, 2**31 - 1)
        if self.head_size % 2:
            raise wrong("hidden_size", "an even width of a head, for rotary positions", self.head_size)
        kinds = self.layer_types
        if kinds is not None and (not isinstance(kinds, list) or {*map(str, kinds)} - {FULL, LOCAL}):
            raise wrong("layer_types", f"a list of {FULL} and {LOCAL}", kinds)
        if kinds is not None and len(kinds) != self.num_hidden_layers:
            raise wrong("layer_types", f"{self.num_hidden_layers} of them, as num_hidden_layers says", kinds)
        given = self.rope_parameters
        if given is not None and not isinstance(given, dict):
            raise wrong("rope_parameters", "an object", given)
        for kind, one in (given or {}).items():
            if one is not None and not isinstance(one, dict):
                raise wrong(f"rope_parameters: {kind}", "an object", one)
            if one and (found := one.get("rope_type", "default")) != "default":
                raise wrong(f"rope_parameters: {kind}: rope_type", "default", found)
        for kind in THETA:
            check_number("rope_theta", self.theta(kind), 1.0, 1e12)
        if self.classifier_activation not in ACTIVATIONS:
            raise wrong("classifier_activation", "one of " + ", ".join(ACTIVATIONS), self.classifier_activation)


class ModernBertModel(BareModel):
    config_class = ModernBertConfig


class ModernBertForMaskedLM(ForMaskedLM):
    config_class = ModernBertConfig
