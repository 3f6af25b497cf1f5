"""`npbert similarity`: texts by how near they are to one, or to each of several."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from npbert.cli import MisuseError
from npbert.cli.answers import MOST
from npbert.cli.inputs import Source, text_form
from npbert.cli.models import sentence_model
from npbert.cli.ranking import Scores, Vectors, of_queries, rank, read_queries

DIGITS = 6  # of a score: what is equal to so many is equal, however rows came together in a product
QUERIES = 4096  # that are multiplied with a block of texts at once
ROWS = 4096  # vectors of a file


def run(given: argparse.Namespace) -> None:
    """Prints {"corpus_id", "score", "text"} for each text, the most similar first; equals keep their order."""
    queries = read_queries(given)
    if given.vectors is not None and (given.text_prompt_name, given.text_prompt) != (None, None):
        raise MisuseError("--text-prompt-name and --text-prompt: wanted without --vectors, which are made already")
    texts = bool(given.texts or given.input) or given.vectors is None
    opened: AbstractContextManager[Any] = Source(given, text_form(given.field)) if texts else nullcontext()
    with opened as source:
        model = sentence_model(given, similarity_fn_name=given.similarity_fn_name)
        options: dict[str, Any] = {
            "batch_size": given.batch_size,
            "show_progress_bar": False,
            "normalize_embeddings": given.normalize,
        }
        asking = {"prompt_name": given.prompt_name, "prompt": given.prompt, **options}
        reading = {"prompt_name": given.text_prompt_name, "prompt": given.text_prompt, **options}
        model.encode([], **reading)  # checks them
        model.encode([], **asking)
        width = model.get_embedding_dimension()
        made = of_queries(queries, lambda texts: model.encode(texts, **asking))
        wanted = np.concatenate([np.empty((0, width), np.float32), *made])  # [Q, H]

        def score(vectors: Any) -> Scores:
            blocks = [wanted[begin : begin + QUERIES] for begin in range(0, len(wanted), QUERIES)]
            scores = np.concatenate(
                [np.empty((0, len(vectors))), *(model.similarity(each, vectors) for each in blocks)]
            )
            rounded: Scores = scores.astype(np.float64).round(DIGITS)
            return rounded

        if given.vectors is None:
            rank(given, queries, source, lambda texts: score(model.encode(texts, **reading)), MOST)
        else:
            with Vectors(given.vectors, width, source) as vectors:
                rank(given, queries, vectors, lambda rows: score(np.stack(rows)), ROWS)
