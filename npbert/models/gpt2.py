"""GPT-2: pre-norm, learned positions, and each token sees those before it.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), and transformers' GPT2Model, whose
outputs these are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from npbert_kernels.ops import Activation, Batch, Dtype, Floats, Ints, Ops, Placed, Rows, Store, TableRows

from npbert.checks import check_int
from npbert.models.architecture import EMBEDDING_PARTS, Architecture, Encoder, HeadNames, fused_pruning
from npbert.models.config import MAX_SIZE, EncoderConfig
from npbert.models.decoders import BareDecoder, ForCausalLM
from npbert.models.weights import NamedWeights, Shapes, named_shapes, place_norm

WORDS, POSITIONS = "wte.weight", "wpe.weight"
HEADS = {"causal_lm": HeadNames(out="lm_head", tied=True, biases=(False, False, False))}


class Layer(NamedTuple):
    attention_norm: Placed  # [H]
    qkv: Placed  # [3 N D, H]
    attention_output: Placed  # [H, N D]
    feed_forward_norm: Placed  # [H]
    intermediate: Placed  # [I, H]
    output: Placed  # [H, I]


@dataclass(frozen=True)
class GPT2Encoder(Encoder):
    words: TableRows  # [V, H]
    word_table: Placed  # [V, H]
    positions: Placed  # [P, H]
    layers: tuple[Layer, ...]
    final_norm: Placed  # [H]
    head_size: int
    heads: tuple[int, ...]
    activation: Activation | None

    def embeddings(self, ops: Ops, batch: Batch) -> Rows:
        positions = (self.positions, batch.positions)
        if batch.inputs_embeds is not None:
            return ops.embed_rows(batch.inputs_embeds, positions, None, None)
        return ops.embed(self.word_table, batch.ids, positions, None, None)

    def layer(
        self, index: int, ops: Ops, batch: Batch, x: Rows, *, probs: bool = False, rows: Rows | None = None
    ) -> tuple[Rows, Rows | None]:
        weights = self.layers[index]
        context, p = ops.attention(
            ops.linear(ops.layer_norm(x, weights.attention_norm), weights.qkv),  # [T, 3 N D]
            batch.cu_seqlens,
            batch.key_lens,
            heads=self.heads[index],
            head_size=self.head_size,
            head_mask=batch.head_mask_of(index),
            allowed=batch.allowed,
            probs=probs,
            columns=batch.columns,
            causal=True,
            cached=batch.cached(index),
        )
        if rows is not None:  # nothing below looks at other rows
            context, x = ops.take(context, rows), ops.take(x, rows)
        x = ops.linear(context, weights.attention_output, residual=x)  # [T, H]
        normed = ops.layer_norm(x, weights.feed_forward_norm)
        hidden = ops.linear(normed, weights.intermediate, activation=self.activation)  # [T, I]
        return ops.linear(hidden, weights.output, residual=x), p

    def final(self, ops: Ops, x: Rows) -> Rows:
        return ops.layer_norm(x, self.final_norm)


class GPT2(Architecture):
    prefix = "transformer."
    words = WORDS
    tables = (WORDS, POSITIONS)
    token_types = None  # would be rows of the word embeddings
    heads = HEADS
    unused = r"lm_head\.weight|h\.\d+\.attn\.(masked_)?bias"  # the latter are masks that older files carry
    turned = r"h\.\d+\.(attn|mlp)\.c_\w+\.weight"

    def needs_columns(self, config: GPT2Config) -> bool:
        return True

    def shapes(self, config: GPT2Config, *, pooler: bool) -> Shapes:
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes: Shapes = {WORDS: (config.vocab_size, H), POSITIONS: (config.max_position_embeddings, H)}
        for index in range(config.num_hidden_layers):
            prefix, context = f"h.{index}.", config.heads_of(index) * config.head_size  # N D
            shapes |= named_shapes(prefix + "ln_1", (H,), True)
            shapes |= _conv_shapes(prefix + "attn.c_attn", H, 3 * context)
            shapes |= _conv_shapes(prefix + "attn.c_proj", context, H)
            shapes |= named_shapes(prefix + "ln_2", (H,), True)
            shapes |= _conv_shapes(prefix + "mlp.c_fc", H, I)
            shapes |= _conv_shapes(prefix + "mlp.c_proj", I, H)
        return shapes | named_shapes("ln_f", (H,), True)

    def part(self, config: GPT2Config, name: str) -> str:
        if name.startswith("h."):
            return "attention" if ".attn." in name or ".ln_1." in name else "feed-forward"
        parts = {"wte": EMBEDDING_PARTS[0], "wpe": EMBEDDING_PARTS[1], "ln_f": "last LayerNorm"}
        return parts.get(name.partition(".")[0], "head")

    def matrices(self, config: GPT2Config) -> list[str]:
        """None: files have them [in, out], and int8 scales go by output."""
        return []

    def load(
        self, config: GPT2Config, weights: NamedWeights, store: Store, precise: Store, *, pooler: bool, dtype: Dtype
    ) -> GPT2Encoder:
        words, eps = weights.table(WORDS, dtype), config.layer_norm_eps
        positions = store.table(weights.read(POSITIONS))
        heads = tuple(config.heads_of(index) for index in range(config.num_hidden_layers))
        layers = []
        for index, count in enumerate(heads):
            prefix = f"h.{index}."
            attention_norm = place_norm(weights, store, prefix + "ln_1", eps)
            weight, bias = _conv(weights, prefix + "attn.c_attn")
            if (factor := config.score_factor(index)) != 1:
                queries = slice(count * config.head_size)
                weight[queries] *= factor
                bias[queries] *= factor
            qkv = store.linear(weight, bias, heads_out=count)
            attention_output = store.linear(*_conv(weights, prefix + "attn.c_proj"), heads_in=count)
            feed_forward_norm = place_norm(weights, store, prefix + "ln_2", eps)
            intermediate = store.linear(*_conv(weights, prefix + "mlp.c_fc"))
            output = store.linear(*_conv(weights, prefix + "mlp.c_proj"))
            layers.append(Layer(attention_norm, qkv, attention_output, feed_forward_norm, intermediate, output))
        return GPT2Encoder(
            words=words,
            word_table=store.table(words),
            positions=positions,
            layers=tuple(layers),
            final_norm=place_norm(weights, store, "ln_f", eps),
            head_size=config.head_size,
            heads=heads,
            activation=config.activation_op,
        )

    def pruning(self, stored: GPT2Config, config: GPT2Config) -> dict[str, tuple[int, Ints]]:
        return fused_pruning(stored, config, "h.{}.attn.c_attn", "h.{}.attn.c_proj", out_axis=1)


def _conv_shapes(name: str, width: int, out: int) -> Shapes:
    """Of transformers' Conv1D, a linear whose weight is stored [in, out]."""
    return {f"{name}.weight": (width, out), f"{name}.bias": (out,)}


