"""Every kernel compiled for compute capability 8.0 and 9.0, without a GPU: what the compilers made of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: it is part of the test extra on Linux")
pytest.importorskip("cuda.bindings")


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, "-m", "npbert_kernels.cuda.report", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_all_kernels_are_there(lines: list[dict[str, Any]]) -> None:
    from npbert_kernels.cuda.makers import MAKERS

    for capability in ("8.0", "9.0"):
        assert {line["kernel"].split()[0] for line in lines if line["capability"] == capability} == set(MAKERS)


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
