"""`npbert embed`: vectors of texts, as JSON lines or as one .npy array."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from npbert.commands import MisuseError
from npbert.commands.texts import progress_beside_answers, read_texts, utf8_output
from npbert.progress import Progress
from npbert.sentence_transformer import SentenceTransformer

BLOCK = 512  # texts between two writes


class Writer(Protocol):
    """Where vectors go, a block at a time."""

    def __call__(self, texts: list[str], vectors: NDArray[np.float32], /) -> object: ...


def run(given: argparse.Namespace) -> None:
    """Embeds the texts block by block: what is written need not be kept."""
    if given.output is not None and not given.output.endswith((".npy", ".jsonl")):
        raise MisuseError(f"--output: wanted a name that ends in .npy or .jsonl, found {given.output!r}")
    texts = read_texts(given)
    model = SentenceTransformer(given.model, truncate_dim=given.truncate_dim, backend=given.backend, dtype=given.dtype)
    with (
        _writer(given.output, len(texts), model.get_embedding_dimension()) as write,
        Progress(len(texts), "Embedding", "texts", None if given.output else progress_beside_answers()) as progress,
    ):
        step = max(given.batch_size, BLOCK // given.batch_size * given.batch_size)
        for start in range(0, len(texts), step):
            block = texts[start : start + step]
            vectors = model.encode(
                block,
                prompt_name=given.prompt_name,
                prompt=given.prompt,
                batch_size=given.batch_size,
                show_progress_bar=False,
                normalize_embeddings=given.normalize,
            )
            write(block, vectors)
            progress.advance(len(block))


@contextmanager
def _writer(output: str | None, texts: int, dim: int) -> Iterator[Writer]:
    if output is None:
        yield lambda block, vectors: _write_json_lines(utf8_output(), block, vectors)
    elif output.endswith(".npy"):
        with _replacing(output, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (texts, dim)}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda block, vectors: file.write(vectors.astype("<f4", copy=False).tobytes())
    else:
        with _replacing(output, "w") as file:
            yield lambda block, vectors: _write_json_lines(file, block, vectors)


@contextmanager
def _replacing(output: str, mode: str) -> Iterator[IO[Any]]:
    """A file that takes its name when it is whole: a failure leaves what was there before."""
    partial = f"{output}.partial"
    try:
        with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        os.replace(partial, output)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def _write_json_lines(file: IO[str], texts: list[str], vectors: NDArray[np.float32]) -> None:
    for text, vector in zip(texts, vectors, strict=True):
        numbers = ", ".join(map("{:.9g}".format, vector.tolist()))  # nine digits tell every float32 apart
        file.write(f'{{"text": {json.dumps(text, ensure_ascii=False)}, "embedding": [{numbers}]}}\n')
