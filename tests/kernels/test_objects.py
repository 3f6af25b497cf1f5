"""The CPU's kernels in the store: cold and warm processes, and the name that they are stored by."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from imports import MODULES, imports
from npbert_kernels import store_lock
from npbert_kernels.cpu import library, objects, warmup
from npbert_kernels.cpu.isa import ISA, X86, selected
from npbert_kernels.cpu.library import TAKES
from npbert_kernels.object_store import ObjectCode

from npbert.cli.main import main

MINE = selected().name
COMPILING = f"npbert: compiling kernels for {MINE} ({TAKES}; once on this machine) ...\n"
COMPILED = rf"npbert: compiled kernels for {MINE} in \d+ s\n"
WAITING = f"npbert: waiting for another process that compiles kernels for {MINE} ...\n"

USE = """
import sys
from npbert_kernels.cpu import elf, fma_rates, warmup
assert min(fma_rates(0.001)) > 1e8
assert "numba" not in sys.modules
assert not (elf.knows_this_machine() and "llvmlite" in sys.modules)
print(warmup())
"""


def test_two_cold_processes_then_a_warm_one(tmp_path: Path) -> None:
    """Nothing is faked here. One compiles, the other waits for it, both work, and what comes next compiles nothing."""
    folder, elsewhere = tmp_path / "new" / "kernels", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "numba.py").write_text("raise ImportError('a file of the user, not numba')\n")
    program = tmp_path / "program.py"
    program.write_text(USE)
    command = [sys.executable, str(program)]
    environment = {**os.environ, "NPBERT_KERNEL_CACHE": str(folder), "NUMBA_DISABLE_JIT": "1"}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=elsewhere,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=0o22,
        )

    both = [started(), started()]
    said = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out.strip() == str(folder / objects.name(selected()))
        said.append(err)
    first, second = sorted(said)
    assert re.fullmatch(re.escape(COMPILING) + COMPILED, first)
    assert second == WAITING
    assert {file.name for file in folder.iterdir()} == {objects.name(selected()), store_lock.NAME}
    file = folder / objects.name(selected())
    if hasattr(os, "geteuid"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
    before = file.stat()

    warm = started()
    out, err = warm.communicate(timeout=60)
    assert (warm.returncode, err, out.strip()) == (0, "", str(file))
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_code_without_the_function_is_compiled_anew(tmp_path: Path) -> None:
    """By a compiler that gives what this session has compiled before, for the real one takes its time."""
    good = warmup().read_bytes()
    file = tmp_path / warmup().name
    file.write_bytes(ObjectCode("no_such_function", ObjectCode.from_bytes(good).code).to_bytes())
    quick = f"""
import os
from npbert_kernels.cpu import library
from npbert_kernels.object_store import ObjectCode
library.compiled = lambda isa: ObjectCode.from_bytes(open({str(warmup())!r}, "rb").read())
"""
    environment = {**os.environ, "NPBERT_KERNEL_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", quick + USE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    unused = f"npbert: stored kernels are not used: {file}: no symbol no_such_function\n"
    assert re.fullmatch(re.escape(unused + COMPILING) + COMPILED, done.stderr)
    assert file.read_bytes() == good


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX's")
def test_warmup_does_not_say_ready_of_what_nobody_will_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the file is there; and it does not compile for nothing."""
    shutil.copy(warmup(), tmp_path)
    tmp_path.chmod(0o777)
    monkeypatch.setenv("NPBERT_KERNEL_CACHE", str(tmp_path))
    assert main(["warmup"]) == 1
    said = f"npbert: error: the next process would compile the kernels again: {tmp_path} is not trusted: everybody may"
    assert capsys.readouterr() == ("", f"{said} write to it\n")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners are POSIX's")
def test_warmup_by_the_environment_s_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels are there for all who use the environment, and for this user in other environments."""
    stored = warmup()
    monkeypatch.delenv("NPBERT_KERNEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    mine, ours = tmp_path / "cache/npbert/kernels", tmp_path / "share/npbert/kernels"
    mine.mkdir(parents=True)
    shutil.copy(stored, mine)  # else the real compiler would run
    assert warmup() == ours / stored.name
    assert (ours / stored.name).read_bytes() == (mine / stored.name).read_bytes() == stored.read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of another user"))
    monkeypatch.setattr(library, "compiled", lambda isa: pytest.fail("compiled once more"))
    assert library.kernels().loaded()


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
    assert name.startswith(f"{isa.name}-")
    with monkeypatch.context() as changed:
        changed.setattr(objects, "_version", lambda package: b"0.0")
        assert objects.name(isa) != name
    host = isa._replace(target=None, features="")
    name, (cpu, features) = objects.name(host), objects.host()
    for other in (("another", features), (cpu, features | {"another"})):
        with monkeypatch.context() as changed:
            changed.setattr(objects, "host", lambda other=other: other)
            assert objects.name(host) != name


@pytest.mark.parametrize("isa", [isa for isa in X86 if isa.target], ids=lambda isa: isa.name)
def test_what_is_compiled_for_a_target_is_for_any_cpu_that_has_it(isa: ISA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever model it is, and whatever else it can."""
    name = objects.name(isa)
    monkeypatch.setattr(objects, "host", lambda: ("another", frozenset({"everything"})))
    assert objects.name(isa) == name
    for change in ({"target": "another"}, {"features": "+another"}, {"name": "another"}):
        assert objects.name(isa._replace(**change)) != name
    monkeypatch.setattr(sys, "platform", "another")
    assert objects.name(isa) != name
