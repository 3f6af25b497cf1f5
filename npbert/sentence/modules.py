"""The modules of a sentence-transformers folder that come after its transformer: their settings, read and checked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

from npbert_kernels.ops import Activation

from npbert.checks import is_int, show
from npbert.files.hub import Folder
from npbert.files.names import CONFIG_FILE, MODULES_FILE
from npbert.keywords import hint
from npbert.models.pooling import POOLS, Pool

# The name of torch.nn -> the op's.
ACTIVATIONS: dict[str, Activation | None] = {
    "Identity": None,
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu_erf",
    "SiLU": "silu",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
}
VECTOR = "sentence_embedding"  # sentence-transformers' name of what is pooled; a module may be about another

# In the order in which sentence-transformers joins the vectors of several.
POOLING_FLAGS: dict[str, Pool] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
assert tuple(POOLING_FLAGS.values()) == POOLS == get_args(Pool)

WIDTHS = ("embedding_dimension", "word_embedding_dimension")
POOLING_KEYS = (*WIDTHS, *POOLING_FLAGS, "pooling_mode", "include_prompt")
MODULE_KEYS = {
    "Dense": ("in_features", "out_features", "activation_function", "bias", "use_residual"),
    "LayerNorm": ("dimension",),
}
NAMES = ("module_input_name", "module_output_name")  # of the vectors that a module takes and gives


class Pooling(NamedTuple):
    """[T, H] -> [B, H times the number of modes]."""

    modes: tuple[Pool, ...] = ("mean",)  # in the order in which their vectors are joined
    include_prompt: bool = True  # False: a prompt's tokens are not pooled
    cls_behind_prompt: bool = False  # and then "cls" is the first token that is, not the text's first


class Dense(NamedTuple):
    """[B, in_features] -> [B, out_features]: activation(x W^T + bias), and x is added to it with use_residual."""

    folder: Path  # of the weights
    in_features: int
    out_features: int
    bias: bool = True
    activation: Activation | None = "tanh"
    use_residual: bool = False

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors in the folder's weights."""
        shapes: dict[str, tuple[int, ...]] = {"linear.weight": (self.out_features, self.in_features)}
        if self.bias:
            shapes["linear.bias"] = (self.out_features,)
        if self.use_residual and self.in_features != self.out_features:
            shapes["residual.weight"] = (self.out_features, self.in_features)
        return shapes


class LayerNorm(NamedTuple):
    """[B, dimension] -> [B, dimension]."""

    folder: Path
    dimension: int

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors in the folder's weights."""
        return {"norm.weight": (self.dimension,), "norm.bias": (self.dimension,)}


class Normalize:
    """Each vector divided by its Euclidean norm."""


Module: TypeAlias = Dense | LayerNorm | Normalize


def read_pooling(folder: Folder, hidden_size: int) -> tuple[Pooling, str]:
    """The settings of a Pooling module, and the key that named its modes.

    Raises:
        OSError, ValueError: config.json can't be read, or has values that are wrong or not supported.
    """
    file, values = folder / CONFIG_FILE, folder.values(CONFIG_FILE, f"the Pooling that {MODULES_FILE} lists")
    check_keys(file, values, POOLING_KEYS)
    for key in WIDTHS:
        if key in values and values[key] != hidden_size:
            raise ValueError(f"{file}: {key}: wanted the model's hidden_size {hidden_size}, found {show(values[key])}")
    include_prompt = _flag(file, values, "include_prompt", True)

    if "pooling_mode" in values:
        key = "pooling_mode"
        named = values[key]
        modes = named if isinstance(named, list) else [named]
    else:
        chosen = [flag for flag in POOLING_FLAGS if _flag(file, values, flag, False)]
        key = ", ".join(chosen) or "no mode chosen: sentence-transformers' default"
        modes = [POOLING_FLAGS[flag] for flag in chosen] or ["mean"]
    for mode in modes:
        if not isinstance(mode, str) or mode not in POOLS:
            raise ValueError(f"{file}: pooling mode: supported are {', '.join(POOLS)}, found {show(mode)}")
    if not modes or len(set(modes)) < len(modes):
        raise ValueError(f"{file}: {key}: wanted pooling modes, each once, found {show(modes)}")
    return Pooling(tuple(modes), include_prompt), key


def read_module(kind: str, folder: Folder, width: int) -> tuple[Module | None, str]:
    """The settings of a module that takes vectors of so many numbers, and the keys that gave them.

    None for one that does nothing (Dropout).

    Raises:
        OSError, ValueError: as read_pooling.
    """
    if kind == "Dropout":  # it is for training
        return None, ""
    file, values = folder / CONFIG_FILE, {}
    if kind != "Normalize" or folder.has(CONFIG_FILE):  # in older folders it has no file
        values = folder.values(CONFIG_FILE, f"the {kind} that {MODULES_FILE} lists")
    for key in NAMES:
        if values.get(key) not in (VECTOR, None):
            raise ValueError(f"{file}: {key}: wanted {VECTOR!r}, found {show(values[key])}; not supported")
    if kind == "Normalize":
        return Normalize(), ""
    check_keys(file, values, (*MODULE_KEYS[kind], *NAMES))
    if kind == "LayerNorm":
        return LayerNorm(folder.path, _width(file, values, "dimension", width)), "dimension"
    key = "activation_function"  # Tanh where it is missing, as sentence-transformers has it
    dense = Dense(
        folder.path,
        in_features=_width(file, values, "in_features", width),
        out_features=_width(file, values, "out_features", None),
        bias=_flag(file, values, "bias", True),
        activation=ACTIVATIONS[torch_name(file, key, values[key], ACTIVATIONS)] if key in values else "tanh",
        use_residual=_flag(file, values, "use_residual", False),
    )
    return dense, ", ".join(key for key in MODULE_KEYS[kind] if key in values)


def check_keys(file: Path, values: dict[str, Any], known: Collection[str]) -> None:
    """Raises ValueError for a key that sentence-transformers has not: misspelt, or for what is not done here."""
    for key, value in values.items():
        if value is not None and key not in known:
            raise ValueError(f"{file}: there is no key {show(key)}{hint(key, known)}")


def torch_name(file: Path, key: str, path: Any, supported: Collection[str]) -> str:
    """The last part of a dotted name in torch.nn: where torch keeps it, or as torch.nn has it.

    Raises:
        ValueError: it is no such name, or not one of those supported.
    """
    name = next((name for name in supported if path in (torch_path(name), f"torch.nn.{name}")), None)
    if name is None:
        names = ", ".join(f"torch.nn.{name}" for name in supported)
        raise ValueError(f"{file}: {key}: supported are {names}, found {show(path)}")
    return name


def torch_path(name: str) -> str:
    """Where torch.nn keeps an activation: sentence-transformers imports the path as it stands."""
    return f"torch.nn.modules.{'linear' if name == 'Identity' else 'activation'}.{name}"


def _width(file: Path, values: dict[str, Any], key: str, wanted: int | None) -> int:
    found: Any = values.get(key)
    if not is_int(found) or found < 1:
        raise ValueError(f"{file}: {key}: wanted a positive whole number, found {show(found)}")
    if wanted is not None and found != wanted:
        raise ValueError(f"{file}: {key}: wanted {wanted}, the numbers that the modules before it give, found {found}")
    return int(found)


def _flag(file: Path, values: dict[str, Any], key: str, default: bool) -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{file}: {key}: wanted true or false, found {show(value)}")
    return value
