"""One process at a time compiles for a store; the others wait, and find what it stored."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator

NAME = ".lock"
MOST = 300.0  # seconds to wait for a process that may have been stopped
POLL = 0.05


@contextlib.contextmanager
def alone(folder: pathlib.Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """With the lock of a store, or without after five minutes, and where the system has no such locks.

    A process that ends, however it does, gives it back. on_wait is called once, before a wait. Waiting may be
    interrupted at any time.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):
            held.enter_context(_lock(folder / NAME, on_wait))
        yield


@contextlib.contextmanager
def _lock(path: pathlib.Path, on_wait: Callable[[], None]) -> Iterator[None]:
    import fcntl

    # Nobody else may open it, or anyone could make this process wait.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + MOST
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(POLL)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a forked process may have the handle too
        os.close(handle)
