"""A model's name -> the folder of its files: a folder, `package:NAME`, or an id on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from npbert.checks import brief, show
from npbert.files.folder_contents import similar_folder
from npbert.files.json_file import checked_object, read_json
from npbert.files.links import check_link
from npbert.files.names import ADAPTER_CONFIG, CONFIG_FILE, INDEX, MODEL_FILES, SINGLE_WEIGHTS, is_inside
from npbert.files.regular_file import exists
from npbert.signatures import Arguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

Made = TypeVar("Made")

PACKAGE_PREFIX = "package:"
_HUB_ID = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"

_LONGEST_PATH = 4096  # bytes; a longer one is none


class PlaceArguments(TypedDict, total=False):
    """
    subfolder: a folder within that one, which is meant instead: "a" or "a/b".
    revision: a branch, tag or commit on the hub; by default the main branch.
    token: for private models; by default the one that `HF_TOKEN` or a login gives.
    local_files_only: what the cache lacks is not asked for, as with `HF_HUB_OFFLINE`.
    """

    subfolder: str | None
    revision: str | None
    token: str | bool | None
    local_files_only: bool


class CacheArguments(TypedDict, total=False):
    """
    cache_dir: by default the hub's own cache, as `HF_HUB_CACHE` or `HF_HOME` say, or the one that
        `TRANSFORMERS_CACHE` says.
    """

    cache_dir: str | os.PathLike[str] | None


class HubArguments(PlaceArguments, CacheArguments, total=False):
    """Where a model is."""


PLACE = Arguments(PlaceArguments, local_files_only=False)
HUB = PLACE + Arguments(CacheArguments)


class Folder(os.PathLike[str]):
    """A folder of a model's files. Made once for a load, and handed down in the place of the model's name.

    A JSON file of it is read once, however many readers have a use for it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        hub: Mapping[str, Any] | None = None,
        patterns: tuple[str, ...] = MODEL_FILES,
        known: dict[Any, Any] | None = None,
        root: Path | None = None,
    ) -> None:
        """
        Args:
            path: the folder's.
            hub, patterns: what `resolve` was given, for the model that an adapter is of.
            known: path -> what was read of it already; (path, kind) -> what was made.
            root: the folder of the whole model, where this is one within it.
        """
        self.path = Path(path)
        self._root = root or self.path
        self._hub = hub or {}
        self._patterns = patterns
        self._known: dict[Any, Any] = {} if known is None else known

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def inner(self, path: str | os.PathLike[str]) -> Folder:
        """A folder within this one, which shares what was read."""
        return Folder(self.path / path, self._hub, self._patterns, self._known, self._root)

    def once(self, kind: Any, make: Callable[[], Made]) -> Made:
        """What `make` makes of this folder, made once for all who ask for that kind."""
        key = str(self.path), kind
        if key not in self._known:
            self._known[key] = make()
        made: Made = self._known[key]
        return made

    def has(self, name: str) -> bool:
        """Whether there is a file of that name, which may be read.

        Raises:
            OSError: as `exists`; or it is a link that is not followed.
        """
        path = self.path / name
        if not exists(path):
            return False
        check_link(path, self._root)
        return True

    def json(self, name: str, whose: str = "the model") -> Any:
        """What a JSON file holds, not to be changed.

        Args:
            name: the file's.
            whose: what it belongs to, for the message where there is none.

        Raises:
            OSError, ValueError: as `has` and `read_json`; or there is no such file.
        """
        path = self.path / name
        if str(path) not in self._known:
            if not self.has(name):
                why = "as a download that was not finished leaves it"
                raise FileNotFoundError(f"{path}: wanted the file of {whose}, found none, {why}")
            self._known[str(path)] = read_json(path)
        return self._known[str(path)]

    def values(self, name: str, whose: str = "the model") -> dict[str, Any]:
        """The object that a JSON file holds, in a dict of the caller's own.

        Raises:
            OSError, ValueError: as `json`; or it is no object.
        """
        return dict(checked_object(self.path / name, self.json(name, whose)))

    def optional_values(self, name: str) -> dict[str, Any]:
        """As `values`; {} where there is no such file."""
        return self.values(name) if self.has(name) else {}

    @cached_property
    def base(self) -> Folder:
        """The folder of the weights: this one, unless it holds an adapter of peft's alone, which names its model.

        Raises:
            OSError: there is no such model.
            ValueError: adapter_config.json is damaged, or names none.
        """
        if not self.has(ADAPTER_CONFIG) or self.has(SINGLE_WEIGHTS) or self.has(INDEX):
            return self
        file = self / ADAPTER_CONFIG
        values = self.values(ADAPTER_CONFIG)
        name, revision = values.get("base_model_name_or_path"), values.get("revision")
        where = f"{file}: base_model_name_or_path"
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: wanted the name of the model that the adapter is of, found {show(name)}")
        if not isinstance(revision, str | None):
            raise ValueError(f"{file}: revision: wanted a string or null, found {show(revision)}")
        try:
            # A path on the machine that the adapter was made on is no hub id, and need not be one here.
            if os.path.isdir(name) and exists(Path(name) / ADAPTER_CONFIG):
                raise ValueError(f"{brief(name)}: wanted a whole model, found another adapter")
            return resolve(name, revision=revision, patterns=self._patterns, **self._hub)
        except OSError as error:
            raise FileNotFoundError(f"{where}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


@HUB
def resolve(
    name: str | os.PathLike[str] | None,
    *,
    patterns: Iterable[str] = MODEL_FILES,
    organization: str | None = None,
    **hub: Unpack[HubArguments],
) -> Folder:
    """The folder that holds a model's files.

    Whether the files are there and in order is for their readers to say. Of an adapter without a tokenizer the
    tokenizer is that of the model that it is of.

    Args:
        name: a folder, used as it is; `package:NAME`, an installed package that carries a model folder; or
            a hub id such as "sentence-transformers/all-MiniLM-L6-v2". Or what an earlier call gave.
        patterns: the files wanted from the hub, by their paths in the folder; `*/NAME` is NAME in
            each folder that modules.json lists. A file that the model does not have is passed over. What
            the cache has is not asked for again, and all files are of one commit.
        organization: whose model on the hub a name without a slash is; by default one that belongs to none.

    Raises:
        OSError: no such folder, package or model, or it is not cached and the hub can't be reached.
        ValueError: the name is none of the three, the package holds several model folders, or the subfolder is no
            path within a folder.
    """
    wanted = tuple(patterns)
    folder = name if isinstance(name, Folder) else _found(name, wanted, organization, **HUB.of("resolve", hub))
    others = [name for name in wanted if name != CONFIG_FILE]
    if SINGLE_WEIGHTS in wanted or not others:
        _ = folder.base  # what is wrong with it is said now
    elif folder.has(ADAPTER_CONFIG) and not any(folder.has(name) for name in others):
        return folder.base  # which has the tokenizer
    return folder


def _found(
    name: str | os.PathLike[str] | None,
    wanted: tuple[str, ...],
    organization: str | None,
    *,
    subfolder: str | None,
    revision: str | None,
    **hub: Any,
) -> Folder:
    inner = _checked_subfolder(subfolder)
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"model: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found {show(name)}")
    text = os.fspath(name)
    if text.startswith(PACKAGE_PREFIX):
        from npbert.files.package_folder import package_folder

        return Folder(_within(package_folder(text[len(PACKAGE_PREFIX) :]), inner), hub, wanted)
    if text and os.path.isdir(text):
        return Folder(_within(Path(text), inner), hub, wanted)
    _check_hub_id(name, text)
    from npbert.files.hub_cache import HubModel

    repo_id = f"{organization}/{text}" if organization and "/" not in text else text
    model = HubModel(repo_id, text, revision, **hub)
    return Folder(model.folder(wanted, inner), hub, wanted, model.known)


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


def _check_hub_id(name: str | os.PathLike[str], text: str) -> None:
    """Raises where a name that is no folder can be no hub id either."""
    if text and len(text) < _LONGEST_PATH and "\0" not in text and exists(text):
        raise NotADirectoryError(f"{brief(text)}: wanted a folder, {PACKAGE_PREFIX}NAME or a hub id, found a file")
    if isinstance(name, os.PathLike) or text.startswith((".", "~")) or os.path.isabs(text):
        raise FileNotFoundError(f"{brief(text)}: no such folder{similar_folder(text)}")
    if not re.fullmatch(_HUB_ID, text, re.ASCII) or len(text) > 96 or ".." in text or "--" in text:
        raise ValueError(
            f"{show(text)}: no such folder{similar_folder(text)}, and it can't be a hub id: wanted OWNER/NAME "
            f"of letters, digits, '-', '_' and '.', found {show(text)}"
        )
