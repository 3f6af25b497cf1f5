"""Compiled kernels on disk: where they are, whom they are taken from, what is in a file's place, who may use what."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from npbert_kernels import object_store
from npbert_kernels.object_store import PART, STALE, ObjectCode, Place

KERNELS = ObjectCode("npbert_entry", b"\n\x00code\n{}\n" * 100)
NAME = "avx2-0123.o"
POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are POSIX's")
AS_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another")


def refusal(place: Place) -> str:
    """Why its kernels are not used."""
    with pytest.raises(OSError, match=r".") as caught:
        place.read(NAME)
    return str(caught.value)


def test_an_object_is_what_it_was() -> None:
    data = KERNELS.to_bytes()
    assert ObjectCode.from_bytes(data) == KERNELS
    assert set(json.loads(data[: header(data)])) == {"symbol", "digest"}


def test_what_was_stored_is_read(tmp_path: Path) -> None:
    place = Place(tmp_path / "new" / "kernels")
    with pytest.raises(FileNotFoundError):
        place.read(NAME)
    assert place.write(NAME, KERNELS) == place.folder / NAME
    assert place.read(NAME) == KERNELS
    assert [file.name for file in place.folder.iterdir()] == [NAME]


# What is in a file ------------------------------------------------------------------------------------------


def header(data: bytes) -> int:
    return data.index(b"\n")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "header alone": lambda data: data[: header(data)],
    "truncated in the header": lambda data: data[: header(data) // 2],
    "truncated in the code": lambda data: data[: len(data) // 2],
    "the last byte gone": lambda data: data[:-1],
    "a byte more": lambda data: data + b"\0",
    "all zeros": lambda data: bytes(len(data)),
    "a bit of the symbol": lambda data: flipped(data, data.index(b"npbert")),
    "a bit of the digest": lambda data: flipped(data, header(data) - 5),
    "a bit of the code": lambda data: flipped(data, len(data) // 2),
    "the last bit": lambda data: flipped(data, len(data) - 1),
    "no text": lambda data: b"\xff\xfe" + data,
    "a list": lambda data: b"[]\n" + data,
    "lists in lists": lambda data: b"[" * 100_000 + b"\n" + data,
    "other fields": lambda data: b'{"symbol": 1, "digest": 2}\n' + data,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file(damage: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "kernels")
    file = place.write(NAME, KERNELS)
    file.write_bytes(DAMAGE[damage](KERNELS.to_bytes()))
    assert refusal(place).startswith(f"{file} is damaged: ")
    place.write(NAME, KERNELS)
    assert place.read(NAME) == KERNELS


def test_a_file_as_large_as_none_is(tmp_path: Path) -> None:
    """It is not read at all."""
    place = Place(tmp_path / "kernels")
    file = place.write(NAME, KERNELS)
    os.truncate(file, object_store.LARGEST + 1)
    assert refusal(place) == f"{file} is no file of kernels"


# What is in a file's place ----------------------------------------------------------------------------------


IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link": lambda path: path.symlink_to(shutil.copy(path.with_name("whole"), path.with_name("whole.o"))),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@POSIX
@pytest.mark.parametrize("kind", IN_ITS_PLACE)
def test_what_is_no_file_is_replaced(kind: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "kernels")
    place.write("whole", KERNELS)
    IN_ITS_PLACE[kind](place.folder / NAME)
    assert refusal(place) == f"{place.folder / NAME} is no regular file"
    file = place.write(NAME, KERNELS)
    assert stat.S_ISREG(file.lstat().st_mode)
    assert place.read(NAME) == KERNELS


def test_a_folder_with_something_in_it_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path / "kernels")
    (place.folder / NAME / "something").mkdir(parents=True)
    with pytest.raises(OSError, match=r"avx2-0123\.o is a folder: remove it$"):
        place.write(NAME, KERNELS)
    assert [file.name for file in place.folder.iterdir()] == [NAME]


def test_a_store_in_the_place_of_which_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "kernels"):
        with pytest.raises(OSError, match=rf"^{folder} can't be written: "):
            Place(folder).write(NAME, KERNELS)
    assert refusal(Place(tmp_path / "file")) == f"{tmp_path / 'file' / NAME} can't be read: Not a directory"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of the file is taken away again."""

    def replace(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match=rf"^{tmp_path} can't be written: No space left on device$"):
        Place(tmp_path).write(NAME, KERNELS)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    """Once they are old: another process may be writing its part."""
    now = time.time()
    for name, age in ((f"{PART}old", STALE + 60), (f"{PART}young", STALE - 60), ("old.o", STALE + 60)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (now - age, now - age))
    Place(tmp_path).write(NAME, KERNELS)
    assert {file.name for file in tmp_path.iterdir()} == {f"{PART}young", "old.o", NAME}


# Whom it is taken from --------------------------------------------------------------------------------------

ME, ROOT, OWNER, OTHER = 1000, 0, 70, 666  # users; OWNER is the one of npbert's own folder
MINE, ROOTS, OWNERS, OTHERS = 1000, 0, 70, 666  # groups


