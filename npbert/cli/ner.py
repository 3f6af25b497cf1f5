"""`npbert ner`: the entities of texts."""

from __future__ import annotations

import argparse

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import text_form
from npbert.cli.models import task_pipeline, task_work


def run(given: argparse.Namespace) -> None:
    """Writes {"text", "entities"} for each text."""

    def prepare() -> Work:
        answer = task_pipeline(
            given,
            "token-classification",
            "token_classification",
            given.max_length,
            aggregation_strategy=given.aggregation_strategy,
            ignore_labels=[label for label in given.ignore_labels.split(",") if label],
            stride=given.stride,
        )
        return task_work(answer, ["entities"], lambda entities: {"entities": entities})

    answer_inputs(given, text_form(given.field), prepare, "token-classification")
