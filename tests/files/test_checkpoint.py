"""A safetensors file: what is read, what stays in it, what is refused. Shards: test_shards.py; files that change:
test_changed_files.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npbert_kernels.ops import Quantized
from numpy.typing import NDArray
from safetensors.numpy import save, save_file
from safetensors.torch import save_file as save_torch

from npbert.files import safetensors_file
from npbert.files.checkpoint import Checkpoint

SINGLE = "model.safetensors"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def raw(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header: JSON of a dict, or bytes as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def folder_of(folder: Path, content: bytes | dict[str, NDArray[Any]]) -> Path:
    if isinstance(content, bytes):
        (folder / SINGLE).write_bytes(content)
    else:
        save_file(content, folder / SINGLE)
    return folder


def opened(folder: Path, content: bytes | dict[str, NDArray[Any]]) -> Checkpoint:
    return Checkpoint.open(folder_of(folder, content))


# What is read


def test_it_is_a_mapping_of_names(tmp_path: Path) -> None:
    tensors = {"a.weight": np.ones((2, 3), np.float32), "ids": np.arange(4), "b": np.ones(5, np.float16)}
    with opened(tmp_path, tensors) as checkpoint:
        assert sorted(checkpoint) == ["a.weight", "b", "ids"]
        assert "b" in checkpoint
        assert "c" not in checkpoint
        assert checkpoint.shape("a.weight") == (2, 3)
        assert [checkpoint.dtype(name) for name in ("a.weight", "b", "ids")] == ["F32", "F16", "I64"]
        assert checkpoint.path("b") == tmp_path / SINGLE
        assert checkpoint.paths == [tmp_path / SINGLE]
        with pytest.raises(KeyError, match="c"):
            checkpoint.read("c")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_is_converted_as_torch_does(tmp_path: Path, dtype: torch.dtype) -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    finite = bits[torch.isfinite(bits)].contiguous()
    save_torch({"w": finite}, tmp_path / SINGLE)
    with Checkpoint.open(tmp_path) as checkpoint:
        values = checkpoint.read("w")
        assert values.dtype == np.float32
        assert values.tobytes() == finite.float().numpy().tobytes()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(-3.4e38, 3.4e38), max_size=40))
def test_doubles_are_rounded_to_nearest(tmp_path: Path, values: list[float]) -> None:
    with opened(tmp_path, {"w": np.array(values, np.float64)}) as checkpoint:
        read = checkpoint.read("w")
        assert read.tobytes() == torch.tensor(values, dtype=torch.float64).float().numpy().tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (15,), (16,), (17,), (3, 16), (7, 7), (2, 3, 4)])
def test_shapes_around_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(safetensors_file, "CHUNK", 16)
    before = np.arange(5, dtype=np.float32)
    wanted = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
    with opened(tmp_path, {"a": before, "w": wanted, "z": before}) as checkpoint:
        found = checkpoint.read("w")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, wanted.astype(np.float32), strict=True)


def test_what_is_read_is_the_callers_own(tmp_path: Path) -> None:
    with opened(tmp_path, {"w": np.ones(3, np.float32)}) as checkpoint:
        first, second = checkpoint.read("w"), checkpoint.read("w")
    first[0] = 7
    assert second.tolist() == [1, 1, 1]
    assert first.flags.writeable


def test_without_preadv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    wanted = np.arange(200_000, dtype=np.float32)
    with opened(tmp_path, {"a": wanted, "b": -wanted}) as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("b"), -wanted)


def test_a_read_may_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = getattr(os, "preadv", None)
    if whole is None:
        pytest.skip("no preadv here")
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: whole(fd, [buffers[0][:7]], offset))
    wanted = np.arange(50, dtype=np.float32)
    with opened(tmp_path, {"w": wanted}) as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("w"), wanted)


# Tables that stay in the file


def every_float(dtype: torch.dtype) -> NDArray[np.float32]:
    """[n, 31] of float32 that the dtype holds, those below its least normal number among them."""
    if dtype == torch.float32:
        return np.random.default_rng(0).standard_normal((100, 31)).astype(np.float32)
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    finite = bits[torch.isfinite(bits)]
    wide: NDArray[np.float32] = finite[: finite.numel() // 31 * 31].reshape(-1, 31).float().numpy()
    return wide


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_rows_of_a_table(tmp_path: Path, dtype: torch.dtype, padding: int) -> None:
    wanted = every_float(dtype)
    data = torch.from_numpy(wanted).to(dtype).view(torch.uint8).numpy().tobytes()
    kind = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[dtype]
    text = json.dumps({"w": entry(kind, list(wanted.shape), 0, len(data))}).encode()
    with opened(tmp_path, raw(text + b" " * ((padding - len(text)) % 4), data)) as checkpoint:
        table = checkpoint.table("w")
        assert table.shape == wanted.shape
        assert table.offset % 4 == padding
        last = len(wanted) - 1
        for rows in (slice(None), slice(3, 9), slice(0, 0), slice(last - 4, last + 9), 7, last, [5, 2, 5, 6, 0]):
            np.testing.assert_array_equal(table[rows], wanted[rows], strict=True)
        ids = np.random.default_rng(0).integers(0, len(wanted), (2, 3, 4))
        np.testing.assert_array_equal(table[ids], wanted[ids], strict=True)
        np.testing.assert_array_equal(table[ids[:, :0]], wanted[ids[:, :0]], strict=True)
        with pytest.raises(IndexError):
            table[last + 1]


def test_rows_of_int8(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = Quantized.of(rng.standard_normal((40, 5)).astype(np.float32))
    with opened(tmp_path, {"w": wanted.values, "w_scale": wanted.scales}) as checkpoint:
        table = checkpoint.table("w", "w_scale")
        for rows in (slice(None), slice(3, 9), 7, np.array([[5, 2], [5, 39]])):
            np.testing.assert_array_equal(table[rows], wanted[rows], strict=True)


def maps(path: Path) -> list[str]:
    """The places in memory that a file is mapped to."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]


