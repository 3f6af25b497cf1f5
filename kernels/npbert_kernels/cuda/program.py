"""A recorded forward pass, run as often as one likes, by several callers at once.

A batch is run in a workspace: memory for a bucket of sizes, and the launches captured with its addresses. What differs
between batches of a bucket is data on the device, so a replay is all that a call does, and nothing is allocated.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import Batch, Floats, Ints
from .device import Device
from .formats import SIZES, STORED, checked, padded, widened
from .parts import split
from .recorder import Axis, Bucket, Buffer, HeadMask, Input, Launch, Recording, buffer_bytes, plan

OVERFLOW = "float16: results are not all finite; numbers beyond 65504 on the way become infinite, bfloat16 holds them"
TOKENS = 8192  # at once: activations of BERT-base take some 15 KB a token in bfloat16
KEPT, KEPT_BYTES = 16, 2 << 30  # workspaces of a program, of all buckets: the ones longest unused go first


def rounded(n: int) -> int:
    """Up to 16, or to one of eight steps between powers of two: an eighth of a bucket is empty at most."""
    step = max(16, 1 << max(0, (n - 1).bit_length() - 4))
    return -(-n // step) * step


def power(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def tiles_of(cu_seqlens: Ints, queries: int) -> Ints:
    """[tiles, 2]: a sequence, and its first query of the tile."""
    lengths = np.diff(cu_seqlens)
    counts = -(-lengths // queries)
    sequences = np.repeat(np.arange(len(lengths)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([sequences, (np.arange(len(sequences)) - before) * queries], axis=1).astype(np.int64)


class Workspace:
    """One caller's memory and captured launches."""

    def __init__(self, device: Device, recording: Recording, bucket: Bucket) -> None:
        self.recording, self.bucket = recording, bucket
        self.queue = device.queue()
        staged: dict[Input, tuple[int, int]] = {}  # offset, bytes
        self._mask_layers = 1 + max(
            (o.layer for launch in recording.launches for o in launch.operands if isinstance(o, HeadMask)), default=-1
        )
        end = 0
        for source in recording.inputs:
            nbytes = self._input_bytes(source)
            staged[source] = end, nbytes
            end += (nbytes + 255) // 256 * 256
        offsets, buffers_bytes = plan(recording, bucket)
        self._inputs = device.allocate(max(end, 16))
        self._buffers = device.allocate(max(buffers_bytes, 16))
        device.zero(self._inputs)
        if any(buffer.alone for buffer in recording.buffers):
            device.zero(self._buffers)
        self.nbytes = end + buffers_bytes
        self._host = self.queue.host(max(end, 16))
        self._host[:] = 0
        self._staged = {source.source: self._host[at : at + n] for source, (at, n) in staged.items()}
        self._at = {id(source): self._inputs.at + at for source, (at, _) in staged.items()}
        self._at |= {key: self._buffers.at + at for key, at in offsets.items()}
        wanted: dict[int, Buffer] = {id(buffer): buffer for buffer in recording.outputs.values()}
        self._results = {
            key: self.queue.host(buffer_bytes(recording, buffer, bucket)) for key, buffer in wanted.items()
        }
        for launch in recording.launches:
            device.prepare(launch.key(bucket))
        self.replay = self.queue.capture(self._queue_all)

    def _input_bytes(self, source: Input) -> int:
        bucket, recording = self.bucket, self.recording
        if source.source == "sizes":
            return 4 * 8
        if source.source == "tiles":
            return bucket.tiles(recording.queries) * 16
        if source.source == "head_mask":
            return max(self._mask_layers * recording.mask_width * 4, 4)
        if source.source == "inputs_embeds":
            return bucket.tokens * padded(recording.embeds_width) * SIZES[recording.dtype]
        if source.source == "probs_at":
            return bucket.sequences * 8
        return (bucket.rows(source.axis) + (source.source in ("cu_seqlens", "cu_selected"))) * 8

    def _queue_all(self) -> None:
        self.queue.copy_in(self._inputs.at, self._host)
        for launch in self.recording.launches:
            self._queue_one(launch)

    def _queue_one(self, launch: Launch) -> None:
        args: list[int | float] = []
        for operand in launch.operands:
            if operand is None:
                args.append(0)
            elif isinstance(operand, (int, float)):
                args.append(operand)
            elif isinstance(operand, (Buffer, Input)):
                args.append(self._at[id(operand)])
            elif isinstance(operand, HeadMask):
                args.append(self._at[id(operand.factors)] + operand.layer * self.recording.mask_width * 4)
            else:
                args.append(operand.at)
        bucket = self.bucket
        self.queue.launch(launch.key(bucket), launch.grid(bucket), launch.threads(bucket), args)

    def run(self, batch: Batch) -> dict[str, Floats]:
        recording = self.recording
        tokens, sequences = len(batch.positions), len(batch.key_lens)
        selected = 0 if batch.selected is None else len(batch.selected)
        tiles = tiles_of(batch.cu_seqlens, recording.queries) if recording.queries else np.zeros((0, 2), np.int64)
        pairs = np.diff(batch.cu_seqlens) * batch.key_lens
        for name, target in self._staged.items():
            if name == "sizes":
                values: NDArray[Any] = np.array([tokens, sequences, selected, len(tiles)], np.int64)
            elif name == "tiles":
                values = tiles
            elif name == "probs_at":
                values = np.cumsum(pairs) - pairs
            elif name == "head_mask":
                assert batch.head_mask is not None
                values = np.ascontiguousarray(
                    batch.head_mask[: self._mask_layers, : recording.mask_width], dtype=np.float32
                )
            elif name == "inputs_embeds":
                assert batch.inputs_embeds is not None
                values = np.zeros((tokens, padded(recording.embeds_width)), STORED[recording.dtype])
                values[:, : recording.embeds_width] = checked("inputs_embeds", batch.inputs_embeds, recording.dtype)
            else:
                values = getattr(batch, name)
            flat = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
            target[: len(flat)] = flat
        self.replay()
        rows = tokens, sequences, selected
        found: dict[int, NDArray[np.uint8]] = {}
        for buffer in recording.outputs.values():
            if id(buffer) not in found:
                if buffer.flat:
                    nbytes = buffer.width * int(pairs.sum()) * 4
                else:
                    nbytes = rows[buffer.axis] * padded(buffer.width) * SIZES[buffer.dtype]
                found[id(buffer)] = self._results[id(buffer)][:nbytes]
                if nbytes:
                    self.queue.copy_out(found[id(buffer)], self._at[id(buffer)])
        self.queue.wait()
        arrays: dict[str, Floats] = {}
        for name, buffer in recording.outputs.items():
            part = found[id(buffer)]
            if buffer.flat:
                arrays[name] = part.view(np.float32).copy()
            else:
                stored = part.view(STORED[buffer.dtype]).reshape(rows[buffer.axis], padded(buffer.width))
                arrays[name] = np.ascontiguousarray(widened(stored[:, : buffer.width], buffer.dtype))
        return arrays


