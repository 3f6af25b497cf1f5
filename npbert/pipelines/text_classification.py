"""Text classification, sentiment analysis among it: labels and scores of a text or of a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from npbert_kernels.ops import Floats

from npbert.checks import check_choice
from npbert.models.scores import sigmoid, softmax
from npbert.pipelines.arguments import Reading, checked_top_k
from npbert.pipelines.base import Pipeline, Row, Text, read_text
from npbert.sequences import has_items
from npbert.text.inputs import TextError

FUNCTIONS = ("none", "sigmoid", "softmax")


@dataclass(frozen=True)
class TextClassificationArguments(Reading):
    """Arguments of text classification, and those of the tokenizer.

    Args:
        top_k: how many labels, the likeliest first; None gives all. "", the default, gives the likeliest alone,
            not in a list.
        function_to_apply: "none", "sigmoid" or "softmax"; where None, none for regression, sigmoid for one label
            and where labels don't exclude each other, else softmax.
    """

    top_k: int | str | None = ""
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k is not None and self.top_k != "":
            checked_top_k(self.top_k)
        if self.function_to_apply is not None:
            named = self.function_to_apply.lower() if isinstance(self.function_to_apply, str) else None
            check_choice("function_to_apply", named, FUNCTIONS)


class TextClassificationPipeline(Pipeline):
    """A text gives [{"label", "score"}], a dict of "text" and "text_pair" gives {"label", "score"}.

    A list of either gives a list of {"label", "score"}. With top_k (a number or None), answers are lists, the
    likeliest label first.

    Follows transformers.TextClassificationPipeline.
    """

    task = "text-classification"
    model_kind = "AutoModelForSequenceClassification"
    arguments_type = TextClassificationArguments
    nullable = frozenset({"top_k"})
    too_long_hint = "truncation=True cuts it off"

    def __call__(self, inputs: Any, **arguments: Any) -> Any:
        """As `Pipeline`, errors included; without top_k a text's answer is in a list, as transformers has it."""
        answer = super().__call__(inputs, **arguments)
        return [answer] if isinstance(inputs, str) and "top_k" not in arguments else answer

    def prepare(self, arguments: TextClassificationArguments) -> TextClassificationArguments:
        if not self.model.config.num_labels:
            raise ValueError("model: wanted labels in its config, found none")
        return arguments

    def read(self, item: Any, where: str, arguments: TextClassificationArguments) -> Text:
        if not isinstance(item, Mapping):
            if has_items(item):
                raise TextError(f'{where}: wanted a text, or a pair as {{"text": ..., "text_pair": ...}}, found a list')
            return read_text(item, where)
        if "text" not in item or not {*item} <= {"text", "text_pair"}:
            raise TextError(f"{where}: wanted the keys text and text_pair, found {', '.join(map(repr, item))}")
        text = read_text(item["text"], f"{where}['text']").text
        pair = item.get("text_pair")
        return Text(where, text, None if pair is None else read_text(pair, f"{where}['text_pair']").text)

    def encode(self, items: Sequence[Text], arguments: TextClassificationArguments) -> list[list[Row]]:
        return self.rows_of_texts(items, **arguments.for_tokenizer())

    def too_long(self, arguments: TextClassificationArguments) -> str:
        return "max_length says where it is cut off" if arguments.cuts else self.too_long_hint

    def answer(self, item: Text, rows: list[Row], outputs: list[Floats], arguments: TextClassificationArguments) -> Any:
        scores = self._scores(outputs[0], arguments.function_to_apply)  # [labels]
        labels = self.model.config.id2label
        if arguments.top_k == "":
            best = int(scores.argmax())
            return {"label": labels[best], "score": float(scores[best])}
        order = np.argsort(-scores, kind="stable")[: arguments.top_k]
        return [{"label": labels[index], "score": float(scores[index])} for index in order.tolist()]

    def _scores(self, logits: Floats, function: str | None) -> Floats:
        if function is None:
            config = self.model.config
            if config.problem_type == "regression":
                function = "none"
            elif config.problem_type == "multi_label_classification" or config.num_labels == 1:
                function = "sigmoid"
            else:
                function = "softmax"
        functions = {"none": lambda x: x, "sigmoid": sigmoid, "softmax": softmax}
        scores: Floats = functions[function.lower()](logits)
        return scores
