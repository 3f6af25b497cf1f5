"""One safetensors file -> float32 arrays, read or mapped.

The safetensors library judges the file. The bytes are then read here and not through its mapping, since
mapped pages count as resident memory: a model would take its weights' size twice while it loads.
Format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from npbert.config_values import brief, show
from npbert.json_file import unique_keys
from npbert.regular_file import LFS_POINTER, check_whole, open_regular

Floats: TypeAlias = NDArray[np.float32]

FLOATS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32, for which NumPy has no name
    "F64": np.dtype("<f8"),
}
"""What weights may be stored as -> the bits that are read."""

MAX_HEADER = 10**8  # bytes, the library's limit
MAX_DIMENSIONS = 32  # NumPy 1's limit; NumPy 2's is 64
CHUNK = 2**16  # elements: what was just read is checked and converted while it is in the second-level cache

_Identity: TypeAlias = tuple[int, int, int, int]  # what fstat says of a file: inode, device, size, time written


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies in its file."""

    stored: str  # the format's name: F32, BF16, I64, ...
    shape: tuple[int, ...]
    start: int  # from the beginning of the file

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def rows(self, begin: int, end: int) -> Entry:
        """Those from `begin` on, before `end`, of a tensor of floats."""
        shape = (min(end, self.shape[0]) - begin, *self.shape[1:])
        return Entry(self.stored, shape, self.start + begin * math.prod(shape[1:]) * FLOATS[self.stored].itemsize)


