"""What the compilers made of the CUDA kernels, run: PTX on `ptx_machine`, held to what the source is held to."""

from __future__ import annotations

from simulated import FEW_DTYPES, rules, simulator

# isort: split
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import test_cuda_gemm
import test_cuda_ops
from families import FAMILIES
from npbert_kernels.cuda import DTYPES, Cuda, Dtype
from npbert_kernels.cuda.tiles import HALF_TILES, SINGLE_TILES, Key, Tile, shared_bytes
from npbert_kernels.ops import ACTIVATIONS
from thinned import thinned

from npbert import AutoModel

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: the cuda extra brings it")
from compiled import Compiled, kernel
from ptx_machine import Kernel


def launch(key: Key, grid: tuple[int, int], threads: int, operands: list[int]) -> None:
    kernel(key).launch(grid, threads, operands, shared_bytes(key))


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator.memory.allocate(16)
    simulator.memory.clear()
    monkeypatch.setattr(test_cuda_gemm, "launch", launch)
    monkeypatch.setattr(test_cuda_ops, "backend", lambda dtype: Cuda(Compiled(), dtype))


@pytest.mark.parametrize("rule", [(False, False), (True, True)])
@pytest.mark.parametrize(("dtype", "tile"), test_cuda_gemm.FEW_CASES, ids=str)
def test_every_tile(dtype: Dtype, tile: Tile, rule: tuple[bool, bool]) -> None:
    test_cuda_gemm.test_every_tile(dtype, tile, rule)


@pytest.mark.parametrize("k", [64, 320, 448])  # parts without a unit, with one, with one or two
@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_a_row_s_bits_do_not_depend_on_the_tile(dtype: Dtype, k: int) -> None:
    """Compilers may fuse a product and a sum in one kernel and not in another: here they did not."""
    test_cuda_gemm.test_a_row_s_bits_do_not_depend_on_the_tile(dtype, k)


def test_blocks_behind_the_rows_leave() -> None:
    test_cuda_gemm.test_blocks_behind_the_rows_leave()


def test_blocks_that_have_a_part_each() -> None:
    test_cuda_gemm.test_blocks_that_have_a_part_each(448, (False, False))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str) -> None:
    test_cuda_gemm.test_activations("float32", SINGLE_TILES[0], activation)


@pytest.mark.parametrize(("dtype", "width"), [("float32", 40), ("bfloat16", 300), ("float16", 64)])
def test_rows(dtype: Dtype, width: int) -> None:
    test_cuda_ops.test_rows(dtype, width)


def test_embedded_rows() -> None:
    test_cuda_ops.test_embed_rows_and_layer_norm("float16", 257)


def test_a_residual_that_is_normed() -> None:
    test_cuda_ops.test_a_residual_that_is_normed("bfloat16", 9)


ATTENTION = [
    *(("float32", relative, 3, 5) for relative in ("none", "bias", "key")),
    ("bfloat16", "none", 2, 20),
    ("bfloat16", "bias", 1, 64),
    ("float16", "none", 1, 64),
    ("float16", "none", 1, 100),  # placed as 128
    ("float16", "key and query", 2, 20),
]


@pytest.mark.parametrize(
    ("dtype", "relative", "heads", "size"), thinned(ATTENTION, lambda case: case[0] != "float16" or case[1] != "none")
)
def test_attention(dtype: Dtype, relative: str, heads: int, size: int) -> None:
    test_cuda_ops.test_attention(dtype, relative, heads, size)


MODELS = [*((dtype, (9, 0)) for dtype in DTYPES), ("bfloat16", (8, 0))]


@pytest.mark.parametrize(("dtype", "capability"), thinned(MODELS, lambda case: case == ("bfloat16", (9, 0))))
def test_a_model(family_folder: Callable[..., Path], dtype: Dtype, capability: tuple[int, int]) -> None:
    """As the CPU's; a text alone has the bits that it has in a batch, which takes other tiles."""
    model_type, config = FAMILIES["bert"]
    folder = family_folder(model_type, **{**config, "num_hidden_layers": 1})
    model = AutoModel.from_pretrained(folder, backend=Cuda(Compiled(capability), dtype))
    one, others = [5, 6, 7, 8, 9, 10, 11], [[(7 * i + j) % 60 for j in range(4 + 7 * i)] for i in range(4)]
    alone, together = model.predict([one])[0], model.predict([*others, one])[4]
    wanted = AutoModel.from_pretrained(folder).predict([one])[0]
    np.testing.assert_array_equal(together, alone)
    assert (alone * wanted).sum(-1).min() / np.linalg.norm(wanted) >= 0.9995