def status(mode: int, user: int, group: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, user, group, 0, 0, 0, 0))


@POSIX
@pytest.mark.parametrize(
    ("user", "group", "mode", "why"),
    [
        (ME, MINE, 0o600, None),
        (ME, OTHERS, 0o644, None),
        (ROOT, ROOTS, 0o644, None),
        (OWNER, OWNERS, 0o644, None),
        (OTHER, OTHERS, 0o644, "it belongs to user 666, who is neither this user nor root nor the owner of npbert"),
        (OTHER, ROOTS, 0o664, "it belongs to user 666, who is neither this user nor root nor the owner of npbert"),
        (ME, ROOTS, 0o664, None),
        (ROOT, ROOTS, 0o775, None),
        (ME, OWNERS, 0o664, None),
        (ME, MINE, 0o664, "group 1000 may write to it"),
        (ROOT, OTHERS, 0o664, "group 666 may write to it"),
        (ME, MINE, 0o646, "everybody may write to it"),
        (ROOT, ROOTS, 0o1777, "everybody may write to it"),
        (OTHER, OTHERS, 0o777, "everybody may write to it"),
    ],
)
def test_who_may_have_written_it(
    user: int, group: int, mode: int, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule for a file, and for a folder that nobody named: npbert's folder is OWNER's and its group may write."""
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(object_store, "_own_folder", lambda: status(0o775, OWNER, OWNERS))
    path, given = Path("/place/file"), status(mode, user, group)
    if why is None:
        object_store._refuse(path, given)
    else:
        with pytest.raises(OSError, match=rf"^{path} is not trusted: {why}$"):
            object_store._refuse(path, given)


@POSIX
@pytest.mark.parametrize("user", [ME, ROOT, OTHER])
@pytest.mark.parametrize(("mode", "trusted"), [(0o755, True), (0o2775, True), (0o777, False), (0o1777, False)])
def test_a_folder_that_was_named(user: int, mode: int, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be somebody else's or a group's, for a file in it is taken from the same as elsewhere."""
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    given = status(mode, user, OTHERS)
    if trusted:
        object_store._refuse(Path("/place"), given, named=True)
    else:
        with pytest.raises(OSError, match=r"^/place is not trusted: everybody may write to it$"):
            object_store._refuse(Path("/place"), given, named=True)


@POSIX
def test_a_group_that_may_not_write_npbert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(object_store, "_own_folder", lambda: status(0o755, OWNER, OWNERS))
    with pytest.raises(OSError, match="group 70 may write to it"):
        object_store._refuse(Path("/place/file"), status(0o664, ME, OWNERS))


@pytest.mark.skipif(not hasattr(os, "listxattr"), reason="access control lists are Linux's")
def test_an_access_control_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a group's right to write it may make anybody's."""
    monkeypatch.setattr(os, "listxattr", lambda path: ["system.posix_acl_access"])
    object_store._refuse(Path("/place/file"), status(0o644, os.geteuid(), ROOTS))
    with pytest.raises(OSError, match="group 0 may write to it"):
        object_store._refuse(Path("/place/file"), status(0o664, os.geteuid(), ROOTS))


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can reach, as they can't reach a test's own."""
    folder = Path(tempfile.mkdtemp(prefix="npbert-"))
    folder.chmod(0o755)
    before = os.umask(0o022)
    yield folder
    os.umask(before)
    shutil.rmtree(folder)


def as_user(user: int, group: int, do: Callable[[], object]) -> str:
    """What do gives, or the error that it ends with, in a process of that user with the umask 002."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setgid(group)
            os.setuid(user)
            os.umask(0o002)
            said = str(do())
        except BaseException as error:
            said = str(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, encoding="utf-8") as pipe:
        return pipe.read()


@AS_ROOT
def test_what_root_stores_serves_all_users(shared: Path) -> None:
    place = Place(shared / "kernels")
    file = place.write(NAME, KERNELS)
    assert (stat.S_IMODE(place.folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o755, 0o644)
    assert as_user(OTHER, OTHERS, lambda: place.read(NAME)) == str(KERNELS)
    assert as_user(OTHER, OTHERS, place.prepare) == f"{place.folder} can't be written by this user"
    file.chmod(0o600)
    assert as_user(OTHER, OTHERS, lambda: place.read(NAME)) == f"{file} can't be read: Permission denied"
    file.chmod(0o644)
    place.folder.chmod(0o700)
    assert as_user(OTHER, OTHERS, lambda: place.read(NAME)) == f"{file} can't be read: Permission denied"


@AS_ROOT
@pytest.mark.parametrize(("owner", "named"), [(0, False), (0, True), (1001, True)])
def test_an_image_that_runs_as_any_user_of_group_0(owner: int, named: bool, shared: Path) -> None:
    """As OpenShift's: chgrp -R 0, chmod -R g=u, and a user that the image doesn't know."""
    place = Place(shared / "kernels", named)
    file = place.write(NAME, KERNELS)
    os.chown(place.folder, owner, 0)
    for path in (place.folder, file):
        path.chmod(0o775 if path.is_dir() else 0o664)
    assert as_user(1000650000, 0, lambda: place.read(NAME)) == str(KERNELS)
    mine = ObjectCode("another", b"code")
    assert as_user(1000650000, 0, lambda: (place.write(NAME, mine), place.read(NAME))[1]) == str(mine)
    assert (file.stat().st_uid, file.stat().st_gid, stat.S_IMODE(file.stat().st_mode)) == (1000650000, 0, 0o644)


@AS_ROOT
def test_an_image_whose_packages_are_a_user_s(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What their owner warmed serves whoever runs them, and nobody else's does."""
    place = Place(shared / "kernels")
    file = place.write(NAME, KERNELS)
    os.chown(place.folder, 1001, 0)
    os.chown(file, 1001, 0)
    not_trusted = "is not trusted: it belongs to user 1001, who is neither this user nor root nor the owner of npbert"
    assert as_user(1000650000, 0, lambda: place.read(NAME)) == f"{place.folder} {not_trusted}"
    named = Place(place.folder, named=True)
    assert as_user(1000650000, 0, lambda: named.read(NAME)) == f"{file} {not_trusted}"
    assert refusal(place) == f"{place.folder} {not_trusted}"  # not even by root
    monkeypatch.setattr(object_store, "_own_folder", lambda: status(0o775, 1001, 0))
    assert as_user(1000650000, 0, lambda: place.read(NAME)) == str(KERNELS)


@AS_ROOT
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_folder_that_everybody_may_write(mode: int, shared: Path) -> None:
    """Nothing is read or stored there; but in a new folder in it."""
    place = Place(shared / "kernels", named=True)
    file = place.write(NAME, KERNELS)
    place.folder.chmod(mode)
    before = file.stat()
    said = f"{place.folder} is not trusted: everybody may write to it"
    for do in (lambda: place.read(NAME), lambda: place.write(NAME, KERNELS)):
        assert as_user(OTHER, OTHERS, do) == said
    assert file.stat() == before
    within = Place(place.folder / "mine", named=True)
    assert as_user(OTHER, OTHERS, lambda: (within.write(NAME, KERNELS), within.read(NAME))[1]) == str(KERNELS)


@AS_ROOT
def test_who_got_to_a_place_first_is_not_trusted(shared: Path) -> None:
    """/tmp/kernels may be named by anybody's settings, and made by anybody."""
    place = Place(shared / "kernels", named=True)
    shared.chmod(0o1777)
    as_user(OTHER, OTHERS, lambda: place.write(NAME, KERNELS))
    assert refusal(place).endswith("it belongs to user 666, who is neither this user nor root nor the owner of npbert")
    assert as_user(ME, MINE, lambda: place.read(NAME)) == refusal(place)
    assert as_user(ME, MINE, place.prepare) == f"{place.folder} can't be written by this user"


@POSIX
def test_folders_are_made_for_one_writer(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = Place(tmp_path / "cache" / "npbert" / "kernels").write(NAME, KERNELS)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, *list(file.parents)[:3])]
    assert modes == [0o644, 0o755, 0o755, 0o755]


