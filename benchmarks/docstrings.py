"""Real sentences that every machine has: the first paragraphs of the standard library's docstrings."""

from __future__ import annotations

import ast
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

MOST_TOKENS = 128  # of a sentence, special ones included


@cache
def paragraphs() -> tuple[str, ...]:
    """The first paragraph of each docstring of the standard library, tests left out."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for file in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests", "idle_test"} & set(file.relative_to(root).parts):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                found.append(" ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()))
    return tuple(found)


def sentences(count: int) -> list[str]:
    """That many different ones of at least four words, drawn by chance, the same in every run."""
    found = sorted({text for text in paragraphs() if len(text.split()) >= 4})
    if len(found) < count:
        raise ValueError(f"sentences: wanted at most {len(found)}, which this Python has, found {count}")
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


def token_ids(folder: Path, texts: list[str]) -> list[list[int]]:
    """By the folder's tokenizer, cut off at MOST_TOKENS."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.no_padding()
    return [row.ids for row in tokenizer.encode_batch(texts)]
