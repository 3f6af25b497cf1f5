"""Files that are written together: all of a save take their places at once, when the last of them is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into; its files and the folders in it go to `folder`, which is made if need be, in the end.

    Where something fails, what was there before stays as it was.

    Raises:
        OSError: a file can't be written, or a folder has its name, or a file a folder's; names the place that it was
            meant for.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]  # the innermost first
    partial = folder / f".{os.getpid()}.{threading.get_ident()}.partial"
    done = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with placed(partial, folder):
            partial.mkdir()
            yield partial
            _move(partial, folder)
            done = True
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for one in () if done else new:
            with contextlib.suppress(OSError):  # it may not have been made
                one.rmdir()


@contextmanager
def placed(partial: Path, folder: Path) -> Iterator[None]:
    """Around what is written into `partial` in the place of `folder`: an OSError names the file's place there, or else
    the folder."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        place = Path(error.filename) if isinstance(error.filename, str) else partial
        if place.is_relative_to(partial):
            place = folder / place.relative_to(partial)
        raise OSError(error.errno, error.strerror, str(place)) from None


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Around what writes a file: an OSError names it, as that of a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_text(path: Path, text: str) -> None:
    """Writes a file.

    Raises:
        OSError: it can't be written; names it.
    """
    with named(path):
        path.write_text(text, encoding="utf-8")


def _move(partial: Path, folder: Path) -> None:
    found = sorted(partial.rglob("*"))
    for path in found:  # said before the first of them is moved
        place = folder / path.relative_to(partial)
        if path.is_file() and place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
        if path.is_dir() and os.path.lexists(place) and not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    for path in found:
        place = folder / path.relative_to(partial)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)
