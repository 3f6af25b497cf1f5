"""A model's name -> the folder of its files: a folder, `package:NAME`, or an id on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from npbert.checks import brief, show
from npbert.files.folder_contents import similar_folder
from npbert.files.json_file import read_json_object
from npbert.files.names import ADAPTER_CONFIG, CONFIG_FILE, INDEX, MODEL_FILES, SINGLE_WEIGHTS, is_inside
from npbert.files.regular_file import exists

PACKAGE_PREFIX = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)

_LONGEST_PATH = 4096  # bytes; a longer one is none

# (adapter's folder, base's name and revision) -> token, cache_dir and local_files_only, where the adapter was found by
# some: whoever reads one part of a model after the other has the folder alone.
_ARGUMENTS: dict[tuple[str, str, str | None], dict[str, Any]] = {}


def resolve(
    name: str | os.PathLike[str],
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    patterns: Iterable[str] = MODEL_FILES,
    organization: str | None = None,
) -> Path:
    """The folder that holds a model's files.

    Whether the files are there and in order is for their readers to say. Of an adapter without a tokenizer the
    tokenizer is that of the model that it is of.

    Args:
        name: a folder, used as it is; `package:NAME`, an installed package that carries a model folder; or
            a hub id such as "sentence-transformers/all-MiniLM-L6-v2".
        subfolder: a folder within that one, which is meant instead: "a" or "a/b".
        revision: a branch, tag or commit on the hub; by default the main branch.
        token: for private models; by default the one that `HF_TOKEN` or a login gives.
        cache_dir: by default the hub's own cache, as `HF_HUB_CACHE` or `HF_HOME` say, or the one that
            `TRANSFORMERS_CACHE` says.
        local_files_only: what the cache lacks is not asked for, as with `HF_HUB_OFFLINE`.
        patterns: the files wanted from the hub, by their paths in the folder; `*/NAME` is NAME in
            each folder that modules.json lists. A file that the model does not have is passed over. What
            the cache has is not asked for again, and all files are of one commit.
        organization: whose model on the hub a name without a slash is; by default one that belongs to none.

    Raises:
        OSError: no such folder, package or model, or it is not cached and the hub can't be reached.
        ValueError: the name is none of the three, the package holds several model folders, or the subfolder is no
            path within a folder.
    """
    inner = _checked_subfolder(subfolder)
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"model: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found {show(name)}")
    text, wanted = os.fspath(name), tuple(patterns)
    if text.startswith(PACKAGE_PREFIX):
        from npbert.files.package_folder import package_folder

        folder = _within(package_folder(text[len(PACKAGE_PREFIX) :]), inner)
    elif text and os.path.isdir(text):
        folder = _within(Path(text), inner)
    else:
        _check_hub_id(name, text)
        from npbert.files.hub_cache import HubModel

        repo_id = f"{organization}/{text}" if organization and "/" not in text else text
        folder = HubModel(repo_id, text, revision, token, cache_dir, local_files_only).folder(wanted, inner)
    hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    others = [name for name in wanted if name != CONFIG_FILE]
    if SINGLE_WEIGHTS in wanted or not others:
        base_folder(folder, wanted, hub)
    elif exists(folder / ADAPTER_CONFIG) and not any(exists(folder / name) for name in others):
        return base_folder(folder, wanted, hub)  # which has the tokenizer
    return folder


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
        raise FileNotFoundError(f"{folder}: no folder {brief(inner[:-1])} in it")
    return folder / inner


def base_folder(folder: Path, patterns: tuple[str, ...] = MODEL_FILES, hub: Mapping[str, Any] | None = None) -> Path:
    """The folder of the weights: the folder itself, unless it holds an adapter of peft's alone, which names the model
    that it is of.

    Args:
        patterns: what is wanted of that model, as `resolve` takes them.
        hub: token, cache_dir and local_files_only; by default those by which the adapter was found.

    Raises:
        OSError: there is no such model.
        ValueError: adapter_config.json is damaged, or names none.
    """
    if not exists(folder / ADAPTER_CONFIG) or any(exists(folder / weights) for weights in (SINGLE_WEIGHTS, INDEX)):
        return folder
    file = folder / ADAPTER_CONFIG
    values = read_json_object(file)
    name, revision = values.get("base_model_name_or_path"), values.get("revision")
    where = f"{file}: base_model_name_or_path"
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: wanted the name of the model that the adapter is of, found {show(name)}")
    if not isinstance(revision, str | None):
        raise ValueError(f"{file}: revision: wanted a string or null, found {show(revision)}")
    key = (os.path.abspath(folder), name, revision)
    if hub is not None and any(hub.values()):
        _ARGUMENTS[key] = dict(hub)
    try:
        # A path on the machine that the adapter was made on is no hub id, and need not be one here.
        if os.path.isdir(name) and exists(Path(name) / ADAPTER_CONFIG):
            raise ValueError(f"{brief(name)}: wanted a whole model, found another adapter")
        return resolve(name, revision=revision, patterns=patterns, **_ARGUMENTS.get(key, {}))
    except OSError as error:
        raise FileNotFoundError(f"{where}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def config_file(folder: Path) -> Path:
    """The config.json of a model, or of the model that an adapter is of.

    Raises:
        OSError, ValueError: as base_folder.
    """
    own = folder / CONFIG_FILE
    return own if exists(own) else base_folder(folder, (CONFIG_FILE,)) / CONFIG_FILE


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
