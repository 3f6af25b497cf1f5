"""Files of weights that change while they are in use: an error, never other numbers, never the process's end."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npbert_kernels.ops import Quantized
from numpy.typing import NDArray
from safetensors.numpy import save_file

from npbert.files import safetensors_file
from npbert.files.checkpoint import Checkpoint

SINGLE = "model.safetensors"
CHANGED = r"model\.safetensors: the file has changed since it was opened: {}: load the model again, and rename"
ROWS = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)


def tensors(rows: NDArray[np.float32], stored: str) -> dict[str, NDArray[Any]]:
    """A table, and a tensor that is only ever read."""
    other = {"other": -rows}
    if stored == "int8":
        quantized = Quantized.of(rows)
        return {"w": quantized.values, "w_scale": quantized.scales, **other}
    return {"w": rows.astype(stored), **other}


def table_of(checkpoint: Checkpoint) -> Any:
    return checkpoint.table("w", "w_scale" if "w_scale" in checkpoint else None)


def write_over(path: Path, content: bytes) -> None:
    """In place, as `cp` and `rsync --inplace` write; the time is another."""
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(0, 1))


def write_over_keeping_times(path: Path, content: bytes) -> None:
    """As `cp -p` does of a file that has the same time, as all files of a reproducible image have."""
    before = path.stat()
    write_over(path, content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def rewrite(path: Path) -> None:
    write_over(path, path.read_bytes())


@pytest.mark.parametrize(("change", "how"), [(shorten, r"wanted \d+ bytes, found \d+"), (rewrite, "it was written to")])
def test_a_file_that_changes_in_place(tmp_path: Path, change: Callable[[Path], None], how: str) -> None:
    save_file(tensors(ROWS, "float32"), tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        table = table_of(checkpoint)
        descriptor = table.descriptor()
        table.check(descriptor)
        change(tmp_path / SINGLE)
        uses: list[Callable[[], Any]] = [table.descriptor, lambda: table.check(descriptor), lambda: table[:0]]
        uses += [lambda: table[3], lambda: checkpoint.read("other"), lambda: table_of(checkpoint)]
        for use in uses:
            with pytest.raises(OSError, match=CHANGED.format(how)):
                use()


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
@pytest.mark.parametrize("change", ["all", "a row", "two rows", "not finite"])
def test_other_weights_of_the_same_size_and_time(tmp_path: Path, stored: str, change: str) -> None:
    rows = np.random.default_rng(1).permutation(ROWS) if change == "all" else ROWS.copy()
    if change == "a row":
        rows[40] *= 1.01
    elif change == "two rows":  # of a table whose rows are as long as what is summed up at once, or longer
        rows[[40, 41]] = rows[[41, 40]]
    elif change == "not finite":
        rows[7, 1] = np.inf if stored == "float16" else 3e38
    wide = np.ones((1, 100), np.float32)
    save_file(tensors((ROWS[:, :1] * wide), stored), tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        table = table_of(checkpoint)
        checkpoint.read("other")
        new = tmp_path / "new"
        save_file(tensors((rows[:, :1] * wide), stored), new)
        if change == "not finite":
            save_file(tensors((rows[:, 1:2] * wide), stored), new)
        write_over_keeping_times(tmp_path / SINGLE, new.read_bytes())
        for use in (table.descriptor, lambda: table[3], lambda: checkpoint.read("other")):
            with pytest.raises(OSError, match=CHANGED.format("it was written to")):
                use()


def link(path: Path) -> None:
    os.link(path, path.with_name("another name"))


def unlink(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("old"))


def replace(path: Path) -> None:
    save_file(tensors(-ROWS, "float32"), path.with_name("new"))
    os.replace(path.with_name("new"), path)


def chmod(path: Path) -> None:
    path.chmod(0o600)


def same_bytes(path: Path) -> None:
    write_over_keeping_times(path, path.read_bytes())


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
@pytest.mark.parametrize("change", [link, unlink, rename, replace, chmod, same_bytes])
def test_what_changes_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, change: Callable[[Path], None]
) -> None:
    """The weights stay those that were opened. They are compared once more, and then no more."""
    save_file(tensors(ROWS, stored), tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        table = table_of(checkpoint)
        wanted = table[:]
        change(tmp_path / SINGLE)
        read: list[int] = []
        readable = safetensors_file.SafetensorsFile.read_into

        def noted(file: Any, buffer: memoryview, offset: int) -> None:
            read.append(len(buffer))
            readable(file, buffer, offset)

        monkeypatch.setattr(safetensors_file.SafetensorsFile, "read_into", noted)
        np.testing.assert_array_equal(table[[1, 5]], wanted[[1, 5]])
        row = ROWS.shape[1] * {"float32": 4, "float16": 2, "int8": 1}[stored]
        witness = len(ROWS) * (4 if stored == "int8" else row)
        assert read == [witness, row, row]
        np.testing.assert_array_equal(table[4], wanted[4])
        assert read == [witness, row, row, row]
        np.testing.assert_array_equal(checkpoint.read("other"), -ROWS)


def test_int8_whose_scales_are_in_another_file(tmp_path: Path) -> None:
    parts = tensors(ROWS, "int8")
    save_file({"w": parts["w"]}, tmp_path / "1.safetensors")
    save_file({"w_scale": parts["w_scale"]}, tmp_path / "2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"w": "1.safetensors", "w_scale": "2.safetensors"}}'
    )
    with Checkpoint.open(tmp_path) as checkpoint:
        table = checkpoint.table("w", "w_scale")
        wanted = table[:]
        chmod(tmp_path / "1.safetensors")
        np.testing.assert_array_equal(table[:], wanted)
        save_file({"w": parts["w"] // 2}, tmp_path / "new")
        write_over_keeping_times(tmp_path / "1.safetensors", (tmp_path / "new").read_bytes())
        with pytest.raises(OSError, match=r"1\.safetensors: the file has changed"):
            table[0]


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("when", [0, 1, 2])
@pytest.mark.parametrize("change", [shorten, rewrite])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], when: int, kept: bool
) -> None:
    """Before its first chunk, or behind one."""
    monkeypatch.setattr(safetensors_file, "CHUNK", 100)
    save_file(tensors(ROWS, "float32"), tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        left = when
        readable = os.preadv

        def reading(*given: Any) -> int:
            nonlocal left
            left -= 1
            if left == -1:
                change(tmp_path / SINGLE)
            return readable(*given)

        monkeypatch.setattr(os, "preadv", reading)
        with pytest.raises(OSError, match=CHANGED.format(".*")):
            table_of(checkpoint) if kept else checkpoint.read("w")


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(tensors(ROWS, "float32"), tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        table = table_of(checkpoint)

        def fail(*_: Any) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "preadv", fail)
            for use in (lambda: table[3], lambda: checkpoint.read("other")):
                with pytest.raises(OSError, match="Input/output error") as told:
                    use()
                assert told.value.filename == str(tmp_path / SINGLE)
            chmod(tmp_path / SINGLE)  # so that it is to be compared
            with pytest.raises(OSError, match="Input/output error"):
                table.descriptor()
        np.testing.assert_array_equal(table[3], ROWS[3])


def test_a_file_that_is_closed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whose number is another file's meanwhile: what came of that is not the table's."""
    save_file(tensors(ROWS, "float32"), tmp_path / SINGLE)
    shutil.copy(tmp_path / SINGLE, tmp_path / "other")
    with Checkpoint.open(tmp_path) as checkpoint:
        table = table_of(checkpoint)
        descriptor = table.descriptor()
        os.close(descriptor)
        message = r"model\.safetensors: something else in this process closed it while it was read"
        with pytest.raises(OSError, match=message):
            table.check(descriptor, errno.EBADF)
        assert os.open(tmp_path / "other", os.O_RDONLY) == descriptor
        with pytest.raises(OSError, match=message):
            table.check(descriptor)
        np.testing.assert_array_equal(table[3], ROWS[3])
        os.close(descriptor)


