"""Every ISA that this machine can run, each in a process of its own, and what NPBERT_ISA may say."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from npbert_kernels.cpu import isa
from npbert_kernels.cpu.isa import ARM, OTHER, X86, available, selected, table

AVX2 = frozenset({"avx2", "fma", "bmi2", "f16c", "avx"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
# In numba's process the kernels are compiled for the target that `compile` would name.
TESTS = (
    "test_activation.py",
    "test_ukernel.py",
    "test_ops_cpu.py",
    "test_ops_file.py",
    "test_ops_pre_norm.py",
    "test_ops_relative.py",
    "test_ops_rows.py",
    "test_guard.py",
    "../models/test_reduced.py",
)


def kernels_tests(one: isa.ISA) -> tuple[str, ...]:
    """All for an ISA with other vectors than those above it, else the last where it multiplies another way."""
    above = [selected(), *(other for other in available() if other != selected())]
    above = above[: above.index(one)]
    if (one.lanes, one.fma) not in {(other.lanes, other.fma) for other in above if other.target == one.target}:
        return TESTS
    return TESTS[-1:]


def environment(name: str) -> dict[str, str]:
    target, features = {one.name: (one.target, one.features) for one in table()}[name]
    return {
        **os.environ,
        "NPBERT_ISA": name,
        **({"NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": features} if target else {}),
    }


@pytest.mark.parametrize("one", [one for one in available() if one != selected()], ids=lambda one: one.name)
def test_every_other_isa(one: isa.ISA, kernel_cache: Path) -> None:
    """The kernels' tests once more: this process has run them for the ISA that it selected."""
    tests = [str(Path(__file__).parent / test) for test in kernels_tests(one)]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header", *tests]
    done = subprocess.run(command, env=environment(one.name), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE), done.stdout[-400:]


ASSEMBLY = """
from npbert_kernels.cpu.kernels.entry import ENTRY_SIGNATURE, run
run.compile(ENTRY_SIGNATURE.args)
print(*run.inspect_asm().values())
"""


@pytest.mark.skipif(table() is not X86, reason="looks at x86's registers")
def test_the_baseline_needs_no_avx() -> None:
    """Its machine code, but for what LLVM never chooses on its own, runs on the first x86-64."""
    command = [sys.executable, "-c", ASSEMBLY]
    done = subprocess.run(command, env=environment("baseline"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mulps\t") > 100
    instructions = set(re.findall(r"^\t([a-z]\w+)", done.stdout, re.MULTILINE))
    assert "mulps" in instructions
    assert not {name for name in instructions if name.startswith("v")}
    assert not re.search(r"%[yz]mm", done.stdout)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Another machine: set(architecture, features)."""
    monkeypatch.delenv("NPBERT_ISA", raising=False)
    selected.cache_clear()
    yield monkeypatch
    selected.cache_clear()


def pretend(machine: pytest.MonkeyPatch, architecture: str, features: frozenset[str]) -> None:
    machine.setattr(platform, "machine", lambda: architecture)
    machine.setattr(isa, "host", lambda: ("some-cpu", features))
    selected.cache_clear()


@pytest.mark.parametrize(
    ("architecture", "features", "wanted"),
    [
        ("x86_64", AVX512 | {"avx512vnni", "avx512bf16"}, "avx512bf16"),
        ("x86_64", AVX512 | {"avx512vnni"}, "avx512vnni"),
        ("x86_64", AVX512, "avx512"),
        ("AMD64", AVX512, "avx512"),
        ("x86_64", AVX512 - {"avx512vl"} | {"avxvnni"}, "avx2vnni"),
        ("x86_64", AVX2, "avx2"),
        ("x86_64", AVX2 - {"fma"}, "baseline"),
        ("x86_64", frozenset(), "baseline"),
        ("aarch64", frozenset({"neon", "dotprod"}), "dotprod"),
        ("arm64", frozenset(), "baseline"),
        ("riscv64", frozenset(), "baseline"),
    ],
)
def test_the_fastest_is_selected(
    machine: pytest.MonkeyPatch, architecture: str, features: frozenset[str], wanted: str
) -> None:
    pretend(machine, architecture, features)
    assert selected().name == wanted
    assert selected() in table()


@pytest.mark.parametrize("given", ["avx2", " AVX2 ", "Avx2"])
def test_one_is_forced(machine: pytest.MonkeyPatch, given: str) -> None:
    pretend(machine, "x86_64", AVX512)
    machine.setenv("NPBERT_ISA", given)
    assert selected().name == "avx2"


def test_one_that_is_not_there(machine: pytest.MonkeyPatch) -> None:
    pretend(machine, "x86_64", AVX512)
    machine.setenv("NPBERT_ISA", "sse9")
    message = f"NPBERT_ISA=sse9: no such ISA on x86_64; there are {', '.join(one.name for one in X86)}$"
    with pytest.raises(ValueError, match=message):
        selected()


def test_one_of_another_architecture(machine: pytest.MonkeyPatch) -> None:
    pretend(machine, "aarch64", frozenset())
    machine.setenv("NPBERT_ISA", "avx2")
    with pytest.raises(ValueError, match="NPBERT_ISA=avx2: no such ISA on aarch64; there are dotprod, baseline"):
        selected()


def test_one_that_the_cpu_lacks(machine: pytest.MonkeyPatch) -> None:
    pretend(machine, "x86_64", AVX2)
    machine.setenv("NPBERT_ISA", "avx512")
    message = re.escape("NPBERT_ISA=avx512: this CPU (some-cpu) lacks avx512bw, avx512dq, avx512f, avx512vl")
    with pytest.raises(ValueError, match=message):
        selected()


def test_a_user_sees_the_error(kernel_cache: Path) -> None:
    """As the last line, whichever way they come to use the backend."""
    code = "import npbert_kernels.cpu as cpu; cpu.warmup()"
    command = [sys.executable, "-c", code]
    env = {**os.environ, "NPBERT_ISA": "nothing"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ValueError: NPBERT_ISA=nothing: no such ISA on ")


@pytest.mark.parametrize("one", [*X86, *ARM, *OTHER], ids=lambda one: f"{one.name}-{one.lanes}x{one.rows}")
def test_the_micro_tile_fits_the_registers(one: isa.ISA) -> None:
    """Accumulators, two vectors of the panel and a broadcast; SSE multiplies in place, which takes one more."""
    registers = 32 if one.lanes == 16 or one in ARM else 16
    assert one.rows * isa.VECTORS + isa.VECTORS + 1 <= registers
