"""`npbert quantize`: a model's folder with its matrices and word embeddings in int8."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from npbert.cli.streams import show
from npbert.files.hub import Folder
from npbert.files.names import MODULES_FILE
from npbert.files.staging import placed
from npbert.models.auto import AutoModel, read_config
from npbert.models.registry import family_class
from npbert.sentence.names import resolve_sentences
from npbert.sentence.sentence_transformer import SentenceTransformer
from npbert.text.auto import AutoTokenizer


def run(given: argparse.Namespace) -> None:
    """Writes OUT and prints how large its weights are; a sentence-transformers folder stays one."""
    folder, out = resolve_sentences(given.model), Path(given.out)
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"OUT: wanted a folder that is new or empty, found {out}")
    with _whole(given, out) as partial, placed(partial, out):
        _write(folder, partial)
    size = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    show(f"{out}: {size / 1e6:.0f} MB of weights")


def _write(folder: Folder, out: Path) -> None:
    if folder.has(MODULES_FILE):
        SentenceTransformer(folder, dtype="int8").save_pretrained(out)
        return
    config = read_config(folder)
    (name, *_) = config.architectures or [""]
    kind = name[name.find("For") :] if "For" in name else ""
    model = family_class(config.model_type, kind) if kind else AutoModel
    if model is None:
        raise ValueError(f"{folder}: wanted a model with a head that npbert has, found {name}")
    model.from_pretrained(folder, dtype="int8").save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)


@contextmanager
def _whole(given: argparse.Namespace, out: Path) -> Iterator[Path]:
    """A folder to write into, whose files are those of `out` in the end, or nowhere.

    One beside `out`, which takes its name; or where `out` is there, which may be where a disk begins, one inside it.
    """
    there = out.is_dir()
    if not there:
        out.parent.mkdir(parents=True, exist_ok=True)
    partial = (out if there else out.parent) / f".{out.name}.{os.getpid()}.partial"
    partial.mkdir()
    given.unfinished = partial  # the command line removes it, whatever happens
    yield partial
    _sync(partial)
    if there:
        for path in partial.iterdir():
            path.rename(out / path.name)
    else:
        partial.rename(out)


def _sync(folder: Path) -> None:
    """What has its name is whole after a power cut, too."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
