"""`npbert rerank`: documents by how well a cross-encoder thinks that they answer a query."""

from __future__ import annotations

import argparse
import json

from npbert.commands.texts import read_texts, utf8_output
from npbert.cross_encoder import CrossEncoder


def run(given: argparse.Namespace) -> None:
    """Prints {"corpus_id", "score", "text"} for each document, the best first; equals keep their order."""
    texts = read_texts(given)
    model = CrossEncoder(given.model, max_length=given.max_length, backend=given.backend, dtype=given.dtype)
    output = utf8_output()
    ranked = model.rank(given.query, texts, top_k=given.top_k, return_documents=True, batch_size=given.batch_size)
    for item in ranked:
        print(json.dumps(item, ensure_ascii=False), file=output)
