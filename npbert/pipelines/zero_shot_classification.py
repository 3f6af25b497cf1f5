"""Zero-shot classification: which of any labels fits a text, as a model of entailment sees it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from npbert_kernels.ops import Floats

from npbert.checks import check_bool, show
from npbert.models.scores import softmax
from npbert.pipelines.base import Pipeline, Row, Text, read_text
from npbert.sequences import as_list


@dataclass(frozen=True)
class ZeroShotClassificationArguments:
    """Arguments of zero-shot classification.

    Args:
        candidate_labels: the labels, as a list or as a text with commas between them.
        hypothesis_template: what is held against the text, with {} in the place of a label.
        multi_label: True where several labels may be right: each is scored by itself.
    """

    candidate_labels: str | Sequence[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        check_bool("multi_label", self.multi_label)
        template = self.hypothesis_template
        read_text(template, "hypothesis_template")
        try:
            changes = template.format("a") != template
        except (IndexError, KeyError, ValueError, AttributeError):
            changes = False
        if not changes:
            raise ValueError(f"hypothesis_template: wanted a text with {{}} for the label, found {show(template)}")
        if self.candidate_labels is None:
            return
        labels = self.labels()
        if not labels:
            raise ValueError(f"candidate_labels: wanted at least one label, found {show(self.candidate_labels)}")
        for index, label in enumerate(labels):
            if not read_text(label, f"candidate_labels[{index}]").text.strip():
                raise ValueError(f"candidate_labels[{index}]: wanted a label, found {show(label)}")

    def labels(self) -> list[str]:
        """The labels as a list."""
        given = self.candidate_labels
        if isinstance(given, str):
            return [label.strip() for label in given.split(",") if label.strip()]
        labels = as_list(given)
        if labels is None:
            raise ValueError(f"candidate_labels: wanted a list of labels, found {show(given)}")
        return labels


class ZeroShotClassificationPipeline(Pipeline):
    """A text gives {"sequence", "labels", "scores"}, the likeliest label first; a list of texts a list of these.

    Follows transformers.ZeroShotClassificationPipeline.
    """

    task = "zero-shot-classification"
    model_kind = "AutoModelForSequenceClassification"
    arguments_type = ZeroShotClassificationArguments
    too_long_hint = "label and hypothesis_template, which are not cut off, leave no room"

    def __init__(self, model: Any, tokenizer: Any, **arguments: Any) -> None:
        super().__init__(model, tokenizer, **arguments)
        names = {name.lower(): index for name, index in model.config.label2id.items()}
        if len(names) < 2:
            raise ValueError(f"model: wanted two labels at least, entailment among them, found {len(names)}")
        self._entailment = next((index for name, index in names.items() if name.startswith("entail")), -1)
        if not -1 <= self._entailment < model.config.num_labels:
            wanted = f"an index below the {model.config.num_labels} labels"
            raise ValueError(f"model: label2id: wanted {wanted} for entailment, found {show(self._entailment)}")
        if self._entailment == -1:
            warnings.warn(
                f"{self.task}: no label of the model's begins with 'entail'; the last is taken, "
                f"{show(model.config.id2label[model.config.num_labels - 1])}",
                stacklevel=3,
            )

    def __call__(  # type: ignore[override]  # the name is transformers'
        self, sequences: Any, candidate_labels: str | Sequence[str] | None = None, **arguments: Any
    ) -> Any:
        """As `Pipeline`, errors included; the labels may be the second argument."""
        return super().__call__(sequences, candidate_labels=candidate_labels, **arguments)

    def read(self, item: Any, where: str, arguments: ZeroShotClassificationArguments) -> Text:
        if arguments.candidate_labels is None:
            raise ValueError("candidate_labels: wanted labels to choose from, found none")
        text = read_text(item, where)
        if not text.text:
            raise ValueError(f"{where}: wanted a text, found an empty one")
        return text

    def encode(self, items: Sequence[Text], arguments: ZeroShotClassificationArguments) -> list[list[Row]]:
        hypotheses = [arguments.hypothesis_template.format(label) for label in arguments.labels()]
        pairs = [replace(item, pair=hypothesis) for item in items for hypothesis in hypotheses]
        try:
            rows = self.rows_of_texts(pairs, truncation="only_first")
        except ValueError:
            # Somewhere cutting the text off does not make enough room: those pairs stay as they are.
            rows = [row for pair in pairs for row in self._cut_if_possible(pair)]
        count = len(hypotheses)
        return [[row for (row,) in rows[start : start + count]] for start in range(0, len(rows), count)]

    def _cut_if_possible(self, pair: Text) -> list[list[Row]]:
        try:
            return self.rows_of_texts([pair], truncation="only_first")
        except ValueError:
            return self.rows_of_texts([pair])

    def answer(
        self, item: Text, rows: list[Row], outputs: list[Floats], arguments: ZeroShotClassificationArguments
    ) -> dict[str, Any]:
        logits = np.stack(outputs)  # [candidates, labels]
        if arguments.multi_label or len(logits) == 1:
            contradiction = -1 if self._entailment == 0 else 0
            scores = softmax(logits[:, [contradiction, self._entailment]])[:, 1]
        else:
            scores = softmax(logits[:, self._entailment])
        labels = arguments.labels()
        order = np.argsort(scores)[::-1].tolist()
        return {
            "sequence": item.text,
            "labels": [labels[index] for index in order],
            "scores": [float(scores[index]) for index in order],
        }
