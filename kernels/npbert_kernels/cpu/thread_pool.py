"""The thread pool: Python threads that call the native entry together, one of them the caller.

A launch by one thread needs no pool: the caller runs alone, and several callers run side by side. Launches by more
take turns. A forked process has threads and turns of its own.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable

from . import processors
from .isa import selected

# Floating-point operations a thread from which the caller only waits, so that Ctrl-C is heard: 15 to 70 ms.
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


class Job:
    """What one thread does in a launch. It keeps alive all that it uses, and forgets it when it is done."""

    def __init__(self, function: Callable[[], object], abort: Callable[[], object], caller: int) -> None:
        self._function: Callable[[], object] | None = function
        self._abort = abort
        self._caller = caller  # the processor that the caller runs on
        self._done = threading.Lock()
        self._done.acquire()
        self._finished = False
        self.given = False  # whether a thread has it
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            processors.leave(self._caller)
            assert self._function is not None
            self._function()
        except BaseException as error:
            self.error = error
            self._abort()
        self._function = None
        self._finished = True
        self._done.release()

    def wait(self) -> None:
        """Until it is done. May be interrupted by what a signal's handler raises, and called again."""
        while not self._finished:
            self._done.acquire(timeout=POLL)


class Worker:
    """A thread that runs one job after another; a daemon, so that it never keeps a process alive."""

    def __init__(self) -> None:
        self._go = threading.Lock()
        self._go.acquire()
        self._job: Job | None = None
        threading.Thread(target=self._run, name="npbert", daemon=True).start()

    def start(self, job: Job) -> None:
        """Begin a job, after the one under way if a launch was given up before that could end.

        No handler of a signal can run between these lines, so a job is given wholly or not at all: CPython looks for
        signals where functions begin, after calls and in loops.
        """
        try:
            self._job, job.given = job, True
            self._go.release()
        except RuntimeError:  # released already: it has not even begun that launch, and never needs to
            pass

    def _run(self) -> None:
        while True:
            self._go.acquire()
            job, self._job = self._job, None  # no other thread runs between these two
            if job is not None:  # not replaced by one that was begun already
                job.run()
            del job  # or what it used would live until the next


class Workers:
    """The threads of one process, and the lock of whoever launches on them."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.threads: list[Worker] = []


class ThreadPool:
    def __init__(self) -> None:
        self._workers = Workers()

    def _own_workers(self) -> Workers:
        """This process's. In a forked one no worker runs any more, nor whoever held the lock."""
        if self._workers.process != os.getpid():
            self._workers = Workers()
        return self._workers

    def run(self, job: Callable[[int], object], threads: int, abort: Callable[[], object], flops: float) -> None:
        """Call job(rank) for each rank below threads, side by side. abort makes all of them return soon: it is called
        as soon as one fails.

        The caller is rank 0, unless the job is long: then it waits, and a signal's handler can run meanwhile. What a
        handler or a thread raises is raised here, after every thread has come back. Only a handler that raises again
        and again may get ahead of them: so `job` itself must keep alive what threads use, and `abort` must be a C
        function, which no handler interrupts.
        """
        waits = flops > LONG * threads and threading.current_thread() is threading.main_thread()
        if (threads == 1 and not waits) or sys.is_finalizing():  # then no other thread can begin
            job(0)
            return
        workers = self._own_workers()
        with workers.lock:
            first = 0 if waits else 1
            while len(workers.threads) < threads - first:
                workers.threads.append(Worker())
            started: list[Job] = []
            caller = -1 if waits else processors.current()
            try:
                for rank, thread in zip(range(first, threads), workers.threads, strict=False):
                    started.append(Job(functools.partial(job, rank), abort, caller))
                    thread.start(started[-1])
                if not waits:
                    job(0)
                for one in started:
                    one.wait()
            except BaseException:
                abort()
                self._settle(started)
                raise
            for one in started:
                if one.error is not None:
                    raise one.error

    @staticmethod
    def _settle(started: list[Job]) -> None:
        """Wait for threads that are about to return."""
        for job in started:
            while job.given:
                try:
                    job.wait()
                    break
                except BaseException:  # one more Ctrl-C; the first is under way
                    continue


thread_pool = ThreadPool()
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
