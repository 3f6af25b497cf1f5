"""Files that are read whole: regular ones only, and of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# Opening a FIFO would wait for a writer for ever; for a regular file the flag means nothing.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


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
        ValueError: it has more bytes than `limit`.
    """
    exists(path)
    _check(path, os.stat(path), limit)


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: it can't be read, or is no regular file.
        ValueError: it has more bytes than `limit`.
    """
    check_bounded(path, limit)  # before it is opened: opening a device may do something
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        _check(path, os.fstat(file.fileno()), limit)  # what is there now
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_long(path, limit, "more")
    return data


def _check(path: str | os.PathLike[str], found: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{os.fspath(path)}: wanted a regular file")
    if found.st_size > limit:
        raise _too_long(path, limit, str(found.st_size))


def _too_long(path: str | os.PathLike[str], limit: int, found: str) -> ValueError:
    return ValueError(f"{os.fspath(path)}: wanted at most {limit} bytes, found {found}")