class Program:
    """ops.Program on a device."""

    def __init__(self, device: Device, recording: Recording) -> None:
        self._device, self._recording = device, recording
        self._free: list[Workspace] = []
        self._probs = any(buffer.flat for buffer in recording.buffers)
        self._selects = any(source.axis == Axis.SELECTED for source in recording.inputs)

    def bucket(self, batch: Batch) -> Bucket:
        pairs = int((np.diff(batch.cu_seqlens) * batch.key_lens).sum()) if self._probs else 0
        selected = 0 if batch.selected is None or not self._selects else len(batch.selected)
        return Bucket(
            rounded(len(batch.positions)),
            power(len(batch.key_lens)),
            power(max(1, selected)),
            power(pairs),
            self._device.processors,
        )

    def __call__(self, batch: Batch) -> dict[str, Floats]:
        if not len(batch.key_lens):
            return {
                name: np.zeros(0 if b.flat else (0, b.width), np.float32) for name, b in self._recording.outputs.items()
            }
        parts = [self._run(part) for part in split(batch, TOKENS)]
        # One output after another, each let go at once, so that only one is held twice.
        return (
            parts[0]
            if len(parts) == 1
            else {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
        )

    def _run(self, batch: Batch) -> dict[str, Floats]:
        bucket = self.bucket(batch)
        workspace = self._taken(bucket) or Workspace(self._device, self._recording, bucket)
        arrays = workspace.run(batch)
        if self._recording.dtype == "float16" and not all(np.isfinite(array).all() for array in arrays.values()):
            warnings.warn(OVERFLOW, RuntimeWarning, stacklevel=3)
        self._free.append(workspace)  # one that raised is let go
        while len(free := list(self._free)) > 1 and (
            len(free) > KEPT or sum(workspace.nbytes for workspace in free) > KEPT_BYTES
        ):
            with contextlib.suppress(ValueError):  # another caller took it
                self._free.remove(free[0])
        return arrays

    def _taken(self, bucket: Bucket) -> Workspace | None:
        """A free workspace of that bucket, which no other caller has any more."""
        for workspace in reversed(self._free):
            if workspace.bucket == bucket:
                try:
                    self._free.remove(workspace)
                except ValueError:  # another caller took it
                    continue
                return workspace
        return None
