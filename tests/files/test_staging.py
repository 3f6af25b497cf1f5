"""Saves: all files of one take their places, or none, and an error names the file's place."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import npbert
from npbert.files.staging import staged, write_text


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, *steps: str | BaseException) -> None:
    """Files of these names, or an error."""
    with staged(folder) as stage:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            (stage / step).parent.mkdir(exist_ok=True)
            write_text(stage / step, step)


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file may have more bytes, nor does the system's error name it."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_files_take_their_places_together(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with staged(folder) as stage:
        write_text(stage / "new", "new")
        (stage / "inner").mkdir()
        write_text(stage / "inner" / "file", "é")
        assert not (folder / "new").exists()
    assert contents(folder) == {"new": b"new", "inner/file": "é".encode()}
    with pytest.raises(KeyboardInterrupt):
        write(folder, "new", KeyboardInterrupt())
    assert contents(folder) == {"new": b"new", "inner/file": "é".encode()}
    assert sorted(os.listdir(folder)) == ["inner", "new"]


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    where = f"{re.escape(str(tmp_path / 'second'))}'$"
    with pytest.raises(IsADirectoryError, match=where):
        write(tmp_path, "first", "second")
    assert os.listdir(tmp_path) == ["second"]


@pytest.mark.parametrize("link", [False, True])
def test_a_file_in_the_place_of_a_folder(link: bool, tmp_path: Path) -> None:
    """Told before a file is moved; also a link that leads nowhere."""
    place = tmp_path / "second"
    place.symlink_to("nowhere") if link else place.touch()
    with pytest.raises(NotADirectoryError, match=f"{re.escape(str(place))}'$"):
        write(tmp_path, "first/file", "second/file")
    assert os.listdir(tmp_path) == ["second"]


def test_folders_on_the_way_go_as_well(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for names, error in ((("b", "c"), KeyError()), (("b", "c", "n" * 300), OSError())):
        with pytest.raises(type(error)):
            write(tmp_path.joinpath("a", *names), "file", error)
        assert not os.listdir(tmp_path / "a")


@pytest.mark.parametrize("path", ["", "a\0b", 3, b"a"], ids=repr)
def test_what_is_no_path(path: object, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is saved into the working directory that was not named."""
    monkeypatch.chdir(tmp_path)
    model = npbert.SentenceTransformer(encoder, backend="reference")
    for saved in (model, model.model, model.tokenizer, model.model.config):
        with pytest.raises(ValueError, match=f": wanted a path, found {re.escape(repr(path))}$"):
            saved.save_pretrained(path)
    assert not os.listdir(tmp_path)


def test_a_link_is_replaced_and_what_it_leads_to_is_left(tmp_path: Path) -> None:
    """As in the hub's cache, whose blobs other snapshots share."""
    (tmp_path / "blob").write_text("blob")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").symlink_to("../blob")
    with staged(tmp_path / "model") as stage:
        write_text(stage / "config.json", "{}")
    assert (tmp_path / "blob").read_text() == "blob"
    assert contents(tmp_path / "model") == {"config.json": b"{}"}


@pytest.mark.parametrize(("most", "file"), [(100, "config.json"), (4000, "model.safetensors")])
def test_a_full_disk(most: int, file: str, encoder: Path, tmp_path: Path) -> None:
    """What was there stays, whole; of a new folder nothing is left."""
    there, new = tmp_path / "there", tmp_path / "new"
    shutil.copytree(encoder, there)
    before = contents(there)
    model = npbert.SentenceTransformer(encoder, backend="reference")
    for saved in (model, model.model):
        for folder in (there, new):
            with full_disk(most), pytest.raises(OSError, match=f"{re.escape(str(folder / file))}'$") as caught:
                saved.save_pretrained(folder)
            assert caught.value.errno == errno.EFBIG
    assert contents(there) == before
    assert not new.exists()


def test_a_model_is_saved_where_it_was_read(encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "model")
    model = npbert.SentenceTransformer(tmp_path / "model", backend="reference")
    wanted = model.encode("a b c")
    model.save_pretrained(tmp_path / "model")
    assert (model.encode("a b c") == wanted).all()
    assert (npbert.SentenceTransformer(tmp_path / "model", backend="reference").encode("a b c") == wanted).all()