# Where they are ---------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment of this user's, whose home is tmp_path/home."""
    monkeypatch.delenv("NPBERT_KERNEL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "environment").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    return tmp_path


def folders() -> list[Path]:
    return [place.folder for place in object_store.places()]


def test_the_user_s_folder(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders()[0] == environment / "home/.cache/npbert/kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert folders()[0] == Path("/cache/npbert/kernels")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert folders()[0] == environment / "home/Library/Caches/npbert/kernels"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert folders()[0] == Path("/local/npbert/kernels")


def test_a_folder_with_a_name(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only one, to read and to write; an empty name is none."""
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", "/chosen")
    chosen = Place(Path("/chosen"), named=True)
    assert object_store.places() == object_store.places_to_warm() == [object_store.place_to_write()] == [chosen]
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", "~/kernels")
    assert folders() == [environment / "home/kernels"]
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", "")
    assert folders()[0] == environment / "home/.cache/npbert/kernels"


@POSIX
def test_the_environment_s_folder(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read after the user's, and written by who warms the environment that is theirs."""
    ours, mine = environment / "environment/share/npbert/kernels", environment / "home/.cache/npbert/kernels"
    assert folders() == [mine, ours]
    assert object_store.place_to_write().folder == mine
    assert [place.folder for place in object_store.places_to_warm()] == [ours, mine]
    with monkeypatch.context() as changed:
        changed.setattr(os, "geteuid", lambda: OTHER)
        assert [place.folder for place in object_store.places_to_warm()] == [mine]


@POSIX
def test_a_user_without_a_home(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that an image doesn't know: no folder named ~ is made where the process runs."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert folders() == [environment / "environment/share/npbert/kernels"]
    assert [place.folder for place in object_store.places_to_warm()] == folders()
    with pytest.raises(OSError, match=r"^this user has no home folder to store kernels in$"):
        object_store.place_to_write()
