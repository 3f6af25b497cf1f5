"""config.json -> a frozen config with Hugging Face's own keys, every value checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from npbert_kernels.ops import Activation

from npbert.checks import check_int, check_number, checked_path, wrong
from npbert.files.folder_contents import instead_of_config
from npbert.files.hub import HUB, Folder, HubArguments, resolve
from npbert.files.names import CONFIG_FILE
from npbert.files.staging import staged, write_text
from npbert.keywords import OtherArguments
from npbert.models.architecture import Architecture
from npbert.models.config_values import head_lists, label_indices, label_names

ACTIVATIONS: dict[str, Activation | None] = {
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "gelu_10": "gelu_10",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": None,
}
"""HF's `hidden_act` -> the op's name, None for none. The tanh forms of GELU are one function, written in many ways."""

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

Config = TypeVar("Config", bound="EncoderConfig")


class ConfigArguments(HubArguments, OtherArguments, total=False):
    """Of a config's `from_pretrained`."""


MAX_SIZE = 2**31 - 1
LEAST_EPS = 2.0**-126  # of float32
# A config is read before the weights: the names of 2^31 layers or labels would never end.
MAX_LAYERS = 1024
MAX_LABELS = 2**20

# Written to a file only where they differ from the default, as transformers does.
_WRITTEN_IF_SET = (
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "pruned_heads",
    "return_dict",
)