def _conv(weights: NamedWeights, name: str) -> tuple[Floats, Floats]:
    """Its weight [out, in] and bias [out]."""
    return np.ascontiguousarray(weights.read(f"{name}.weight").T), weights.read(f"{name}.bias")


@dataclass(frozen=True, kw_only=True)
class GPT2Config(EncoderConfig):
    """The configuration of a GPT-2 model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/gpt2#transformers.GPT2Config
    """

    model_type = "gpt2"
    architecture = GPT2()
    decoder = True
    attribute_map: ClassVar[Mapping[str, str]] = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "hidden_act": "activation_function",
        "layer_norm_eps": "layer_norm_epsilon",
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    summary_type: str = "cls_index"
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = 0.1
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = None
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False  # the same in float32
    add_cross_attention: bool = False

    @property
    def intermediate_size(self) -> int:
        """I."""
        return 4 * self.hidden_size if self.n_inner is None else self.n_inner

    def score_factor(self, layer: int) -> float:
        """What a layer's scores are multiplied with, besides 1 / sqrt(D)."""
        factor = 1.0 if self.scale_attn_weights else math.sqrt(self.head_size)
        return factor / (layer + 1) if self.scale_attn_by_inverse_layer_idx else factor

    def __post_init__(self) -> None:
        if self.n_inner is not None:
            check_int("n_inner", self.n_inner, 1, MAX_SIZE)
        super().__post_init__()


class GPT2Model(BareDecoder):
    config_class = GPT2Config


class GPT2LMHeadModel(ForCausalLM):
    config_class = GPT2Config
