"""embed from a table that stays in a file: the bits of one in memory; a read that fails is told, and leaves nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npbert_kernels.cpu import backend as cpu
from npbert_kernels.cpu import program as programs
from npbert_kernels.cpu import set_num_threads
from npbert_kernels.cpu.layout import ENDED
from npbert_kernels.ops import Dtype, FileRows, Floats, Program, Quantized
from numpy.typing import NDArray
from one_op import batch_of

if sys.platform == "win32":
    pytest.skip("compiled code reads no files here", allow_module_level=True)

DTYPES: tuple[Dtype, ...] = ("float32", "float16", "bfloat16", "int8")


class Rows(FileRows):
    """A table in a file of its own, that begins at any byte and ends where the file does."""

    def __init__(self, path: Path, rows: NDArray[Any], dtype: Dtype, scales: Floats | None, offset: int = 0) -> None:
        path.write_bytes(bytes(offset) + rows.tobytes())
        self.shape = rows.shape[0], rows.shape[1]
        self.dtype, self.scales, self.offset = dtype, scales, offset
        self.number = os.open(path, os.O_RDONLY)
        self.told: list[int] = []  # what failed
        self.refuse = False

    def descriptor(self) -> int:
        return self.number

    def check(self, descriptor: int, failed: int = 0) -> None:
        assert descriptor == self.number
        self.told.append(failed)
        if failed or self.refuse:
            raise OSError(failed, "refused")

    def __getitem__(self, rows: Any) -> Floats:
        raise NotImplementedError


def stored(rows: Floats, dtype: Dtype) -> tuple[NDArray[Any], Floats | None, Floats | Quantized]:
    """As a file holds them, their scales, and the same in memory."""
    if dtype == "int8":
        quantized = Quantized.of(rows)
        return quantized.values, quantized.scales, quantized
    if dtype == "bfloat16":
        upper = (rows.view(np.uint32) >> 16).astype(np.uint16)
        return upper, None, (upper.astype(np.uint32) << 16).view(np.float32)
    half = rows.astype(np.float16 if dtype == "float16" else np.float32)
    return half, None, half.astype(np.float32)


def program_of(words: Any, width: int) -> Program:
    """embed, and what comes of its rows as words of bfloat16."""
    rng = np.random.default_rng(1)
    norm, tables = rng.standard_normal((2, width), np.float32), rng.standard_normal((2, 3, width), np.float32)
    store, reduced = cpu.store(0), cpu.store(0, dtype="bfloat16")
    positions, types, placed = store.table(tables[0]), store.table(tables[1]), store.norm(*norm, 1e-12)
    matrix = reduced.linear(rng.standard_normal((5, width), np.float32), None)
    table = store.table(words)

    def forward(ops: Any, batch: Any) -> Any:
        others = (positions, batch.positions), (types, batch.token_types), placed
        x = ops.embed(table, batch.ids, *others)
        return {"x": x, "y": ops.linear(x, matrix)}

    return cpu.record(forward)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = programs.get_num_threads()
    yield
    set_num_threads(before)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(DTYPES),
    width=st.sampled_from([1, 2, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, 129]),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    offset=st.integers(0, 3),
    threads=st.sampled_from([1, 3]),
    kept=st.sampled_from([1, 7, 512]),
    seed=st.integers(0, 99),
)
def test_the_bits_of_a_table_in_memory(
    tmp_path: Path, dtype: Dtype, width: int, lengths: Sequence[int], offset: int, threads: int, kept: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((23, width), np.float32)
    rows[:, 0] *= np.float32(2.0**-20)  # where a float16 has no leading 1
    values, scales, same = stored(rows, dtype)
    set_num_threads(threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "KEPT_ROWS", kept)
        file = Rows(tmp_path / "rows", values, dtype, scales, offset)
        found, wanted = program_of(file, width), program_of(same, width)
        for _ in range(3):  # the last rows are still there, or others have their place
            ids = rng.integers(0, len(rows), sum(lengths))
            batch = batch_of(lengths, ids=ids)
            for name, array in wanted(batch).items():
                np.testing.assert_array_equal(found(batch)[name], array, strict=True)
        assert not any(file.told)
        os.close(file.number)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half(tmp_path: Path, dtype: Dtype) -> None:
    """Those of float16 below its least normal number among them."""
    bits = np.arange(2**16, dtype=np.uint16)
    exponents, most = (bits >> 10 & 31, 31) if dtype == "float16" else (bits >> 7 & 255, 240)  # squares are finite
    bits = bits[exponents < most]
    rows = bits[: len(bits) // 32 * 32].reshape(-1, 32)
    floats = (rows.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else rows.view(np.float16)
    file = Rows(tmp_path / "rows", rows, dtype, None)
    batch = batch_of([len(rows)], ids=np.arange(len(rows)))
    found, wanted = program_of(file, 32)(batch)["x"], program_of(floats.astype(np.float32), 32)(batch)["x"]
    np.testing.assert_array_equal(found, wanted)
    os.close(file.number)


@contextlib.contextmanager
def descriptor_that_fails(how: int, path: Path) -> Iterator[int]:
    if how == errno.EBADF:
        yield -1
        return
    if how == errno.ESPIPE:
        numbers = list(os.pipe())
    elif how == errno.EIO:  # nothing is mapped to the first pages of a process
        numbers = [os.open("/proc/self/mem", os.O_RDONLY)]
    else:
        path.write_bytes(path.read_bytes()[:-1])
        numbers = [os.open(path, os.O_RDONLY)]
    yield numbers[0]
    for number in numbers:
        os.close(number)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("how", [errno.EBADF, errno.EIO, errno.ESPIPE, ENDED])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_read_that_fails(tmp_path: Path, dtype: Dtype, how: int, threads: int) -> None:
    if how == errno.EIO and not os.path.exists("/proc/self/mem"):
        pytest.skip("no file at hand that fails so")
    set_num_threads(threads)
    values, scales, same = stored(np.random.default_rng(0).standard_normal((9, 20), np.float32), dtype)
    file = Rows(tmp_path / "rows", values, dtype, scales)
    good = file.number
    lengths = [30, 1, 200, 40]  # several chunks
    ids = np.random.default_rng(1).integers(0, 8, sum(lengths))
    ids[-1] = 8  # the last row
    batch = batch_of(lengths, ids=ids)
    run, wanted = program_of(file, 20), program_of(same, 20)(batch)
    with descriptor_that_fails(how, tmp_path / "rows") as file.number:
        for _ in range(2):
            with pytest.raises(OSError, match="refused"):
                run(batch)
            assert file.told.pop() == how
    if how == ENDED:
        (tmp_path / "rows").write_bytes(values.tobytes())
    file.number = good
    for name, array in run(batch).items():
        np.testing.assert_array_equal(array, wanted[name])


def test_rows_of_a_call_that_was_refused_are_not_kept(tmp_path: Path) -> None:
    """They may be of a file that had the descriptor's number for a moment."""
    rows = np.random.default_rng(0).standard_normal((9, 20), np.float32)
    file, other = Rows(tmp_path / "rows", rows, "float32", None), Rows(tmp_path / "other", -rows, "float32", None)
    batch = batch_of([9], ids=np.arange(9))
    run, wanted = program_of(file, 20), program_of(rows, 20)(batch)
    good, file.number, file.refuse = file.number, other.number, True
    with pytest.raises(OSError, match="refused"):
        run(batch)
    file.number, file.refuse = good, False
    np.testing.assert_array_equal(run(batch)["x"], wanted["x"])


def test_rows_that_were_read_are_read_no_more(tmp_path: Path) -> None:
    """But they are the workspace's alone, and each caller has one."""
    rows = np.random.default_rng(0).standard_normal((9, 20), np.float32)
    file = Rows(tmp_path / "rows", rows, "float32", None)
    batch = batch_of([9], ids=np.arange(9))
    set_num_threads(1)
    run, wanted = program_of(file, 20), program_of(rows, 20)(batch)
    run(batch)
    file.number = -1
    np.testing.assert_array_equal(run(batch)["x"], wanted["x"])
    with pytest.raises(OSError, match="refused"):
        program_of(file, 20)(batch)
