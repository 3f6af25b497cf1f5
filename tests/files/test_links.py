"""Links out of a model's folder: those that people and tools make are followed, and no others."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from npbert.files.hub import Folder

CONTENT = '{"secret": 1}'
DIGEST = "c0ffee" * 5

# Where a folder's file leads to, as from the folder; (file, target).
FOLLOWED = {
    "within the folder": ("config.json", "configs/v2"),
    "a mounted ConfigMap": ("config.json", "..data/config.json"),
    "the same name": ("vocab.txt", "../shared/vocab.txt"),
    "a longer name, as Nix has it": ("config.json", "../store/p3vkbhx-config.json"),
    "of DVC": ("config.json", f"../.dvc/cache/files/md5/a1/{DIGEST}"),
    "of git-annex": (
        "config.json",
        f"../.git/annex/objects/x/SHA256E-s9--{DIGEST * 2}.json/SHA256E-s9--{DIGEST * 2}.json",
    ),
    "weights": ("model.safetensors", "../shared/bert"),
    "a folder of the same files": ("1_Pooling/config.json", "../shared/mean/config.json"),
}
REFUSED = {
    "another name": ("config.json", "../credentials.json"),
    "of another kind": ("vocab.txt", "../.env"),
    "in another folder": ("1_Pooling/config.json", "../secrets/pooling"),
    "a short number": ("config.json", "../session/c0ffee"),
}


def linked(tmp_path: Path, file: str, target: str) -> Folder:
    folder = tmp_path / "model"
    place = folder / target
    (folder / file).parent.mkdir(parents=True)
    os.makedirs(place.parent, exist_ok=True)
    place.write_text(CONTENT)
    (folder / file).symlink_to(os.path.relpath(place, (folder / file).parent))
    return Folder(folder)


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed(name: str, tmp_path: Path) -> None:
    file, target = FOLLOWED[name]
    folder = linked(tmp_path, file, target)
    assert folder.has(file)
    assert folder.values(file) == {"secret": 1}
    inner, _, last = file.rpartition("/")
    assert folder.inner(inner).has(last)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    """The message says where the link leads, and nothing of what stands there."""
    file, target = REFUSED[name]
    folder = linked(tmp_path, file, target)
    place = os.path.realpath(folder / target)
    for look in (folder.has, folder.json):
        with pytest.raises(OSError, match=f"^{re.escape(str(folder / file))}: a link that leads out of the") as caught:
            look(file)
        assert str(caught.value).endswith(f"found {place}")
        assert "secret" not in str(caught.value).replace(place, "")


def test_a_folder_on_the_way_is_a_link(tmp_path: Path) -> None:
    """It is the file's own name that counts."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text(CONTENT)
    (tmp_path / "secret").write_text(CONTENT)
    (tmp_path / "elsewhere" / "vocab.txt").symlink_to("../secret")
    (folder / "1_Pooling").symlink_to("../elsewhere")
    inner = Folder(folder).inner("1_Pooling")
    assert inner.has("config.json")
    with pytest.raises(OSError, match=r"1_Pooling/vocab\.txt: a link that leads out of the model's folder"):
        inner.has("vocab.txt")


def test_the_hubs_cache_whatever_a_mirror_calls_its_blobs(tmp_path: Path) -> None:
    for name in ("blobs", "snapshots/main/sub"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "blobs" / "etag").write_text(CONTENT)
    (tmp_path / "snapshots/main/sub/config.json").symlink_to("../../../blobs/etag")
    (tmp_path / "named").symlink_to(tmp_path / "snapshots" / "main")
    for folder in (Folder(tmp_path / "snapshots" / "main").inner("sub"), Folder(tmp_path / "named" / "sub")):
        assert folder.values("config.json") == {"secret": 1}
