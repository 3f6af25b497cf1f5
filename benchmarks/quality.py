"""What reduced precision changes, as users see it: all-MiniLM-L6-v2 on sentences of the standard library's docstrings.

Of each dtype and engine: cosines to float32 (mean and least), how many of each sentence's ten nearest neighbours
stay, and Spearman's correlation of the similarities of all pairs. Each engine is held against its own float32.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from npbert_kernels.ops import Dtype
from numpy.typing import NDArray

from . import report
from .cases import IdsCase
from .docstrings import sentences, token_ids
from .engines import ENGINES, REDUCED, Engine
from .models import MINILM_PACKAGE, default_cache, make, package_folder

SENTENCES = 5000
NEIGHBOURS = 10
BATCH = 32
Vectors = NDArray[np.float32]  # [sentences, H], unit length


def ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    ranked = np.empty(len(values))
    ranked[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranked


def compare(wanted: Vectors, found: Vectors) -> dict[str, float]:
    cosines = (wanted * found).sum(axis=1)
    before, after = wanted @ wanted.T, found @ found.T
    upper = np.triu_indices(len(wanted), 1)
    spearman = np.corrcoef(ranks(before[upper]), ranks(after[upper]))[0, 1]
    kept = 0
    for similar in (before, after):
        np.fill_diagonal(similar, -2)
    nearest = [np.argpartition(-similar, NEIGHBOURS, axis=1)[:, :NEIGHBOURS] for similar in (before, after)]
    for a, b in zip(*nearest, strict=True):
        kept += len(set(a.tolist()) & set(b.tolist()))
    return {
        "mean cosine": float(cosines.mean()),
        "least cosine": float(cosines.min()),
        "neighbours kept": kept / (NEIGHBOURS * len(wanted)),
        "Spearman": float(spearman),
    }


def batches(texts: list[str]) -> Iterator[tuple[list[int], IdsCase]]:
    """Texts about as long as each other, for engines that pad: which they are, and their tokens."""
    ids = token_ids(package_folder(MINILM_PACKAGE), texts)
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        yield chosen, IdsCase.of([ids[i] for i in chosen])


def vectors(engine: Engine, texts: list[str]) -> Vectors:
    """Mean pooling of what the engine makes of them, and unit length: what the model's own folder asks for."""
    found: list[Any] = [None] * len(texts)
    for chosen, case in batches(texts):
        hidden = engine.prepare(case)()
        for i, rows, length in zip(chosen, hidden, case.lengths, strict=True):
            mean = rows[:length].mean(axis=0, dtype=np.float64)
            found[i] = mean / np.sqrt(mean @ mean)
    return np.array(found, np.float32)


def measure(cache: Path, count: int, threads: int, engines: Sequence[str]) -> list[dict[str, Any]]:
    """Of each dtype and engine what `compare` finds between it and the engine's own float32."""
    texts = sentences(count)
    model = make("all-MiniLM-L6-v2", cache, "int8")

    def of(dtype: Dtype, engine: str) -> Vectors:
        return vectors(ENGINES[dtype][engine](model, threads), texts)

    wanted = {engine: of("float32", engine) for engine in ENGINES["float32"] if engine in engines}
    return [
        {"dtype": dtype, "engine": engine, "sentences": count, **compare(wanted[engine], of(dtype, engine))}
        for dtype in REDUCED
        for engine in ENGINES[dtype]
        if engine in wanted
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--sentences", type=int, default=SENTENCES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES["float32"]), default=list(ENGINES["float32"]))
    given = parser.parse_args()
    print(report.quality(measure(default_cache(), given.sentences, given.threads, given.engines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
