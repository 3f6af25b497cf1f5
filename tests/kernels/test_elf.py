"""The kernels' object code, linked without llvmlite: as llvmlite links it; refused where it is damaged or unknown."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from npbert_kernels.cpu import elf, warmup
from npbert_kernels.cpu.isa import X86, host
from npbert_kernels.cpu.library import _symbols
from npbert_kernels.object_store import ObjectCode

if not elf.knows_this_machine():
    pytest.skip("llvmlite links the kernels here", allow_module_level=True)

VECTORS = """
import sys, numpy as np
from npbert_kernels.cpu import elf
if sys.argv[3] == "llvmlite":
    elf.knows_this_machine = lambda: False
import npbert
model = npbert.AutoModel.from_pretrained(sys.argv[1])
np.save(sys.argv[2], model(np.arange(1, 61).reshape(2, 30)).last_hidden_state)
assert ("llvmlite" in sys.modules) == (sys.argv[3] == "llvmlite")
"""


@pytest.fixture(scope="module")
def kernels() -> ObjectCode:
    path = warmup()
    assert path is not None
    return ObjectCode.from_bytes(path.read_bytes())


def test_as_llvmlite_links_it(bert_folder: object, tmp_path: Path) -> None:
    found = []
    for linker in ("own", "llvmlite"):
        out = tmp_path / f"{linker}.npy"
        command = [sys.executable, "-c", VECTORS, str(bert_folder()), str(out), linker]  # type: ignore[operator]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120)
        assert done.returncode == 0, done.stderr
        found.append(np.load(out))
    np.testing.assert_array_equal(*found)


def test_its_pages_can_be_run_and_not_written(kernels: ObjectCode) -> None:
    address = elf.load(kernels.code, kernels.symbol, _symbols())
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        begin, end = (int(part, 16) for part in span.split("-"))
        if begin <= address < end:
            assert rights == "r-xp"
            break
    else:
        pytest.fail("it is not mapped")
    assert ctypes.string_at(address, 16) in kernels.code


def test_a_function_that_is_not_there(kernels: ObjectCode) -> None:
    with pytest.raises(ValueError, match="no symbol no_such_function"):
        elf.load(kernels.code, "no_such_function", _symbols())


def test_a_call_to_what_is_not_known(kernels: ObjectCode) -> None:
    with pytest.raises(elf.UnknownError, match="a reference to sched_yield"):
        elf.load(kernels.code, kernels.symbol, {})


@pytest.mark.parametrize("code", [b"", b"\x7fELF", bytes(4096), b"MZ" + bytes(200)])
def test_what_is_no_object_code(code: bytes) -> None:
    with pytest.raises((ValueError, elf.UnknownError)):
        elf.load(code, "run", {})


def sections(code: bytes) -> range:
    """Where the table of sections stands: most that can be wrong is there."""
    at = elf.HEADER.unpack_from(code)[6]
    return range(at, len(code))


@given(st.data())
def test_damage(kernels: ObjectCode, data: st.DataObject) -> None:
    """It is loaded, never run: what tells of sections, symbols and relocations may say anything."""
    code = bytearray(kernels.code)
    table = sections(kernels.code)
    for _ in range(data.draw(st.integers(1, 3))):
        header = data.draw(st.booleans())
        at = data.draw(st.integers(16, 63)) if header else data.draw(st.sampled_from(table))
        code[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(code), len(code), table.start, table.start // 2]))
    with contextlib.suppress(ValueError, elf.UnknownError):
        elf.load(bytes(code[:cut]), kernels.symbol, _symbols())


def test_the_features_are_those_that_llvm_finds() -> None:
    import llvmlite.binding as llvm

    _, features = host()
    wanted = {name for name, there in llvm.get_host_cpu_features().items() if there}
    for isa in X86:
        assert isa.needs & features == isa.needs & wanted
