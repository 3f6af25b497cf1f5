"""sentence-transformers folders for tests: of MiniLM's with other files in it, and their oracle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

SAME = 2e-6  # asked for: 17 roundings of the greatest number that a unit vector can hold
# Vectors that are not normalised hold numbers of up to some 4, after six layers. Taking the wrong mode,
# length or case moves them by 0.01 and more.
CLOSE = 1e-5

TEXTS = [
    "Yeast turns sugar into gas.",
    "",
    "Ünïcödé, 日本語 and 👩‍👩‍👧!",
    "word " * 400,
    "The quick brown fox jumps over the lazy dog, and then it sleeps for a while.",
]


WIDTH = 36  # of the small encoder's vectors: no multiple of a panel
LETTERS = ["a quick fox", "", "the cat", "z " * 40, "query: the quick cat jumps over a fox and a cat"]
"""Texts for the small encoder: it knows letters, and some words."""


def letters_folder(bert: Path, folder: Path) -> Path:
    """A BERT's folder with a vocabulary of letters and a few words: 65."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["the", "cat", "fox", "quick", "over", "query", ":", "and"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *words, *letters, *(f"##{letter}" for letter in letters)]
    shutil.copytree(bert, folder, dirs_exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def oracle(folder: Path, **arguments: Any) -> Any:
    """The folder as sentence-transformers' own model."""
    import sentence_transformers
    import torch

    torch.set_num_threads(2)
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu", **arguments)


def with_files(source: Path, target: Path, files: dict[str, Any] | None = None) -> Path:
    """target: a folder like source, but for {file: content, None to leave it out}."""
    files = files or {}
    top = {file.partition("/")[0] for file in files}
    for path in source.iterdir():
        if path.is_dir() and path.name not in top:
            shutil.copytree(path, target / path.name)  # what a test takes out of it stays in the source
        elif path.name not in top:
            (target / path.name).symlink_to(path)
    for name, content in files.items():
        if content is not None:
            (target / name).parent.mkdir(exist_ok=True, parents=True)
            (target / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return target


def modules(*types: str, first: str = "") -> list[dict[str, Any]]:
    """What modules.json holds of modules of these types."""
    return [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind.split('.')[-1]}" if index else first,
            "type": kind,
        }
        for index, kind in enumerate(types)
    ]


def save(encoder: Path, folder: Path, *modules: Any, **arguments: Any) -> Any:
    """sentence-transformers' model of this encoder and these modules, saved into the folder."""
    import sentence_transformers
    import torch
    from sentence_transformers.base.modules import Transformer

    torch.manual_seed(0)
    transformer = Transformer(str(encoder))
    model = sentence_transformers.SentenceTransformer(modules=[transformer, *modules], device="cpu", **arguments)
    model.save(str(folder), create_model_card=False)
    return model


def parts(*names: Any, include_prompt: bool = True) -> list[Any]:
    """Modules by short names: poolings, ("dense", width, activation, ...), "norm", "unit", "dropout"."""
    import torch
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling

    pooling, *others = names
    modules: list[Any] = [Pooling(WIDTH, pooling, include_prompt=include_prompt)]
    width = modules[0].get_embedding_dimension()
    for name in others:
        if isinstance(name, dict):
            modules.append(Dense(width, **name))
            width = modules[-1].out_features
        elif name == "norm":
            modules.append(LayerNorm(width))
            torch.nn.init.normal_(modules[-1].norm.weight, 1, 0.3)
            torch.nn.init.normal_(modules[-1].norm.bias, 0, 0.3)
        else:
            modules.append(Normalize() if name == "unit" else Dropout(0.5))
    return modules
