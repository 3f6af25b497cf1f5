"""`npbert zero-shot`: which of any labels fits a text."""

from __future__ import annotations

import argparse

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import text_form
from npbert.cli.models import task_pipeline, task_work


def run(given: argparse.Namespace) -> None:
    """Writes {"sequence", "labels", "scores"} for each text."""

    def prepare() -> Work:
        answer = task_pipeline(
            given,
            "zero-shot-classification",
            "sequence_classification",
            given.max_length,
            candidate_labels=given.labels,
            hypothesis_template=given.hypothesis_template,
            multi_label=given.multi_label,
        )
        return task_work(answer, ["labels", "scores"], lambda found: {key: found[key] for key in ("labels", "scores")})

    answer_inputs(given, text_form(given.field, "sequence"), prepare, "zero-shot-classification")
