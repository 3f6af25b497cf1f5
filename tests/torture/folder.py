"""A model's folder in memory: files by name, and what may stand in the place of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

HUGE = 2**36  # bytes of a file that is all hole


@dataclass(frozen=True)
class Special:
    """No regular file of bytes."""

    kind: str  # one of SPECIALS
    target: str = ""


SPECIALS = ("link", "fifo", "folder", "socket", "huge", "gone")

Folder: TypeAlias = dict[str, "bytes | Special"]


def write(folder: Mapping[str, bytes | Special], path: Path) -> None:
    """A folder in the place of whatever is there."""
    clear(path)
    path.mkdir()
    made = {""}
    for name, content in folder.items():
        target = path / name
        inner = name.rpartition("/")[0]
        if inner not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(inner)
        if isinstance(content, bytes):
            with open(target, "wb", buffering=0) as file:
                file.write(content)
        else:
            _make(content, target)


def clear(path: Path) -> None:
    """Takes away what stands there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _make(special: Special, target: Path) -> None:
    if special.kind == "link":
        target.symlink_to(special.target)
    elif special.kind == "fifo":
        os.mkfifo(target)
    elif special.kind == "folder":
        target.mkdir()
    elif special.kind == "socket":
        os.mknod(target, 0o140600)
    elif special.kind == "huge":
        with open(target, "wb") as file:
            file.truncate(HUGE)
