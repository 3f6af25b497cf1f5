"""Kernels that are loaded or compiled: one process compiles and the others wait; what is said of it, and to whom."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from npbert_kernels import compile_once, object_store, store_lock
from npbert_kernels.compile_once import Kernels
from npbert_kernels.object_store import ObjectCode, Place

CODE = ObjectCode("npbert_entry", b"code")
NAME = "avx2-0123.o"
COMPILING = "npbert: compiling kernels for avx2 (some seconds; once on this machine) ...\n"
COMPILED = "npbert: compiled kernels for avx2 in 0 s\n"
WAITING = "npbert: waiting for another process that compiles kernels for avx2 ...\n"
HINT = "; NPBERT_KERNEL_CACHE names another folder"
FLOCK = pytest.mark.skipif(sys.platform == "win32", reason="this system has no such locks")


@pytest.fixture(autouse=True)
def _unsaid() -> None:
    compile_once.say.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


class Compiler:
    """Counts how often it compiled, and takes some time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.count = seconds, 0

    def __call__(self) -> ObjectCode:
        self.count += 1
        time.sleep(self.seconds)
        return CODE


def load(kernels: ObjectCode) -> bytes:
    if kernels.symbol != "npbert_entry":
        raise ValueError(f"no symbol {kernels.symbol}")
    return kernels.code


def wanted(make: Callable[[], ObjectCode]) -> Kernels[bytes]:
    return Kernels(NAME, "kernels for avx2", "some seconds", make, load)


def test_compiled_once_and_loaded_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiler = Compiler()
    for _ in range(3):
        assert wanted(compiler).loaded() == b"code"
    assert compiler.count == 1
    assert capsys.readouterr() == ("", COMPILING + COMPILED)
    assert {file.name for file in folder.iterdir()} == {NAME, store_lock.NAME}


@FLOCK
def test_many_at_once_compile_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lock is one of open files, so threads stand for processes here."""
    compiler = Compiler(0.2)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: wanted(compiler).loaded(), range(4))) == [b"code"] * 4
    assert compiler.count == 1
    assert set(capsys.readouterr().err.splitlines(keepends=True)) == {COMPILING, COMPILED, WAITING}


@pytest.fixture
def held(folder: Path) -> Iterator[int]:
    """A process that holds the lock and does nothing else."""
    Place(folder).prepare()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with store_lock.alone(folder, lambda: None):
            os.write(writer, b"x")
            signal.pause()
    os.read(reader, 1)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


@FLOCK
def test_who_dies_gives_the_lock_back(held: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file stays, and keeps nobody out."""
    threading.Timer(0.1, os.kill, (held, signal.SIGKILL)).start()
    assert wanted(Compiler()).loaded() == b"code"
    assert capsys.readouterr().err == WAITING + COMPILING + COMPILED


@FLOCK
def test_a_wait_has_an_end(held: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(store_lock, "MOST", 0.1)
    assert wanted(Compiler()).loaded() == b"code"
    assert capsys.readouterr().err == WAITING + COMPILING + COMPILED


@FLOCK
def test_ctrl_c_ends_a_wait(held: int) -> None:
    raised = []

    def handler(number: int, frame: object) -> None:
        raised.append(time.perf_counter())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            wanted(Compiler()).loaded()
        assert time.perf_counter() - raised[0] < 0.2
    finally:
        signal.signal(signal.SIGALRM, before)


@FLOCK
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EBADF])
def test_where_there_are_no_locks_all_compile(code: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(handle: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    compiler = Compiler(0.1)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: wanted(compiler).loaded(), range(2))) == [b"code"] * 2
    assert compiler.count == 2
    assert Place(folder).read(NAME) == CODE


@FLOCK
def test_what_is_in_the_lock_s_place_is_no_matter(folder: Path) -> None:
    (folder / store_lock.NAME).mkdir(parents=True)
    assert wanted(Compiler()).loaded() == b"code"
    assert Place(folder).read(NAME) == CODE


@FLOCK
def test_what_a_failed_compilation_leaves(folder: Path) -> None:
    """Nothing but the lock, which is free."""

    def fail() -> ObjectCode:
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        wanted(fail).loaded()
    assert [file.name for file in folder.iterdir()] == [store_lock.NAME]
    with store_lock.alone(folder, lambda: pytest.fail("it is held")):
        pass


