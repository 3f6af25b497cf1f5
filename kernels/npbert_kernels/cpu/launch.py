"""A launch: a frame with the words that the threads share, run by the thread pool."""

from __future__ import annotations

import functools
import operator

import numpy as np

from ..ops import Ints
from . import layout
from .layout import LINE, SYNC_ABORT, SYNC_FAILED, WORD, sync_bytes
from .library import entry
from .memory import address
from .thread_pool import LONG, get_num_threads, thread_pool


class Frame:
    """One launch's words, for a fixed number of threads and a fixed program; used again from launch to launch."""

    def __init__(self, steps: Ints, threads: int) -> None:
        self.threads = threads
        self._steps = steps
        sync = np.zeros((sync_bytes(threads) + LINE) // WORD, np.int64)
        self._sync = sync[-address(sync) % LINE // WORD :]
        words = np.zeros(layout.FRAME_WORDS, np.int64)
        words[layout.FRAME_THREADS], words[layout.FRAME_SYNC] = threads, address(self._sync)
        words[layout.FRAME_STEPS], words[layout.FRAME_STEP_COUNT] = address(steps), len(steps)
        self.words = words.data  # quicker to write to than an array
        self._abort = functools.partial(operator.setitem, self._sync.data, SYNC_ABORT // WORD, 1)
        self._address = address(words)
        self._entry = entry()

    def set_chunks(self, bounds: Ints) -> None:
        """Chunk i of the next launch is sequences bounds[i] to bounds[i + 1]. The caller keeps bounds alive."""
        chunks = len(bounds) - 1
        slots = min(chunks, self.threads)
        self.words[layout.FRAME_CHUNK_COUNT], self.words[layout.FRAME_CHUNKS] = chunks, address(bounds)
        self.words[layout.FRAME_SLOTS], self.words[layout.FRAME_GROUPS] = slots, -(-self.threads // slots)

    def run(self, flops: float, keeps: object) -> int:
        """Launch. Returns 0, or why a file could not be read: an errno, or layout.ENDED.

        `keeps` is all that the frame and its steps have addresses of: threads may outlive the caller's wish to wait for
        them. What is raised leaves the frame aborted for good: it can't be used again.
        """
        self._sync.fill(0)
        if self.threads == 1 and flops < LONG:
            self._entry(self._address, 0)
        else:
            thread_pool.run(functools.partial(self._thread, keeps), self.threads, self._abort, flops)
        return int(self._sync[SYNC_FAILED // WORD])

    def _thread(self, keeps: object, rank: int) -> None:
        self._entry(self._address, rank)


def launch_steps(steps: Ints, *keeps: object, threads: int | None = None) -> None:
    """Run steps that need no batch once. `keeps` is what they have the addresses of."""
    frame = Frame(steps, threads or get_num_threads())
    once = np.array([0, 1], np.int64)
    frame.words[layout.FRAME_CU_SEQLENS] = address(once)
    frame.set_chunks(once)
    frame.run(0.0, (keeps, once))
