"""A model on the Hugging Face hub: its files from the cache, and what the cache lacks from the network.

What is cached is found here, by the cache's documented layout, and not by huggingface_hub, whose import alone
takes longer than loading a small model. Everything else is left to it.
Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npbert.checks import brief, listed, show
from npbert.files.folder_contents import similar_folder
from npbert.files.json_file import read_json
from npbert.files.names import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG_FILE,
    INDEX,
    MAX_MODULES,
    MODEL_FILES,
    MODULES_FILE,
    SINGLE_WEIGHTS,
    TOKENIZER_FILE,
    VOCABULARIES,
    is_inside,
)
from npbert.files.regular_file import read_bounded

_WEIGHTS = ".safetensors"
_SUFFIXES = (".json", ".txt", ".model", _WEIGHTS)  # data that is read, never code that is run
_LONGEST = 255  # characters of a revision: of a file's name in the cache
_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")  # sha1 or sha256
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # as huggingface_hub has it
_OLDER_CACHES = ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE")
"""Variables that transformers 4 has its cache by, which version 5 leaves to huggingface_hub; the first that is set."""


class HubModel:
    """One revision of a model. All its files come from one commit: the cached one, where there is one."""

    def __init__(
        self,
        repo_id: str,
        given: str,
        revision: str | None,
        token: str | bool | None,
        cache_dir: str | os.PathLike[str] | None,
        local_files_only: bool,
    ) -> None:
        """given: the name that stands for repo_id, which is no folder's."""
        from huggingface_hub import constants

        self._repo_id = repo_id
        self._name = repo_id if given == repo_id else f"{given}, on the hub {repo_id}"
        self._no_folder = f"no such folder{similar_folder(given)}"
        self._revision = "main" if revision is None else revision
        is_name = isinstance(self._revision, str) and len(self._revision) <= _LONGEST
        if not is_name or not is_inside(self._revision):
            raise ValueError(f"revision: wanted a branch, a tag or a commit, found {show(revision)}")
        self._token = token
        self._offline = "local_files_only is set" if local_files_only else None
        if constants.HF_HUB_OFFLINE:
            name = next((name for name in _OFFLINE if os.environ.get(name)), _OFFLINE[0])
            self._offline = f"{name} is set"
        self.known: dict[str, Any] = {}  # path -> what was read of it
        self._was_reached = False
        self._has_downloaded = False
        caches = _caches(constants.HF_HUB_CACHE) if cache_dir is None else [Path(cache_dir).expanduser()]
        for self._cache in caches:
            if self._cached_commit() is not None:
                break
        else:
            self._cache = caches[0]
        self._commit = self._cached_commit()

    @property
    def _storage(self) -> Path:
        return self._cache / ("models--" + self._repo_id.replace("/", "--"))

    def folder(self, patterns: tuple[str, ...], inner: str = "") -> Path:
        """The folder with all those files of `patterns` that the model has; see `hub.resolve`.

        inner: the path of that folder in the model's, with a slash at its end.

        Raises:
            OSError: there is no such model or revision, or nothing is cached and the hub can't be reached.
        """
        # Last the files that others make needless, or name.
        files = sorted((name for name in patterns if "*" not in name), key=_comes_late)
        names = [inner + name for name in files]
        found = [self._get(name) for name in names if not self._is_needless(name)]
        behind = sorted((pattern[2:] for pattern in patterns if pattern.startswith("*/")), key=_comes_late)
        for first, folder in self._module_folders(inner + MODULES_FILE) if behind else ():
            # The first is the transformer's; those after it have a config and weights at most.
            there = [f"{inner}{folder}/{name}" for name in behind if first or name in MODEL_FILES]
            found += [self._get(name) for name in there if not self._is_needless(name)]
        for name in names:
            if name.endswith(INDEX) and not self._is_needless(name):
                # One that can't be had is named by the index's reader.
                found += [all(self._get(name[: -len(INDEX)] + shard) for shard in self._shards(name))]
        if CONFIG_FILE in patterns and (self._has_downloaded or not self._has(inner + CONFIG_FILE)):
            found.append(self._get(inner + ADAPTER_CONFIG))  # of what others have cached they know whether there is one
        if SINGLE_WEIGHTS in patterns and self._has(inner + ADAPTER_CONFIG):
            found.append(self._get(inner + ADAPTER_WEIGHTS))
        if self._commit is None or not any(found):
            raise FileNotFoundError(self._nothing(names))
        return self._snapshot(self._commit) / inner

    def _nothing(self, names: list[str]) -> str:
        """The message where the model has none of the files that are wanted."""
        wanted = f"{names[0]} and what else npbert reads" if len(names) > 1 else names[0]
        why = f"and {self._offline}" if self._offline else "and the hub has none of them"
        where = f"revision {self._revision!r}: none of {wanted} is in the cache {self._cache}"
        return f"{self._name}: {self._no_folder}; as a hub id, {where}, {why}{self._similar()}"

    def _similar(self) -> str:
        """Cached models of the same name, to be added to an error."""
        name = self._repo_id.rpartition("/")[2]
        try:
            found = sorted(path.name for path in self._cache.glob(f"models--*--{name}"))
        except OSError:
            return ""
        others = [other.removeprefix("models--").replace("--", "/") for other in found]
        others = [other for other in others if other != self._repo_id]
        return f"; it has {listed(others)}" if others else ""

    def _get(self, name: str) -> bool:
        """Whether the model has a file, which then lies in the snapshot."""
        if not self._may_be_had(name):
            return False
        if self._commit is not None:
            if self._has(name):
                return True
            if (self._storage / ".no_exist" / self._commit / name).is_file():
                return False
        return not self._offline and self._download(name)

    @staticmethod
    def _may_be_had(name: str) -> bool:
        return name.endswith(_SUFFIXES) and is_inside(name)

    def _download(self, name: str) -> bool:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            if not self._was_reached:
                self._ask_once(name)
            path = hf_hub_download(
                self._repo_id,
                name,
                revision=self._commit or self._revision,
                cache_dir=str(self._cache),
                token=self._token,
                library_name="npbert",
            )
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise OSError(
                f"{self._name}: {self._no_folder}, and no such model on the hub at revision "
                f"{self._revision!r}, or not for this token: {_line(error)}"
            ) from error
        except Exception as error:
            # Only an answer from the hub says that there is no such file. The local kind of that error, which
            # some releases derive from it, means that the hub could not be asked.
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                self._commit = self._commit or self._cached_commit()
                return False
            if self._commit is None or name.endswith(_WEIGHTS):
                what = name if self._commit else f"{self._no_folder}, and {name}"
                raise OSError(f"{self._name}: {what} can't be had from the hub: {_line(error)}") from error
            self._go_on_without(name, error)
            return False
        snapshot = Path(path).parents[name.count("/")]
        if self._commit not in (None, snapshot.name):
            what = f"{name}: wanted of commit {self._commit}, the hub answered with {brief(snapshot.name)}"
            raise OSError(f"{self._name}: {what}")
        self._check_bytes(name, Path(path), snapshot.parent.parent / "blobs")
        self._commit = snapshot.name
        self._has_downloaded = True
        return True

    def _ask_once(self, name: str) -> None:
        """Asks for a file's size, and raises what comes of it, unless that is an answer of the hub's about the file.

        A download would try again and again, for half a minute.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            url = hf_hub_url(self._repo_id, name, revision=self._commit or self._revision)
            get_hf_file_metadata(url, token=self._token)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except HfHubHTTPError:
            pass  # which the download will get as well
        self._was_reached = True

    def _check_bytes(self, name: str, path: Path, blobs: Path) -> None:
        """Looks once at what was downloaded: the hub names a file of Git LFS by its sha256, others as git does."""
        if not path.is_symlink():  # a cache on a disk without links keeps no such names
            return
        blob = Path(os.path.normpath(path.parent / os.readlink(path)))
        if blob.parent != blobs:  # the hub's name for the bytes was a path
            path.unlink()
            raise OSError(
                f"{self._name}: {name}: wanted a name for its bytes from the hub, found one that leads to {blob}"
            )
        # Mirrors have other names.
        if not _HASH.fullmatch(blob.name) or blob.name in _hashes(path, len(blob.name)):
            return
        for place in (path, blob):
            place.unlink(missing_ok=True)
        raise OSError(
            f"{self._name}: {name}: the bytes that came are not those of {blob.name}, by which the hub names them; "
            "they are taken out of the cache: try again"
        )

    def _go_on_without(self, name: str, error: Exception) -> None:
        self._offline = "the hub can't be reached"
        what = f"{self._repo_id}: {name}: can't be had from the hub; going on with what is cached"
        warnings.warn(f"{what}: {_line(error)}", stacklevel=2)

    def _cached_commit(self) -> str | None:
        """The commit that the revision stood for when it was last asked for, or that it is."""
        try:
            commit = read_bounded(self._storage / "refs" / self._revision, 1000).decode("utf-8").strip()
        except (OSError, ValueError):
            commit = self._revision
        known = is_inside(commit) and "/" not in commit and self._snapshot(commit).is_dir()
        return commit if known else None

    def _snapshot(self, commit: str) -> Path:
        return self._storage / "snapshots" / commit

    def _has(self, name: str) -> bool:
        return self._commit is not None and (self._snapshot(self._commit) / name).is_file()

    def _is_needless(self, name: str) -> bool:
        folder, slash, file = name.rpartition("/")
        if file in VOCABULARIES:
            return self._has(folder + slash + TOKENIZER_FILE)
        return name.endswith(INDEX) and self._has(name[: -len(INDEX)] + SINGLE_WEIGHTS)

    def _module_folders(self, file: str) -> Iterator[tuple[bool, str]]:
        """(whether it is the first, folder) of modules that have one, each once."""
        modules = self._json(file)
        if not isinstance(modules, list) or len(modules) > MAX_MODULES:  # as its reader says
            return
        paths = [module.get("path") if isinstance(module, dict) else None for module in modules]
        for index, inner in enumerate(paths):
            if isinstance(inner, str) and inner and inner not in paths[:index]:
                yield index == 0, inner

    def _shards(self, index: str) -> list[str]:
        values = self._json(index)
        weight_map = values.get("weight_map") if isinstance(values, dict) else None
        shards = weight_map.values() if isinstance(weight_map, dict) else ()
        return sorted({shard for shard in shards if isinstance(shard, str) and self._may_be_had(shard)})

    def _json(self, name: str) -> Any:
        """A file's content, or None: what is wrong with it is for those to say who read it in earnest."""
        if not self._has(name) or self._commit is None:
            return None
        path = self._snapshot(self._commit) / name
        try:
            self.known[str(path)] = read_json(path)
        except (OSError, ValueError):
            return None
        return self.known[str(path)]


def _hashes(path: Path, length: int) -> set[str]:
    """The names of so many hexadecimal digits that the hub may give to a file's bytes."""
    import hashlib

    def new(begin: bytes = b"") -> Any:
        return hashlib.new("sha256" if length == 64 else "sha1", begin, usedforsecurity=length == 64)

    size = path.stat().st_size
    digests = [new()] if length == 64 else [new(b"blob %d\0" % size), new()]  # git's name, or that of some mirrors
    with open(path, "rb") as file:
        while block := file.read(2**20):
            for digest in digests:
                digest.update(block)
    return {digest.hexdigest() for digest in digests}


def _caches(newer: str) -> list[Path]:
    older = next((path for name in _OLDER_CACHES if (path := os.environ.get(name))), None)
    return [Path(path).expanduser() for path in (older, newer) if path]


def _comes_late(name: str) -> bool:
    """Whether others may make a file needless."""
    return name in VOCABULARIES or name.endswith(INDEX)


def _line(error: Exception) -> str:
    """The first line of a message: huggingface_hub's go on for paragraphs."""
    return brief(next(iter(str(error).strip().splitlines()), type(error).__name__), 300)
