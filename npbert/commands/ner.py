"""`npbert ner`: the entities of texts."""

from __future__ import annotations

import argparse

from npbert.commands.answers import write_answers
from npbert.commands.texts import read_texts


def run(given: argparse.Namespace) -> None:
    """Prints {"text", "entities"} for each text."""
    write_answers(
        "token-classification",
        given,
        read_texts(given),
        lambda text, entities: {"text": text, "entities": entities},
        aggregation_strategy=given.aggregation_strategy,
        ignore_labels=[label for label in given.ignore_labels.split(",") if label],
        stride=given.stride,
    )
