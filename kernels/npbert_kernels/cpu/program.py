"""A recorded forward pass, run as often as one likes, by several callers at once."""

from __future__ import annotations

import bisect

import numpy as np

from ..ops import BATCH_FIELDS, Along, Batch, FileRows, Floats, Ints
from . import layout
from .blocking import CHUNK_TOKENS, ROW_PADDING
from .isa import selected
from .launch import Frame
from .layout import BUFFER_AXIS, BUFFER_BASE, BUFFER_ROW_BYTES, BUFFER_WORDS, LINE, NONE, WORD, Axis
from .memory import address, pages
from .recorder import Recording
from .store import round_up
from .thread_pool import get_num_threads

OF_PAIRS = {one.name for one in BATCH_FIELDS if one.along is Along.PAIRS}

GRAIN = 64  # rows: workspaces grow in these steps
KEPT_ROWS = 512  # of a file, by all threads: frequent words are found there


class Workspace:
    """One caller's frame, buffers and scratch: `slots` chunks of up to `rows` tokens, sequences of up to `longest`."""

    def __init__(self, recording: Recording, threads: int, slots: int, rows: int, longest: int) -> None:
        self.threads, self.slots, self.rows, self.longest = threads, slots, rows, longest
        isa = selected()
        panels = round_up(longest, isa.panel) // isa.panel
        keys = panels * isa.panel * recording.head_size
        scores = isa.rows * (panels * isa.panel + ROW_PADDING)
        kept_at = round_up((keys + scores + isa.panel) * 4, 4096)
        kept = max(1, KEPT_ROWS // threads) if recording.file_row_bytes else 0
        scratch = round_up(kept_at + kept * (WORD + recording.file_row_bytes), LINE) + LINE
        local = round_up(rows * recording.local_bytes, LINE)
        self._memory = pages(slots * local + threads * scratch)
        base = address(self._memory)
        buffers = np.zeros(len(recording.buffers) * BUFFER_WORDS, np.int64)
        self.buffers = buffers.data
        for at, buffer in zip(range(0, len(buffers), BUFFER_WORDS), recording.buffers, strict=True):
            buffers[at + BUFFER_AXIS], buffers[at + BUFFER_ROW_BYTES] = buffer.axis, buffer.row_bytes
            if buffer.axis is Axis.LOCAL:
                buffers[at + BUFFER_BASE] = base + rows * buffer.offset
            elif buffer.table is not None:
                table = buffer.table.rows
                buffers[at + BUFFER_BASE] = table.offset if isinstance(table, FileRows) else address(table)
        self.frame = Frame(recording.steps, threads)
        words = self.frame.words
        words[layout.FRAME_BUFFERS] = address(buffers)
        words[layout.FRAME_SLOT_BYTES] = local
        words[layout.FRAME_SCRATCH], words[layout.FRAME_SCRATCH_BYTES] = base + slots * local, scratch
        words[layout.FRAME_KEPT], words[layout.FRAME_KEPT_AT] = kept, kept_at

    def fits(self, threads: int, slots: int, rows: int, longest: int) -> bool:
        return self.threads == threads and self.slots >= slots and self.rows >= rows and self.longest >= longest


class Program:
    """ops.Program on the CPU."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._free: list[Workspace] = []
        buffers = recording.buffers
        self._inputs = [(b.index * BUFFER_WORDS + BUFFER_BASE, b.source) for b in buffers if b.source and b.uses]
        self._pairs = any(b.flat for b in recording.outputs.values()) or any(s in OF_PAIRS for _, s in self._inputs)

    def __call__(self, batch: Batch) -> dict[str, Floats]:
        return self._run(batch)

    @property
    def steps(self) -> Ints:
        """[steps, STEP_WORDS], as `layout` has them."""
        return self._recording.steps

    def profile(self, batch: Batch) -> list[tuple[str, int]]:
        """Each step's op and the processor cycles (time stamp counter) that thread 0 spent on it in one run."""
        cycles = np.zeros(len(self._recording.steps), np.int64)
        self._run(batch, cycles)
        names = [layout.Op(step[0]).name.lower() for step in self._recording.steps]
        return list(zip(names, cycles.tolist(), strict=True))

    def _run(self, batch: Batch, cycles: Ints | None = None) -> dict[str, Floats]:
        """Every array stays alive until the launch is over: the frame has only their addresses."""
        recording, cu_seqlens = self._recording, batch.cu_seqlens
        file = recording.file
        sequences, tokens = len(cu_seqlens) - 1, len(batch.positions)
        if sequences == 0:
            return {name: np.zeros((0, 0 if b.flat else b.width), np.float32) for name, b in recording.outputs.items()}
        counts = {
            Axis.TOKENS: tokens,
            Axis.SEQUENCES: sequences,
            Axis.SELECTED: 0 if batch.selected is None else len(batch.selected),
        }
        longest = tokens if sequences == 1 else int((cu_seqlens[1:] - cu_seqlens[:-1]).max())
        if batch.past_lens is not None:
            longest = max(longest, int((batch.past_lens + batch.key_lens).max()))
        threads = get_num_threads()
        bounds = _chunks(cu_seqlens)
        rows = tokens if len(bounds) == 2 else int(np.diff(cu_seqlens[bounds]).max())
        workspace = self._workspace(threads, min(threads, len(bounds) - 1), rows, longest)
        workspace.frame.set_chunks(bounds)
        words, buffers = workspace.frame.words, workspace.buffers
        for at, source in self._inputs:
            buffers[at] = address(getattr(batch, source))
        offsets = None
        if self._pairs:
            offsets = np.concatenate([[0], np.cumsum(batch.pairs)])  # of a head
        arrays: dict[int, Floats] = {}
        for buffer in recording.outputs.values():
            if buffer.index not in arrays:
                if buffer.flat and offsets is not None:
                    array = np.empty(buffer.width * int(offsets[-1]), np.float32)
                else:
                    array = np.empty((counts[buffer.rows], buffer.row_bytes // 4), np.float32)
                buffers[buffer.index * BUFFER_WORDS + BUFFER_BASE] = address(array)
                arrays[buffer.index] = array if array.ndim == 1 else array[:, : buffer.width]
        words[layout.FRAME_CU_SEQLENS], words[layout.FRAME_KEY_LENS] = (
            address(cu_seqlens),
            address(batch.key_lens),
        )
        words[layout.FRAME_CU_SELECTED] = 0 if batch.cu_selected is None else address(batch.cu_selected)
        words[layout.FRAME_PAIRS_AT] = 0 if offsets is None else address(offsets)
        if batch.cache is not None:
            assert batch.cache_at is not None and batch.cache_room is not None and batch.past_lens is not None  # noqa: PT018
            words[layout.FRAME_CACHE], words[layout.FRAME_CACHE_LAYER_BYTES] = (
                address(batch.cache),
                batch.cache.strides[0],
            )
            words[layout.FRAME_CACHE_AT] = address(batch.cache_at)
            words[layout.FRAME_CACHE_ROOM] = address(batch.cache_room)
            words[layout.FRAME_PAST_LENS] = address(batch.past_lens)
        words[layout.FRAME_PROFILE] = 0 if cycles is None else address(cycles)
        words[layout.FRAME_DESCRIPTOR] = descriptor = NONE if file is None else file.descriptor()
        keeps = self, workspace, batch, bounds, arrays, offsets, cycles
        flops = tokens * longest * recording.flops_per_pair
        flops += sum(counts[axis] * each for axis, each in recording.flops.items())
        failed = workspace.frame.run(flops, keeps)
        if file is not None:
            file.check(descriptor, failed)
        self._free.append(workspace)
        return {name: arrays[buffer.index] for name, buffer in recording.outputs.items()}

    def _workspace(self, threads: int, slots: int, rows: int, longest: int) -> Workspace:
        """One that no other caller has: a free one, or a new one in place of those that are too small."""
        while self._free:
            try:
                workspace = self._free.pop()
            except IndexError:  # another caller took it
                break
            if workspace.fits(threads, slots, rows, longest):
                return workspace
        return Workspace(self._recording, threads, slots, round_up(rows, GRAIN), round_up(longest, GRAIN))


def workspace_bytes(row_bytes: int, longest: int) -> int:
    """The most that the activations of a call take, without what it gives: a chunk for each thread.

    Args:
        row_bytes: of the activations that a token has at once.
        longest: tokens of the longest sequence.
    """
    rows = max(longest, (3 * CHUNK_TOKENS + longest) // 2)  # a chunk ends where a sequence does
    return get_num_threads() * round_up(rows, GRAIN) * row_bytes


def _chunks(cu_seqlens: Ints) -> Ints:
    """The first sequence of each chunk, and B.

    What is left is cut into equal chunks of about CHUNK_TOKENS, and the first of them ends where a sequence does.
    """
    ends = cu_seqlens.tolist()
    bounds = [0]
    while (first := bounds[-1]) < len(ends) - 1:
        left = ends[-1] - ends[first]
        target = ends[first] + left / max(1, round(left / CHUNK_TOKENS))
        after = bisect.bisect_left(ends, target, first + 1, len(ends) - 1)
        nearer = after - 1 > first and target - ends[after - 1] <= ends[after] - target
        bounds.append(after - nearer)
    return np.array(bounds)
