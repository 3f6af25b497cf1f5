"""A GPU in NumPy: the kernels' own source, run a warp at a time, with what a GPU may do at its most awkward.

The primitives have the names that `kernels/ptx.py` has. A warp is one Python thread and its 32 lanes are vectors: the
operations of a warp (shuffles, ldmatrix, mma.sync) are then array operations, and a branch on what differs between
lanes is an error. The warps of a block take turns, one runs until it comes to a barrier, in either order.

Shared memory and freshly allocated device memory are NaN. What cp.async copies lands, by `Rules`, when its group is
waited for (a missing wait shows) or at once (a buffer that others still read shows). Every address is checked.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

WARP = 32
LANES = np.arange(WARP)
MEMORY_BYTES = 64 << 20
GUARD = 256  # bytes between allocations that nothing may touch


@dataclass
class Rules:
    """What is left open by the programming model, and so is tried both ways."""

    land_at_once: bool = False
    backwards: bool = False  # in which order warps run between barriers


rules = Rules()


class Memory:
    """Device memory, by addresses: an address is an offset."""

    def __init__(self) -> None:
        self.bytes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.live: NDArray[np.bool_] = np.empty(0, np.bool_)
        self.end = GUARD
        self.generation = 0
        self.lock = threading.Lock()

    def allocate(self, nbytes: int) -> int:
        with self.lock:
            if not len(self.bytes):
                self.bytes, self.live = np.empty(MEMORY_BYTES, np.uint8), np.zeros(MEMORY_BYTES, np.bool_)
            at = self.end
            self.end = (at + nbytes + GUARD + 255) // 256 * 256
            if self.end > len(self.bytes):
                raise MemoryError("the simulated device has no memory left")
            self.bytes[at : at + nbytes], self.live[at : at + nbytes] = 0xFF, True
            return at

    def free(self, at: int, nbytes: int, generation: int) -> None:
        if generation == self.generation:
            self.live[at : at + nbytes] = False

    def clear(self) -> None:
        """All that was allocated is gone, and its memory is given anew."""
        self.live[:] = False
        self.end = GUARD
        self.generation += 1

    def view(self, at: Any, dtype: Any, width: int = 1) -> tuple[NDArray[Any], Any]:
        """The memory as an array of dtype, and the indices of `width` of them at each address."""
        size = np.dtype(dtype).itemsize
        at = np.asarray(at)
        if (at % (size * width)).any():
            raise RuntimeError("a misaligned address")
        if (
            (at < 0).any()
            or (at >= len(self.bytes)).any()
            or not (self.live[at] & self.live[at + size * width - 1]).all()
        ):
            raise RuntimeError("an address outside of what was allocated")
        return self.bytes.view(dtype), at // size


memory = Memory()


class Block:
    """One thread block: its shared memory, and its warps taking turns."""

    def __init__(
        self, kernel: Callable[..., None], args: Sequence[Any], x: int, y: int, warps: int, given: int | None
    ) -> None:
        self.kernel, self.args, self.x, self.y, self.warps, self.given = kernel, args, x, y, warps, given
        self.shared: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.order = list(reversed(range(warps))) if rules.backwards else list(range(warps))
        self.turns = [threading.Semaphore(0) for _ in range(warps)]
        self.over = threading.Semaphore(0)
        self.waiting: set[int] = set()
        self.finished: set[int] = set()
        self.error: BaseException | None = None

    def run(self) -> None:
        if self.warps == 1:
            self._warp(0)
        else:
            threads = [threading.Thread(target=self._threaded, args=(w,), daemon=True) for w in range(self.warps)]
            for thread in threads:
                thread.start()
            self.turns[self.order[0]].release()
            self.over.acquire()
        if self.error is not None:
            raise self.error

    def _threaded(self, number: int) -> None:
        self.turns[number].acquire()
        if self.error is None:
            try:
                self._warp(number)
            except BaseException as error:
                self.error = self.error or error
        self.finished.add(number)
        self._next()

    def _warp(self, number: int) -> None:
        here.block, here.warp = self, number
        here.group, here.groups = [], []
        with np.errstate(all="ignore"):  # which belongs to a thread
            self.kernel(*self.args)

    def sync(self) -> None:
        if self.warps == 1:
            return
        number = here.warp
        self.waiting.add(number)
        self._next()
        self.turns[number].acquire()
        if self.error is not None:
            raise RuntimeError("another warp failed")

    def _next(self) -> None:
        """Whoever is next in order has the turn; when all wait, all may go on."""
        for number in self.order:
            if number not in self.waiting and number not in self.finished:
                self.turns[number].release()
                return
        if len(self.finished) == self.warps:
            self.over.release()
            return
        if self.finished and self.error is None:
            self.error = RuntimeError("a barrier that some warps did not come to")
        self.waiting.clear()
        self._next()


class Here(threading.local):
    block: Block
    warp: int
    group: list[tuple[Any, Any, Any]]
    groups: list[list[tuple[Any, Any, Any]]]


here = Here()


def launch(
    kernel: Callable[..., None], grid: tuple[int, int], threads: int, args: Sequence[Any], shared: int | None = None
) -> None:
    """shared: bytes of shared memory of a block; None is what the kernel takes."""
    for y in range(grid[1]):
        for x in range(grid[0]):
            Block(kernel, args, x, y, threads // WARP, shared).run()


# Primitives ----------------------------------------------------------------------------------------------

f32 = np.float32


def u32(x: Any) -> Any:
    return np.asarray(x).astype(np.uint32)


def device_function(function: Any) -> Any:
    return function


inlined = device_function


def _local(count: int, dtype: Any) -> Any:
    array = np.empty((count, WARP), np.uint32 if dtype is u32 else dtype)
    array.view(np.uint8)[:] = 0xFF
    return array


cuda = SimpleNamespace(local=SimpleNamespace(array=_local))


def lane() -> Any:
    return LANES


def warp() -> int:
    return here.warp


def block_x() -> int:
    return here.block.x


def block_y() -> int:
    return here.block.y


def after_previous() -> None:
    """Kernels are launched one after another."""


def sync() -> None:
    here.block.sync()


def _kept(ok: Any, at: Any) -> tuple[Any, Any]:
    return np.broadcast_to(np.asarray(ok, bool), WARP), np.broadcast_to(at, WARP)


def load_int(at: Any) -> Any:
    values, index = memory.view(at, np.int64)
    found = values[index]
    return int(found) if found.ndim == 0 else found


def _load(ok: Any, at: Any, dtype: Any, width: int) -> Any:
    ok, at = _kept(ok, at)
    found = np.zeros((width, WARP), dtype)
    values, index = memory.view(at[ok], dtype, width)
    for i in range(width):
        found[i, ok] = values[index + i]
    return found


def _store(ok: Any, at: Any, dtype: Any, *given: Any) -> None:
    ok, at = _kept(ok, at)
    values, index = memory.view(at[ok], dtype, len(given))
    for i, value in enumerate(given):
        values[index + i] = np.broadcast_to(np.asarray(value, dtype), WARP)[ok]


def load_float(ok: Any, at: Any) -> Any:
    return _load(ok, at, np.float32, 1)[0]


def load1(ok: Any, at: Any) -> Any:
    return _load(ok, at, np.uint32, 1)[0]


def load4(ok: Any, at: Any) -> Any:
    return tuple(_load(ok, at, np.uint32, 4))


def load4_floats(ok: Any, at: Any) -> Any:
    return tuple(_load(ok, at, np.float32, 4))


def load_float16(ok: Any, at: Any) -> Any:
    return _load(ok, at, np.float16, 1)[0].astype(np.float32)


def load_bfloat16(ok: Any, at: Any) -> Any:
    return (_load(ok, at, np.uint16, 1)[0].astype(np.uint32) << 16).view(np.float32)


def store_float(ok: Any, at: Any, value: Any) -> None:
    _store(ok, at, np.float32, value)


def store_float16(ok: Any, at: Any, value: Any) -> None:
    _store(ok, at, np.float16, value)


def store_bfloat16(ok: Any, at: Any, value: Any) -> None:
    _store(ok, at, np.uint16, to_bfloat16(value))


def store1(ok: Any, at: Any, a: Any) -> None:
    _store(ok, at, np.uint32, a)


def store4(ok: Any, at: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    _store(ok, at, np.uint32, a, b, c, d)


def shared(nbytes: int) -> Callable[[], int]:
    def base() -> int:
        block = here.block
        if block.given not in (None, nbytes):
            raise RuntimeError(f"a kernel that takes {nbytes} bytes of shared memory, launched with {block.given}")
        if not len(block.shared):
            block.shared = np.full(nbytes, 0xFF, np.uint8)
        return 0

    return base


def _shared(at: Any, dtype: Any, width: int) -> tuple[NDArray[Any], Any]:
    size = np.dtype(dtype).itemsize
    if (at % (size * width)).any() or (at < 0).any() or (at + size * width > len(here.block.shared)).any():
        raise RuntimeError("a misaligned address of shared memory, or one outside of it")
    return here.block.shared.view(dtype), at // size


def load_shared_float(at: Any) -> Any:
    values, index = _shared(np.broadcast_to(at, WARP), np.float32, 1)
    return values[index]


def store_shared_float(at: Any, value: Any) -> None:
    values, index = _shared(np.broadcast_to(at, WARP), np.float32, 1)
    values[index] = value


def store_shared2(at: Any, a: Any, b: Any) -> None:
    values, index = _shared(np.broadcast_to(at, WARP), np.float32, 2)
    values[index], values[index + 1] = a, b


def load_shared4(at: Any) -> Any:
    values, index = _shared(np.broadcast_to(at, WARP), np.float32, 4)
    return tuple(values[index + i] for i in range(4))


def copy16(ok: Any, to: Any, source: Any) -> None:
    copy = (*_kept(ok, to), np.broadcast_to(source, WARP))
    if rules.land_at_once:
        _land(copy)
    else:
        here.group.append(copy)


def _land(copy: tuple[Any, Any, Any]) -> None:
    ok, to, source = copy
    words = _load(ok, source, np.uint32, 4)
    values, index = _shared(to, np.uint32, 4)
    for i in range(4):
        values[index + i] = words[i]


def copies_commit() -> None:
    here.groups.append(here.group)
    here.group = []


def copies_wait(groups: int) -> Callable[[], None]:
    def wait() -> None:
        while len(here.groups) > groups:
            for copy in here.groups.pop(0):
                _land(copy)

    return wait


def _matrices(at: Any) -> Any:
    """[matrix, row, column] of the 8 x 8 whose rows lie at each lane's address."""
    values, index = _shared(np.broadcast_to(at, WARP), np.uint32, 4)
    return values[index[:, None] + np.arange(4)].view(np.uint16).reshape(4, 8, 8)


