"""What reduced precision changes, as users see it: all-MiniLM-L6-v2 on sentences of the standard library's docstrings.

`python -m benchmarks.quality [--sentences 5000] [--peers]` prints a table, of each dtype and, if asked for, of peers'
int8: cosines to float32 (mean and least), how many of each sentence's ten nearest neighbours stay, and Spearman's
correlation of the similarities of all pairs. Each peer is held against its own float32.
"""

from __future__ import annotations

import argparse
import ast
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .models import MINILM_PACKAGE, package_folder

MOST_TOKENS = 128
NEIGHBOURS = 10
Vectors = NDArray[np.float32]  # [sentences, H], unit length


def docstrings() -> Iterator[str]:
    """The first paragraph of each docstring of the standard library, tests left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests", "idle_test"} & set(file.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                yield " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def sentences(count: int) -> list[str]:
    """That many different ones of at least four words, drawn by chance, the same in every run."""
    found = sorted({text for text in docstrings() if len(text.split()) >= 4})
    if len(found) < count:
        raise ValueError(f"--sentences: wanted at most {len(found)}, which this Python has, found {count}")
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


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


def pooled(run: Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]], texts: list[str]) -> Vectors:
    """Mean pooling of what a peer makes of padded batches of texts about as long as each other."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(package_folder(MINILM_PACKAGE) / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors: list[Any] = [None] * len(texts)
    for begin in range(0, len(order), 32):
        rows = tokenizer.encode_batch([texts[i] for i in order[begin : begin + 32]])
        ids, mask = (np.array([getattr(row, name) for row in rows]) for name in ("ids", "attention_mask"))
        hidden = run({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
        means = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        for i, vector in zip(order[begin : begin + 32], means, strict=True):
            vectors[i] = vector / np.sqrt((vector * vector).sum())
    return np.array(vectors, np.float32)


def npbert_vectors(dtype: Any, texts: list[str]) -> Vectors:
    import npbert

    model = npbert.SentenceTransformer(package_folder(MINILM_PACKAGE), dtype=dtype)
    model.max_seq_length = MOST_TOKENS
    return np.asarray(model.encode(texts, normalize_embeddings=True), np.float32)


def onnx_runtime(texts: list[str]) -> tuple[Vectors, Vectors]:
    """float32 and dynamic int8: weights of each channel, activations of each tensor."""
    import onnxruntime
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from .models import default_cache, make

    model = make("all-MiniLM-L6-v2", default_cache())
    with tempfile.TemporaryDirectory() as folder:
        reduced = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model.onnx,
            reduced,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
        sessions = [onnxruntime.InferenceSession(str(path)) for path in (model.onnx, reduced)]
    single, int8 = (pooled(lambda feed, session=session: session.run(None, feed)[0], texts) for session in sessions)
    return single, int8


def ctranslate2(texts: list[str]) -> tuple[Vectors, Vectors]:
    import ctranslate2 as library

    from .models import default_cache, make

    model = make("all-MiniLM-L6-v2", default_cache())

    def run_of(kind: str) -> Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]:
        encoder = library.Encoder(str(model.ctranslate2), compute_type=kind)

        def run(feed: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
            rows = zip(feed["input_ids"], feed["attention_mask"], strict=True)
            return np.asarray(
                encoder.forward_batch([ids[: mask.sum()].tolist() for ids, mask in rows]).last_hidden_state
            )

        return run

    single, int8 = (pooled(run_of(kind), texts) for kind in ("float32", "int8"))
    return single, int8


PEERS: dict[str, Callable[[list[str]], tuple[Vectors, Vectors]]] = {
    "ONNX Runtime int8": onnx_runtime,
    "CTranslate2 int8": ctranslate2,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--sentences", type=int, default=5000)
    parser.add_argument("--peers", action="store_true", help="peers' int8 as well")
    given = parser.parse_args()
    texts = sentences(given.sentences)
    single = npbert_vectors("float32", texts)
    rows = {f"npbert {dtype}": compare(single, npbert_vectors(dtype, texts)) for dtype in ("bfloat16", "int8")}
    for name, vectors in (PEERS if given.peers else {}).items():
        try:
            rows[name] = compare(*vectors(texts))
        except ImportError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
    columns = list(next(iter(rows.values())))
    print(f"| {len(texts)} sentences | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{row[column]:.5f}' for column in columns)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
