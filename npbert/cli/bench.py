"""`npbert bench`: how fast a model runs here, tokenizer left out."""

from __future__ import annotations

import argparse
import time

import numpy as np

from npbert.cli.models import engine
from npbert.cli.streams import show
from npbert.cli.table import table
from npbert.sentence.sentence_transformer import SentenceTransformer

WARM_UP = 2
FEWEST = 5  # runs of which a median says something
MOST = 500


def batches(positions: int) -> dict[str, list[int]]:
    """The lengths of the texts in each batch, none longer than the model takes."""
    # 32 texts of 6 to 55 tokens, 785 in all: as uneven as real ones.
    ragged = np.random.default_rng(0).lognormal(3.2, 0.6, 32).astype(int).tolist()
    named = {"1 x 16": [16], "1 x 128": [128], "8 x 128": [128] * 8, "ragged": ragged}
    return {name: [min(length, positions) for length in lengths] for name, lengths in named.items()}


def run(given: argparse.Namespace) -> None:
    """Prints the median, the middle half and the best of the times of each batch."""
    model = SentenceTransformer(given.model, **engine(given))
    config = model.model.config
    generator = np.random.default_rng(0)
    show(
        f"{given.model}: {config.num_hidden_layers} layers of {config.hidden_size}, {given.dtype}, "
        f"{given.backend} backend{_threads(given.backend)}"
    )
    rows = [["batch", "tokens", "median ms", "middle half ms", "best ms", "tokens/s", "runs"]]
    for name, lengths in batches(config.max_position_embeddings).items():
        ids = [generator.integers(0, config.vocab_size, length).tolist() for length in lengths]
        times = _times(model, ids, given.seconds)
        low, median, high = np.percentile(times, [25, 50, 75])
        rows.append(
            [
                name,
                str(sum(lengths)),
                f"{median:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{times.min():.2f}",
                f"{sum(lengths) / median * 1e3:,.0f}",
                str(len(times)),
            ]
        )
    show("\n".join(table(rows, "<>>>>>>")))


def _times(
    model: SentenceTransformer, ids: list[list[int]], seconds: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """[runs] milliseconds."""
    for _ in range(WARM_UP):
        model.embed_ids(ids, normalize=True)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < FEWEST or (time.perf_counter() < end and len(times) < MOST):
        started = time.perf_counter()
        model.embed_ids(ids, normalize=True)
        times.append((time.perf_counter() - started) * 1e3)
    return np.array(times)


def _threads(backend: str) -> str:
    if backend != "cpu":
        return ""
    from npbert_kernels.cpu import get_num_threads

    count = get_num_threads()
    return f", {count} thread{'s' * (count > 1)}"
