"""Files that are read whole: what is no regular file, too long, or a link that leads nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from npbert.files.regular_file import check_bounded, exists, read_bounded


def test_a_file_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert read_bounded(path, 3) == b"abc"
    check_bounded(path, 3)
    for read in (read_bounded, check_bounded):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: wanted at most 2 bytes, found 3$"):
            read(path, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "a pointer of Git LFS in the place of the file: `git lfs pull`",
        ),
        (b"<!DOCTYPE html>\n<html>", "a server's answer in the place of the file, as where it has none: get it again$"),
        (b"Entry not found", "a server's answer in the place of the file"),
    ],
)
def test_what_stands_in_the_place_of_a_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    for read in (read_bounded, check_bounded):
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/vocab.txt: {message}"):
            read(tmp_path / "vocab.txt", 100)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zero"):
        path = tmp_path / name
        assert exists(path)
        for read in (read_bounded, check_bounded):
            with pytest.raises(OSError, match=f"^{re.escape(str(path))}: wanted a regular file$"):
                read(path, 10)


def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "ring").symlink_to("ring")
    (tmp_path / "file").write_bytes(b"")
    for inner in ("link", "link/a/b"):  # itself, or a folder on the way
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(tmp_path))}/link: a link that leads nowhere$"):
            exists(tmp_path / inner)
    with pytest.raises(FileNotFoundError, match=r"a link that leads nowhere"):
        read_bounded(tmp_path / "link", 1)
    with pytest.raises(OSError, match=r"ring"):
        exists(tmp_path / "ring")
    assert not exists(tmp_path / "none")
    assert not exists(tmp_path / "file" / "inner")
    assert exists(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 1)
