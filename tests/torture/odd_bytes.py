"""Files made odd as bytes, and what may stand in the place of a file."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from torture.folder import Folder, Special


@dataclass(frozen=True)
class Bytes:
    """A run of bytes replaced by others."""

    file: str
    place: int
    length: int
    by: bytes
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        shown = repr(self.by[:16])[1:] + ("..." if len(self.by) > 16 else "")
        return f"{self.file}: at {self.place} {self.length} bytes become {len(self.by)}, {shown}"

    @property
    def mark(self) -> str:
        return f"{self.file}: bytes"

    def apply(self, folder: Folder) -> None:
        content = folder.get(self.file)
        if isinstance(content, bytes):
            folder[self.file] = content[: self.place] + self.by + content[self.place + self.length :]


@dataclass(frozen=True)
class Become:
    """Something else in the place of a file, or a file where there was none."""

    file: str
    content: bytes | Special
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        if isinstance(self.content, Special):
            target = f" to {self.content.target}" if self.content.target else ""
            return f"{self.file}: {self.content.kind}{target}"
        return f"{self.file}: {self.content[:60]!r}"

    def apply(self, folder: Folder) -> None:
        if self.file.partition("/")[0] in folder and "/" in self.file:
            return  # what it is in is no folder any more
        for name in [name for name in folder if name == self.file or name.startswith(f"{self.file}/")]:
            del folder[name]
        if self.content != Special("gone"):
            folder[self.file] = self.content


LINKS = (
    "nowhere",
    "/etc/passwd",
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/dev/stdin",
    ".",
    "..",
    "config.json",
    "vocab.txt",
)
LINKS += ("tokenizer.json", "model.safetensors", "/proc/self/mem", "/proc/self/environ", "/proc/kmsg", "/")
CONTENTS = (b"", b"{}", b"[]", b"null", b"\x00", b"\n", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"[" * 5000)
INSERTED = (
    b"\x00",
    b"\xff",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b'"',
    b",",
    b"\\",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"#",
    b" ",
)


def drawn(dice: random.Random, file: str, content: bytes) -> Bytes | Become:
    """Something odd about a file of these bytes."""
    way = dice.random()
    place = dice.randrange(len(content) + 1)
    if dice.random() < 0.3:
        place = min(place, dice.randrange(24))  # headers are worth more
    if way < 0.35:
        return Bytes(file, place, 1, bytes([dice.randrange(256)]))
    if way < 0.45:
        return Bytes(file, place, 1, bytes([content[place] ^ 1 << dice.randrange(8)]) if place < len(content) else b"")
    if way < 0.57:
        return Bytes(file, place, dice.choice([1, 2, 8, 100]), b"")
    if way < 0.69:
        return Bytes(file, place, 0, dice.choice(INSERTED) * dice.choice([1, 1, 2, 300]))
    if way < 0.78:
        return Bytes(file, place, len(content), b"")  # cut off
    if way < 0.83:
        other = dice.randrange(len(content) + 1)
        return Bytes(file, place, 8, content[other : other + dice.choice([4, 8, 64])])
    if way < 0.88:
        return Become(file, dice.choice(CONTENTS))
    return Become(file, special(dice))


def special(dice: random.Random) -> Special:
    """Something that is no regular file."""
    kind = dice.choice(["link", "link", "link", "fifo", "folder", "socket", "huge", "gone", "gone"])
    return Special(kind, dice.choice(LINKS) if kind == "link" else "")
