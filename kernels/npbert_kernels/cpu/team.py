"""The team: Python threads that call the native entry together, one of them the caller.

A launch by one member needs no team: the caller runs alone, and several callers run side by side. A launch by more
takes the team's lock. The lock is held over fork, and the child starts its own threads.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable

from . import processors
from .isa import selected

# Floating-point operations a member from which the caller only waits, so that Ctrl-C is heard: 15 to 70 ms.
LONG = 0.25e9 * selected().lanes
MOST = 1024  # threads
POLL = 0.1  # seconds between looks for signals where waiting can't be interrupted


def default_threads() -> int:
    """What this process may use: its affinity and its cgroup's quota, whichever is less; NPBERT_NUM_THREADS first."""
    wanted = os.environ.get("NPBERT_NUM_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= MOST:
            raise ValueError(f"NPBERT_NUM_THREADS={wanted}: wanted a whole number from 1 to {MOST}")
        return int(wanted)
    return processors.usable()


class Member:
    """A thread that runs one job after another; a daemon, so that it never keeps a process alive."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._job: Callable[[], object] = int
        self._asked = self._completed = 0
        self._caller = -1
        self.error: BaseException | None = None
        threading.Thread(target=self._run, name="npbert", daemon=True).start()

    def start(self, job: Callable[[], object], caller: int) -> None:
        """Begin a job, on another processor than the caller's."""
        self._done.acquire(blocking=False)
        self._job, self._caller, self.error = job, caller, None
        self._asked += 1
        self._go.release()

    def wait(self) -> None:
        """Until the job is done. May be interrupted by what a signal's handler raises, and called again."""
        while self._completed != self._asked:
            self._done.acquire(timeout=POLL)

    def _run(self) -> None:
        while True:
            self._go.acquire()
            try:
                processors.leave(self._caller)
                self._job()
            except BaseException as error:
                self.error = error
            self._completed += 1
            with contextlib.suppress(RuntimeError):  # released already: the caller saw the count, and did not wait
                self._done.release()


class Team:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: list[Member] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._in_child
            )

    def _in_child(self) -> None:
        self._members = []
        self._lock.release()

    def run(self, job: Callable[[int], object], members: int, abort: Callable[[], None], flops: float) -> None:
        """Call job(rank) for each rank below members, side by side. abort makes all of them return soon.

        The caller is rank 0, unless the job is long: then it waits, and a signal's handler can run meanwhile. What a
        handler or a member raises is raised here, after every member has come back.
        """
        waits = flops > LONG * members and threading.current_thread() is threading.main_thread()
        if members == 1 and not waits:
            job(0)
            return
        with self._lock:
            first = 0 if waits else 1
            while len(self._members) < members - first:
                self._members.append(Member())
            started: list[Member] = []
            caller = -1 if waits else processors.current()
            try:
                for rank, member in zip(range(first, members), self._members, strict=False):
                    started.append(member)
                    member.start(functools.partial(job, rank), caller)
                if not waits:
                    job(0)
                for member in started:
                    member.wait()
            except BaseException:
                abort()
                self._settle(started)
                raise
            for member in started:
                if member.error is not None:
                    raise member.error

    @staticmethod
    def _settle(started: list[Member]) -> None:
        """Wait for members that are about to return: they use memory that the caller is going to free."""
        for member in started:
            while True:
                try:
                    member.wait()
                    break
                except BaseException:  # one more Ctrl-C; the first is under way
                    continue


team = Team()
_threads: int | None = None


def get_num_threads() -> int:
    """How many threads a call uses."""
    global _threads
    if _threads is None:
        _threads = default_threads()
    return _threads


def set_num_threads(n: int) -> None:
    """Use n threads for each call from now on, in the whole process.

    Raises ValueError where n is not a whole number from 1 to 1024.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise ValueError(f"set_num_threads: wanted a whole number from 1 to {MOST}, found {n!r}")
    _threads = n
