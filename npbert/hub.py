"""A model's name -> the folder of its files: a folder, `package:NAME`, or an id on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from npbert.config_values import brief, show
from npbert.file_names import ADAPTER_CONFIG, CONFIG_FILE, INDEX, MODEL_FILES, SINGLE_WEIGHTS
from npbert.folder_contents import similar_folder
from npbert.json_file import read_json_object
from npbert.regular_file import exists

PACKAGE_PREFIX = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)

_LONGEST_PATH = 4096  # bytes; a longer one is none

# (adapter's folder, base's name and revision) -> the base's folder, where it was found when the adapter was: whoever
# reads one part of a model after the other has the folder alone, and no token or cache.
_BASES: dict[tuple[str, str, str | None], Path] = {}


def resolve(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    patterns: Iterable[str] = MODEL_FILES,
    organization: str | None = None,
) -> Path:
    """The folder that holds a model's files.

    Whether the files are there and in order is for their readers to say.

    Args:
        name: a folder, used as it is; `package:NAME`, an installed package that carries a model folder; or
            a hub id such as "sentence-transformers/all-MiniLM-L6-v2".
        revision: a branch, tag or commit on the hub; by default the main branch.
        token: for private models; by default the one that `HF_TOKEN` or a login gives.
        cache_dir: by default the hub's own cache, as `HF_HUB_CACHE` or `HF_HOME` say, or the one that
            `TRANSFORMERS_CACHE` says.
        local_files_only: what the cache lacks is not asked for, as with `HF_HUB_OFFLINE`.
        patterns: the files wanted from the hub, by their paths in the model's folder; `*/NAME` is NAME in
            each folder that modules.json lists. A file that the model does not have is passed over. What
            the cache has is not asked for again, and all files are of one commit.
        organization: whose model on the hub a name without a slash is; by default one that belongs to none.

    Raises:
        OSError: no such folder, package or model, or it is not cached and the hub can't be reached.
        ValueError: the name is none of the three, or the package holds several model folders.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"model: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found {show(name)}")
    text, wanted = os.fspath(name), tuple(patterns)
    if text.startswith(PACKAGE_PREFIX):
        from npbert.package_folder import package_folder

        folder = package_folder(text[len(PACKAGE_PREFIX) :])
    elif text and os.path.isdir(text):
        folder = Path(text)
    else:
        _check_hub_id(name, text)
        from npbert.hub_cache import HubModel

        repo_id = f"{organization}/{text}" if organization and "/" not in text else text
        folder = HubModel(repo_id, text, revision, token, cache_dir, local_files_only).folder(wanted)
    base = _base_name(folder) if CONFIG_FILE in wanted else None
    if base is not None and (key := (os.path.abspath(folder), *base)) not in _BASES:
        hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        _BASES[key] = _find_base(folder, *base, **hub)  # type: ignore[arg-type]
    return folder


def base_folder(folder: Path) -> Path:
    """The folder of the weights, and of config.json where the other has none: the folder itself, unless it holds an
    adapter of peft's alone, which names the model that it is of.

    Raises:
        OSError: there is no such model.
        ValueError: adapter_config.json is damaged, or names none.
    """
    base = _base_name(folder)
    if base is None:
        return folder
    return _BASES.get((os.path.abspath(folder), *base)) or _find_base(folder, *base)


def config_file(folder: Path) -> Path:
    """The config.json of a model, or of the model that an adapter is of.

    Raises:
        OSError, ValueError: as base_folder.
    """
    return (folder if exists(folder / CONFIG_FILE) else base_folder(folder)) / CONFIG_FILE


def _base_name(folder: Path) -> tuple[str, str | None] | None:
    """The name and the revision of the model that an adapter is of, or None where the folder has its own weights."""
    if not exists(folder / ADAPTER_CONFIG) or any(exists(folder / weights) for weights in (SINGLE_WEIGHTS, INDEX)):
        return None
    file = folder / ADAPTER_CONFIG
    values = read_json_object(file)
    name, revision = values.get("base_model_name_or_path"), values.get("revision")
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"{file}: base_model_name_or_path: wanted the model that the adapter is of, found {show(name)}"
        )
    if not isinstance(revision, str | None):
        raise ValueError(f"{file}: revision: wanted a string or null, found {show(revision)}")
    return name, revision


def _find_base(
    folder: Path,
    name: str,
    revision: str | None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    where = f"{folder / ADAPTER_CONFIG}: base_model_name_or_path"
    try:
        if os.path.isdir(name) and exists(Path(name) / ADAPTER_CONFIG):
            raise ValueError(f"{brief(name)}: wanted a whole model, found an adapter")
        return resolve(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
    except OSError as error:
        raise OSError(f"{where}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_hub_id(name: str | os.PathLike[str], text: str) -> None:
    """Raises where a name that is no folder can be no hub id either."""
    if text and len(text) < _LONGEST_PATH and "\0" not in text and exists(text):
        raise NotADirectoryError(f"{brief(text)}: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found a file")
    if isinstance(name, os.PathLike) or text.startswith((".", "~")) or os.path.isabs(text):
        raise FileNotFoundError(f"{brief(text)}: no such folder{similar_folder(text)}")
    if not _HUB_ID.fullmatch(text) or len(text) > 96 or ".." in text or "--" in text:
        raise ValueError(
            f"{show(text)}: no such folder{similar_folder(text)}, and it can't be a hub id: wanted OWNER/NAME "
            f"of letters, digits, '-', '_' and '.', found {show(text)}"
        )
