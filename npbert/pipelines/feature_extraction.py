"""Feature extraction: the last layer's row of each token."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from npbert_kernels.ops import Floats

from npbert.checks import check_bool, check_choice
from npbert.models.model import BareModel, EncoderModel
from npbert.pipelines.arguments import Reading
from npbert.pipelines.base import Pipeline, Row, Text, read_text


@dataclass(frozen=True)
class FeatureExtractionArguments:
    """Arguments of feature extraction.

    Args:
        truncation: as the tokenizer takes it; None does not truncate.
        tokenize_kwargs: other arguments for the tokenizer.
        return_tensors: True gives arrays in place of nested lists.
    """

    truncation: bool | str | None = None
    tokenize_kwargs: Mapping[str, Any] | None = None
    return_tensors: bool = False

    def __post_init__(self) -> None:
        check_bool("return_tensors", self.return_tensors)
        reading = Reading.of("tokenize_kwargs", self.tokenize_kwargs)
        # Rows of padding would be part of the answer.
        check_choice("tokenize_kwargs: padding", reading.padding, (False, True, None, "longest", "do_not_pad"))
        if self.truncation is not None and self.tokenize_kwargs and "truncation" in self.tokenize_kwargs:
            raise ValueError("truncation: wanted once, found it as an argument and in tokenize_kwargs")

    def reading(self) -> Reading:
        """How texts are read."""
        given = Reading.of("tokenize_kwargs", self.tokenize_kwargs)
        return given if self.truncation is None else replace(given, truncation=self.truncation)


class FeatureExtractionPipeline(Pipeline):
    """A text gives [1][tokens][H] floats, a list of texts a list of these.

    Follows transformers.FeatureExtractionPipeline.
    """

    task = "feature-extraction"
    model_kind = "AutoModel"
    arguments_type = FeatureExtractionArguments
    too_long_hint = "truncation=True cuts it off"

    @classmethod
    def load_model(cls, name: str | os.PathLike[str], **arguments: Any) -> Any:
        return super().load_model(name, add_pooling_layer=False, **arguments)

    @classmethod
    def model_base(cls) -> type[EncoderModel]:
        return BareModel

    def read(self, item: Any, where: str, arguments: FeatureExtractionArguments) -> Text:
        return read_text(item, where)

    def encode(self, items: Sequence[Text], arguments: FeatureExtractionArguments) -> list[list[Row]]:
        return self.rows_of_texts(items, **arguments.reading().for_tokenizer())

    def too_long(self, arguments: FeatureExtractionArguments) -> str:
        return "max_length says where it is cut off" if arguments.reading().cuts else self.too_long_hint

    def answer(self, item: Text, rows: list[Row], outputs: list[Floats], arguments: FeatureExtractionArguments) -> Any:
        states = outputs[0][None]  # [1, T, H]
        return states.copy() if arguments.return_tensors else states.tolist()
