"""A recorded forward pass, run as often as one likes, by several callers at once."""

from __future__ import annotations

import numpy as np

from ..ops import Batch, Floats
from . import layout
from .blocking import CHUNK_TOKENS, ROW_PADDING
from .isa import selected
from .launch import Frame
from .layout import BUFFER_AXIS, BUFFER_BASE, BUFFER_ROW_BYTES, BUFFER_WORDS, LINE, Axis
from .memory import address, pages
from .recorder import Recording
from .store import round_up
from .team import get_num_threads

GRAIN = 64  # rows: workspaces grow in these steps


class Workspace:
    """One caller's frame, buffers and scratch, for chunks of up to `rows` tokens and sequences of up to `longest`."""

    def __init__(self, recording: Recording, members: int, rows: int, longest: int) -> None:
        self.members, self.rows, self.longest = members, rows, longest
        isa = selected()
        panels = round_up(longest, isa.panel) // isa.panel
        keys = panels * isa.panel * recording.head_size
        scores = isa.rows * (panels * isa.panel + ROW_PADDING)
        scratch = round_up((keys + scores + isa.panel) * 4, 4096) + LINE
        local = round_up(rows * recording.local_bytes, LINE)
        self._memory = pages(local + members * scratch)
        base = address(self._memory)
        self.buffers = np.zeros((len(recording.buffers), BUFFER_WORDS), np.int64)
        for buffer, row in zip(recording.buffers, self.buffers, strict=True):
            row[BUFFER_AXIS], row[BUFFER_ROW_BYTES] = buffer.axis, buffer.row_bytes
            if buffer.axis is Axis.LOCAL:
                row[BUFFER_BASE] = base + rows * buffer.offset
            elif buffer.table is not None:
                row[BUFFER_BASE] = address(buffer.table.rows)
        self.frame = Frame(recording.steps, members)
        words = self.frame.words
        words[layout.FRAME_BUFFERS] = address(self.buffers)
        words[layout.FRAME_CHUNK] = CHUNK_TOKENS * members
        words[layout.FRAME_SCRATCH], words[layout.FRAME_SCRATCH_BYTES] = base + local, scratch

    def fits(self, members: int, rows: int, longest: int) -> bool:
        return self.members == members and self.rows >= rows and self.longest >= longest


class Program:
    """ops.Program on the CPU."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._free: list[Workspace] = []
        self._inputs = [(b.index, b.source) for b in recording.buffers if b.source is not None]
        self._outputs = {id(b): b for b in recording.outputs.values()}

    def __call__(self, batch: Batch) -> dict[str, Floats]:
        return self._run(batch, None)

    def profile(self, batch: Batch) -> list[tuple[str, int]]:
        """Each step's op and the processor cycles (time stamp counter) that member 0 spent on it in one run."""
        cycles = np.zeros(len(self._recording.steps), np.int64)
        self._run(batch, cycles)
        return [(layout.Op(step[0]).name.lower(), int(n)) for step, n in zip(self._recording.steps, cycles, strict=True)]

    def _run(self, batch: Batch, cycles: np.ndarray[tuple[int], np.dtype[np.int64]] | None) -> dict[str, Floats]:
        recording, cu_seqlens = self._recording, batch.cu_seqlens
        sequences, tokens = len(cu_seqlens) - 1, int(cu_seqlens[-1])
        if sequences == 0:
            return {name: np.zeros((0, 0 if b.flat else b.columns), np.float32) for name, b in recording.outputs.items()}
        longest = tokens if sequences == 1 else int(np.diff(cu_seqlens).max())
        members = get_num_threads()
        # a chunk is cut where a sequence ends nearest to a target of at most 3/2 of the chunk's tokens
        rows = min(tokens, CHUNK_TOKENS * members * 3 // 2 + longest)
        workspace = self._workspace(members, rows, longest)
        words, buffers = workspace.frame.words, workspace.buffers
        words[layout.FRAME_CU_SEQLENS], words[layout.FRAME_SEQUENCES] = address(cu_seqlens), sequences
        words[layout.FRAME_KEY_LENS] = address(batch.key_lens)
        words[layout.FRAME_PROFILE] = 0 if cycles is None else address(cycles)
        for index, source in self._inputs:
            array = getattr(batch, source)
            buffers[index, BUFFER_BASE] = address(array)
        arrays: dict[int, Floats] = {}
        offsets = None
        for key, buffer in self._outputs.items():
            if buffer.flat:
                sizes = recording.heads * np.diff(cu_seqlens) * batch.key_lens
                offsets = np.concatenate([[0], np.cumsum(sizes)]) if offsets is None else offsets
                words[layout.FRAME_PROBS_AT] = address(offsets)
                array = np.empty(int(offsets[-1]), np.float32)
            else:
                array = np.empty((sequences if buffer.per_sequence else tokens, buffer.row_bytes // 4), np.float32)
            buffers[buffer.index, BUFFER_BASE] = address(array)
            arrays[key] = array if buffer.flat else array[:, : buffer.columns]
        workspace.frame.run(tokens * (recording.flops_per_token + longest * recording.flops_per_pair))
        self._free.append(workspace)
        return {name: arrays[id(buffer)] for name, buffer in recording.outputs.items()}

    def _workspace(self, members: int, rows: int, longest: int) -> Workspace:
        """One that no other caller has: a free one, or a new one in place of those that are too small."""
        while self._free:
            try:
                workspace = self._free.pop()
            except IndexError:  # another caller took it
                break
            if workspace.fits(members, rows, longest):
                return workspace
        return Workspace(self._recording, members, round_up(rows, GRAIN), round_up(longest, GRAIN))
