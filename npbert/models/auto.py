"""Config and model classes picked by the `model_type` of a config.json."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from npbert.checks import show
from npbert.files.hub import HUB, Folder, resolve
from npbert.files.names import CONFIG_FILE
from npbert.models.config import ConfigArguments, EncoderConfig, config_of, read_values
from npbert.models.decoders import ForCausalLM
from npbert.models.head_models import (
    ForMaskedLM,
    ForMultipleChoice,
    ForNextSentencePrediction,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
    HeadModel,
)
from npbert.models.model import BareLoadingArguments, BareModel, EncoderModel
from npbert.models.registry import MODEL_TYPES, family_class

if TYPE_CHECKING:
    from typing_extensions import Unpack

Model = TypeVar("Model", bound=EncoderModel)


class _Picking:
    """A class that has no objects."""

    def __init__(self, *places: Any, **given: Any) -> None:
        name = type(self).__name__
        raise TypeError(f"{name}: wanted {name}.from_pretrained(name), found a call")


class AutoConfig(_Picking):
    """Picks the config class by the `model_type` of a config.json."""

    @classmethod
    @HUB
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **given: Unpack[ConfigArguments],
    ) -> EncoderConfig:
        """The config of a model, as `BertConfig.from_pretrained` and its like have it.

        Raises:
            OSError: there is no such model, or its config.json can't be read.
            ValueError: `model_type` is missing or not supported, or as the class that it names says.
        """
        hub = HUB.of(f"{cls.__name__}.from_pretrained", given)
        return read_config(resolve(pretrained_model_name_or_path, patterns=(CONFIG_FILE,), **hub))


def read_config(folder: Folder) -> EncoderConfig:
    """The config of a model's folder. Errors are those of `AutoConfig.from_pretrained`."""
    config_class: type[EncoderConfig] = family_class(_model_type(folder), "Config")
    return config_of(folder, config_class)


def _model_type(folder: Folder) -> str:
    """The supported one that config.json says."""
    path, values = read_values(folder)
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODEL_TYPES:
        supported = "one of the supported families, " + ", ".join(sorted(MODEL_TYPES))
        found = "none" if "model_type" not in values else show(model_type)
        raise ValueError(f"{path}: model_type: wanted {supported}, found {found}")
    return model_type


class _Auto(_Picking, Generic[Model]):
    """Picks the class of one kind by the `model_type` of a config.json."""

    kind: ClassVar[str]  # what the classes' names end with
    otherwise: ClassVar[str | None] = None  # the kind that stands in where a family has none of it
    hint: ClassVar[str] = ""  # of a model_type that has neither

    @classmethod
    def _class_of(cls, model_type: str) -> type[Model] | None:
        found: type[Model] | None = family_class(model_type, cls.kind)
        if found is None and cls.otherwise is not None:
            found = family_class(model_type, cls.otherwise)
        return found

    @classmethod
    @HUB
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **given: Unpack[BareLoadingArguments],
    ) -> Model:
        """Loads a model: a folder, a hub id, or `package:NAME`, or a subfolder of it.

        Other arguments go to the class picked.

        Raises:
            OSError: no such model, or a file can't be read.
            ValueError: `model_type` is missing or not supported, its family has no such model, or as the class
                that it names says.
        """
        hub, others = HUB.apart(given)
        folder = resolve(pretrained_model_name_or_path, **hub)
        model_type = _model_type(folder)
        model = cls._class_of(model_type)
        if model is None:
            having = ", ".join(other for other in MODEL_TYPES if cls._class_of(other) is not None)
            wanted = f"a model_type that has a {cls.kind} ({having})" if having else "another class"
            raise ValueError(f"{folder}: {cls.__name__}: wanted {wanted}, found {model_type}{cls.hint}")
        return model.from_pretrained(folder, **others)


class AutoModel(_Auto[BareModel]):
    """Picks the bare encoder's class by the `model_type` of a config.json."""

    kind = "Model"


class AutoModelForPreTraining(_Auto[HeadModel]):
    """Picks BertForPreTraining and its like by the `model_type` of a config.json; else RobertaForMaskedLM and its."""

    kind = "ForPreTraining"
    otherwise = "ForMaskedLM"  # as in transformers


class AutoModelForMaskedLM(_Auto[ForMaskedLM]):
    """Picks BertForMaskedLM and its like by the `model_type` of a config.json."""

    kind = "ForMaskedLM"


class AutoModelForNextSentencePrediction(_Auto[ForNextSentencePrediction]):
    """Picks BertForNextSentencePrediction by the `model_type` of a config.json."""

    kind = "ForNextSentencePrediction"


class AutoModelForSequenceClassification(_Auto[ForSequenceClassification]):
    """Picks BertForSequenceClassification and its like by the `model_type` of a config.json."""

    kind = "ForSequenceClassification"


class AutoModelForMultipleChoice(_Auto[ForMultipleChoice]):
    """Picks BertForMultipleChoice and its like by the `model_type` of a config.json."""

    kind = "ForMultipleChoice"


class AutoModelForTokenClassification(_Auto[ForTokenClassification]):
    """Picks BertForTokenClassification and its like by the `model_type` of a config.json."""

    kind = "ForTokenClassification"


class AutoModelForQuestionAnswering(_Auto[ForQuestionAnswering]):
    """Picks BertForQuestionAnswering and its like by the `model_type` of a config.json."""

    kind = "ForQuestionAnswering"


class AutoModelForCausalLM(_Auto[ForCausalLM]):
    """Picks GPT2LMHeadModel by the `model_type` of a config.json."""

    kind = "LMHeadModel"
    hint = ", which sees what follows a token: AutoModelForMaskedLM fills in words"
