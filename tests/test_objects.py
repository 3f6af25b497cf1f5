"""The object store: cold and warm processes, damaged files, folders that can't be written or trusted."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from npbert_kernels import object_store
from npbert_kernels.cpu import compile as compile_module
from npbert_kernels.cpu import objects, warmup
from npbert_kernels.cpu.isa import selected
from npbert_kernels.object_store import ObjectCode
from test_layering import MODULES, imports

COMPILING = f"npbert: compiling kernels for {selected().name}, once on this machine (about 10 s) ...\n"
ROOT = hasattr(os, "getuid") and os.getuid() == 0

USE = """
import sys
from npbert_kernels.cpu import elf, fma_rates, warmup
assert min(fma_rates(0.001)) > 1e8
assert "numba" not in sys.modules
assert not (elf.knows_this_machine() and "llvmlite" in sys.modules)
print(warmup() or "")
"""
# Compiling takes ten seconds; in its place the code that this session has compiled before.
QUICK = """
import os
from npbert_kernels.cpu import library
from npbert_kernels.object_store import ObjectCode
library.compiled = lambda isa: ObjectCode.from_bytes(open(os.environ["COMPILED"], "rb").read())
"""


@pytest.fixture(scope="module")
def compiled() -> Path:
    path = warmup()
    assert path is not None
    return path


@pytest.fixture
def use(compiled: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """use(folder, before="") -> a process that needs the kernels, with its store in that folder; it ended well."""

    def in_a_process(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NPBERT_KERNEL_CACHE": str(folder), "COMPILED": str(compiled)}
        command = [sys.executable, "-c", QUICK + before + USE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
        return done

    return in_a_process


def private(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    folder.chmod(0o700)
    return folder


def test_two_cold_processes_then_a_warm_one(tmp_path: Path) -> None:
    """Nothing is faked here. Both compile, both work, one file is left, and what comes next compiles nothing."""
    folder, elsewhere = tmp_path / "new" / "kernels", private(tmp_path / "elsewhere")
    (elsewhere / "numba.py").write_text("raise ImportError('a file of the user, not numba')\n")
    program = tmp_path / "program.py"
    program.write_text(USE)
    command = [sys.executable, str(program)]
    environment = {**os.environ, "NPBERT_KERNEL_CACHE": str(folder), "NUMBA_DISABLE_JIT": "1"}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environment, cwd=elsewhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    both = [started(), started()]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert err == COMPILING
        assert out.strip() == str(folder / objects.name(selected()))
    (file,) = folder.iterdir()
    if hasattr(os, "getuid"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.stat()

    warm = started()
    out, err = warm.communicate(timeout=60)
    assert (warm.returncode, err, out.strip()) == (0, "", str(file))
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def header(data: bytes) -> int:
    return data.index(b"\n")


def other_symbol(data: bytes) -> bytes:
    return ObjectCode("no_such_function", ObjectCode.from_bytes(data).code).to_bytes()


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
    "other fields": lambda data: b'{"symbol": 1, "sha256": 2}\n' + data,
    "another symbol, and the digest fits": other_symbol,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_replaced(
    damage: str, use: Callable[..., subprocess.CompletedProcess[str]], compiled: Path, tmp_path: Path
) -> None:
    good = compiled.read_bytes()
    bad = DAMAGE[damage](good)
    assert bad != good
    file = private(tmp_path / "kernels") / compiled.name
    file.write_bytes(bad)
    file.chmod(0o600)
    assert use(file.parent).stderr == COMPILING
    assert file.read_bytes() == good
    assert use(file.parent).stderr == ""
    assert list(file.parent.iterdir()) == [file]


def cant_be_written(folder: Path) -> str:
    return COMPILING + (
        f"npbert: {folder} can't be written, or not by this user alone, so the next process will compile again;"
        " NPBERT_KERNEL_CACHE names another folder\n"
    )


def test_a_folder_that_can_t_be_made(use: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "kernels"
    done = use(folder)
    assert done.stderr == cant_be_written(folder)
    assert done.stdout.strip() == ""


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_folder_that_can_t_be_written(use: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    folder = private(tmp_path / "kernels")
    folder.chmod(0o500)
    assert use(folder).stderr == cant_be_written(folder)


def test_a_full_disk(use: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """What was written of the file is taken away again."""
    folder = private(tmp_path / "kernels")
    full = """
