"""A model's name -> the folder of its files: a folder, `package:NAME`, or an id on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from npbert.config_values import show
from npbert.file_names import CONFIG_FILE, INDEX, SINGLE_WEIGHTS, is_inside

PACKAGE_PREFIX = "package:"
MODEL_FILES = (CONFIG_FILE, SINGLE_WEIGHTS, INDEX)
"""What a model is loaded from; the index names the shards. Pickled weights are never asked for."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def resolve(
    name: str | os.PathLike[str],
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    patterns: Iterable[str] = MODEL_FILES,
) -> Path:
    """The folder that holds a model's files.

    Whether the files are there and in order is for their readers to say.

    Args:
        name: a folder, used as it is; `package:NAME`, an installed package that carries a model folder; or
            a hub id such as "sentence-transformers/all-MiniLM-L6-v2".
        subfolder: a folder within that one, which is meant instead: "a" or "a/b".
        revision: a branch, tag or commit on the hub; by default the main branch.
        token: for private models; by default the one that `HF_TOKEN` or a login gives.
        cache_dir: by default the hub's own cache, as `HF_HUB_CACHE` or `HF_HOME` say.
        local_files_only: what the cache lacks is not asked for, as with `HF_HUB_OFFLINE`.
        patterns: the files wanted from the hub, by their paths in the folder; `*/NAME` is NAME in
            each folder that modules.json lists. A file that the model does not have is passed over. What
            the cache has is not asked for again, and all files are of one commit.

    Raises:
        OSError: no such folder, package or model, or it is not cached and the hub can't be reached.
        ValueError: the name is none of the three, the package holds several model folders, or the subfolder is no
            path within a folder.
    """
    inner = _checked_subfolder(subfolder)
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"model: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found {name!r}")
    text = os.fspath(name)
    if text.startswith(PACKAGE_PREFIX):
        return _within(_package_folder(text), inner)
    if text and os.path.isdir(text):
        return _within(Path(text), inner)
    if text and os.path.exists(text):
        raise NotADirectoryError(f"{text}: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found a file")
    if isinstance(name, os.PathLike) or text.startswith((".", "~")) or os.path.isabs(text):
        raise FileNotFoundError(f"{text}: no such folder")
    if not _HUB_ID.fullmatch(text) or len(text) > 96 or ".." in text or "--" in text:
        raise ValueError(
            f"{text!r}: no such folder, and it can't be a hub id: wanted OWNER/NAME "
            f"of letters, digits, '-', '_' and '.', found {text!r}"
        )
    from npbert.hub_cache import HubModel

    return HubModel(text, revision, token, cache_dir, local_files_only).folder(tuple(patterns), inner)


def _checked_subfolder(subfolder: str | None) -> str:
    """A path within a folder, with a slash at its end; "" for the folder itself."""
    if subfolder is None or subfolder == "":
        return ""
    inner = subfolder.removeprefix("./").rstrip("/") if isinstance(subfolder, str) else ""
    if not is_inside(inner):
        raise ValueError(f"subfolder: wanted the path of a folder within the model's, found {show(subfolder)}")
    return f"{inner}/"


def _within(folder: Path, inner: str) -> Path:
    if inner and not (folder / inner).is_dir():
        raise FileNotFoundError(f"{folder}: no folder {inner[:-1]} in it")
    return folder / inner


def _package_folder(name: str) -> Path:
    """The model folder that a package carries: its own folder, or the one inside it with a config.json."""
    from importlib.util import find_spec

    package = name[len(PACKAGE_PREFIX) :]
    # A dotted name is refused, since its parents would be imported in order to find it.
    if not package.isidentifier():
        raise ValueError(f"{name}: wanted the name by which a package is imported, found {package!r}")
    try:
        spec = find_spec(package)
    except ValueError:  # a module in sys.modules without a spec, such as __main__
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name}: no package {package!r} is installed")
    places = [Path(place) for place in spec.submodule_search_locations]
    folders = [place for place in places if (place / CONFIG_FILE).is_file()]
    if not folders:
        inner = (path for place in places if place.is_dir() for path in sorted(place.iterdir()))
        folders = [path for path in inner if (path / CONFIG_FILE).is_file()]
    if not folders:
        where = ", ".join(str(place) for place in places)
        raise FileNotFoundError(f"{name}: wanted a folder with a {CONFIG_FILE}, found none in {where}")
    if len(folders) > 1:
        found = ", ".join(str(folder) for folder in folders)
        raise ValueError(f"{name}: wanted one folder with a {CONFIG_FILE}, found {found}")
    return folders[0]
