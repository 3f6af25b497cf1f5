"""config.json -> a frozen config with Hugging Face's own keys, every value checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from npbert_kernels.ops import Activation

from npbert.config_values import (
    check_int,
    check_number,
    is_int,
    label_indices,
    label_names,
    show,
    wrong,
)
from npbert.file_names import CONFIG_FILE
from npbert.hub import resolve
from npbert.json_file import read_json_object

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu_erf",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""HF's `hidden_act` -> the op's name. The tanh forms of GELU are one function, written in three ways."""

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

MAX_SIZE = 2**31 - 1
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
    "return_dict",
)


@dataclass(frozen=True)
class BertConfig:
    """The configuration of a BERT model: HF's keys and defaults.

    Keys that npbert does not know are kept in `extra`, can be read as attributes, and are written back by
    `to_dict` and `save_pretrained`. `num_labels` follows from `id2label`; give either, or
    both where they agree.

    Raises:
        ValueError: a value is of the wrong type or out of range, or asks for what npbert does not compute
            (a decoder, cross attention, position embeddings other than absolute, pruned heads, quantized
            weights). The message names the key, what was wanted and what was found.

    Source: https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertConfig
    """

    model_type: ClassVar[str] = "bert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
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

    def __post_init__(self) -> None:
        for key in ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size"):
            check_int(key, getattr(self, key), 1, MAX_SIZE)
        for key in ("max_position_embeddings", "type_vocab_size"):
            check_int(key, getattr(self, key), 1, MAX_SIZE)
        check_int("num_hidden_layers", self.num_hidden_layers, 1, MAX_LAYERS)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size: wanted a multiple of num_attention_heads ({self.num_attention_heads}), "
                f"found {self.hidden_size}"
            )
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise wrong("hidden_act", "one of " + ", ".join(ACTIVATIONS), self.hidden_act)
        # At 0 a constant row would be 0 / 0; a larger one is a slip, since the rows' variance is near 1.
        check_number("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0, low_included=False)
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            check_number(key, getattr(self, key), 0.0, 1.0)
        if self.classifier_dropout is not None:
            check_number("classifier_dropout", self.classifier_dropout, 0.0, 1.0)
        check_number("initializer_range", self.initializer_range, 0.0, math.inf)
        if self.pad_token_id is not None:
            check_int("pad_token_id", self.pad_token_id, 0, self.vocab_size - 1)
        self._check_flags()
        self._check_names()
        self._check_supported()
        self._settle_labels()

    def _check_flags(self) -> None:
        for key in (
            "use_cache",
            "is_decoder",
            "add_cross_attention",
            "tie_word_embeddings",
            "output_attentions",
            "output_hidden_states",
            "return_dict",
        ):
            if not isinstance(value := getattr(self, key), bool):
                raise wrong(key, "true or false", value)

    def _check_names(self) -> None:
        if self.bos_token_id is not None and not is_int(self.bos_token_id):
            raise wrong("bos_token_id", "an integer or null", self.bos_token_id)
        eos = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        if not all(token is None or is_int(token) for token in eos):
            raise wrong("eos_token_id", "an integer, a list of integers or null", self.eos_token_id)
        if self.dtype is not None and not isinstance(self.dtype, str):
            raise wrong("dtype", "a string or null", self.dtype)
        names = self.architectures
        if names is not None and not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
            raise wrong("architectures", "a list of strings or null", names)
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise wrong("problem_type", "null or one of " + ", ".join(PROBLEM_TYPES), self.problem_type)
        if not isinstance(self.extra, dict) or not all(isinstance(key, str) for key in self.extra):
            raise wrong("extra", "a dict with string keys", self.extra)

    def _check_supported(self) -> None:
        """What would change the outputs and is not computed here is refused, never ignored."""
        if self.position_embedding_type != "absolute":
            raise wrong("position_embedding_type", "'absolute', the only one supported", self.position_embedding_type)
        for key in ("is_decoder", "add_cross_attention"):
            if getattr(self, key):
                raise wrong(key, "false: npbert runs encoders only", True)
        for key, why in (
            ("is_encoder_decoder", "npbert runs encoders only"),
            ("pruned_heads", "heads that were pruned away are not supported"),
            ("quantization_config", "quantized weights are not supported"),
        ):
            if self.extra.get(key):
                raise wrong(key, f"none: {why}", self.extra[key])

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

    def __getattr__(self, name: str) -> Any:
        # Only called where there is no such field; `extra` itself is missing while a copy is being built.
        if name != "extra" and name in self.extra:
            return self.extra[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def head_size(self) -> int:
        """D = H / N."""
        return self.hidden_size // self.num_attention_heads

    @property
    def activation(self) -> Activation:
        """The op that `hidden_act` names."""
        return ACTIVATIONS[self.hidden_act]

    @property
    def torch_dtype(self) -> str | None:
        """`dtype` under its older name."""
        return self.dtype

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BertConfig:
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
        known = {entry.name for entry in fields(cls)} - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        return cls(**values, extra=extra)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> BertConfig:
        """The config of a model: a folder, `package:NAME` or a hub id.

        Raises:
            OSError: there is no such model, or its config.json can't be read.
            ValueError: its config.json is damaged, or asks for what npbert does not compute.
        """
        path, values = _read(name, revision, token, cache_dir, local_files_only)
        return _named(path, cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Every key, the unknown ones included, in a dict of the caller's own that json can write."""
        values = {"model_type": self.model_type}
        for entry in fields(self):
            if entry.name not in ("extra", "num_labels"):
                values[entry.name] = getattr(self, entry.name)
        # By way of JSON: nested values must not be shared with a config that promises to stay as it is.
        copied: dict[str, Any] = json.loads(json.dumps({**self.extra, **values}))
        copied["id2label"] = dict(self.id2label or {})
        return copied

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes config.json into a folder, which is made if need be.

        Raises:
            OSError: it can't be written.
        """
        values = self.to_dict()
        defaults = {entry.name: None if entry.default is MISSING else entry.default for entry in fields(self)}
        plain = type(self)()
        defaults |= {"id2label": plain.id2label, "label2id": plain.label2id}
        for key in _WRITTEN_IF_SET:
            if values[key] == defaults[key]:
                del values[key]
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


CONFIGS: dict[str, type[BertConfig]] = {BertConfig.model_type: BertConfig}
"""model_type -> config class."""


class AutoConfig:
    """Picks the config class by the `model_type` of a config.json."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> BertConfig:
        """The config of a model: a folder, `package:NAME` or a hub id.

        Raises:
            OSError: there is no such model, or its config.json can't be read.
            ValueError: `model_type` is missing or not supported, or as the class that it names says.
        """
        path, values = _read(name, revision, token, cache_dir, local_files_only)
        model_type = values.get("model_type")
        if not isinstance(model_type, str) or model_type not in CONFIGS:
            supported = "one of the supported families, " + ", ".join(sorted(CONFIGS))
            found = "none" if "model_type" not in values else show(model_type)
            raise ValueError(f"{path}: model_type: wanted {supported}, found {found}")
        return _named(path, CONFIGS[model_type], values)


def _read(
    name: str | os.PathLike[str],
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | os.PathLike[str] | None,
    local_files_only: bool,
) -> tuple[Path, dict[str, Any]]:
    folder = resolve(
        name,
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        patterns=(CONFIG_FILE,),
    )
    path = folder / CONFIG_FILE
    return path, read_json_object(path)


def _named(path: Path, cls: type[BertConfig], values: dict[str, Any]) -> BertConfig:
    try:
        return cls.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
