"""A launch: a frame with the words that the members share, run by the team."""

from __future__ import annotations

import functools
import operator

import numpy as np

from ..ops import Ints
from . import layout
from .layout import LINE, SYNC_ABORT, SYNC_FAILED, WORD, sync_bytes
from .library import entry
from .memory import address
from .team import LONG, get_num_threads, team


class Frame:
    """One launch's words, for a fixed number of members and a fixed program; used again from launch to launch."""

    def __init__(self, steps: Ints, members: int) -> None:
        self.members = members
        self._steps = steps
        sync = np.zeros((sync_bytes(members) + LINE) // WORD, np.int64)
        self._sync = sync[-address(sync) % LINE // WORD :]
        words = np.zeros(layout.FRAME_WORDS, np.int64)
        words[layout.FRAME_MEMBERS], words[layout.FRAME_SYNC] = members, address(self._sync)
        words[layout.FRAME_STEPS], words[layout.FRAME_STEP_COUNT] = address(steps), len(steps)
        self.words = words.data  # quicker to write to than an array
        self._abort = functools.partial(operator.setitem, self._sync.data, SYNC_ABORT // WORD, 1)
        self._address = address(words)
        self._entry = entry()

    def set_chunks(self, bounds: Ints) -> None:
        """Chunk i of the next launch is sequences bounds[i] to bounds[i + 1]. The caller keeps bounds alive."""
        chunks = len(bounds) - 1
        slots = min(chunks, self.members)
        self.words[layout.FRAME_CHUNK_COUNT], self.words[layout.FRAME_CHUNKS] = chunks, address(bounds)
        self.words[layout.FRAME_SLOTS], self.words[layout.FRAME_GROUPS] = slots, -(-self.members // slots)

    def run(self, flops: float, keeps: object) -> int:
        """Launch. Returns 0, or why a file could not be read: an errno, or layout.ENDED.

        `keeps` is all that the frame and its steps have addresses of: members may outlive the caller's wish to wait for
        them. What is raised leaves the frame aborted for good: it can't be used again.
        """
        self._sync.fill(0)
        if self.members == 1 and flops < LONG:
            self._entry(self._address, 0)
        else:
            team.run(functools.partial(self._member, keeps), self.members, self._abort, flops)
        return int(self._sync[SYNC_FAILED // WORD])

    def _member(self, keeps: object, rank: int) -> None:
        self._entry(self._address, rank)


def launch_steps(steps: Ints, *keeps: object, members: int | None = None) -> None:
    """Run steps that need no batch once. `keeps` is what they have the addresses of."""
    frame = Frame(steps, members or get_num_threads())
    once = np.array([0, 1], np.int64)
    frame.words[layout.FRAME_CU_SEQLENS] = address(once)
    frame.set_chunks(once)
    frame.run(0.0, (keeps, once))
