"""What a process holds that it should not keep: descriptors, threads, files of its own, memory."""

from __future__ import annotations

import gc
import os
import resource
import tempfile
import threading
import time
from pathlib import Path

from torture.verdict import Found

MEGABYTE = 2**20
TEAM = "npbert"


class Watch:
    """Looks after each case, in a few microseconds unless something is odd.

    Args:
        room: where temporary files go; what is left there is a find.
        peak_mb: how much one case may take beyond what was the most before it.
        growth_mb: how much a process may grow over all its cases, once it is warm.
        slow_s: how much processor time one case may take.
    """

    def __init__(self, room: Path, peak_mb: int, growth_mb: int, slow_s: float) -> None:
        self._peak_mb, self._growth_mb, self._slow_s = peak_mb, growth_mb, slow_s
        self._temporary = room / "tmp"
        self._temporary.mkdir(exist_ok=True)
        tempfile.tempdir = str(self._temporary)
        self._warm_bytes: int | None = None
        gc.collect()
        gc.freeze()  # so that to collect is quick from here on
        self._settle()

    def start(self) -> None:
        """A case begins. What its plan has loaded stays."""
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")  # the peak is that from here on
        self._peak_kb = _peak_kb()
        self._descriptor = _next_descriptor()
        self._began, self._spent_s = time.monotonic(), time.process_time()

    def check(self) -> None:
        """Raises Found where a case left something behind."""
        peak = _peak_kb()
        grown = (peak - self._peak_kb) // 1024
        took = time.monotonic() - self._began  # which costs less to ask
        if took > self._slow_s and (spent := time.process_time() - self._spent_s) > self._slow_s:
            raise Found(f"took {spent:.1f} s of processor time and {grown} MB", "processor time in one case")
        if grown > self._peak_mb:
            raise Found(f"took {grown} MB in one case", "memory in one case")
        if _next_descriptor() > self._descriptor:
            gc.collect()
            if _next_descriptor() > self._descriptor:
                kept = _descriptors()
                self._settle()
                raise Found(f"leaked descriptors: {kept}", "leaked descriptor")
        if (threads := _threads()) > self._threads:
            self._threads = threads
            names = [thread.name for thread in threading.enumerate()]
            raise Found(f"leaked a thread: {names}", "leaked thread")

    def check_all(self) -> None:
        """As `check`, what takes longer: once in many cases."""
        left = sorted(path.name for path in self._temporary.iterdir())
        if left:
            for path in self._temporary.iterdir():
                path.unlink() if not path.is_dir() else None
            raise Found(f"left temporary files: {left[:5]}", "temporary files")
        resident = _resident_bytes()
        if self._warm_bytes is None:
            self._warm_bytes = resident
        elif resident - self._warm_bytes > self._growth_mb * MEGABYTE:
            grown = (resident - self._warm_bytes) // MEGABYTE
            self._warm_bytes = resident
            raise Found(f"the process grew by {grown} MB over its cases", "growth")

    def _settle(self) -> None:
        self._peak_kb = _peak_kb()
        self._descriptor = _next_descriptor()
        self._threads = _threads()


def _peak_kb() -> int:
    """The most that was resident at once; unlike getrusage's, without that of the process that started this one."""
    with open("/proc/self/status", "rb") as file:
        return int(file.read().partition(b"VmHWM:")[2].split(None, 1)[0])


def _threads() -> int:
    """How many there are, those of npbert's team left out, which stay for the next call."""
    return sum(thread.name != TEAM for thread in threading.enumerate())


def _next_descriptor() -> int:
    """The lowest number that is free: a leak takes it, and the next is higher."""
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def _descriptors() -> list[str]:
    names = []
    for number in sorted(os.listdir("/proc/self/fd"), key=int)[-6:]:
        try:
            names.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except OSError:
            continue  # the listing's own
    return names


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
