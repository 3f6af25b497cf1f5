"""One safetensors file -> float32 arrays, or tables whose rows stay in it.

The safetensors library judges the file, and bytes are read here. Nothing is mapped: mapped pages count as resident
memory, and one that is gone, since the file was cut short or its disk fails, ends the process.
Format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from npbert.checks import brief, show
from npbert.files.json_file import unique_keys
from npbert.files.open_file import Identity, OpenFile
from npbert.files.regular_file import LFS_POINTER, check_whole
from npbert.files.staging import named

Floats: TypeAlias = NDArray[np.float32]

FLOATS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32, for which NumPy has no name
    "F64": np.dtype("<f8"),
}
"""What weights may be stored as -> the bits that are read."""

STORED = {**FLOATS, "I8": np.dtype(np.int8)}

MAX_HEADER = 10**8  # bytes, the library's limit
MAX_DIMENSIONS = 32  # NumPy 1's limit; NumPy 2's is 64
CHUNK = 2**18  # elements: what was just read is checked and converted while it is in a cache

GROUP = 2**7  # elements whose sum tells what they were: no more than a row of embeddings
_BEGINS = np.arange(0, CHUNK, GROUP)


class Entry(NamedTuple):
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
        self._file = OpenFile(path)
        self._digests: dict[tuple[int, int, bool], int] = {}  # of what was read
        self._kept: dict[str, Entry] = {}
        try:
            self._identity = self._file.identity()
            self.entries = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> dict[str, Entry]:
        check_whole(self.path, self._read_bytes(min(self._identity.size, len(LFS_POINTER)), 0))
        try:
            with safe_open(self.path, framework="numpy", backend="pread"):
                pass
        except SafetensorError as error:
            why = f"{brief(error, 300)}{self._cut_short()}"
            raise ValueError(f"{self.path}: not a valid safetensors file: {why}") from None
        except MemoryError as error:  # the library has room made for the whole of the file
            raise OSError(errno.ENOMEM, brief(error, 300), str(self.path)) from None
        found = os.stat(self.path)
        if (found.st_ino, found.st_dev) != self._identity[:2]:
            raise OSError(f"{self.path}: replaced by another file while it was opened")
        length = int.from_bytes(self._read_bytes(8, 0), "little")
        if 8 + length > self._identity.size:
            raise self._changed(self._file.identity())
        text = self._read_bytes(length, 8)
        if self._file.identity() != self._identity:  # then it may not be the header that the library saw
            raise self._changed(self._file.identity())
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
        size = self._identity.size
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

    def read(self, name: str, rows: tuple[int, int] | None = None, out: Floats | None = None) -> Floats:
        """A tensor as a C-contiguous float32 array of the caller's own; with (begin, end) so many rows of it.

        out: such an array to read it into.

        Raises:
            OSError: the file can't be read, or has changed since it was opened.
            ValueError: the tensor is not stored as floats, or holds a NaN or Inf.
        """
        entry = self._float_entry(name)
        entry = entry if rows is None else entry.rows(*rows)
        values = np.empty(entry.size, np.float32) if out is None else out.reshape(-1)
        descriptor = self.descriptor()
        self._read_floats(name, entry, values)
        self.check(descriptor)
        return self._shaped(name, values, entry.shape)

    def read_int8(self, name: str) -> NDArray[np.int8]:
        """A tensor that is stored as I8, as an array of the caller's own.

        Raises:
            OSError: as `read`.
        """
        entry = self._int8_entry(name)
        values = np.empty(entry.size, np.int8)
        descriptor = self.descriptor()
        self.read_into(values.view(np.uint8).data, entry.start)
        self.check(descriptor)
        return self._shaped(name, values, entry.shape)

    def keep(self, name: str) -> None:
        """From now on `descriptor` and `check` answer for this tensor, which is read if it was not yet.

        Raises:
            OSError, ValueError: as `read`; what is stored as I8 may be kept, too.
        """
        entry = self.entries[name] if self.entries[name].stored == "I8" else self._float_entry(name)
        descriptor = self.descriptor()
        if name not in self._kept:
            self._read_floats(name, entry, None)
        self.check(descriptor)
        self._kept[name] = entry

    def descriptor(self) -> int:
        """What to read the file by, and then `check`. One fstat.

        Raises:
            OSError: the file was written to or cut short since it was opened.
        """
        self._compare(self._file.identity())
        return self._file.descriptor

    def check(self, descriptor: int, failed: int = 0) -> None:
        """Raises OSError if what was read by a descriptor may not be what the file held when it was opened. One fstat.

        failed: the errno of a read that failed, or a negative number where the file had ended; else 0.
        """
        found = self._file.found(descriptor)
        if found is None:
            raise OSError(f"{self.path}: something else in this process closed it while it was read")
        self._compare(found)
        if failed > 0:
            raise OSError(failed, os.strerror(failed), str(self.path))
        if failed:
            raise OSError(f"{self.path}: it ended while it was read")

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills a buffer with the file's bytes from `offset` on; `descriptor` and `check` are for the caller to call.

        Raises:
            OSError: as `read`.
        """
        try:
            self._file.read_into(buffer, offset)
        except OSError:
            self._compare_times(self._file.identity())  # which says more
            raise

    def close(self) -> None:
        """No more can be read."""
        self._file.close()

    def _compare(self, found: Identity) -> None:
        """Another name or other rights change the last of a file's times as well as writing does, and what was written
        may have got the other times of what was there: then the tensors that are kept are read once more.
        """
        if found != self._identity:
            self._compare_times(found)
            for name, entry in list(self._kept.items()):
                try:
                    self._read_floats(name, entry, None)
                except ValueError:  # they were finite
                    raise self._changed(found) from None
            self._identity = found

    def _compare_times(self, found: Identity) -> None:
        if found[:-1] != self._identity[:-1]:
            raise self._changed(found)

    def _changed(self, found: Identity) -> OSError:
        size, was = found.size, self._identity.size
        how = f"wanted {was} bytes, found {size}" if size != was else "it was written to"
        todo = "load the model again, and rename a new file into its place rather than write over it"
        return OSError(f"{self.path}: the file has changed since it was opened: {how}: {todo}")

    def _float_entry(self, name: str) -> Entry:
        entry = self.entries[name]
        if entry.stored not in FLOATS:
            raise ValueError(f"{self.path}: {name}: wanted weights stored as {', '.join(FLOATS)}, found {entry.stored}")
        return entry

    def _int8_entry(self, name: str) -> Entry:
        entry = self.entries[name]
        assert entry.stored == "I8", f"{name}: {entry.stored}"
        return entry

    def _read_floats(self, name: str, entry: Entry, values: Floats | None) -> None:
        """A tensor, or rows of it, into an array, or only to see that they are finite, and what they were before.

        They are told by sums, which say at once that they are finite: of a whole chunk where it goes into an array; of
        what stays in the file, of a GROUP, or each number of a vector.
        """
        stored, kept = STORED[entry.stored], values is None
        first = (entry.start - self.entries[name].start) // stored.itemsize
        in_place = values is not None and stored == values.dtype
        digest = 0
        with np.errstate(all="ignore"):  # an F64 beyond float32's range is found below, as Inf
            for begin, chunk in self._chunks(entry, values if in_place else None):
                out = None if values is None else values[begin : begin + chunk.size]
                floats = chunk if in_place else as_floats(chunk, entry.stored, out)
                sums = np.add.reduceat(floats, _BEGINS[: -(-floats.size // GROUP) if kept else 1])
                self._check_finite(name, first + begin, floats, sums)
                digest = hash((digest, (floats if kept and len(entry.shape) == 1 else sums).tobytes()))
        if self._digests.setdefault((entry.start, entry.size, kept), digest) != digest:
            raise self._changed(self._identity)

    def _chunks(self, entry: Entry, values: NDArray[Any] | None) -> Iterator[tuple[int, NDArray[Any]]]:
        """(first element, elements as stored), read into `values` or else into a buffer that is used again."""
        stored, size = STORED[entry.stored], entry.size
        buffer = np.empty(min(CHUNK, size) if values is None else 0, stored)
        for begin in range(0, size, CHUNK):
            count = min(CHUNK, size - begin)
            chunk = buffer[:count] if values is None else values[begin : begin + count]
            self.read_into(chunk.view(np.uint8).data, entry.start + begin * stored.itemsize)
            yield begin, chunk

    def _read_bytes(self, size: int, offset: int) -> bytearray:
        data = bytearray(size)
        self.read_into(memoryview(data), offset)
        return data

    def _check_finite(self, name: str, begin: int, part: Floats, sums: Floats) -> None:
        # Finite sums have only finite terms; one that is not may be an overflow, so each term is looked at.
        if np.isfinite(np.add.reduce(sums)):
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


def as_floats(values: NDArray[Any], stored: str, out: Floats | None = None) -> Floats:
    """What a file holds, as the float32 that it stands for; int8 without its scales."""
    if stored == "BF16":
        bits = None if out is None else out.view(np.uint32)
        wide: Floats = np.left_shift(values, np.uint32(16), out=bits, dtype=np.uint32).view(np.float32)
        return wide
    if out is None:
        floats: Floats = values.astype(np.float32, copy=False)
        return floats
    out[...] = values
    return out


def write_safetensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], NDArray[Any]],
    int8: Collection[str] = (),
) -> None:
    """Writes a new file of float32 tensors, but for those named in `int8`, of which one is held at a time.

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
    with named(path), path.open("xb") as file:  # with the permissions that the umask gives, as any file
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            values = np.ascontiguousarray(read(name), np.int8 if name in int8 else "<f4")
            assert values.shape == shape, f"{name}: {values.shape}, not {shape}"
            file.write(values.data)
