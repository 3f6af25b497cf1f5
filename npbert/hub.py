"""A model's name -> the folder of its files: a folder, `package:NAME`, or an id on the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PACKAGE_PREFIX = "package:"
CONFIG_FILE = "config.json"
SINGLE_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARDS = "model-*.safetensors"

MODEL_FILES = (CONFIG_FILE, SINGLE_WEIGHTS, INDEX, SHARDS)
"""What a model is loaded from. Pickled weights are never asked for."""


def resolve(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    patterns: Iterable[str] = MODEL_FILES,
) -> Path:
    """The folder that holds a model's files.

    Args:
        name: a folder, used as it is; `package:NAME`, an installed package that carries a model folder; or
            a hub id such as "sentence-transformers/all-MiniLM-L6-v2".
        patterns: the files wanted from the hub, as names or globs; nothing else is downloaded.

    Raises:
        OSError: no such folder, package or model, or the hub can't be reached.
        ValueError: the name is not one, or does not say which of several folders is meant.
    """
    text = os.fspath(name)
    folder = Path(text)
    if folder.is_dir():
        return folder
    raise OSError(f"{text}: no such folder")
