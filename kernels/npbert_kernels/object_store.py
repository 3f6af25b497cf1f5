"""Compiled kernels on disk: each file is named by a hash of all that it depends on.

A file is a line of JSON (symbol, digest), then the code. It is written under another name and renamed, so a
reader sees all of it or nothing; it is used only if its digest fits and only this user can write it. A store that
can't be written or read is no error: kernels are then compiled by each process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ObjectCode:
    symbol: str
    code: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        head = {"symbol": self.symbol, "sha256": self.digest()}
        return json.dumps(head).encode() + b"\n" + self.code

    def digest(self) -> str:
        return hashlib.sha256(self.symbol.encode() + b"\n" + self.code).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> ObjectCode:
        """Raises ValueError where the data is damaged."""
        head, _, code = data.partition(b"\n")
        try:
            fields = json.loads(head)
            symbol, digest = fields["symbol"], fields["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError("no header") from error
        if not isinstance(symbol, str) or (found := cls(symbol, code)).digest() != digest:
            raise ValueError("the digest does not fit")
        return found


def folder() -> pathlib.Path:
    """NPBERT_KERNEL_CACHE, or npbert/kernels in the user's cache folder."""
    if chosen := os.environ.get("NPBERT_KERNEL_CACHE"):
        return pathlib.Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base, "npbert", "kernels")


def source_hash(paths: Iterable[pathlib.Path]) -> hashlib._Hash:
    """Of files' names and contents; what else a name depends on is added by who makes it."""
    digest = hashlib.sha256()
    for path in paths:
        source = path.read_bytes()
        digest.update(f"{path.name} {len(source)}\n".encode() + source)
    return digest


def _trusted(status: os.stat_result) -> bool:
    """Only this user (or root) can have written it."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def read(name: str) -> ObjectCode | None:
    """What is stored under that name; None where there is nothing that can be used."""
    try:
        path = folder() / name
        if not _trusted(path.parent.stat()):
            return None
        with open(path, "rb") as file:
            if not _trusted(os.fstat(file.fileno())):
                return None
            return ObjectCode.from_bytes(file.read())
    except (OSError, ValueError):
        return None


def write(name: str, kernels: ObjectCode) -> pathlib.Path | None:
    """Store it; the path, or None where the store can't be written."""
    import tempfile

    try:
        path = folder() / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _trusted(path.parent.stat()):
            return None
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with open(handle, "wb") as file:
                file.write(kernels.to_bytes())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        return path
    except OSError:
        return None
