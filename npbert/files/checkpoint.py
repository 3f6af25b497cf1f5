"""A model folder's weights: model.safetensors, or the shards that model.safetensors.index.json lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npbert.checks import brief, show
from npbert.files.folder_contents import instead_of_weights
from npbert.files.hub import Folder
from npbert.files.names import INDEX, SINGLE_WEIGHTS
from npbert.files.regular_file import exists
from npbert.files.safetensors_file import Entry, SafetensorsFile
from npbert.files.stored_table import StoredTable

_SUFFIX = ".safetensors"
_LONGEST = 255  # bytes of a file's name


class Checkpoint:
    """The tensors of a model folder by name, read one at a time.

    Nothing is read but the headers until a tensor is asked for. Keep it open while what `table` gives is in use.
    """

    def __init__(self, files: dict[str, SafetensorsFile]) -> None:
        """files: tensor name -> the file that holds it."""
        self._files = files
        self._distinct = list(dict.fromkeys(files.values()))

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Checkpoint:
        """Opens a folder's weights and checks their headers.

        Raises:
            OSError: there are none, or they can't be read.
            ValueError: a file or the index is damaged, or the index names files outside the folder.
        """
        where = folder if isinstance(folder, Folder) else Folder(folder)
        path = where.path
        if where.has(SINGLE_WEIGHTS):
            return cls(_open_single(path / SINGLE_WEIGHTS))
        if where.has(INDEX):
            return cls(_open_shards(path / INDEX, where.values(INDEX).get("weight_map")))
        found = f"neither{instead_of_weights(path)}"
        raise FileNotFoundError(f"{path}: wanted {SINGLE_WEIGHTS} or {INDEX}, found {found}")

    def __iter__(self) -> Iterator[str]:
        """The tensors' names, in the order of the files' headers."""
        return iter(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape."""
        return self._entry(name).shape

    def dtype(self, name: str) -> str:
        """How a tensor is stored, by the format's own name: F32, BF16, I64, ..."""
        return self._entry(name).stored

    def path(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._files[name].path

    @property
    def paths(self) -> list[Path]:
        """The files, each once."""
        return [file.path for file in self._distinct]

    def read(
        self, name: str, rows: tuple[int, int] | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """A tensor as a C-contiguous float32 array of the caller's own; with (begin, end) so many rows of it.

        out: such an array to read it into.

        Raises:
            OSError: the file can't be read, or has changed since it was opened.
            ValueError: the tensor is not stored as F32, F16, BF16 or F64, or holds a NaN or Inf.
        """
        return self._files[name].read(name, rows, out)

    def read_int8(self, name: str) -> NDArray[np.int8]:
        """A tensor that is stored as I8.

        Raises:
            OSError: as `read`.
        """
        return self._files[name].read_int8(name)

    def table(self, name: str, scales: str | None = None) -> StoredTable:
        """A tensor [V, E] whose rows stay in the file: stored as F32, F16 or BF16, or as I8 with the scales [V] named.

        Raises:
            OSError, ValueError: as `read`.
        """
        (file, stored), (beside, witness) = self.place(name), self.place(scales or name)
        floats = None if scales is None else self.read(scales)
        # Of int8 the scales answer, which no training leaves as they are: all of it need not be read.
        file.keep(witness if beside is file else stored)
        return StoredTable(file, stored, floats)

    def place(self, name: str) -> tuple[SafetensorsFile, str]:
        """The file that holds a tensor, and its name there."""
        return self._files[name], name

    def close(self) -> None:
        """Closes the files; no more can be read."""
        for file in self._distinct:
            file.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, name: str) -> Entry:
        return self._files[name].entries[name]


def _open_single(path: Path) -> dict[str, SafetensorsFile]:
    file = SafetensorsFile(path)
    return dict.fromkeys(file.entries, file)


def _open_shards(path: Path, given: Any) -> dict[str, SafetensorsFile]:
    """Every tensor of every shard; where two shards hold the same name, the index must say which is meant.

    Args:
        path: the index.
        given: its weight_map.
    """
    weight_map = _weight_map(path, given)
    shards: dict[str, SafetensorsFile] = {}
    files: dict[str, SafetensorsFile] = {}
    try:
        for shard in sorted(set(weight_map.values())):
            if not exists(path.parent / shard):
                why = "as a download that was not finished leaves it"
                raise FileNotFoundError(f"{path}: wanted the shard {shard} beside it, found no such file, {why}")
            shards[shard] = SafetensorsFile(path.parent / shard)
            for name in shards[shard].entries:
                if name in files and name not in weight_map:
                    first = files[name].path.name
                    two = f"{first} and {shard}"
                    raise ValueError(f"{path}: {brief(name)}: not in weight_map, yet in two shards, {two}")
                files[name] = shards[shard]
        for name, shard in weight_map.items():
            if name not in shards[shard].entries:
                raise ValueError(f"{path}: {brief(name)}: wanted in the shard {shard}, which does not hold it")
            files[name] = shards[shard]
    except BaseException:
        for file in shards.values():
            file.close()
        raise
    return files


def _weight_map(path: Path, given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not given:
        found = "nothing" if given is None or given == {} else type(given).__name__
        raise ValueError(f"{path}: weight_map: wanted an object of tensor names and shards, found {found}")
    for name, shard in given.items():
        if not isinstance(shard, str) or not _is_bare(shard):
            raise ValueError(
                f"{path}: weight_map: {brief(name)}: wanted the bare name of a {_SUFFIX} file beside the index, "
                f"found {show(shard)}"
            )
    return given


def _is_bare(shard: str) -> bool:
    """No folders, drives or streams of either kind of system, and nothing that a file's name can't hold."""
    bare = PurePosixPath(shard).name == shard == PureWindowsPath(shard).name
    return bare and shard.endswith(_SUFFIX) and shard.isprintable() and ":" not in shard and len(shard) <= _LONGEST
