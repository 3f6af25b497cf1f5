"""Every kernel compiled for compute capability 8.0 and 9.0, without a GPU: what the compilers made of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from imports import MODULES, imports
from thinned import thinned

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: the cuda extra brings it")
pytest.importorskip("cuda.bindings")


@pytest.fixture(scope="module", params=thinned(["8.0", "9.0"], lambda capability: False))
def lines(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Of a capability: a minute of compiling each, and `test_cuda_ptx` compiles and runs the same kernels."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, "-m", "npbert_kernels.cuda.report", "--json", request.param]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_all_kernels_are_there(lines: list[dict[str, Any]]) -> None:
    from npbert_kernels.cuda.makers import MAKERS

    assert {line["kernel"].split()[0] for line in lines} == set(MAKERS)
    assert len({line["capability"] for line in lines}) == 1


def test_nothing_is_spilled_or_kept_in_local_memory(lines: list[dict[str, Any]]) -> None:
    assert [line["kernel"] for line in lines if line["spills"] or line["stack"]] == []


def test_registers_and_shared_memory_allow_a_launch(lines: list[dict[str, Any]]) -> None:
    """A processor has 65536 registers, given to warps in units of 256; a block has what GPUs with least have."""
    from npbert_kernels.cuda.tiles import LARGEST_SHARED

    for line in lines:
        assert line["registers"] <= 255
        assert (line["registers"] + 7) // 8 * 8 * line["threads"] <= 65536, line
        assert line["shared"] <= LARGEST_SHARED, line


def test_tensor_cores_and_wide_loads_are_used(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        kind, counts = line["kernel"].split()[0], line["counts"]
        if kind in ("gemm_half", "attention_tensor"):
            assert counts["mma.sync"], line
            assert counts["ldmatrix"], line
            assert counts["cp.async.cg"], line
        elif kind == "gemm_single":
            assert counts["fma.rn.f32"] >= 32, line
            assert counts["shared.v4"], line
            assert counts["cp.async.cg"], line
        elif kind != "place":  # which moves elements to where 16 bytes need not begin
            assert counts["global.v4"], line
        assert counts[".f64"] == 0, line


STORING = """
import sys
from npbert_kernels.cuda import cubins
key, target = ("take", "float16", 64), (9, 0)
print(cubins.loaded(key, target, lambda code: code.digest()), "numba" in sys.modules)
"""
COMPILING = "npbert: compiling kernels for compute capability 9.0 (once on this machine) ...\n"


def storing(folder: Path) -> tuple[list[str], str]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    environment["NPBERT_KERNEL_CACHE"] = str(folder)
    done = subprocess.run([sys.executable, "-c", STORING], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def test_machine_code_is_kept_and_read_without_numba(tmp_path: Path) -> None:
    """By the rules of the CPU's store, whose tests are tests/test_object_store.py and test_compile_once.py."""
    folder = tmp_path / "kernels"
    (digest, imported), said = storing(folder)
    assert (imported, said) == ("True", COMPILING)
    assert storing(folder) == ([digest, "False"], "")
    (file,) = folder.glob("*.cubin")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert storing(folder) == (
        [digest, "True"],
        f"npbert: stored kernels are not used: {file} is damaged: the digest does not fit\n{COMPILING}",
    )
    assert file.read_bytes() == whole


def test_the_name_is_a_hash_of_all_that_code_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from npbert_kernels.cuda import cubins
    from npbert_kernels.cuda.makers import MAKERS

    package = "npbert_kernels.cuda"
    seen, found = set(), {f"{package}.kernels.{module}" for module, _ in MAKERS.values()}
    while found:
        module = found.pop()
        seen.add(module)
        found |= {name for name in imports(module) if name.startswith(f"{package}.") and name in MODULES} - seen
    seen -= {f"{package}.simulator"}  # which no GPU's code comes from
    seen |= {f"{package}.compiler", f"{package}.makers"}
    assert {f"{package}.kernels.gemm", f"{package}.kernels.ptx", f"{package}.tiles"} <= seen

    here, copy = Path(cubins.__file__).parent, tmp_path / "cuda"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cubins, "__file__", str(copy / "cubins.py"))

    def name(key: Any = ("take", "float16", 64), capability: tuple[int, int] = (9, 0)) -> str:
        cubins._common.cache_clear()
        return cubins.name(key, capability)

    before = name()
    assert len({before, name(("take", "float16", 128)), name(capability=(8, 0))}) == 3
    for module in seen:
        source = copy / MODULES[module].relative_to(here)
        text = source.read_bytes()
        source.write_bytes(text + b"\n")
        assert name() != before, module
        source.write_bytes(text)
    with monkeypatch.context() as changed:
        changed.setattr(cubins, "_version", lambda package: "0.0")
        assert name() != before
    assert name() == before
