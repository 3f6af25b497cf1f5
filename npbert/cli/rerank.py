"""`npbert rerank`: documents by how well a cross-encoder thinks that they answer a query, or each of several."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.cli.answers import MOST
from npbert.cli.inputs import Source, text_form
from npbert.cli.models import cross_encoder
from npbert.cli.ranking import Scores, of_queries, rank, read_queries


def run(given: argparse.Namespace) -> None:
    """Prints {"corpus_id", "score", "text"} for each document, the best first; equals keep their order."""
    queries = read_queries(given)
    prompts = {"prompt_name": given.prompt_name, "prompt": given.prompt}
    with Source(given, text_form(given.field)) as source:
        model = cross_encoder(given)
        # Checks the model, the prompts, and each query.
        of_queries(queries, lambda texts: [model.rank(text, [], **prompts) for text in texts])  # type: ignore[misc]

        def score(documents: list[Any]) -> Scores:
            pairs = [(query.input, document) for query in queries for document in documents]
            scores: Scores = model.predict(pairs, batch_size=given.batch_size, show_progress_bar=False, **prompts)
            return scores.reshape(len(queries), len(documents))

        rank(given, queries, source, score, MOST)
