"""What a whole folder says, by the files alone: vectors and scores in float64, for given token ids.

Follows sentence-transformers in what modules.json and the files beside it ask for, and reads each file by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from torture.encoder64 import ACTIVATIONS, Array, Encoder64, sigmoid
from torture.folder import Folder
from torture.lora64 import merged
from torture.weights import unpacked

INDEX = "model.safetensors.index.json"
SCORES: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
}
DENSE = SCORES | {"GELU": ACTIVATIONS["gelu"], "SiLU": ACTIVATIONS["silu"]}
MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


class Unknown(Exception):  # noqa: N818
    """The files ask for what this oracle does not know, or are no model to it."""


def encoder_of(folder: Folder, inner: str = "", dtype: Any = np.float64) -> Encoder64:
    """The encoder in a folder.

    Raises:
        Unknown: there is none that the oracle can read.
    """
    try:
        config = values_of(folder, f"{inner}config.json")
        tensors = tensors_of(folder, inner)
        if f"{inner}adapter_config.json" in folder:
            adapter = unpacked(_bytes(folder[f"{inner}adapter_model.safetensors"]))
            tensors = merged(tensors, adapter, values_of(folder, f"{inner}adapter_config.json"))
        return Encoder64(_settled(config), tensors, dtype)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Unknown(f"{type(error).__name__}: {error}") from None


def tensors_of(folder: Folder, inner: str = "") -> Mapping[str, Array]:
    """All tensors of a folder, of the shards that the index names where there is no other file."""
    tensors: dict[str, Array] = {}
    if (single := folder.get(f"{inner}model.safetensors")) is not None:
        tensors |= unpacked(_bytes(single))
    else:
        for file in sorted(set(values_of(folder, f"{inner}{INDEX}")["weight_map"].values())):
            tensors |= unpacked(_bytes(folder[f"{inner}{file}"]))
    return tensors


def values_of(folder: Folder, name: str) -> Any:
    """What a JSON file holds."""
    if name not in folder:
        raise KeyError(name)
    return json.loads(_bytes(folder[name]))


def _bytes(content: Any) -> bytes:
    if not isinstance(content, bytes):
        raise ValueError("no regular file")
    return content


def _settled(config: dict[str, Any]) -> dict[str, Any]:
    """Keys that are missing are what transformers takes; those that are not known here raise."""
    if config.get("pruned_heads") or config.get("quantization_config") or config.get("is_decoder"):
        raise ValueError("pruned, quantized or a decoder")
    return config


def vectors(folder: Folder, rows: Sequence[Sequence[int]], dtype: Any = np.float64) -> list[Array]:
    """A SentenceTransformer's vector for each row of ids, as the folder's modules make it.

    Raises:
        Unknown: the folder asks for what the oracle does not know.
    """
    try:
        modules = values_of(folder, "modules.json") if "modules.json" in folder else []
        types = [module["type"] for module in modules]
        if any(not kind.startswith("sentence_transformers.") for kind in types):
            raise Unknown("a module that is not sentence-transformers' own")
        inner = f"{modules[0]['path']}/" if modules and modules[0]["path"] else ""
        encoder = encoder_of(folder, inner, dtype)
        found = []
        for row in rows:
            states = encoder.states(np.array([row], np.int64))[-1]
            x = _pooled(folder, modules[1]["path"] if modules else None, states[0])
            for module in modules[2:]:
                x = _module(folder, module["type"].rpartition(".")[2], module["path"], x, dtype)
            found.append(x)
        return found
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unknown(f"{type(error).__name__}: {error}") from None


def _pooled(folder: Folder, where: str | None, x: Array) -> Array:
    """x [S, H], one text's tokens, to one vector."""
    values = {"pooling_mode": "mean"} if where is None else values_of(folder, f"{where}/config.json")
    if "pooling_mode" in values:
        named = values["pooling_mode"]
        modes = named if isinstance(named, list) else [named]
    else:
        modes = [
            mode.removesuffix("_tokens").removesuffix("_token") for mode in MODES if values.get(f"pooling_mode_{mode}")
        ]
    weights = np.arange(1, len(x) + 1, dtype=x.dtype)
    by_mode: dict[str, Callable[[], Array]] = {
        "cls": lambda: x[0],
        "max": lambda: x.max(0),
        "mean": lambda: x.mean(0),
        "mean_sqrt_len": lambda: x.sum(0) / np.sqrt(np.asarray(len(x), x.dtype)),
        "mean_sqrt_len_tokens": lambda: x.sum(0) / np.sqrt(np.asarray(len(x), x.dtype)),
        "weightedmean": lambda: (x * weights[:, None]).sum(0) / weights.sum(),
        "lasttoken": lambda: x[-1],
    }
    return np.concatenate([by_mode[mode]() for mode in modes or ["mean"]])


def _module(folder: Folder, kind: str, path: str, x: Array, dtype: Any) -> Array:
    if kind == "Dropout":
        return x
    if kind == "Normalize":
        return x / np.maximum(np.sqrt((x * x).sum()), x.dtype.type(1e-12))
    tensors = {name: array.astype(x.dtype) for name, array in tensors_of(folder, f"{path}/").items()}
    values = values_of(folder, f"{path}/config.json")
    if kind == "LayerNorm":
        centred = x - x.mean()
        return (
            centred / np.sqrt((centred * centred).mean() + x.dtype.type(1e-5)) * tensors["norm.weight"]
            + tensors["norm.bias"]
        )
    if kind != "Dense":
        raise Unknown(kind)
    bias = tensors["linear.bias"] if values.get("bias", True) else 0
    name = values.get("activation_function", "torch.nn.modules.activation.Tanh")
    out = DENSE[name.rpartition(".")[2]](tensors["linear.weight"] @ x + bias)
    if values.get("use_residual"):
        out = out + (x if "residual.weight" not in tensors else tensors["residual.weight"] @ x)
    return out


def scores(folder: Folder, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None, dtype: Any) -> Array:
    """A CrossEncoder's score [B, labels] of each row of ids.

    Raises:
        Unknown: as `vectors`.
    """
    try:
        modules = values_of(folder, "modules.json") if "modules.json" in folder else []
        inner = f"{modules[0]['path']}/" if modules and modules[0]["path"] else ""
        encoder = encoder_of(folder, inner, dtype)
        logits = np.concatenate(
            [
                encoder.logits(
                    encoder.states(np.array([row]), types=None if types is None else np.array([types[place]]))[-1],
                    "ForSequenceClassification",
                )
                for place, row in enumerate(rows)
            ]
        )
        name = None
        if modules and "config_sentence_transformers.json" in folder:
            name = values_of(folder, "config_sentence_transformers.json").get("activation_fn")
        config = values_of(folder, f"{inner}config.json")
        name = name or (config.get("sentence_transformers") or {}).get("activation_fn")
        name = name or config.get("sbert_ce_default_activation_function")
        name = name or ("Sigmoid" if logits.shape[1] == 1 else "Identity")
        return SCORES[name.rpartition(".")[2]](logits)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unknown(f"{type(error).__name__}: {error}") from None
