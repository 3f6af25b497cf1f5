"""A file's descriptor: opened once, opened again where others closed it, closed once, and never lost."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from npbert.files import open_file
from npbert.files.open_file import OpenFile

posix = pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors as daemons do")


class Interrupted(BaseException):
    pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(bytes(range(200)))
    return tmp_path / "file"


def content(opened: OpenFile, begin: int = 0, size: int = 200) -> bytes:
    data = bytearray(size)
    opened.read_into(memoryview(data), begin)
    return bytes(data)


def descriptors_of(file: Path) -> list[int]:
    """Those of this process that are open for a file."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(int(number)), file.stat()):
                found.append(int(number))
    return found


def test_reading(file: Path) -> None:
    opened = OpenFile(file)
    assert content(opened) == bytes(range(200))
    assert content(opened, 90, 10) == bytes(range(90, 100))
    with pytest.raises(OSError, match=r"file: wanted 20 bytes at 190, found 10$"):
        content(opened, 190, 20)


def test_a_disk_that_fails(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    opened = OpenFile(file)
    monkeypatch.setattr(os, "preadv", fail, raising=False)
    with pytest.raises(OSError, match="Input/output error") as told:
        content(opened)
    assert told.value.errno == errno.EIO
    assert told.value.filename == str(file)


@posix
def test_one_that_somebody_closed_is_opened_again(file: Path) -> None:
    opened = OpenFile(file)
    before = opened.identity()
    for _ in range(3):
        os.close(opened.descriptor)
        assert opened.identity() == before
        assert content(opened) == bytes(range(200))
    assert len(descriptors_of(file)) == 1
    del opened
    assert descriptors_of(file) == []


@posix
def test_a_number_that_is_another_files_by_now(file: Path, tmp_path: Path) -> None:
    """It is neither read nor closed."""
    opened = OpenFile(file)
    number = opened.descriptor
    os.close(number)
    (tmp_path / "other").write_bytes(b"other")
    assert os.open(tmp_path / "other", os.O_RDONLY) == number
    assert opened.found(number) is None
    opened.identity()
    assert opened.descriptor != number
    assert content(opened) == bytes(range(200))
    opened.close()
    assert os.pread(number, 5, 0) == b"other"
    os.close(number)
    assert descriptors_of(file) == []


@posix
@pytest.mark.parametrize("close", [OpenFile.close, lambda opened: None], ids=["closed", "forgotten"])
def test_letting_go_closes_nothing_of_others(file: Path, tmp_path: Path, close: Any) -> None:
    opened = OpenFile(file)
    number = opened.descriptor
    os.close(number)
    (tmp_path / "other").write_bytes(b"other")
    assert os.open(tmp_path / "other", os.O_RDONLY) == number
    close(opened)
    del opened
    assert os.pread(number, 5, 0) == b"other"
    os.close(number)


@posix
def test_a_number_that_another_of_the_same_file_has_by_now(file: Path) -> None:
    """A daemon that closes all and loads its model again: letting go of the old one leaves the new one its own."""
    old = OpenFile(file)
    os.close(old.descriptor)
    new = OpenFile(file)
    assert new.descriptor == old.descriptor
    del old
    assert content(new) == bytes(range(200))


@posix
@pytest.mark.parametrize("change", ["replaced", "gone", "a folder"])
def test_one_that_can_not_be_opened_again(file: Path, tmp_path: Path, change: str) -> None:
    opened = OpenFile(file)
    os.close(opened.descriptor)
    file.rename(tmp_path / "kept")  # else the new file might get its number
    if change == "replaced":
        file.write_bytes(bytes(range(200)))
    elif change == "a folder":
        file.mkdir()
    message = r"file: something else in this process closed it, and the file can't be opened again: .*: load the model"
    for _ in range(2):
        with pytest.raises(OSError, match=message):
            opened.identity()
    assert descriptors_of(tmp_path / "kept") == []


@posix
def test_a_fork_has_its_own(file: Path) -> None:
    """What the child closes stays open for its parent, and no place in the file is shared."""
    opened = OpenFile(file)
    if (child := os.fork()) == 0:
        good = content(opened, 3, 4) == bytes(range(3, 7))
        opened.close()
        os._exit(0 if good and not descriptors_of(file) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert content(opened) == bytes(range(200))


@posix
def test_an_exception_in_a_finalizer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left open is closed when another is opened."""

    def raising(_: int) -> Any:
        raise Interrupted

    told: list[Any] = []
    opened = OpenFile(file)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda error: told.append(error.exc_type))
        patch.setattr(os, "fstat", raising)
        del opened
    assert told == [Interrupted]
    assert len(descriptors_of(file)) == 1
    opened = OpenFile(file)
    assert descriptors_of(file) == [opened.descriptor]


@posix
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_no_exception_of_a_handler_loses_one(file: Path) -> None:
    """Thousands are opened and let go of, while a signal's handler raises wherever it is."""

    def raising(*_: Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, raising)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # what is raised in a finalizer
    raised = 0
    try:
        for turn in range(1000):
            opened = None
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-5 + 1e-6 * (turn % 150))
                for _ in range(20):
                    opened = OpenFile(file)
                signal.setitimer(signal.ITIMER_REAL, 0)  # it was raised in a finalizer, and went no further
            except Interrupted:
                raised += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook
    assert raised > 100
    del opened
    OpenFile(file).close()  # what an exception left to the next
    assert descriptors_of(file) == []
    assert not [held for held in open_file._all if held.owner() is None]
