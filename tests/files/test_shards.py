"""Sharded safetensors: which file a tensor comes from, and which indexes are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from npbert.files.checkpoint import Checkpoint

INDEX = "model.safetensors.index.json"


def sharded(folder: Path, weight_map: dict[str, str]) -> Path:
    """Shards whose tensors hold their number: a is [0], b is [1], ..."""
    shards: dict[str, dict[str, NDArray[Any]]] = {}
    for number, (name, shard) in enumerate(weight_map.items()):
        shards.setdefault(shard, {})[name] = np.array([number], np.float32)
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard)
    return index_of(folder, weight_map)


def index_of(folder: Path, weight_map: Any) -> Path:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 12}, "weight_map": weight_map}))
    return folder


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


MAP = {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    with Checkpoint.open(sharded(tmp_path, MAP)) as checkpoint:
        assert {name: checkpoint.read(name).item() for name in checkpoint} == {"a": 0, "b": 1, "c": 2}
        assert checkpoint.path("c") == tmp_path / "1.safetensors"
        assert checkpoint.paths == [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]


def test_a_single_file_comes_before_an_index(tmp_path: Path) -> None:
    save_file({"only": np.ones(1, np.float32)}, sharded(tmp_path, MAP) / "model.safetensors")
    with Checkpoint.open(tmp_path) as checkpoint:
        assert list(checkpoint) == ["only"]


def test_links_of_the_hubs_cache(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "main"
    (tmp_path / "blobs").mkdir()
    snapshot.mkdir(parents=True)
    sharded(tmp_path / "blobs", MAP)
    for number, file in enumerate(sorted((tmp_path / "blobs").iterdir())):
        blob = file.rename(file.with_name(f"{number}"))
        (snapshot / file.name).symlink_to(Path("..") / ".." / "blobs" / blob.name)
    with Checkpoint.open(snapshot) as checkpoint:
        assert checkpoint.read("b").item() == 1


def test_a_missing_shard(tmp_path: Path) -> None:
    (sharded(tmp_path, MAP) / "2.safetensors").unlink()
    message = r"index\.json: wanted the shard 2\.safetensors beside it, found no such file, as a download that was not"
    with pytest.raises(FileNotFoundError, match=message):
        Checkpoint.open(tmp_path)


def test_a_shard_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    (sharded(tmp_path, MAP) / "2.safetensors").rename(tmp_path / "elsewhere")
    (tmp_path / "2.safetensors").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"2\.safetensors: a link that leads nowhere$"):
        Checkpoint.open(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    shorten(sharded(tmp_path, MAP) / "2.safetensors")
    with pytest.raises(ValueError, match=r"2\.safetensors: not a valid safetensors file: "):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", r"index\.json: weight_map: wanted an object of tensor names and shards, found nothing"),
        ('{"weight_map": {}}', "weight_map: wanted an object of tensor names and shards, found nothing"),
        ('{"weight_map": []}', "weight_map: wanted an object of tensor names and shards, found list"),
        ('{"weight_map": "x"}', "weight_map: wanted an object of tensor names and shards, found str"),
        (
            '{"weight_map": {"a": "1", "a": "2"}}',
            r"index\.json: not a valid JSON file: the key 'a' is given twice",
        ),
        ("[]", r"index\.json: wanted a JSON object, found list"),
        ("{", r"index\.json: not a valid JSON file"),
    ],
)
def test_a_damaged_index(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(ValueError, match=message):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    "shard",
    [
        "../x.safetensors",
        "/etc/x.safetensors",
        "inner/x.safetensors",
        "..\\x.safetensors",
        "C:x.safetensors",
        "C:\\x.safetensors",
        "x.safetensors:stream.safetensors",
        "./x.safetensors",
        "x.safetensors/",
        "x\0.safetensors",
        "..",
        ".",
        "",
        "x.bin",
        "x" * 10**6 + ".safetensors",
        3,
        None,
        ["x.safetensors"],
    ],
)
def test_a_shard_outside_the_folder(tmp_path: Path, shard: Any) -> None:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "inner"):
        save_file({"a": np.ones(1, np.float32)}, place / "x.safetensors")
    message = (
        r"index\.json: weight_map: a: wanted the bare name of a \.safetensors file beside the index, found .{,100}$"
    )
    with pytest.raises(ValueError, match=message):
        Checkpoint.open(index_of(folder, {"a": shard}))


def test_a_tensor_that_its_shard_lacks(tmp_path: Path) -> None:
    index_of(sharded(tmp_path, MAP), {**MAP, "d": "2.safetensors"})
    with pytest.raises(ValueError, match=r"index\.json: d: wanted in the shard 2\.safetensors, which does not hold it"):
        Checkpoint.open(tmp_path)


def test_the_index_says_which_of_two_is_meant(tmp_path: Path) -> None:
    shutil.copy(sharded(tmp_path, MAP) / "1.safetensors", tmp_path / "3.safetensors")
    save_file({"a": np.array([9], np.float32), "b": np.array([8], np.float32)}, tmp_path / "2.safetensors")
    with Checkpoint.open(tmp_path) as checkpoint:
        assert {name: checkpoint.read(name).item() for name in checkpoint} == {"a": 0, "b": 8, "c": 2}


def test_tensors_that_the_index_does_not_list(tmp_path: Path) -> None:
    index_of(sharded(tmp_path, MAP), {"a": "1.safetensors", "b": "2.safetensors"})
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.read("c").item() == 2
    save_file({"b": np.ones(1, np.float32), "c": np.ones(1, np.float32)}, tmp_path / "2.safetensors")
    message = r"index\.json: c: not in weight_map, yet in two shards, 1\.safetensors and 2\.safetensors"
    with pytest.raises(ValueError, match=message):
        Checkpoint.open(tmp_path)


def test_a_table_asks_for_its_own_file_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_of(tmp_path, {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"})
    save_file({name: np.ones((3, 2), np.float32) for name in "ab"}, tmp_path / "1.safetensors")
    save_file({"c": np.ones((3, 2), np.float32)}, tmp_path / "2.safetensors")
    with Checkpoint.open(tmp_path) as found:
        table = found.table("a")
        found.read("c")
        calls = []
        look = os.fstat
        monkeypatch.setattr(os, "fstat", lambda fd: calls.append(fd) or look(fd))
        table.descriptor()
        assert len(calls) == 1
        shorten(tmp_path / "2.safetensors")
        assert table[2].tolist() == [1, 1]
        shorten(tmp_path / "1.safetensors")
        with pytest.raises(OSError, match=r"1\.safetensors: the file has changed"):
            table[2]
