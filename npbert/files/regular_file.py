"""Files that are read whole: regular ones only, and of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that stands for one which Git LFS has not fetched."""

_REFUSALS = (b"<!doctype html", b"<html", b"entry not found")
"""What the answers of a server begin with that has no such file, in lower case."""

# Opening a FIFO would wait for a writer for ever; for a regular file the flag means nothing.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at a path.

    Raises:
        OSError: there is a link that leads nowhere, in the place of the file or of a folder on the way, as in a cache
            that lost a part; or it can't be looked at.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        for place in (Path(path), *Path(path).parents):
            if os.path.lexists(place):
                if place.is_symlink() and not place.exists():
                    raise FileNotFoundError(f"{place}: a link that leads nowhere") from None
                return False
        return False
    return True


def check_bounded(path: str | os.PathLike[str], limit: int) -> None:
    """Checks a file that others read.

    Raises:
        OSError: there is none, or it is no regular file.
        ValueError: it has more bytes than `limit`, or is a pointer of Git LFS.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        _check_size(path, os.fstat(file.fileno()), limit)
        if begin := _read(path, file, len(LFS_POINTER)):
            check_whole(path, begin)


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor to read a file by, whatever its size.

    Raises:
        OSError: there is none, it can't be read, or is no regular file.
    """
    look(path)
    descriptor = os.open(path, FLAGS)
    try:
        check_kind(path, os.fstat(descriptor))  # what is there now
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def look(path: str | os.PathLike[str]) -> os.stat_result:
    """What the system says of a file before it is opened: opening a device may do something.

    Raises:
        OSError: there is none, or it is no regular file.
    """
    exists(path)
    found = os.stat(path)
    check_kind(path, found)
    return found


def check_whole(path: str | os.PathLike[str], begin: bytes | bytearray) -> None:
    """Checks how a file begins that can't be empty.

    Raises:
        ValueError: it is what a download or a clone leaves that was not finished, or was refused.
    """
    if not begin:
        raise ValueError(f"{os.fspath(path)}: an empty file, as a download that was cut short leaves it: get it again")
    if begin.startswith(LFS_POINTER):
        hint = "`git lfs pull` in its repository gets it"
        raise ValueError(f"{os.fspath(path)}: a pointer of Git LFS in the place of the file: {hint}")
    if begin[:20].lower().startswith(_REFUSALS):
        hint = "as where it has none: get it again"
        raise ValueError(f"{os.fspath(path)}: a server's answer in the place of the file, {hint}")


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: it can't be read, or is no regular file.
        ValueError: it has more bytes than `limit`, or is a pointer of Git LFS.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        _check_size(path, os.fstat(file.fileno()), limit)
        data = _read(path, file, limit + 1)
    if len(data) > limit:
        raise _too_long(path, limit, "more")
    if data:
        check_whole(path, data)
    return data


def _read(path: str | os.PathLike[str], file: BinaryIO, most: int) -> bytes:
    try:
        data: bytes | None = file.read(most)
    except OSError as error:  # which names no file, as it has a descriptor alone
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    if data is None:  # of a file that says it is regular, and waits for what others write
        raise OSError(f"{os.fspath(path)}: wanted a regular file")
    return data


def check_kind(path: str | os.PathLike[str], found: os.stat_result) -> None:
    """Raises OSError for what is no regular file."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{os.fspath(path)}: wanted a regular file")


def _check_size(path: str | os.PathLike[str], found: os.stat_result, limit: int) -> None:
    if found.st_size > limit:
        raise _too_long(path, limit, str(found.st_size))


def _too_long(path: str | os.PathLike[str], limit: int, found: str) -> ValueError:
    return ValueError(f"{os.fspath(path)}: wanted at most {limit} bytes, found {found}")
