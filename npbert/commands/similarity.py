"""`npbert similarity`: texts by how near they are to one."""

from __future__ import annotations

import argparse
import json

import numpy as np

from npbert.commands.texts import read_texts, utf8_output
from npbert.sentence_transformer import SentenceTransformer


def run(given: argparse.Namespace) -> None:
    """Prints {"score", "text"} for each text, the most similar first; equals keep their order."""
    texts = read_texts(given)
    model = SentenceTransformer(given.model, backend=given.backend, dtype=given.dtype)
    scores = model.similarity(model.encode(given.query), model.encode(texts))[0]  # [texts]
    output = utf8_output()
    for index in np.argsort(-scores, kind="stable")[: given.top_k]:
        line = {"score": round(float(scores[index]), 6), "text": texts[index]}
        print(json.dumps(line, ensure_ascii=False), file=output)