# What would be wrong on a GPU, and what the machine makes of it. The tile: a ring of five stages, four warps of k.
BROKEN = {
    "a copy that is not waited for": (r"cp\.async\.wait_group 3;", ""),
    "a wait for one copy too few": (r"cp\.async\.wait_group 3;", "cp.async.wait_group 4;"),
    "no barrier": (r"bar\.sync 0;", ""),
    "halves the wrong way round": (r"(cvt\.rn\.bf16x2\.f32 %r\d+), (%f\d+), (%f\d+);", r"\1, \3, \2;"),
    "fragments of A the wrong way round": (
        r"(mma\.sync\S+ \{[^}]*\}), \{(\S+), (\S+), (\S+), (\S+)\}",
        r"\1, {\2, \4, \3, \5}",
    ),
    "a transposed B": (r"(ldmatrix\.sync\.aligned\.m8n8\.x4)\.shared", r"\1.trans.shared"),
    "a sum that begins at what a register held": (r"mov\.f32\s+%f\d+, 0f00000000;", ""),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_wrong_shows(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from assembling import ptx

    def broken(key: Key, grid: tuple[int, int], threads: int, operands: list[int]) -> None:
        changed, count = re.subn(*BROKEN[how], ptx(key))
        assert count
        Kernel(changed).launch(grid, threads, operands, shared_bytes(key))

    monkeypatch.setattr(test_cuda_gemm, "launch", broken)
    with rules(False, how == "no barrier"):
        found, truth, bound = test_cuda_gemm.gemm("bfloat16", HALF_TILES[0], 17, 64, 1536, "gelu_erf", False)
    assert not (np.abs(found - truth) <= bound).all()


HEAD = """
.visible .entry k(.param .u64 k_param_0)
{ .reg .u32 %r<4>; .reg .pred %p<2>; .reg .b64 %rd<3>; .reg .f32 %f<3>;
"""
TID = "mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 16;"
REFUSED = {
    "a barrier that some threads did not come to": TID + "@%p1 bra OUT; bar.sync 0; OUT: ret;",
    "some lanes of a warp are elsewhere": TID
    + "@%p1 bra OUT; mov.f32 %f1, 0f00000000; shfl.sync.bfly.b32 %f2, %f1, 1, 31, 0xffffffff; OUT: ret;",
    "outside": "griddepcontrol.wait; ld.param.u64 %rd1, [k_param_0]; ld.global.f32 %f1, [%rd1+4096]; ret;",
    "misaligned": "griddepcontrol.wait; ld.param.u64 %rd1, [k_param_0]; ld.global.f32 %f1, [%rd1+2]; ret;",
    "a write before griddepcontrol.wait": "ld.param.u64 %rd1, [k_param_0]; st.global.f32 [%rd1], %f1; ret;",
    "misaligned address of shared memory, or one outside": "mov.u64 %rd1, tiles; ld.shared.f32 %f1, [%rd1+256]; ret;",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_no_kernel_may_do_is_refused(message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        Kernel(HEAD + REFUSED[message] + "}").launch((1, 1), 32, [simulator.memory.allocate(128)], 256)


def test_what_a_kernel_wrote_is_waited_for() -> None:
    """And what none wrote, weights, may be read at once."""
    at = simulator.memory.allocate(128)
    write = "griddepcontrol.wait; ld.param.u64 %rd1, [k_param_0]; st.global.f32 [%rd1], %f1; ret; }"
    read = "ld.param.u64 %rd1, [k_param_0]; ld.global.f32 %f1, [%rd1]; ret; }"
    Kernel(HEAD + read).launch((1, 1), 32, [at], 0)
    Kernel(HEAD + write).launch((1, 1), 32, [at], 0)
    Kernel(HEAD + "griddepcontrol.wait;" + read).launch((1, 1), 32, [at], 0)
    with pytest.raises(RuntimeError, match="a read of what a kernel wrote"):
        Kernel(HEAD + read).launch((1, 1), 32, [at], 0)


def test_threads_that_part_meet_again() -> None:
    """Each goes through a loop as often as its number says, and all then shuffle."""
    code = (
        "griddepcontrol.wait; mov.u32 %r1, %tid.x; mov.u32 %r2, 0;"
        " LOOP: setp.ge.u32 %p1, %r2, %r1; @%p1 bra DONE; add.u32 %r2, %r2, 1;"
        " bra.uni LOOP; DONE: shfl.sync.bfly.b32 %r3, %r2, 1, 31, 0xffffffff; ld.param.u64 %rd1, [k_param_0];"
        " cvt.u64.u32 %rd2, %r1; shl.b64 %rd2, %rd2, 2; add.s64 %rd1, %rd1, %rd2; st.global.u32 [%rd1], %r3; ret;"
    )
    out = simulator.memory.allocate(256)
    Kernel(HEAD + code + "}").launch((1, 1), 64, [out], 0)
    found = simulator.memory.bytes[out : out + 256].view(np.uint32)
    np.testing.assert_array_equal(found, np.arange(64) ^ 1)
