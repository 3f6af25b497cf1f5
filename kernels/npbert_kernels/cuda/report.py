"""What the compilers made of the kernels, without a GPU: python -m npbert_kernels.cuda.report [--json]."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .compiler import Assembly, assembled, linked
from .makers import make
from .tiles import HALF_TILES, PARTS, SINGLE_TILES, SPLIT_TILE, Key, shared_bytes

CAPABILITIES = ((8, 0), (9, 0))
INSTRUCTIONS = ("mma.sync", "ldmatrix", "cp.async.cg", "shared.v4", "global.v4", "fma.rn.f32", ".f64")


@dataclass(frozen=True)
class Line:
    kernel: str
    capability: str
    threads: int
    registers: int
    shared: int  # bytes, without the 1 KiB that the system takes on compute capability 9.0
    stack: int
    spills: int  # bytes
    counts: dict[str, int]  # of INSTRUCTIONS, in the PTX


def keys() -> Iterator[tuple[Key, int]]:
    """Each kernel in the forms that differ most, and its threads."""
    for tile in HALF_TILES:
        yield ("gemm_half", "bfloat16", tile, "gelu_erf", False), tile.threads
        yield ("gemm_half", "float16", tile, None, True), tile.threads
    yield ("gemm_half", "bfloat16", SPLIT_TILE, None, True), SPLIT_TILE.threads
    for tile in SINGLE_TILES:
        yield ("gemm_single", tile, "gelu_erf", False), tile.threads
    yield ("gemm_single", SINGLE_TILES[1], None, True), SINGLE_TILES[1].threads
    for size in (32, 64, 128):
        yield ("attention_tensor", "bfloat16", size, size, 0, False), 128
    yield ("attention_tensor", "float16", 64, 64, 1, True), 128
    yield ("attention_simple", "float16", 64, 64, 3, True), 128
    yield ("attention_simple", "float32", 64, 64, 0, True), 128
    yield ("attention_simple", "float32", 32, 32, 2, False), 128
    for name in ("float32", "bfloat16"):
        yield ("layer_norm", "float32", name, 1000, 1024, 1), 128
        yield ("embed", name, 768, 768, True, True, True, True), 128
        yield ("pool", name, "max", 768), 32
    yield ("layer_norm", "float16", "float16", 384, 384, 1), 128
    yield ("layer_norm", "float32", "bfloat16", 768, 768, PARTS), 128
    yield ("place", "float32", "float16", 768, 768), 32
    yield ("normalize", "float32", 384), 128
    yield ("take", "float16", 768), 32


def named(key: Key) -> str:
    return " ".join(map(str, key))


def line(key: Key, threads: int, assembly: Assembly, capability: tuple[int, int]) -> Line:
    log = linked(assembly, capability)[1]
    used = re.search(r"Used (\d+) registers", log)
    stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert used is not None, f"ptxas says something else now: {log}"
    assert stack is not None, f"ptxas says something else now: {log}"
    return Line(
        named(key),
        f"{capability[0]}.{capability[1]}",
        threads,
        int(used[1]),
        shared_bytes(key),
        int(stack[1]),
        int(stack[2]) + int(stack[3]),
        {name: assembly.ptx.count(name) for name in INSTRUCTIONS},
    )


def table(lines: list[Line]) -> str:
    heads = ("kernel", "cc", "threads", "registers", "shared", "stack", "spills", *INSTRUCTIONS)
    rows = [[*map(str, list(asdict(one).values())[:-1]), *map(str, one.counts.values())] for one in lines]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in [list(heads), *rows]
    )


def main() -> None:
    """Arguments: --json for a list of objects; capabilities, such as 9.0, or all."""
    chosen = [one for one in CAPABILITIES if "{}.{}".format(*one) in sys.argv] or CAPABILITIES
    lines = [line(key, threads, assembled(make(key), one), one) for key, threads in keys() for one in chosen]
    print(json.dumps([asdict(one) for one in lines]) if "--json" in sys.argv else table(lines))


if __name__ == "__main__":
    main()
