"""Compiled kernels on disk: each file is named by a hash of all that it depends on.

A file is a line of JSON (symbol, digest), then the code. It is written under another name and renamed, so a
reader sees all of it or nothing. A store that can't be used is no error for a model: each process then compiles its
kernels, and says why.

Where they are. NPBERT_KERNEL_CACHE names the one place. Without it there are two: npbert/kernels in the user's cache
folder, and share/npbert/kernels in the Python environment. The second is written by `npbert warmup` alone, where it is
run by the environment's owner: what is warmed while an image is built serves whoever runs it. Folders are made with
mode 0755 and files with 0644, less the umask.

Whom they are taken from. What is loaded is run, so it must come from those who can change what this process runs
anyway: this user, root, and the owner of the folder that npbert itself lies in. They may share the right to write with
a group that may write to that folder too, or with group 0, which images that run as any user (OpenShift's) have in
the place of a user.

- A file belongs to one of them, is written by nobody else, and is no link.
- So does a folder, and so is it written. But one that NPBERT_KERNEL_CACHE names may belong to somebody else and be
  written by its group, as a mounted volume may: whoever names it lets these take files away and move them, and what
  they put there themselves is not loaded, for it is theirs.
- What everybody may write is refused. To name a place is not to trust everybody who got there first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LARGEST = 64 << 20  # bytes of a file that is read; kernels take a hundred thousand
STALE = 3600.0  # seconds after which nobody writes to a part of a file any more
PART = ".part-"


class ObjectCode(NamedTuple):
    symbol: str
    code: bytes

    def to_bytes(self) -> bytes:
        head = {"symbol": self.symbol, "digest": self.digest()}
        return json.dumps(head).encode() + b"\n" + self.code

    def digest(self) -> str:
        return digest(self.symbol.encode() + b"\n" + self.code)

    @classmethod
    def from_bytes(cls, data: bytes) -> ObjectCode:
        """Raises ValueError where the data is damaged."""
        head, _, code = data.partition(b"\n")
        try:
            fields = json.loads(head)
            symbol, wanted = fields["symbol"], fields["digest"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError("no header") from error
        if not isinstance(symbol, str) or (found := cls(symbol, code)).digest() != wanted:
            raise ValueError("the digest does not fit")
        return found


class Place(NamedTuple):
    """A folder of compiled kernels."""

    folder: pathlib.Path
    named: bool = False  # by NPBERT_KERNEL_CACHE

    def read(self, name: str) -> ObjectCode:
        """What is stored under that name.

        Raises:
            FileNotFoundError: nothing is.
            OSError: why what is there can't be read, is not trusted or is no file of the store.
        """
        path = self.folder / name
        with _reasons(path, "read"):
            status = os.lstat(path)
            _refuse(self.folder, os.stat(self.folder), self.named)
            if not stat.S_ISREG(status.st_mode):  # a device is not even opened
                raise _RefusalError(f"{path} is no regular file")
            with open(path, "rb", opener=_open_to_read) as file:
                status = os.fstat(file.fileno())
                _refuse(path, status)
                if status.st_size > LARGEST or not stat.S_ISREG(status.st_mode):
                    raise _RefusalError(f"{path} is no file of kernels")
                data = file.read()
        try:
            return ObjectCode.from_bytes(data)
        except ValueError as error:
            raise _RefusalError(f"{path} is damaged: {error}") from None

    def prepare(self) -> None:
        """Make the folder where it is missing. Raises OSError: why nothing can be stored there."""
        with _reasons(self.folder, "written"):
            _make(self.folder)
            _refuse(self.folder, os.stat(self.folder), self.named)
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise _RefusalError(f"{self.folder} can't be written by this user")

    def write(self, name: str, kernels: ObjectCode) -> pathlib.Path:
        """Store it. Raises OSError: why it is not stored."""
        self.prepare()
        path, part = self.folder / name, self.folder / f"{PART}{os.urandom(8).hex()}"
        with _reasons(self.folder, "written"):
            try:
                with open(part, "xb", opener=_open_to_write) as file:
                    file.write(kernels.to_bytes())
                self._sweep(part.stat().st_mtime)
                _make_way(path)
                os.replace(part, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part)
                raise
        return path

    def _sweep(self, now: float) -> None:
        """Remove what processes that were killed have left. `now` is by the clock that stamps files."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"{PART}*"):
                with contextlib.suppress(OSError):
                    if path.lstat().st_mtime < now - STALE:
                        path.unlink()