@linux_only
def test_nothing_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it while the library looks at the file: a page that is gone ends the process."""
    judge = safetensors_file.safe_open
    seen: list[list[str]] = []

    def look(path: Path, **how: Any) -> Any:
        with judge(path, **how):
            seen.append(maps(path))
        return judge(path, **how)

    monkeypatch.setattr(safetensors_file, "safe_open", look)
    with opened(tmp_path, {"w": np.ones((1024, 1024), np.float32)}) as checkpoint:
        checkpoint.read("w")
        table = checkpoint.table("w")
        assert table[[512, 7]].min() == 1
        assert seen == [[]]
        assert maps(tmp_path / SINGLE) == []


@linux_only
def test_no_file_stays_open(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    checkpoint = opened(tmp_path, {"w": np.ones(3, np.float32)})
    assert descriptors() == before + 1
    checkpoint.close()
    checkpoint.close()
    assert descriptors() == before
    forgotten = Checkpoint.open(tmp_path)
    del forgotten
    assert descriptors() == before
    folder_of(tmp_path, raw(b"{}}"))
    with pytest.raises(ValueError, match="safetensors"):
        Checkpoint.open(tmp_path)
    assert descriptors() == before


def test_a_closed_checkpoint(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": np.ones((3, 1), np.float32)})
    table = checkpoint.table("w")
    checkpoint.close()
    for use in (lambda: checkpoint.read("w"), lambda: checkpoint.table("w"), lambda: table[0], table.descriptor):
        with pytest.raises(ValueError, match=r"model\.safetensors: the checkpoint is closed"):
            use()


# Values that are no weights


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("at", [0, 15, 16, 40, 50])
def test_nan_and_inf_are_found_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float, dtype: torch.dtype, at: int
) -> None:
    monkeypatch.setattr(safetensors_file, "CHUNK", 16)
    values = torch.ones(51, dtype=dtype)
    values[at] = bad
    save_torch({"fine": torch.ones(3), "w": values.reshape(3, 17)}, tmp_path / SINGLE)
    message = rf"model\.safetensors: w: wanted finite float32 values, found {bad} at \[{at // 17}, {at % 17}\]"
    with Checkpoint.open(tmp_path) as checkpoint:
        for how in (checkpoint.read, checkpoint.table):
            with pytest.raises(ValueError, match=message):
                how("w")
        assert checkpoint.read("fine").tolist() == [1, 1, 1]


def test_infinities_that_would_cancel(tmp_path: Path) -> None:
    with (
        opened(tmp_path, {"w": np.array([1, np.inf, -np.inf], np.float32)}) as checkpoint,
        pytest.raises(ValueError, match=r"w: wanted finite float32 values, found inf at \[1\]"),
    ):
        checkpoint.read("w")


def test_finite_values_whose_sum_is_not(tmp_path: Path) -> None:
    largest = np.full((9, 1), np.finfo(np.float32).max)
    with opened(tmp_path, {"w": largest}) as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("w"), largest)
        np.testing.assert_array_equal(checkpoint.table("w")[:], largest)


def test_a_double_beyond_float32(tmp_path: Path) -> None:
    with (
        opened(tmp_path, {"w": np.array(-1e39)}) as checkpoint,
        pytest.raises(ValueError, match=r"w: wanted finite float32 values, found -inf at \[\]"),
    ):
        checkpoint.read("w")


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("F8_E4M3", 1), ("F8_E5M2", 1), ("I8", 1), ("U8", 1), ("BOOL", 1), ("I32", 4), ("I64", 8), ("U16", 2)],
)
def test_what_is_not_stored_as_floats_is_no_weight(tmp_path: Path, dtype: str, size: int) -> None:
    with opened(tmp_path, raw({"w": entry(dtype, [2], 0, 2 * size)}, bytes(2 * size))) as checkpoint:
        assert checkpoint.dtype("w") == dtype
        message = rf"model\.safetensors: w: wanted weights stored as F32, F16, BF16, F64, found {dtype}$"
        if dtype != "I8":
            with pytest.raises(ValueError, match=message):
                checkpoint.table("w")
        with pytest.raises(ValueError, match=message):
            checkpoint.read("w")


# Damaged files

GOOD = {"w": entry("F32", [2], 0, 8)}
INVALID = r"model\.safetensors: not a valid safetensors (file|header): "

DAMAGED = {
    "empty": (b"", r"model\.safetensors: an empty file, as a download that was cut short leaves it: get it again$"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\n",
        r"model\.safetensors: a pointer of Git LFS in the pl",
    ),
    "a page": (b"<!DOCTYPE html><html>", r"model\.safetensors: a server's answer in the place of the file"),
    "no header": (b"\x10\0\0\0", INVALID),
    "a header cut short": (raw(GOOD, bytes(8))[:30], INVALID + r".*; wanted 69 bytes, found 30, as a download that"),
    "data cut short": (raw(GOOD, bytes(7)), INVALID + r".*; wanted 77 bytes, found 76, as a download that was cut"),
    "a long name": (
        raw({"x" * 10**6: entry("F32", [1] * 33, 0, 4)}, bytes(4)),
        r"model\.safetensors: x{97}\.\.\.: wanted",
    ),
    "a long name, bad": (raw({"x" * 10**6: entry("F32", [3], 0, 8)}, bytes(8)), INVALID + ".{,350}$"),
    "a long key twice": (raw(b'{"%b":1,"%b":1}' % (b"x" * 10**6, b"x" * 10**6)), INVALID + ".{,350}$"),
    "trailing bytes": (raw(GOOD, bytes(9)), INVALID),
    "a hole": (raw({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)), INVALID),
    "an overlap": (raw({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)), INVALID),
    "all in one place": (
        raw({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, bytes(8)),
        INVALID,
    ),
    "offsets that run back": (raw({"w": entry("F32", [2], 8, 0)}, bytes(8)), INVALID),
    "a negative offset": (raw({"w": entry("F32", [2], -8, 0)}, bytes(8)), INVALID),
    "offsets beyond the file": (raw({"w": entry("F32", [2], 2**62, 2**62 + 8)}, bytes(8)), INVALID),
    "offsets that do not fit the shape": (raw({"w": entry("F32", [3], 0, 8)}, bytes(8)), INVALID),
    "a shape that overflows": (raw({"w": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8)), INVALID),
    "a negative size": (raw({"w": entry("F32", [-2], 0, 8)}, bytes(8)), INVALID),
    "a fraction for a size": (
        raw(b'{"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', bytes(8)),
        INVALID,
    ),
    "an unknown dtype": (raw({"w": entry("F33", [2], 0, 8)}, bytes(8)), INVALID),
    "no dtype": (raw({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), INVALID),
    "bad JSON": (raw(b'{"w": }'), INVALID),
    "bad UTF-8": (raw(b'{"\xff": {}}'), INVALID),
    "no object": (raw(b"[]"), INVALID),
    "a deep header": (raw(b'{"w":' * 100_000), INVALID),
    "a length of 2^63": ((2**63).to_bytes(8, "little") + b"{}", INVALID),
    "a length of 2^64 - 1": ((2**64 - 1).to_bytes(8, "little") + b"{}", INVALID),
    "a length of 0": (bytes(8), INVALID),
    "a tensor twice": (
        raw(
            b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' + json.dumps(GOOD).encode()[1:],
            bytes(8),
        ),
        INVALID + "the key 'w' is given twice",
    ),
    "a field twice": (
        raw(b'{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        INVALID,
    ),
    "metadata twice": (
        raw(b'{"__metadata__":{},"__metadata__":{},' + json.dumps(GOOD).encode()[1:], bytes(8)),
        INVALID,
    ),
    "33 dimensions": (
        raw({"w": entry("F32", [1] * 33, 0, 4)}, bytes(4)),
        r"model\.safetensors: w: wanted at most 32 dimensions, found 33",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, case: str) -> None:
    content, message = DAMAGED[case]
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, content)


def test_nothing_in_a_shape_that_does_not_fit_memory(tmp_path: Path) -> None:
    for shape in ([0, 2**31, 2**31], [0, 2**62, 2], [0, 2**63], [0, 2**64 - 1]):
        content = raw({"w": entry("F32", shape, 0, 0)})
        message = r"model\.safetensors: (w: wanted a shape that fits memory, found|not a valid safetensors file: )"
        with pytest.raises(ValueError, match=message), opened(tmp_path, content) as checkpoint:
            checkpoint.read("w")
    for shape in ([0, 2**62, 2], [0, 2**63]):
        content = raw({"w": entry("I8", shape, 0, 0)})
        with pytest.raises(ValueError, match=message), opened(tmp_path, content) as checkpoint:
            checkpoint.read_int8("w")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / SINGLE).mkdir()
    with pytest.raises(OSError, match=r"model\.safetensors: wanted a regular file"):
        Checkpoint.open(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_file_that_would_never_answer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SINGLE)
    with pytest.raises(OSError, match=r"model\.safetensors: wanted a regular file"):
        Checkpoint.open(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    message = r"wanted model\.safetensors or model\.safetensors\.index\.json, found neither"
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=message + "$"):
            Checkpoint.open(folder)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(FileNotFoundError, match=message + r"; pytorch_model\.bin is pickled, which npbert does not"):
        Checkpoint.open(tmp_path)
    (tmp_path / SINGLE).symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: a link that leads nowhere$"):
        Checkpoint.open(tmp_path)


INSTEAD = {
    "model.onnx": r"; found model\.onnx: not read here \(ONNX\): get the model's \.safetensors file, or make it with",
    "onnx/model.onnx": r"; found onnx/model\.onnx: not read here \(ONNX\)",
    "tf_model.h5": r"; found tf_model\.h5: not read here \(TensorFlow\)",
    "model.Q4_K.gguf": r"; found model\.Q4_K\.gguf: not read here \(GGUF\)",
    "model.pt": r"; found model\.pt: not read here \(pickled\)",
    "model-00001-of-00002.safetensors": r"; found model-00001-of-00002\.safetensors: shards need their index",
    "model.safetensors.incomplete": r"; model\.safetensors\.incomplete is of a download that was not finished: get it",
    ".cache/huggingface/download/x.1f.incomplete": r"; \.cache/huggingface/download/x\.1f\.incomplete is of a download",
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_a_folder_has_in_place_of_weights_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"index\.json, found neither" + INSTEAD[name]):
        Checkpoint.open(tmp_path)


def test_of_many_files_in_place_of_weights_some_are_named(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}{'x' * 200}.onnx").touch()
    (tmp_path / "flax_model.msgpack").touch()
    with pytest.raises(
        FileNotFoundError, match=r"found 00x{95}\.\.\., .* and 21 more: not read here \(ONNX, Flax\)"
    ) as error:
        Checkpoint.open(tmp_path)
    assert len(str(error.value)) < 1500


def test_an_unfinished_download_in_the_hubs_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1f.incomplete").touch()
    with pytest.raises(FileNotFoundError, match=r"; \.\./\.\./blobs/1f\.incomplete is of a download that was not"):
        Checkpoint.open(snapshot)


SAMPLE = save({"a": np.ones((2, 3), np.float32), "b.c": np.ones(4, np.float16), "d": np.arange(2)})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, len(SAMPLE)) | st.just(len(SAMPLE)),
    tail=st.binary(max_size=3),
)
def test_any_damage_is_an_error_or_harmless(
    tmp_path: Path, edits: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    content = bytearray(SAMPLE)
    for place, byte in edits:
        content[place] = byte
    try:
        with opened(tmp_path, bytes(content[:cut]) + tail) as checkpoint:
            for name in checkpoint:
                if checkpoint.dtype(name) in safetensors_file.FLOATS:
                    values = checkpoint.read(name)
                    assert values.shape == checkpoint.shape(name)
                    assert np.isfinite(values).all()
    except ValueError as error:
        assert str(tmp_path / SINGLE) in str(error)  # noqa: PT017 (damage may also be harmless)


def test_a_file_without_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library makes room for all of a file, which a limit on memory may refuse it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError("Cannot allocate memory (os error 12)")

    monkeypatch.setattr(safetensors_file, "safe_open", refuse)
    with pytest.raises(OSError, match=r"Cannot allocate memory \(os error 12\): .*model\.safetensors"):
        opened(tmp_path, {"w": np.zeros(3, np.float32)})