# What is said -----------------------------------------------------------------------------------------------


def test_damage_is_told_and_mended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Place(folder).write(NAME, CODE)
    file.write_bytes(b"")
    assert wanted(Compiler()).loaded() == b"code"
    assert (
        capsys.readouterr().err
        == f"npbert: stored kernels are not used: {file} is damaged: no header\n{COMPILING}{COMPILED}"
    )
    assert Place(folder).read(NAME) == CODE


def test_what_can_t_be_loaded_is_made_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Place(folder).write(NAME, ObjectCode("no_such_function", b"code"))
    assert wanted(Compiler()).loaded() == b"code"
    said = f"npbert: stored kernels are not used: {file}: no symbol no_such_function\n"
    assert capsys.readouterr().err == said + COMPILING + COMPILED
    assert Place(folder).read(NAME) == CODE


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX's")
def test_a_store_that_is_not_trusted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each process compiles for itself, and says so before it begins."""
    Place(folder).write(NAME, CODE)
    folder.chmod(0o777)
    compiler = Compiler()
    assert [wanted(compiler).loaded() for _ in range(2)] == [b"code"] * 2
    assert compiler.count == 2
    why = f"{folder} is not trusted: everybody may write to it{HINT}"
    assert capsys.readouterr().err == (
        f"npbert: compiling kernels for avx2 (some seconds; for this process alone: {why}) ...\n{COMPILED}"
    )
    with pytest.raises(OSError, match=r"is not trusted: everybody may write to it$"):
        wanted(compiler).warmed(Place(folder, named=True))
    assert compiler.count == 2


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX's")
def test_what_can_neither_be_read_nor_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are told, and which is which."""
    file = Place(folder).write(NAME, CODE)

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(object_store, "_open_to_read", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert wanted(Compiler()).loaded() == b"code"
    assert capsys.readouterr().err == (
        f"npbert: stored kernels are not used: {file} can't be read: Permission denied\n"
        "npbert: compiling kernels for avx2 (some seconds; for this process alone: "
        f"{folder} can't be written by this user{HINT}) ...\n{COMPILED}"
    )


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert wanted(Compiler()).loaded() == b"code"
    why = f"the next process compiles them again: {folder} can't be written: No space left on device{HINT}"
    assert capsys.readouterr().err == f"{COMPILING}{COMPILED.strip()}; {why}\n"


class Closed:
    def write(self, text: str) -> int:
        raise ValueError("I/O operation on closed file")

    def flush(self) -> None:
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))


@pytest.mark.parametrize("stream", [None, Closed()])
def test_nobody_hears_it(stream: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert wanted(Compiler()).loaded() == b"code"
    assert Place(folder).read(NAME) == CODE


# Warming ----------------------------------------------------------------------------------------------------


def test_warmed_and_loaded_without_a_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiler = Compiler()
    place = Place(folder, named=True)
    for _ in range(2):
        assert wanted(compiler).warmed(place) == folder / NAME
    assert capsys.readouterr().err == COMPILING + COMPILED
    assert wanted(compiler).loaded() == b"code"
    assert compiler.count == 1
    assert capsys.readouterr().err == ""


def test_what_is_stored_elsewhere_is_not_compiled_again(folder: Path, tmp_path: Path) -> None:
    wanted(Compiler()).loaded()
    compiler = Compiler()
    file = wanted(compiler).warmed(Place(tmp_path / "environment"))
    assert (file, compiler.count) == (tmp_path / "environment" / NAME, 0)
    assert Place(tmp_path / "environment").read(NAME) == CODE


def test_what_can_t_be_stored_is_not_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it was compiled."""

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"can't be written: No space left on device$"):
        wanted(Compiler()).warmed(Place(folder, named=True))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX's")
def test_what_the_next_process_would_not_load_is_not_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read back by the rules of a reader: here of a file that everybody may write as soon as it is there."""
    replace = os.replace

    def loosely(source: Path, target: Path) -> None:
        replace(source, target)
        target.chmod(0o666)

    monkeypatch.setattr(os, "replace", loosely)
    with pytest.raises(OSError, match=rf"{NAME} is not trusted: everybody may write to it$"):
        wanted(Compiler()).warmed(Place(folder, named=True))
