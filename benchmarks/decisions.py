"""How many decisions reduced precision leaves as float32 makes them: of a sentence classifier and a token classifier.

No trained heads are at hand, so these are made: linear heads on all-MiniLM-L6-v2, fitted by least squares to what can
be read off a text. A sentence's class is the word that it begins with; a token's, what kind of token it is. Sentences
that the heads were not fitted to are counted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from npbert_kernels.ops import Dtype
from numpy.typing import NDArray

import npbert

from . import report
from .docstrings import MOST_TOKENS, sentences
from .engines import REDUCED
from .models import MINILM_PACKAGE, package_folder

FITTED = 3000  # sentences, and as many again are counted
RIDGE = 1.0
BEGINNINGS = (("return", "returns"), ("test", "tests"), ("raise", "raises"), ("create", "make"), ("set", "add"))
SHORT_WORDS = ("the", "of", "a", "an", "to", "in", "is", "for", "and", "or", "if", "it", "be", "by", "with", "as")

Classes = NDArray[np.int64]


def class_of_sentence(text: str) -> int:
    first = text.split()[0].lower().strip(".,")
    return next((number for number, words in enumerate(BEGINNINGS, 1) if first in words), 0)


def class_of_token(token: str) -> int:
    """Special, the rest of a word, a number or sign, a short word, another."""
    if token.startswith("["):
        return 0
    if token.startswith("##"):
        return 1
    if not token.isalnum() or token.isdigit():
        return 2
    return 3 if token in SHORT_WORDS else 4


def least_squares(rows: NDArray[np.float32], classes: Classes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [classes, H] and bias [classes] that come nearest to 1 for the class and 0 for the others."""
    wide = np.concatenate([rows, np.ones((len(rows), 1))], axis=1, dtype=np.float64)
    wanted = wide.T @ np.eye(classes.max() + 1)[classes]
    both = np.linalg.solve(wide.T @ wide + RIDGE * np.eye(wide.shape[1]), wanted).astype(np.float32)
    return np.ascontiguousarray(both[:-1].T), both[-1].copy()


def with_head(target: Path, architecture: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """MiniLM's folder with a classifier."""
    from safetensors.numpy import load_file, save_file

    source = package_folder(MINILM_PACKAGE)
    shutil.copytree(source, target)
    config = json.loads((source / "config.json").read_text())
    labels = {str(i): f"LABEL_{i}" for i in range(len(bias))}
    config |= {"architectures": [architecture], "id2label": labels, "label2id": {v: int(k) for k, v in labels.items()}}
    (target / "config.json").write_text(json.dumps(config))
    arrays = {f"bert.{name}": array for name, array in load_file(source / "model.safetensors").items()}
    save_file({**arrays, "classifier.weight": weight, "classifier.bias": bias}, target / "model.safetensors")


def measure(count: int = FITTED) -> list[dict[str, Any]]:
    """For each dtype and head: the share of decisions that stay, and of those that float32 gets right."""
    source = package_folder(MINILM_PACKAGE)
    texts = sentences(2 * count)
    tokenizer = npbert.AutoTokenizer.from_pretrained(source)
    ids = tokenizer(texts, truncation=True, max_length=MOST_TOKENS)["input_ids"]
    kinds = np.array([class_of_token(token) for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])
    encoder = npbert.BertModel.from_pretrained(source)
    found: list[dict[str, Any]] = []
    for model_class, features, classes in (
        (
            npbert.BertForSequenceClassification,
            [encoder([row]).pooler_output for row in ids[:count]],
            [np.array([class_of_sentence(text)]) for text in texts],
        ),
        (npbert.BertForTokenClassification, encoder.predict(ids[:count]), [kinds[row] for row in ids]),
    ):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "model"
            head = least_squares(np.concatenate(features), np.concatenate(classes[:count]))
            with_head(target, model_class.__name__, *head)

            def decide(dtype: Dtype, *, model_class: Any = model_class, target: Path = target) -> Classes:
                logits = model_class.from_pretrained(target, dtype=dtype).predict(ids[count:])
                return np.concatenate([np.atleast_2d(rows) for rows in logits]).argmax(axis=1)

            single = decide("float32")
            right = float((single == np.concatenate(classes[count:])).mean())
            head_name = model_class.__name__.removeprefix("BertFor")
            for dtype in REDUCED:
                kept = float((decide(dtype) == single).mean())
                found.append({"head": head_name, "dtype": dtype, "cases": len(single), "kept": kept, "right": right})
    return found


if __name__ == "__main__":
    print(report.decisions(measure()))