# While it is opened


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace, r"model\.safetensors: replaced by another file while it was opened"),
        (rewrite, CHANGED.format("it was written to")),
        (shorten, CHANGED.format(r"wanted \d+ bytes, found \d+")),
        (lambda path: write_over(path, (2**40).to_bytes(8, "little") + b"{}"), CHANGED.format("wanted .*")),
        (lambda path: write_over(path, b""), CHANGED.format("wanted .*, found 0")),
        (
            lambda path: write_over_keeping_times(path, (2**40).to_bytes(8, "little") + path.read_bytes()[8:]),
            CHANGED.format("it was written to"),
        ),
        (lambda path: write_over_keeping_times(path, path.read_bytes()), CHANGED.format("it was written to")),
    ],
)
def test_a_file_that_changes_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], message: str
) -> None:
    """After the library has seen it."""
    save_file(tensors(ROWS, "float32"), tmp_path / SINGLE)
    judge = safetensors_file.safe_open

    def judged(path: Path, **how: Any) -> Any:
        with judge(path, **how):
            pass
        change(path)
        return judge(path.with_name("fine"), **how)

    save_file({}, tmp_path / "fine")
    monkeypatch.setattr(safetensors_file, "safe_open", judged)
    with pytest.raises(OSError, match=message):
        Checkpoint.open(tmp_path)
