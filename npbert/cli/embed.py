"""`npbert embed`: vectors of texts, as JSON lines or as one .npy array."""

from __future__ import annotations

import argparse

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import text_form
from npbert.cli.models import sentence_model


def run(given: argparse.Namespace) -> None:
    """Writes {"text", "embedding"} for each text, or a row."""

    def prepare() -> Work:
        model = sentence_model(given)
        arguments = {
            "prompt_name": given.prompt_name,
            "prompt": given.prompt,
            "batch_size": given.batch_size,
            "show_progress_bar": False,
            "normalize_embeddings": given.normalize,
        }
        model.encode([], **arguments)  # checks them
        return Work(lambda texts: model.encode(texts, **arguments), ["embedding"], model.get_embedding_dimension())

    answer_inputs(given, text_form(given.field), prepare, "Embedding", arrays=True)
