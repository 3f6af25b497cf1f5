"""What a model folder says, computed from its tensors by name: the campaign's oracle, which shares nothing with npbert.

Each family as transformers computes it, padded, in float64, or in float32 to see how much rounding there is to expect.
Shape letters: B rows, S tokens, H hidden, N heads, D head size, E embedding, P positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Config = Mapping[str, Any]

_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(x: Array) -> Array:
    return x * 0.5 * (1.0 + _erf((x / math.sqrt(2.0)).astype(np.float64)).astype(np.float64)).astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_10": lambda x: np.clip(gelu(x), -10.0, 10.0),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "linear": lambda x: x,
}


@dataclass(frozen=True)
class Names:
    """A family's names, of keys and of tensors."""

    prefix: str
    layer: str = "encoder.layer.{}."
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attended: str = "attention.output.dense"
    attended_norm: str = "attention.output.LayerNorm"
    wide: str = "intermediate.dense"
    narrow: str = "output.dense"
    norm: str = "output.LayerNorm"
    distances: str = "attention.self.distance_embedding"
    projection: str | None = None  # from E to H
    pooler: str | None = "pooler.dense"
    types: bool = True
    masked_lm: tuple[str, str, str, str] = ("", "", "", "")  # dense, norm, decoder, bias
    keys: Mapping[str, str] = field(default_factory=dict)  # BERT's key -> this family's


