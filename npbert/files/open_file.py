"""A file that is read at places of its own for as long as something needs it, by a descriptor that others may close.

None is lost, whatever a signal's handler raises, and none of somebody else's is closed: a daemon closes all that it
finds open, and the number may then be another file's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import weakref
from pathlib import Path
from typing import NamedTuple

from npbert.files.regular_file import FLAGS, check_kind, look


class Identity(NamedTuple):
    """What the system says of a file. Writing changes the last, and so does giving it a name or rights."""

    inode: int
    device: int
    size: int
    written: int  # ns, as may be set to any
    changed: int  # ns

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        return cls(found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class OpenFile:
    """A regular file.

    Raises:
        OSError: it can't be opened, or is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seeking = threading.Lock()
        _sweep()
        self._held = [self._open(look(path))]  # the last is in use
        self._file = self._held[0].file

    def _open(self, found: os.stat_result) -> _Held:
        held = _Held(self, found)
        _all[held] = None
        try:
            # In C alone: no signal's handler comes between the call and the list, which the finalizer knows.
            held.numbers.extend(map(os.open, [os.fspath(self.path)], [FLAGS]))
            for other in list(_all):
                if other is not held and other.numbers == held.numbers:  # somebody closed it
                    _all.pop(other, None)
            there = os.fstat(held.number)
            held.file = there.st_ino, there.st_dev
            check_kind(self.path, there)
        except BaseException:
            _release(held)
            raise
        return held

    @property
    def descriptor(self) -> int:
        """Its number; `found` says whether it is still the file's.

        Raises:
            ValueError: it is closed.
        """
        if not self._held:
            raise ValueError(f"{self.path}: the checkpoint is closed")
        return self._held[-1].number

    def identity(self) -> Identity:
        """What the system says of the file. It is opened again if its descriptor was closed by somebody else.

        Raises:
            OSError: that can't be done: another file has its name.
        """
        while (found := self.found(self.descriptor)) is None:
            self._open_again()
        return found

    def found(self, descriptor: int) -> Identity | None:
        """What the system says of the file by a descriptor; None if that is closed, or another file's."""
        try:
            found = Identity.of(os.fstat(descriptor))
        except OSError as error:
            if error.errno != errno.EBADF:
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            return None
        return found if found[:2] == self._file else None

    def _open_again(self) -> None:
        """Callers that do so at once all have one, till the file is closed: each may be reading by its own."""
        reason = "another has its name by now"
        try:
            found = look(self.path)
            if (found.st_ino, found.st_dev) == self._file:
                held = self._open(found)
                if held.file == self._file:
                    self._held.append(held)
                    return
                _release(held)
        except OSError as error:
            reason = error.strerror or str(error)
        closed = "something else in this process closed it, and the file can't be opened again"
        raise OSError(f"{self.path}: {closed}: {reason}: load the model again")

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fills the buffer with the file's bytes from `offset` on.

        Raises:
            OSError: it can't be read, or ends before.
        """
        descriptor = self.descriptor
        done = 0
        while done < len(buffer):
            try:
                count = self._read(descriptor, buffer[done:], offset + done)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            if count == 0:
                raise OSError(f"{self.path}: wanted {len(buffer)} bytes at {offset}, found {done}")
            done += count

    def _read(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(descriptor, [buffer], offset)
        with self._seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nothing is done where it is closed."""
        while self._held:
            _release(self._held[-1])
            self._held.pop()


class _Held:
    """A descriptor, and which file's it was when it was opened."""

    def __init__(self, owner: OpenFile, found: os.stat_result) -> None:
        self.owner = weakref.ref(owner, _sweep)
        self.numbers: list[int] = []  # the descriptor, once it is open
        self.file = found.st_ino, found.st_dev

    @property
    def number(self) -> int:
        return self.numbers[0]


_all: dict[_Held, None] = {}
"""What is to be closed. An entry goes with its descriptor: an exception in a finalizer leaves it to the next one."""


def _sweep(_: object = None) -> None:
    for held in list(_all or ()):  # None where the interpreter ends
        if held.owner() is None:
            _release(held)


def _release(held: _Held) -> None:
    """Closes its descriptor, unless that number is somebody else's by now."""
    number, ours = -1, False
    with contextlib.suppress(OSError, IndexError):
        number = held.number
        found = os.fstat(number)
        ours = (found.st_ino, found.st_dev) == held.file
    with contextlib.suppress(OSError, KeyError):
        # No signal's handler comes between these: CPython looks for signals where functions begin, after calls and in
        # loops. So it is closed once, whatever happens.
        del _all[held]
        if ours:
            os.close(number)
