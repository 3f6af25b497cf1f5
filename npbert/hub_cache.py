"""A model on the Hugging Face hub: its files from the cache, and what the cache lacks from the network.

What is cached is found here, by the cache's documented layout, and not by huggingface_hub, whose import alone
takes longer than loading a small model. Everything else is left to it.
Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npbert.file_names import INDEX, MODULES_FILE, SINGLE_WEIGHTS, TOKENIZER_FILE, VOCABULARIES, is_inside
from npbert.json_file import read_json

_WEIGHTS = ".safetensors"
_SUFFIXES = (".json", ".txt", ".model", _WEIGHTS)  # data that is read, never code that is run


class HubModel:
    """One revision of a model. All its files come from one commit: the cached one, where there is one."""

    def __init__(
        self,
        repo_id: str,
        revision: str | None,
        token: str | bool | None,
        cache_dir: str | os.PathLike[str] | None,
        local_files_only: bool,
    ) -> None:
        from huggingface_hub import constants

        self._repo_id = repo_id
        self._revision = "main" if revision is None else revision
        if not isinstance(self._revision, str) or not is_inside(self._revision):
            raise ValueError(f"revision: wanted a branch, a tag or a commit, found {revision!r}")
        self._token = token
        self._cache = Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir)
        self._storage = self._cache / ("models--" + repo_id.replace("/", "--"))
        self._offline = "local_files_only is set" if local_files_only else None
        if constants.HF_HUB_OFFLINE:
            self._offline = "HF_HUB_OFFLINE is set"
        self._was_reached = False
        self._commit = self._cached_commit()

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
        behind = [pattern[2:] for pattern in patterns if pattern.startswith("*/")]
        for folder in self._module_folders(inner + MODULES_FILE) if behind else ():
            names_there = [f"{inner}{folder}/{name}" for name in sorted(behind, key=_comes_late)]
            found += [self._get(name) for name in names_there if not self._is_needless(name)]
        for name in names:
            if name.endswith(INDEX) and not self._is_needless(name):
                found += [self._get(name[: -len(INDEX)] + shard) for shard in self._shards(name)]
        if self._commit is None or not any(found):
            why = f"and {self._offline}" if self._offline else "and the hub has none of them"
            raise FileNotFoundError(
                f"{self._repo_id}: no such folder; as a hub id, revision {self._revision!r}: none of "
                f"{', '.join(patterns)} is in the cache {self._cache}, {why}"
            )
        return self._snapshot(self._commit) / inner

    def _get(self, name: str) -> bool:
        """Whether the model has a file, which then lies in the snapshot."""
        if not name.endswith(_SUFFIXES) or not is_inside(name):
            return False
        if self._commit is not None:
            if self._has(name):
                return True
            if (self._storage / ".no_exist" / self._commit / name).is_file():
                return False
        return not self._offline and self._download(name)

    def _download(self, name: str) -> bool:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        if not name.endswith(_WEIGHTS) and not self._is_reachable(name):
            return False
        try:
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
                f"{self._repo_id}: no such folder, and no such model on the hub at revision "
                f"{self._revision!r}, or not for this token: {_line(error)}"
            ) from error
        except Exception as error:
            # Only an answer from the hub says that there is no such file. The local kind of that error, which
            # some releases derive from it, means that the hub could not be asked.
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                self._commit = self._commit or self._cached_commit()
                return False
            if self._commit is None or name.endswith(_WEIGHTS):
                what = name if self._commit else f"no such folder, and {name}"
                raise OSError(f"{self._repo_id}: {what} can't be had from the hub: {_line(error)}") from error
            self._go_on_without(name, error)
            return False
        self._commit = Path(path).relative_to(self._storage / "snapshots").parts[0]
        return True

    def _is_reachable(self, name: str) -> bool:
        """Asked once, where the cache has some of the model and may have enough of it.

        A download would try again and again, for half a minute.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError

        if self._commit is None or self._was_reached:
            return True
        try:
            get_hf_file_metadata(hf_hub_url(self._repo_id, name, revision=self._commit), token=self._token)
        except HfHubHTTPError:
            pass  # an answer, which the download will get as well
        except Exception as error:
            self._go_on_without(name, error)
            return False
        self._was_reached = True
        return True

    def _go_on_without(self, name: str, error: Exception) -> None:
        self._offline = "the hub can't be reached"
        what = f"{self._repo_id}: {name}: can't be had from the hub; going on with what is cached"
        warnings.warn(f"{what}: {_line(error)}", stacklevel=2)

    def _cached_commit(self) -> str | None:
        """The commit that the revision stood for when it was last asked for, or that it is."""
        try:
            commit = (self._storage / "refs" / self._revision).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
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

    def _module_folders(self, file: str) -> Iterator[str]:
        modules = self._json(file)
        for module in modules if isinstance(modules, list) else []:
            inner = module.get("path") if isinstance(module, dict) else None
            if isinstance(inner, str) and inner:
                yield inner

    def _shards(self, index: str) -> list[str]:
        values = self._json(index)
        weight_map = values.get("weight_map") if isinstance(values, dict) else None
        shards = weight_map.values() if isinstance(weight_map, dict) else ()
        return sorted({shard for shard in shards if isinstance(shard, str)})

    def _json(self, name: str) -> Any:
        """A file's content, or None: what is wrong with it is for those to say who read it in earnest."""
        if not self._has(name) or self._commit is None:
            return None
        try:
            return read_json(self._snapshot(self._commit) / name)
        except (OSError, ValueError):
            return None


def _comes_late(name: str) -> bool:
    """Whether others may make a file needless."""
    return name in VOCABULARIES or name.endswith(INDEX)


def _line(error: Exception) -> str:
    """The first line of a message: huggingface_hub's go on for paragraphs."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