import errno
def replace(source, target):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.replace = replace
"""
    assert use(folder, full).stderr == cant_be_written(folder)
    assert list(folder.iterdir()) == []


POSIX = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are POSIX's")


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write(
    mode: int, use: Callable[..., subprocess.CompletedProcess[str]], compiled: Path, tmp_path: Path
) -> None:
    """What lies there is not run, though it is whole, and nothing is put there."""
    folder = private(tmp_path / "kernels")
    shutil.copy(compiled, folder)
    folder.chmod(mode)
    before = (folder / compiled.name).stat()
    assert use(folder).stderr == cant_be_written(folder)
    after = (folder / compiled.name).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@POSIX
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write(
    mode: int, use: Callable[..., subprocess.CompletedProcess[str]], compiled: Path, tmp_path: Path
) -> None:
    folder = private(tmp_path / "kernels")
    file = Path(shutil.copy(compiled, folder))
    file.chmod(mode)
    assert use(folder).stderr == COMPILING
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert use(folder).stderr == ""


@POSIX
@pytest.mark.parametrize("which", ["folder", "file"])
def test_another_owner(
    which: str, use: Callable[..., subprocess.CompletedProcess[str]], compiled: Path, tmp_path: Path
) -> None:
    """As root, what belongs to another; else, this process believes to be another."""
    folder = private(tmp_path / "kernels")
    file = Path(shutil.copy(compiled, folder))
    file.chmod(0o600)
    assert use(folder).stderr == ""
    if ROOT:
        os.chown(folder if which == "folder" else file, 54321, 54321)
        assert use(folder).stderr == (cant_be_written(folder) if which == "folder" else COMPILING)
    else:
        someone = f"os.getuid = lambda: {os.getuid() + 1}\n"
        assert use(folder, someone).stderr == cant_be_written(folder)


def test_the_name_is_a_hash_of_all_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every module that compiled code comes from, found by what the entry imports, and of how it is compiled."""
    package = "npbert_kernels.cpu"
    seen, found = set(), {f"{package}.kernels.entry", f"{package}.compile"}
    while found:
        module = found.pop()
        seen.add(module)
        if module != f"{package}.compile":
            found |= {name for name in imports(module) if name.startswith(f"{package}.") and name in MODULES} - seen
    assert {f"{package}.isa", f"{package}.layout", f"{package}.kernels.ukernel"} <= seen

    here = Path(objects.__file__).parent
    copy = tmp_path / "cpu"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(objects, "__file__", str(copy / "objects.py"))
    name = objects.name(selected())
    for module in seen:
        source = copy / MODULES[module].relative_to(here)
        before = source.read_bytes()
        source.write_bytes(before + b"\n")
        assert objects.name(selected()) != name, module
        source.write_bytes(before)
        assert objects.name(selected()) == name


def test_the_name_is_a_hash_of_compiler_and_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    isa = selected()
    name = objects.name(isa)
    cpu, features = objects.host()
    assert name.startswith(f"{isa.name}-")
    for attribute, other in (
        ("_version", lambda package: b"0.0"),
        ("host", lambda: ("another", features)),
        ("host", lambda: (cpu, features | {"another"})),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(objects, attribute, other)
            assert objects.name(isa) != name


def test_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", "/chosen")
    assert object_store.folder() == Path("/chosen")
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", "")
    assert object_store.folder() == Path("/home/someone/.cache/npbert/kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert object_store.folder() == Path("/cache/npbert/kernels")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert object_store.folder() == Path("/home/someone/Library/Caches/npbert/kernels")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert object_store.folder() == Path("/local/npbert/kernels")


def test_what_does_not_compile_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho one >&2\necho 'TypeError: the reason' >&2\nexit 1\n")
    failing.chmod(0o700)
    monkeypatch.setattr(compile_module.sys, "executable", str(failing))
    with pytest.raises(RuntimeError, match=rf"could not be compiled for {selected().name}: TypeError: the reason$"):
        compile_module.compiled(selected())
    failing.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RuntimeError, match=r"exit status 3$"):
        compile_module.compiled(selected())


def test_an_object_is_what_it_was() -> None:
    code = ObjectCode("symbol", b"\n\x00code\n{}\n")
    data = code.to_bytes()
    assert ObjectCode.from_bytes(data) == code
    assert set(json.loads(data[: header(data)])) == {"symbol", "sha256"}