def ldmatrix4(at: Any) -> Any:
    # lane l gets of row l / 4 the columns 2 (l % 4) and 2 (l % 4) + 1
    return tuple(np.ascontiguousarray(_matrices(at)).reshape(4, 64).view(np.uint32))


def ldmatrix4_transposed(at: Any) -> Any:
    return tuple(np.ascontiguousarray(_matrices(at).transpose(0, 2, 1)).reshape(4, 64).view(np.uint32))


def _wide_bfloat16(words: Any) -> Any:
    return (words.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _wide_float16(words: Any) -> Any:
    return words.view(np.float16).astype(np.float32)


def _mma(widened: Callable[[Any], Any], operands: Sequence[Any]) -> Any:
    # lane = 4 g + t. A: word 2 c + r has row g + 8 r, columns 2 t + 8 c and the next. B: word r has rows 2 t + 8 r and
    # the next, column g. C: word 2 r + e has row g + 8 r, column 2 t + e.
    a = widened(np.stack(operands[:4])).reshape(2, 2, 8, 4, 2).transpose(1, 2, 0, 3, 4).reshape(16, 16)
    b = widened(np.stack(operands[4:6])).reshape(2, 8, 4, 2).transpose(0, 2, 3, 1).reshape(16, 8)
    d = (a @ b).reshape(2, 8, 4, 2).transpose(0, 3, 1, 2).reshape(4, WARP)
    return tuple(d[i] + operands[6 + i] for i in range(4))


def mma_bfloat16(*operands: Any) -> Any:
    return _mma(_wide_bfloat16, operands)


def mma_float16(*operands: Any) -> Any:
    return _mma(_wide_float16, operands)


def pack_bfloat16(low: Any, high: Any) -> Any:
    return np.stack([to_bfloat16(low), to_bfloat16(high)], axis=-1).view(np.uint32)[..., 0]


def pack_float16(low: Any, high: Any) -> Any:
    return np.stack([low, high], axis=-1).astype(np.float16).view(np.uint32)[..., 0]


def unpack_bfloat16(word: Any) -> Any:
    return (word << 16).view(np.float32), (word & 0xFFFF0000).view(np.float32)


def unpack_float16(word: Any) -> Any:
    halves = np.ascontiguousarray(word).view(np.float16).astype(np.float32)
    return halves[0::2], halves[1::2]


def fma(x: Any, y: Any, z: Any) -> Any:
    return x * y + z  # rounded twice


def float_bits(x: Any) -> Any:
    return np.broadcast_to(np.asarray(x, np.float32), WARP).copy().view(np.uint32)


def shuffle_xor(x: Any, mask: int) -> Any:
    return np.broadcast_to(x, WARP)[LANES ^ mask]


def shuffle(x: Any, source: Any) -> Any:
    return np.broadcast_to(x, WARP)[np.broadcast_to(source, WARP)]


def select(ok: Any, x: Any, y: Any) -> Any:
    return np.where(ok, x, y)


def exp(x: Any) -> Any:
    return np.exp(x)


sqrt, tanh = np.sqrt, np.tanh


def erf(x: Any) -> Any:
    return np.array([math.erf(v) for v in np.asarray(x).tolist()], np.float32)


def to_bfloat16(x: Any) -> NDArray[np.uint16]:
    """Nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), rounded)