class SafetensorsFile:
    """A safetensors file that has been checked.

    Raises:
        OSError: it can't be read, or is not a regular file.
        ValueError: it is not valid safetensors, or has a key twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = open_regular(path)
        self._closer = weakref.finalize(self, os.close, self._fd)
        self._seeking = threading.Lock()
        self.mapped = False  # whether an array over the mapped file was given out
        try:
            self._identity = self._identify()
            self.entries = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> dict[str, Entry]:
        check_whole(self.path, self._read_bytes(min(self._identity[2], len(LFS_POINTER)), 0))
        try:
            with safe_open(self.path, framework="numpy"):
                pass
        except SafetensorError as error:
            why = f"{brief(error, 300)}{self._cut_short()}"
            raise ValueError(f"{self.path}: not a valid safetensors file: {why}") from None
        found = os.stat(self.path)
        if (found.st_ino, found.st_dev) != self._identity[:2]:
            raise OSError(f"{self.path}: replaced by another file while it was opened")
        length = int.from_bytes(self._read_bytes(8, 0), "little")
        text = self._read_bytes(length, 8)
        self.check_unchanged()  # else it may not be the header that the library saw
        try:
            header = json.loads(text, object_pairs_hook=unique_keys)
        except ValueError as error:
            raise ValueError(f"{self.path}: not a valid safetensors header: {brief(error, 300)}") from None
        header.pop("__metadata__", None)
        entries = {}
        for name, entry in header.items():
            rank = len(entry["shape"])
            if rank > MAX_DIMENSIONS:
                wanted = f"at most {MAX_DIMENSIONS} dimensions"
                raise ValueError(f"{self.path}: {brief(name)}: wanted {wanted}, found {rank}")
            start = 8 + length + entry["data_offsets"][0]
            entries[name] = Entry(entry["dtype"], tuple(entry["shape"]), start)
        return entries

    def _cut_short(self) -> str:
        """What there is to add to the library's error where the header speaks of more bytes than the file has."""
        size = self._identity[2]
        try:
            wanted = 8 + (0 if size < 8 else int.from_bytes(self._read_bytes(8, 0), "little"))
            if wanted <= min(size, MAX_HEADER):
                header: dict[str, Any] = json.loads(self._read_bytes(wanted - 8, 8))
                header.pop("__metadata__", None)
                wanted += max(entry["data_offsets"][1] for entry in header.values())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return ""
        if not size < wanted < 2**48:  # beyond it is no length, but text or noise
            return ""
        return f"; wanted {wanted} bytes, found {size}, as a download that was cut short leaves: get it again"

    def read(self, name: str, rows: tuple[int, int] | None = None) -> Floats:
        """A tensor as a C-contiguous float32 array of the caller's own; with (begin, end) so many rows of it.

        Raises:
            OSError: the file can't be read, or has changed since it was opened.
            ValueError: the tensor is not stored as floats, or holds a NaN or Inf.
        """
        whole = self._float_entry(name)
        entry = whole if rows is None else whole.rows(*rows)
        first = (entry.start - whole.start) // FLOATS[entry.stored].itemsize
        values = np.empty(entry.size, np.float32)
        in_place = FLOATS[entry.stored] == values.dtype
        with np.errstate(all="ignore"):  # an F64 beyond float32's range is found below, as Inf
            for begin, chunk in self._chunks(entry, values if in_place else None):
                part = values[begin : begin + chunk.size]
                if entry.stored == "BF16":
                    np.left_shift(chunk, np.uint32(16), out=part.view(np.uint32), dtype=np.uint32)
                elif not in_place:
                    part[...] = chunk
                self._check_finite(name, first + begin, part)
        self.check_unchanged()
        return self._shaped(name, values, entry.shape)

    def read_int8(self, name: str) -> NDArray[np.int8]:
        """A tensor that is stored as I8, as an array of the caller's own.

        Raises:
            OSError: as `read`.
        """
        entry = self._int8_entry(name)
        values = np.empty(entry.size, np.int8)
        self._read_into(values.view(np.uint8).data, entry.start)
        self.check_unchanged()
        return self._shaped(name, values, entry.shape)

    def map(self, name: str) -> Floats:
        """A tensor as a read-only float32 array over the mapped file; only pages in use become resident.

        As `read` where the file does not hold it as aligned float32. Whoever reads the array calls
        `check_unchanged` first: the pages of a file that was cut short can't be read.

        Raises:
            OSError, ValueError: as `read`.
        """
        entry = self._float_entry(name)
        if FLOATS[entry.stored] != np.float32 or entry.start % 4 or not entry.size:
            return self.read(name)
        with np.errstate(all="ignore"):
            for begin, chunk in self._chunks(entry, None):  # through the mapping, every page would become resident
                self._check_finite(name, begin, chunk)
        self.check_unchanged()
        return self._shaped(name, self._pages(entry, np.dtype(np.float32)), entry.shape)

    def map_int8(self, name: str) -> NDArray[np.int8]:
        """A tensor that is stored as I8 and holds something, as `map` does.

        Raises:
            OSError: as `read`.
        """
        entry = self._int8_entry(name)
        self.check_unchanged()
        return self._shaped(name, self._pages(entry, np.dtype(np.int8)), entry.shape)

    def _pages(self, entry: Entry, dtype: np.dtype[Any]) -> NDArray[Any]:
        before = entry.start % mmap.ALLOCATIONGRANULARITY
        length, offset = before + dtype.itemsize * entry.size, entry.start - before
        if hasattr(mmap, "MAP_PRIVATE"):
            pages = mmap.mmap(self._descriptor(), length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, offset=offset)
        else:
            pages = mmap.mmap(self._descriptor(), length, access=mmap.ACCESS_READ, offset=offset)
        self.mapped = True
        return np.frombuffer(pages, dtype, entry.size, before)

    def check_unchanged(self) -> None:
        """Raises OSError if the file was written to or cut short since it was opened. One fstat."""
        found = self._identify()
        if found != self._identity:
            size, was = found[2], self._identity[2]
            how = f"wanted {was} bytes, found {size}" if size != was else "it was written to"
            raise OSError(f"{self.path}: the file has changed since it was opened: {how}")

    def close(self) -> None:
        """Arrays that were given out stay valid."""
        self._closer()

    def _descriptor(self) -> int:
        # Once it is closed, the same number may stand for another file.
        if not self._closer.alive:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._fd

    def _identify(self) -> _Identity:
        found = os.fstat(self._descriptor())
        return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns

    def _float_entry(self, name: str) -> Entry:
        entry = self.entries[name]
        if entry.stored not in FLOATS:
            wanted = f"weights stored as {', '.join(FLOATS)}"
            raise ValueError(f"{self.path}: {brief(name)}: wanted {wanted}, found {entry.stored}")
        return entry

    def _int8_entry(self, name: str) -> Entry:
        entry = self.entries[name]
        assert entry.stored == "I8", f"{name}: {entry.stored}"
        return entry

    def _chunks(self, entry: Entry, whole: Floats | None) -> Iterator[tuple[int, NDArray[Any]]]:
        """(first element, elements as stored), read into `whole` or else into a buffer that is used again."""
        stored = FLOATS[entry.stored]
        buffer = np.empty(min(CHUNK, entry.size), stored)
        for begin in range(0, entry.size, CHUNK):
            count = min(CHUNK, entry.size - begin)
            chunk = buffer[:count] if whole is None else whole[begin : begin + count]
            self._read_into(chunk.view(np.uint8).data, entry.start + begin * stored.itemsize)
            yield begin, chunk

    def _read_bytes(self, size: int, offset: int) -> bytearray:
        data = bytearray(size)
        self._read_into(memoryview(data), offset)
        return data

    def _read_into(self, buffer: memoryview, offset: int) -> None:
        descriptor = self._descriptor()
        done = 0
        while done < len(buffer):
            if hasattr(os, "preadv"):
                count = os.preadv(descriptor, [buffer[done:]], offset + done)
            else:
                with self._seeking:
                    os.lseek(descriptor, offset + done, os.SEEK_SET)
                    data = os.read(descriptor, len(buffer) - done)
                count = len(data)
                buffer[done : done + count] = data
            if count == 0:
                self.check_unchanged()
                raise OSError(f"{self.path}: wanted {len(buffer)} bytes at {offset}, found {done}")
            done += count

    def _check_finite(self, name: str, begin: int, part: NDArray[Any]) -> None:
        # A finite sum has only finite terms; one that is not may be an overflow, so each term is looked at.
        if np.isfinite(np.add.reduce(part)):
            return
        wrong = np.flatnonzero(~np.isfinite(part))
        if wrong.size:
            at = np.unravel_index(begin + int(wrong[0]), self.entries[name].shape)
            where = "[" + ", ".join(str(int(index)) for index in at) + "]"
            found = part[wrong[0]]
            raise ValueError(f"{self.path}: {brief(name)}: wanted finite float32 values, found {found} at {where}")

    def _shaped(self, name: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        try:
            return values.reshape(shape)
        except (ValueError, OverflowError) as error:  # as [0, 2^63], which holds nothing
            where, found = f"{self.path}: {brief(name)}", show(shape)
            raise ValueError(f"{where}: wanted a shape that fits memory, found {found}: {error}") from None


def write_safetensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], NDArray[Any]],
    int8: Collection[str] = (),
) -> None:
    """Writes float32 tensors, but for those named in `int8`, of which one is held at a time.

    The file takes its name only when it is complete.

    Raises:
        OSError: it can't be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers reads no file without it
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + (1 if name in int8 else 4) * math.prod(shape)
        header[name] = {"dtype": "I8" if name in int8 else "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        with partial.open("xb") as file:  # with the permissions that the umask gives, as any file
            file.write(len(text).to_bytes(8, "little") + text)
            for name, shape in shapes.items():
                values = np.ascontiguousarray(read(name), np.int8 if name in int8 else "<f4")
                assert values.shape == shape, f"{name}: {values.shape}, not {shape}"
                file.write(values.data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
