"""The formats that rows are stored in, and 16 bytes of a row <-> float32. All sums are float32, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .device import primitives as d


@dataclass(frozen=True)
class Format:
    name: str
    size: int  # bytes
    chunk: int  # elements in 16 bytes
    load: Callable[..., Any]  # (ok, address) -> float
    store: Callable[..., Any]  # (ok, address, float)
    load_chunk: Callable[..., Any]  # (ok, address, local array, where in it)
    store_chunk: Callable[..., Any]
    pack: Callable[..., Any] | None = None
    unpack: Callable[..., Any] | None = None
    mma: Callable[..., Any] | None = None


def half(name, load, store, pack, unpack, mma):
    load4, store4 = d.load4, d.store4

    @d.device_function
    def load_chunk(ok, at, x, i):
        words = load4(ok, at)
        for j in range(4):
            pair = unpack(words[j])
            x[i + 2 * j] = pair[0]
            x[i + 2 * j + 1] = pair[1]

    @d.device_function
    def store_chunk(ok, at, x, i):
        store4(
            ok,
            at,
            pack(x[i], x[i + 1]),
            pack(x[i + 2], x[i + 3]),
            pack(x[i + 4], x[i + 5]),
            pack(x[i + 6], x[i + 7]),
        )

    return Format(name, 2, 8, load, store, load_chunk, store_chunk, pack, unpack, mma)


def single():
    load4_floats, store4, bits = d.load4_floats, d.store4, d.float_bits

    @d.device_function
    def load_chunk(ok, at, x, i):
        words = load4_floats(ok, at)
        for j in range(4):
            x[i + j] = words[j]

    @d.device_function
    def store_chunk(ok, at, x, i):
        store4(ok, at, bits(x[i]), bits(x[i + 1]), bits(x[i + 2]), bits(x[i + 3]))

    return Format("float32", 4, 4, d.load_float, d.store_float, load_chunk, store_chunk)


FORMATS = {
    "float32": single(),
    "bfloat16": half("bfloat16", d.load_bfloat16, d.store_bfloat16, d.pack_bfloat16, d.unpack_bfloat16, d.mma_bfloat16),
    "float16": half("float16", d.load_float16, d.store_float16, d.pack_float16, d.unpack_float16, d.mma_float16),
}