def places() -> list[Place]:
    """Where kernels may be stored, in the order in which they are looked for."""
    if chosen := os.environ.get("NPBERT_KERNEL_CACHE"):
        return [Place(pathlib.Path(os.path.expanduser(chosen)), named=True)]
    found = [_user_place(), _environment_place()]
    return [place for place in found if place is not None]


def place_to_write() -> Place:
    """Where a process stores what it compiles. Raises OSError: there is no such place."""
    place = places()[0] if os.environ.get("NPBERT_KERNEL_CACHE") else _user_place()
    if place is None:
        raise _RefusalError("this user has no home folder to store kernels in")
    return place


def places_to_warm() -> list[Place]:
    """Where `npbert warmup` stores them: for this user, and by the environment's owner first of all for its users."""
    place = None if os.environ.get("NPBERT_KERNEL_CACHE") else _environment_place()
    if place is not None and os.stat(sys.prefix).st_uid == os.geteuid():
        try:
            return [place, place_to_write()]
        except OSError:
            return [place]
    return [place_to_write()]


def digest(data: bytes) -> str:
    """64 bits of it, by what Python tells sources by: no library of cryptography is loaded for it."""
    return importlib.util.source_hash(data).hex()


def named_contents(paths: Iterable[pathlib.Path]) -> bytes:
    """Files' names and contents, for a digest."""
    sources = ((path.name, path.read_bytes()) for path in paths)
    return b"".join(f"{name} {len(source)}\n".encode() + source for name, source in sources)


def _user_place() -> Place | None:
    """In the user's cache folder; None for a user without a home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else Place(pathlib.Path(base, "npbert", "kernels"))


def _environment_place() -> Place | None:
    """In the Python environment; None where files have no owners."""
    return Place(pathlib.Path(sys.prefix, "share", "npbert", "kernels")) if hasattr(os, "geteuid") else None


class _RefusalError(OSError):
    """Its message is the reason, whole."""


@contextlib.contextmanager
def _reasons(path: pathlib.Path, what: str) -> Iterator[None]:
    """Errors of the system become a reason: which path, and what could not be done."""
    try:
        yield
    except _RefusalError:
        raise
    except OSError as error:
        if what == "read" and isinstance(error, FileNotFoundError):
            raise
        raise _RefusalError(f"{path} can't be {what}: {error.strerror or error}") from error


def _refuse(path: pathlib.Path, status: os.stat_result, named: bool = False) -> None:
    """Raise where somebody may have written it whose code is not to be run: the rule stands above."""
    if not hasattr(os, "geteuid"):
        return
    own = _own_folder()
    if status.st_mode & stat.S_IWOTH:
        why = "everybody may write to it"
    elif named:
        return
    elif status.st_uid not in (os.geteuid(), 0, own.st_uid):
        why = f"it belongs to user {status.st_uid}, who is neither this user nor root nor the owner of npbert"
    elif status.st_mode & stat.S_IWGRP and not _trusted_group(path, status.st_gid, own):
        why = f"group {status.st_gid} may write to it"
    else:
        return
    raise _RefusalError(f"{path} is not trusted: {why}")


def _own_folder() -> os.stat_result:
    """Of the folder that npbert lies in: who may write there says what this process runs."""
    return os.stat(pathlib.Path(__file__).parent)


def _trusted_group(path: pathlib.Path, group: int, own: os.stat_result) -> bool:
    """Where there is an access control list, the mode's bits for the group are those of all whom it names."""
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):
            if "system.posix_acl_access" in os.listxattr(path):
                return False
    return group == 0 or (group == own.st_gid and bool(own.st_mode & stat.S_IWGRP))


def _open_to_read(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _open_to_write(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


def _make(folder: pathlib.Path) -> None:
    """With its parents, which only this user may write even if the umask is 0."""
    if not folder.parent.is_dir():
        _make(folder.parent)
    folder.mkdir(mode=0o755, exist_ok=True)


def _make_way(path: pathlib.Path) -> None:
    """A file takes the place of anything but a folder."""
    if path.is_dir() and not path.is_symlink():
        try:
            path.rmdir()
        except OSError:
            raise _RefusalError(f"{path} is a folder: remove it") from None
