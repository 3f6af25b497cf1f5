"""`npbert zero-shot`: which of any labels fits a text."""

from __future__ import annotations

import argparse

from npbert.commands.answers import write_answers
from npbert.commands.texts import read_texts


def run(given: argparse.Namespace) -> None:
    """Prints {"sequence", "labels", "scores"} for each text."""
    write_answers(
        "zero-shot-classification",
        given,
        read_texts(given),
        lambda text, answer: answer,
        candidate_labels=given.labels,
        hypothesis_template=given.hypothesis_template,
        multi_label=given.multi_label,
    )