_ROBERTA = Names("roberta.", masked_lm=("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"))
FAMILIES: dict[str, Names] = {
    "bert": Names(
        "bert.",
        masked_lm=(
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.decoder",
            "cls.predictions.bias",
        ),
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Names(
        "electra.",
        projection="embeddings_project",
        pooler=None,
        masked_lm=(
            "generator_predictions.dense",
            "generator_predictions.LayerNorm",
            "generator_lm_head",
            "generator_lm_head.bias",
        ),
    ),
    "distilbert": Names(
        "distilbert.",
        layer="transformer.layer.{}.",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attended="attention.out_lin",
        attended_norm="sa_layer_norm",
        wide="ffn.lin1",
        narrow="ffn.lin2",
        norm="output_layer_norm",
        pooler=None,
        types=False,
        masked_lm=("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
        keys={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
        },
    ),
    "albert": Names(
        "albert.",
        layer="encoder.albert_layer_groups.{}.albert_layers.{}.",
        query="attention.query",
        key="attention.key",
        value="attention.value",
        attended="attention.dense",
        attended_norm="attention.LayerNorm",
        wide="ffn",
        narrow="ffn_output",
        norm="full_layer_layer_norm",
        distances="attention.distance_embedding",
        projection="encoder.embedding_hidden_mapping_in",
        pooler="pooler",
        masked_lm=("predictions.dense", "predictions.LayerNorm", "predictions.decoder", "predictions.bias"),
    ),
    "mpnet": Names(
        "mpnet.",
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attended="attention.attn.o",
        attended_norm="attention.LayerNorm",
        types=False,
        masked_lm=("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"),
    ),
}
POSITIONS_OF_TOKENS = ("roberta", "xlm-roberta", "camembert", "mpnet")  # counted from the padding's id + 1
RELATIVE = "encoder.relative_attention_bias.weight"  # MPNet's
DEFAULT_EPS = 1e-12


class Encoder64:
    """An encoder of a family, with the tensors of a file as they are named there.

    Args:
        config: of config.json, by its own keys.
        tensors: by the bare encoder's names, or with the family's prefix, as models with heads have them.
        dtype: what is computed in; float16: float32, with matrices cut to four bits, and
            int16: raised as much, to see what reduced precision may do.

    Raises:
        KeyError, ValueError: a tensor or a key is missing, or asks for what is not known here.
    """

    def __init__(self, config: Config, tensors: Tensors, dtype: Any = np.float64) -> None:
        self._coarse = {np.float16: 1, np.int16: -1}.get(dtype, 0)
        self.config, self.dtype = config, np.float32 if self._coarse else dtype
        self.names = FAMILIES[config["model_type"]]
        self._tensors = tensors
        self._eps = config.get("layer_norm_eps", DEFAULT_EPS)
        self.activation = ACTIVATIONS[self.value("hidden_act")]

    def value(self, key: str) -> Any:
        """A key of the config by BERT's name."""
        return self.config[self.names.keys.get(key, key)]

    def tensor(self, name: str) -> Array:
        """A tensor, of the encoder or of a head."""
        found = self._tensors.get(self.names.prefix + name)
        if found is None:
            found = self._tensors[name]
        found = found.astype(self.dtype)
        if self._coarse and found.ndim == 2:
            cut = (found.view(np.uint32) & np.uint32(0xFFF80000)).view(np.float32)  # by up to 2^-4
            found = cut if self._coarse > 0 else found + (found - cut)
        return found

    def linear(self, x: Array, name: str) -> Array:
        """x W^T + bias."""
        return x @ self.tensor(f"{name}.weight").T + self.tensor(f"{name}.bias")

    def norm(self, x: Array, name: str) -> Array:
        """LayerNorm over the last axis."""
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        unit = centred / np.sqrt(variance + self.dtype(self._eps))
        return unit * self.tensor(f"{name}.weight") + self.tensor(f"{name}.bias")

    def states(
        self,
        ids: Array,
        mask: Array | None = None,
        types: Array | None = None,
        positions: Array | None = None,
        embeds: Array | None = None,
        head_mask: Array | None = None,
    ) -> list[Array]:
        """Layers + 1 times [B, S, H]: what goes into each layer, and what comes of the last.

        mask: [B, S] of keys, or [B, S, S] or [B, 1, S, S] of the keys of each query.

        At columns that the mask excludes, numbers are what they are in transformers: npbert gives 0 there.
        """
        with np.errstate(all="ignore"):
            return self._states(ids, mask, types, positions, embeds, head_mask)

    def _states(self, ids: Array, mask: Any, types: Any, positions: Any, embeds: Any, head_mask: Any) -> list[Array]:
        B, S = ids.shape
        kept = np.ones((B, S), bool) if mask is None else np.asarray(mask, bool)
        kept = kept[:, 0] if kept.ndim == 4 else kept
        x = self.tensor("embeddings.word_embeddings.weight")[ids] if embeds is None else embeds.astype(self.dtype)
        kind = self.config.get("position_embedding_type") or "absolute"
        positions = (
            self._positions(ids, embeds is not None) if positions is None else np.broadcast_to(positions, (B, S))
        )
        if kind == "absolute":
            x = x + self.tensor("embeddings.position_embeddings.weight")[positions]
        if self.names.types:
            x = (
                x
                + self.tensor("embeddings.token_type_embeddings.weight")[np.zeros_like(ids) if types is None else types]
            )
        x = self.norm(x, "embeddings.LayerNorm")
        projection = self.names.projection
        if projection and self._has_projection():
            x = self.linear(x, projection)
        states = [x]
        for number, prefix in enumerate(self._layers()):
            factors = head_mask if np.ndim(head_mask) < 2 else head_mask[number]
            x = self._layer(x, prefix, kept if kept.ndim == 3 else kept[:, None, :], kind, factors)
            states.append(x)
        return states

    def pooled(self, last: Array) -> Array | None:
        """[B, H] of position 0, or None where the family or the file has no pooler."""
        if self.names.pooler is None or not self.has(f"{self.names.pooler}.weight"):
            return None
        return np.tanh(self.linear(last[:, 0], self.names.pooler))

    def has(self, name: str) -> bool:
        return self.names.prefix + name in self._tensors or name in self._tensors

    def logits(self, last: Array, kind: str) -> Array:
        """What a head of a kind, "ForMaskedLM" and so on, makes of the last layer [B, S, H]."""
        with np.errstate(all="ignore"):
            return self._logits(last, kind)

    def _logits(self, last: Array, kind: str) -> Array:
        family = self.config["model_type"]
        if kind == "ForTokenClassification":
            return self.linear(last, "classifier")
        if kind == "ForQuestionAnswering":
            return self.linear(last, "qa_outputs")
        if kind == "ForMaskedLM":
            dense, norm, decoder, bias = self.names.masked_lm
            plain = family in ("roberta", "xlm-roberta", "camembert", "mpnet", "electra")
            x = self.norm((gelu if plain else self.activation)(self.linear(last, dense)), norm)
            tied = "embeddings.word_embeddings" if not self.has(f"{decoder}.weight") else decoder
            return x @ self.tensor(f"{tied}.weight").T + self.tensor(bias)
        if kind != "ForSequenceClassification":
            raise ValueError(f"{kind}: no head that is known here")
        first = last[:, 0]
        if family == "distilbert":
            return self.linear(np.maximum(self.linear(first, "pre_classifier"), 0), "classifier")
        if family in ("bert", "albert"):
            pooled = self.pooled(last)
            if pooled is None:
                raise ValueError(f"{kind}: no pooler that is known here")
            return self.linear(pooled, "classifier")
        middle = self.linear(first, "classifier.dense")
        return self.linear(gelu(middle) if family == "electra" else np.tanh(middle), "classifier.out_proj")

    def _heads(self) -> int:
        heads: int = self.value("num_attention_heads")
        return heads

    def _has_projection(self) -> bool:
        return self.config["model_type"] == "albert" or self.config["embedding_size"] != self.value("hidden_size")

    def _layers(self) -> list[str]:
        count = self.value("num_hidden_layers")
        if self.config["model_type"] != "albert":
            return [self.names.layer.format(index) for index in range(count)]
        groups, inner = self.config.get("num_hidden_groups", 1), self.config.get("inner_group_num", 1)
        return [
            self.names.layer.format(int(index / (count / groups)), place)
            for index in range(count)
            for place in range(inner)
        ]

    def _positions(self, ids: Array, embeds: bool) -> Array:
        B, S = ids.shape
        family = self.config["model_type"]
        if family not in POSITIONS_OF_TOKENS:
            return np.broadcast_to(np.arange(S), (B, S))
        padding = 1 if family == "mpnet" else self.config.get("pad_token_id", 1)
        if embeds:
            return np.broadcast_to(np.arange(padding + 1, padding + 1 + S), (B, S))
        real = (ids != padding).astype(np.int64)
        return np.cumsum(real, axis=1) * real + padding

    def _layer(self, x: Array, prefix: str, kept: Array, kind: str, factors: Array | None) -> Array:
        B, S, _ = x.shape
        N, names = self._heads(), self.names
        D = self.value("hidden_size") // N

        def split(name: str) -> Array:
            return self.linear(x, prefix + name).reshape(B, S, -1, D).transpose(0, 2, 1, 3)

        query, key, value = split(names.query), split(names.key), split(names.value)  # [B, N, S, D]
        scores = query @ key.transpose(0, 1, 3, 2)  # [B, N, S, S]
        scale = self.dtype(1.0 / math.sqrt(D))
        albert = self.config["model_type"] == "albert"
        if kind != "absolute":
            P = self.config["max_position_embeddings"]
            apart = np.arange(S)[:, None] - np.arange(S)
            rows = self.tensor(f"{prefix}{names.distances}.weight")[apart + P - 1]  # [S, S, D]
            more = np.einsum("bnqd,qkd->bnqk", query, rows)
            if kind == "relative_key_query":
                more = more + np.einsum("bnkd,qkd->bnqk", key, rows)
            scores = scores * scale + more if albert else (scores + more) * scale
        else:
            scores = scores * scale
        if self.config["model_type"] == "mpnet":
            scores = scores + self.tensor(RELATIVE)[_buckets(S)].transpose(2, 0, 1)
        scores = np.where(kept[:, None], scores, -np.inf)
        highest = scores.max(-1, keepdims=True)
        shares = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
        sums = shares.sum(-1, keepdims=True)
        shares = shares / np.where(sums == 0, 1, sums)  # a row that is masked whole attends to nothing
        if factors is not None:
            shares = shares * factors.astype(self.dtype)[None, :, None, None]
        context = (shares @ value).transpose(0, 2, 1, 3).reshape(B, S, -1)
        x = self.norm(x + self.linear(context, prefix + names.attended), prefix + names.attended_norm)
        wide = self.activation(self.linear(x, prefix + names.wide))
        return self.norm(x + self.linear(wide, prefix + names.narrow), prefix + names.norm)


def _buckets(S: int) -> Array:
    """[S, S]: MPNet's bucket of query and key, in float32 as transformers has it."""
    behind = np.arange(S) - np.arange(S)[:, None]  # of the key
    away = np.abs(behind)
    logs = np.log(np.maximum(away, 1).astype(np.float32) / np.float32(8)) / np.float32(math.log(16))
    far = np.minimum(8 + (logs * np.float32(8)).astype(np.int64), 15)
    return np.where(behind > 0, 16, 0) + np.where(away < 8, away, far)


def shapes(config: Config, kind: str = "Model", *, pooler: bool = True) -> dict[str, tuple[int, ...]]:
    """Name -> shape, of all tensors of a model as transformers writes them."""
    names = FAMILIES[config["model_type"]]

    def value(key: str) -> Any:
        return config[names.keys.get(key, key)]

    H, wide, N = value("hidden_size"), value("intermediate_size"), value("num_attention_heads")
    E, P, V = config.get("embedding_size", H), config["max_position_embeddings"], config["vocab_size"]
    found: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, width: int) -> None:
        found.update({f"{name}.weight": (out, width), f"{name}.bias": (out,)})

    def norm(name: str, width: int) -> None:
        found.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    found["embeddings.word_embeddings.weight"] = (V, E)
    found["embeddings.position_embeddings.weight"] = (P, E)
    if names.types:
        found["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], E)
    norm("embeddings.LayerNorm", E)
    if names.projection and (config["model_type"] == "albert" or E != H):
        linear(names.projection, H, E)
    if config["model_type"] == "mpnet":
        found[RELATIVE] = (config["relative_attention_num_buckets"], N)
    sets = [(index,) for index in range(value("num_hidden_layers"))]
    if config["model_type"] == "albert":
        groups, inner = config.get("num_hidden_groups", 1), config.get("inner_group_num", 1)
        sets = [(group, place) for group in range(groups) for place in range(inner)]  # type: ignore[misc]
    for places in sets:
        prefix = names.layer.format(*places)
        for name in (names.query, names.key, names.value, names.attended):
            linear(prefix + name, H, H)
        if config.get("position_embedding_type", "absolute") != "absolute":
            found[f"{prefix}{names.distances}.weight"] = (2 * P - 1, H // N)
        norm(prefix + names.attended_norm, H)
        linear(prefix + names.wide, wide, H)
        linear(prefix + names.narrow, H, wide)
        norm(prefix + names.norm, H)
    if pooler and names.pooler:
        linear(names.pooler, H, H)
    if kind != "Model":
        found = {names.prefix + name: shape for name, shape in found.items()}
        found |= _head_shapes(config, kind, H, E, V)
    return found


def _head_shapes(config: Config, kind: str, H: int, E: int, V: int) -> dict[str, tuple[int, ...]]:
    family, labels = config["model_type"], len(config.get("id2label", "ab"))
    found: dict[str, tuple[int, ...]] = {}
    if kind == "ForMaskedLM":
        dense, norm, _, bias = FAMILIES[family].masked_lm
        width = E if family in ("albert", "electra") else H
        found |= {f"{dense}.weight": (width, H), f"{dense}.bias": (width,)}
        return found | {f"{norm}.weight": (width,), f"{norm}.bias": (width,), bias: (V,)}
    name = {"ForTokenClassification": "classifier", "ForQuestionAnswering": "qa_outputs"}.get(kind, "classifier")
    out = 2 if kind == "ForQuestionAnswering" else labels
    if kind == "ForSequenceClassification" and family not in ("bert", "albert"):
        first = "pre_classifier" if family == "distilbert" else "classifier.dense"
        found |= {f"{first}.weight": (H, H), f"{first}.bias": (H,)}
        name = "classifier" if family == "distilbert" else "classifier.out_proj"
    return found | {f"{name}.weight": (out, H), f"{name}.bias": (out,)}