# Each family makes methods of its own, and of those that are made of a config only its families' are called.
@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class EncoderConfig:
    """What the configurations of all families share. Each family adds HF's own keys and defaults.

    Keys that npbert does not know are kept in `extra`, can be read as attributes, and are written back by
    `to_dict` and `save_pretrained`. `num_labels` follows from `id2label`; give either, or
    both where they agree.

    Raises:
        ValueError: a value is of the wrong type or out of range, or asks for what npbert does not compute
            (a decoder, cross attention, quantized weights). The message names the key, what was wanted and
            what was found.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[Architecture]
    decoder: ClassVar[bool] = False
    """Whether each token sees those before it alone: then `is_decoder` makes no difference."""
    attribute_map: ClassVar[Mapping[str, str]] = {}
    """Names that all families share -> this family's own keys, where they differ."""

    vocab_size: int = 30522
    initializer_range: float = 0.02
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    pruned_heads: dict[int, list[int]] = field(default_factory=dict)
    architectures: list[str] | None = None
    dtype: str | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    problem_type: str | None = None
    num_labels: int | None = None
    id2label: dict[int, str] | None = None
    label2id: dict[str, int] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    # What the encoder is made by: fields of a family where config.json has them, properties where it has not.
    if TYPE_CHECKING:

        @property
        def hidden_size(self) -> int: ...

        @property
        def num_hidden_layers(self) -> int: ...

        @property
        def num_attention_heads(self) -> int: ...

        @property
        def intermediate_size(self) -> int: ...

        @property
        def max_position_embeddings(self) -> int: ...

        @property
        def hidden_act(self) -> str: ...

        @property
        def layer_norm_eps(self) -> float: ...

    @property
    def embedding_size(self) -> int:
        """E, the width of the embeddings: H unless they are factorised."""
        return self.hidden_size

    @property
    def type_vocab_size(self) -> int:
        """How many token types there are: 1 is as good as none."""
        return 1

    @property
    def position_embedding_type(self) -> str:
        """ "absolute", or in BERT also "relative_key" and "relative_key_query"."""
        return "absolute"

    @property
    def num_hidden_groups(self) -> int:
        """How many groups of layers have weights of their own; layers of a group share them."""
        return self.num_hidden_layers

    @property
    def inner_group_num(self) -> int:
        """How many layers a group has."""
        return 1

    @property
    def padding_position(self) -> int | None:
        """Positions count a row's tokens from this + 1, padding left out. None: they count its columns from 0."""
        return None

    def __getattr__(self, name: str) -> Any:
        # Only called where there is no such field; `extra` itself is missing while a copy is being built.
        if name in self.attribute_map:
            return getattr(self, self.attribute_map[name])
        if name != "extra" and name in self.extra:
            return self.extra[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @cached_property
    def max_tokens(self) -> int:
        """The most tokens that a row may have: those that have a position."""
        return self.max_position_embeddings - (0 if self.padding_position is None else self.padding_position + 1)

    @property
    def head_size(self) -> int:
        """D = H / N."""
        return self.hidden_size // self.num_attention_heads

    @property
    def activation_op(self) -> Activation | None:
        """The op that `hidden_act` names; None where that is none."""
        return ACTIVATIONS[self.hidden_act]

    @cached_property
    def relative_attention(self) -> bool:
        """Whether scores depend on how far apart query and key stand."""
        return self.architecture.relative(self)

    @cached_property
    def needs_columns(self) -> bool:
        """Whether attention depends on how far query and key are apart."""
        return self.architecture.needs_columns(self)

    @property
    def weight_sets(self) -> int:
        """How many layers have weights of their own."""
        return self.num_hidden_groups * self.inner_group_num

    @cached_property
    def layer_weights(self) -> tuple[int, ...]:
        """Which set of weights each layer has, from the first to the last: 0, 1, 2, ... unless they are shared."""
        each_group = self.num_hidden_layers / self.num_hidden_groups  # layers; a fraction is HF's rule as well
        return tuple(
            int(layer / each_group) * self.inner_group_num + inner
            for layer in range(self.num_hidden_layers)
            for inner in range(self.inner_group_num)
        )

    def heads_of(self, weights: int) -> int:
        """How many heads a set of weights has, those that are pruned left out."""
        return self.num_attention_heads - len(self.pruned_heads.get(weights, ()))

    def kept_heads(self, weights: int) -> list[int]:
        """The heads of a set of weights that are not pruned, ascending."""
        pruned = self.pruned_heads.get(weights, ())
        return [head for head in range(self.num_attention_heads) if head not in pruned]

    def check_head(self, kind: str) -> None:
        """Raises ValueError where a key that only this head reads asks for what is not computed here."""

    def check_labels(self) -> None:
        """Raises ValueError where `id2label`, which only heads with labels read, has none for one of them."""
        if sorted(self.id2label or ()) != list(range(self.num_labels or 0)):
            raise wrong("id2label", "a label, a string, for each of 0, 1, 2, ...", self.id2label)

    @property
    def torch_dtype(self) -> str | None:
        """`dtype` under its older name."""
        return self.dtype

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size"):
            self._check_size(name)
        for name in ("embedding_size", "max_position_embeddings", "type_vocab_size"):
            self._check_size(name)
        for name in ("num_hidden_layers", "num_hidden_groups", "inner_group_num"):
            self._check_size(name, MAX_LAYERS)
        if max(self.num_hidden_layers, self.num_hidden_groups) * self.inner_group_num > MAX_LAYERS:
            raise wrong("inner_group_num", f"at most {MAX_LAYERS} layers in all", self.inner_group_num)
        if self.hidden_size % self.num_attention_heads:
            heads = f"{self._key('num_attention_heads')} ({self.num_attention_heads})"
            raise wrong(self._key("hidden_size"), f"a multiple of {heads}", self.hidden_size)
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise wrong(self._key("hidden_act"), "one of " + ", ".join(ACTIVATIONS), self.hidden_act)
        # At 0, as float32 has it, a constant row would be 0 / 0; one above 1 is a slip: rows' variance is near that.
        check_number(self._key("layer_norm_eps"), self.layer_norm_eps, LEAST_EPS, 1.0)
        if self.pad_token_id is not None:  # a negative one counts from the end, as torch has it
            check_int("pad_token_id", self.pad_token_id, -self.vocab_size, self.vocab_size - 1)
        if self.max_tokens < 1:
            begin = self.max_position_embeddings - self.max_tokens
            wanted = f"at least {begin + 1}: position 0 of a row is {begin}"
            raise wrong("max_position_embeddings", wanted, self.max_position_embeddings)
        if self.position_embedding_type not in POSITION_EMBEDDING_TYPES:
            wanted = "one of " + ", ".join(POSITION_EMBEDDING_TYPES)
            raise wrong("position_embedding_type", wanted, self.position_embedding_type)
        self._check_dropouts_and_flags()
        self._check_names()
        self._check_supported()
        pruned = head_lists("pruned_heads", self.pruned_heads or {}, self.weight_sets, self.num_attention_heads)
        object.__setattr__(self, "pruned_heads", pruned)
        self._settle_labels()

    def _key(self, name: str) -> str:
        return self.attribute_map.get(name, name)

    def _check_size(self, name: str, most: int = MAX_SIZE) -> None:
        check_int(self._key(name), getattr(self, name), 1, most)

    def _check_dropouts_and_flags(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if "dropout" in entry.name and (value is not None or entry.default is not None):
                check_number(entry.name, value, 0.0, 1.0)
            elif entry.type == "bool" and value is None:  # as Python takes it
                object.__setattr__(self, entry.name, False)
            elif entry.type == "bool" and not isinstance(value, bool):
                raise wrong(entry.name, "true or false", value)

    def _check_names(self) -> None:
        if isinstance(self.architectures, str):
            object.__setattr__(self, "architectures", [self.architectures])
        names = self.architectures
        if names is not None and not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
            raise wrong("architectures", "a list of strings or null", names)
        if not isinstance(self.extra, dict) or not all(isinstance(key, str) for key in self.extra):
            raise wrong("extra", "a dict with string keys", self.extra)

    def _check_supported(self) -> None:
        """What would change the outputs and is not computed here is refused, never ignored."""
        for key, why in (
            ("is_decoder", f"npbert runs {self.model_type} as an encoder only"),
            ("add_cross_attention", "npbert computes no cross attention"),
            ("is_encoder_decoder", "npbert computes no cross attention"),
            ("quantization_config", "quantized weights are not supported"),
        ):
            if key == "is_decoder" and self.decoder:
                continue
            if value := getattr(self, key, None):
                raise wrong(key, f"none: {why}", value)

    def _settle_labels(self) -> None:
        """`id2label` with int keys, `label2id` and `num_labels`, whichever of them were given."""
        if self.num_labels is not None:
            check_int("num_labels", self.num_labels, 0, MAX_LABELS)
        if self.id2label is None:
            count = 2 if self.num_labels is None else self.num_labels
            id2label = {index: f"LABEL_{index}" for index in range(count)}
        else:
            id2label = label_names(self.id2label)
        if self.num_labels is not None and self.num_labels != len(id2label):
            raise ValueError(f"num_labels: wanted {len(id2label)}, the length of id2label, found {self.num_labels}")
        if self.label2id is None:
            label2id = {label: index for index, label in id2label.items()}
        else:
            label2id = label_indices(self.label2id)
        object.__setattr__(self, "num_labels", len(id2label))
        object.__setattr__(self, "id2label", id2label)
        object.__setattr__(self, "label2id", label2id)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A config from the keys of a config.json.

        Raises:
            ValueError: as the class says, or `model_type` names another family.
        """
        values = dict(values)
        model_type = values.pop("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise wrong("model_type", repr(cls.model_type), model_type)
        older = values.pop("torch_dtype", None)
        if values.get("dtype") is None:
            values["dtype"] = older
        for name, key in cls.attribute_map.items():
            if name in values:
                values.setdefault(key, values.pop(name))
        known = {entry.name for entry in fields(cls)} - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        return cls(**values, extra=extra)

    @classmethod
    @HUB
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **given: Unpack[ConfigArguments],
    ) -> Self:
        """The config of a model: a folder, `package:NAME` or a hub id; or of a subfolder of it.

        Of other arguments of transformers' those that change nothing are taken, and the rest is refused.

        Raises:
            OSError: there is no such model, or its config.json can't be read.
            ValueError: its config.json is damaged, or asks for what npbert does not compute.
        """
        hub = HUB.of(f"{cls.__name__}.from_pretrained", given)
        folder = resolve(pretrained_model_name_or_path, patterns=(CONFIG_FILE,), **hub)
        return config_of(folder, cls)

    def to_dict(self) -> dict[str, Any]:
        """Every key, the unknown ones included, in a dict of the caller's own that json can write."""
        values: dict[str, Any] = {"model_type": self.model_type}
        for entry in fields(self):
            if entry.name not in ("extra", "num_labels"):
                values[entry.name] = getattr(self, entry.name)
        # By way of JSON: nested values must not be shared with a config that promises to stay as it is.
        copied: dict[str, Any] = json.loads(json.dumps({**self.extra, **values}))
        copied["id2label"] = dict(self.id2label or {})
        copied["pruned_heads"] = {layer: list(heads) for layer, heads in self.pruned_heads.items()}
        return copied

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes config.json into a folder, which is made if need be.

        Raises:
            OSError: it can't be written.
        """
        values = self.to_dict()
        defaults = type(self)().to_dict()
        for key in _WRITTEN_IF_SET:
            if values[key] == defaults[key]:
                del values[key]
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        with staged(checked_path("save_directory", save_directory)) as stage:
            write_text(stage / CONFIG_FILE, text)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class LayersConfig(EncoderConfig):
    """The keys for layers that most families have in common."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12


def read_values(folder: Folder) -> tuple[Path, dict[str, Any]]:
    """A model's config.json and what it holds; of an adapter without one, that of the model that it is of.

    Raises:
        OSError: there is none, or it can't be read.
        ValueError: it is damaged.
    """
    found = folder if folder.has(CONFIG_FILE) else folder.base
    if not found.has(CONFIG_FILE):
        raise FileNotFoundError(f"{found}: wanted {CONFIG_FILE}, found none{instead_of_config(found.path)}")
    return found / CONFIG_FILE, found.values(CONFIG_FILE)


def config_of(folder: Folder, cls: type[Config]) -> Config:
    """The config of a model's folder, made once however many readers have a use for it.

    Raises:
        OSError: as `read_values`.
        ValueError: as `read_values`, or as `from_dict`; names the file.
    """

    def make() -> Config:
        path, values = read_values(folder)
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    return folder.once(cls, make)
