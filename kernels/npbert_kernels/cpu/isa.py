"""The instruction sets that the kernels are generated for, and which of them this process uses.

All that differs between ISAs stands in this table. A vector register holds `lanes` floats; a micro-tile is `rows`
rows of two vectors, so that its accumulators, two panel vectors and a broadcast fit the register file:
2 rows + 3 <= registers.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import sys
from typing import NamedTuple

VECTORS = 2  # vectors in a row of the micro-tile: a panel is VECTORS * lanes columns


class ISA(NamedTuple):
    name: str
    lanes: int  # floats in a vector register
    rows: int  # MR, the height of the micro-tile
    fma: bool  # whether a fused multiply-add is one instruction
    bf16: str  # how a pair of bfloat16 is multiplied and added, in the words of kernels/dot.py
    int8: str  # and four int8
    needs: frozenset[str]  # CPU features, in LLVM's names
    target: str | None  # the CPU that LLVM compiles for; None: the host as it is
    features: str = ""  # and what that CPU has besides

    @property
    def panel(self) -> int:
        """NR, the columns of a micro-tile."""
        return VECTORS * self.lanes


_AVX2 = frozenset({"avx2", "fma", "bmi2", "f16c"})
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"})
X86 = (
    ISA("avx512bf16", 16, 14, True, "vdpbf16ps", "vpdpbusd", _AVX512 | {"avx512bf16", "avx512vnni"}, None),
    ISA("avx512vnni", 16, 14, True, "widen", "vpdpbusd", _AVX512 | {"avx512vnni"}, None),
    ISA("avx512", 16, 14, True, "widen", "pmaddwd", _AVX512, None),
    ISA("avx2vnni", 8, 6, True, "widen", "{vex} vpdpbusd", _AVX2 | {"avxvnni"}, "x86-64-v3", "+avxvnni"),
    ISA("avx2", 8, 6, True, "widen", "pmaddwd", _AVX2, "x86-64-v3"),
    ISA("baseline", 4, 6, False, "widen", "pmaddwd", frozenset(), "x86-64"),
)
ARM = (
    ISA("dotprod", 4, 14, True, "widen", "sdot", frozenset({"dotprod"}), None),
    ISA("baseline", 4, 14, True, "widen", "multiply", frozenset(), None),
)
OTHER = (ISA("baseline", 4, 6, False, "widen", "multiply", frozenset(), None),)


def table() -> tuple[ISA, ...]:
    """The ISAs of this architecture, the fastest first."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return X86
    return ARM if machine in ("aarch64", "arm64") else OTHER


@functools.cache
def host() -> tuple[str, frozenset[str]]:
    """The CPU's name and features, in LLVM's names: from /proc/cpuinfo where that has them, else as LLVM finds them.

    The name is all that LLVM tells processors apart by.
    """
    if sys.platform == "linux" and table() is X86:
        with contextlib.suppress(OSError, KeyError, UnicodeDecodeError):
            return _from_cpuinfo()
    import llvmlite.binding as llvm

    try:
        features = frozenset(name for name, on in llvm.get_host_cpu_features().items() if on)
    except RuntimeError:  # LLVM can't tell on this platform
        features = frozenset()
    return llvm.get_host_cpu_name(), features


def _from_cpuinfo() -> tuple[str, frozenset[str]]:
    with open("/proc/cpuinfo") as lines:
        pairs = (line.partition(":") for line in itertools.takewhile(str.strip, lines))  # of the first processor
        facts = {name.strip(): value.strip() for name, _, value in pairs}
    name = f"{facts['vendor_id']} family {facts['cpu family']} model {facts['model']}"
    return name, frozenset(flag.replace("_", "") for flag in facts["flags"].split())


def available() -> list[ISA]:
    """The ISAs that this machine can run, the fastest first."""
    _, features = host()
    return [isa for isa in table() if isa.needs <= features]


@functools.cache
def selected() -> ISA:
    """The ISA in use: the fastest, or the one that NPBERT_ISA names.

    Raises ValueError where NPBERT_ISA names one that does not exist or that this CPU can't run.
    """
    wanted = os.environ.get("NPBERT_ISA", "").strip().lower()
    known = {isa.name: isa for isa in table()}
    can = available()
    if not wanted:
        return can[0]
    if wanted not in known:
        raise ValueError(f"NPBERT_ISA={wanted}: no such ISA on {platform.machine()}; there are {', '.join(known)}")
    if known[wanted] not in can:
        missing = sorted(known[wanted].needs - host()[1])
        raise ValueError(f"NPBERT_ISA={wanted}: this CPU ({host()[0]}) lacks {', '.join(missing)}")
    return known[wanted]
