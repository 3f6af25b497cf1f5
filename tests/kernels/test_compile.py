"""The process that compiles: what else is printed there, how it ends, what Python it is.

The kernels are others, which take no time: `kernels_like` makes a copy of the package with them. tests/test_objects.py
compiles the real ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from npbert_kernels.cpu import compile as compile_module
from npbert_kernels.cpu.compile import compiled, interpreter
from npbert_kernels.cpu.isa import selected
from npbert_kernels.object_store import ObjectCode

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes are POSIX's")
FAILED = rf"^the kernels could not be compiled for {selected().name}: "

KERNELS = """
import sys
from types import SimpleNamespace
library = SimpleNamespace(serialize_using_object_code=lambda: (0, 0, (b"code" * 50_000, 0)))
result = SimpleNamespace(library=library, fndesc=SimpleNamespace(llvm_func_name="symbol"))
run = SimpleNamespace(compile=lambda args: before(), overloads={0: result})
ENTRY_SIGNATURE = SimpleNamespace(args=())
def before():
    pass
"""
CODE = ObjectCode("symbol", b"code" * 50_000)  # more than a pipe holds

Kernels = Callable[[str], Path]


@pytest.fixture
def kernels_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """kernels_like(source) -> a folder that Python imports from, with kernels whose module ends in that source."""
    own = Path(compile_module.__file__).parents[1]
    copy = tmp_path / "copy" / "npbert_kernels"

    def make(source: str) -> Path:
        (copy / "cpu" / "kernels").mkdir(parents=True)
        for name in ("__init__.py", "object_store.py", "cpu/isa.py", "cpu/compile.py"):
            (copy / name).symlink_to(own / name)
        for folder in (copy / "cpu", copy / "cpu" / "kernels"):
            (folder / "__init__.py").touch()
        (copy / "cpu" / "kernels" / "entry.py").write_text(KERNELS + source)
        monkeypatch.syspath_prepend(str(copy.parent))
        return copy.parent

    return make


def test_the_code_comes_back(kernels_like: Kernels) -> None:
    kernels_like("")
    assert compiled(selected()) == CODE


NOISE = """
import atexit, os, sys, warnings
def noise(when):
    print("noise", when, sys.orig_argv, flush=True)
    print("noise", when, file=sys.stderr)
    os.write(1, b"noise\\xff")
    warnings.warn("noise")
noise("first")
atexit.register(noise, "last")
"""


def test_whatever_else_is_printed(
    kernels_like: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As Python starts, while it compiles, and as it ends; none of it is heard."""
    kernels_like(f"{NOISE}before = lambda: noise('between')\n")
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(NOISE)
    (tmp_path / "start" / "startup.py").write_text("print('noise')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "start"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "start" / "startup.py"))
    monkeypatch.setenv("PYTHONVERBOSE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert compiled(selected()) == CODE
    assert capfd.readouterr() == ("", "")


@POSIX
def test_where_standard_streams_are_closed(kernels_like: Kernels, tmp_path: Path) -> None:
    """As daemons close them: pipes then have their numbers."""
    folder, out = kernels_like(""), tmp_path / "out"
    code = (
        "from npbert_kernels.cpu.compile import *\nfrom npbert_kernels.cpu.isa import selected\n"
        f"pathlib.Path({str(out)!r}).write_bytes(compiled(selected()).to_bytes())"
    )
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(folder)}, check=True, timeout=60)
    assert ObjectCode.from_bytes(out.read_bytes()) == CODE


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise TypeError('the reason')", "TypeError: the reason"),
        ("try:\n    1 / 0\nexcept ValueError:\n    pass", "ZeroDivisionError: division by zero"),
        ("import numba_of_nobody", "ModuleNotFoundError: No module named 'numba_of_nobody'"),
        ("raise ValueError('first\\n\\n  second\\nthird\\nfourth\\nfifth')", "ValueError: first; third; fourth"),
        ("raise ValueError('x' * 10_000)", "ValueError: x{388}"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("print('one\\ntwo\\n\\nthree\\nfour\\n')\nsys.exit(3)", "two; three; four"),
        ("sys.exit('said so')", "said so"),
        ("sys.exit(3)", "exit status 3"),
        ("sys.exit(0)", "exit status 0"),
        ("import os\nos.kill(os.getpid(), 9)", r"ended by signal 9 \(memory may be short\)"),
        ("import os\nprint('LLVM ERROR: no', flush=True)\nos.abort()", "ended by signal 6; LLVM ERROR: no"),
    ],
)
def test_why_it_failed(source: str, why: str, kernels_like: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line that is not too long; a Python that would wait for input after an error does not."""
    monkeypatch.setenv("PYTHONINSPECT", "1")
    kernels_like(source)
    with pytest.raises(RuntimeError, match=rf"{FAILED}{why}$"):
        compiled(selected())


def test_it_is_not_disturbed_by_the_folder_that_it_runs_in(
    kernels_like: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by modules there, nor by settings of numba's, which it looks for in the working directory."""
    kernels_like("import json, os\nassert os.getcwd() == os.path.abspath(os.sep)\n")
    for name in ("json", "subprocess", "threading"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of the user')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert compiled(selected()) == CODE


# How it ends ------------------------------------------------------------------------------------------------


SLEEPING = """
import os, time
def before():
    with open({path!r} + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename({path!r} + ".part", {path!r})
    time.sleep(60)
"""


def ends_within(process: int, seconds: float) -> bool:
    """Whether a process that is nobody's child any more ends."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":  # nobody has asked for its exit status yet
            return True
        time.sleep(0.01)
    return False


@POSIX
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_is_heard(error: type[BaseException], kernels_like: Kernels, tmp_path: Path) -> None:
    """At once, and the process that compiles is gone."""
    path, raised = tmp_path / "process", []
    kernels_like(SLEEPING.format(path=str(path)))

    def handler(number: int, frame: object) -> None:
        if path.exists():
            raised.append(time.perf_counter())
            raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(error):
            compiled(selected())
        assert time.perf_counter() - raised[0] < 0.2
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@POSIX
def test_a_terminal_s_ctrl_c_is_not_the_compiler_s(kernels_like: Kernels) -> None:
    """Where a service handles it, it goes on, and so does what it compiles."""
    kernels_like("import os\nassert os.getpgrp() == os.getsid(0) == os.getpid()\n")
    assert compiled(selected()) == CODE


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks into /proc")
def test_it_ends_with_its_parent(kernels_like: Kernels, tmp_path: Path) -> None:
    """Which is killed, and so can tell it nothing."""
    path = tmp_path / "process"
    folder = kernels_like(SLEEPING.format(path=str(path)))
    code = "from npbert_kernels.cpu.compile import *\nfrom npbert_kernels.cpu.isa import selected\ncompiled(selected())"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        while not path.exists():
            assert parent.poll() is None
            time.sleep(0.01)
        parent.kill()
    assert ends_within(int(path.read_text()), 5)


# What Python it is ------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """program(name) -> the path of a program of that name, which is no Python and says so."""

    def make(name: str) -> str:
        path = tmp_path / name
        path.write_text("#!/bin/sh\necho 'this is no Python'\nexit 1\n")
        path.chmod(0o700)
        return str(path)

    return make


def test_it_is_this_process_s() -> None:
    assert interpreter() == os.path.abspath(sys.executable)


@POSIX
@pytest.mark.parametrize("name", [None, "", "uwsgi", "nothing/python3"])
def test_another_where_this_process_is_none(
    name: str | None, program: Callable[[str], str], kernels_like: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded in a server: the environment's. Nothing is asked of the server's own program."""
    kernels_like("")
    monkeypatch.setattr(sys, "executable", program(name) if name and "/" not in name else name)
    monkeypatch.setattr(sys, "_base_executable", sys.executable)
    assert os.path.dirname(interpreter()) == sysconfig.get_path("scripts")
    assert compiled(selected()) == CODE


def test_none_is_told(program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program has a name like any other; it is not started once more."""
    path = program("python-app")
    monkeypatch.setattr(sys, "executable", path)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "prefix", "/no/such")
    monkeypatch.setattr(sys, "base_exec_prefix", "/no/such")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/no/such/bin")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    with pytest.raises(RuntimeError, match=rf"{FAILED}sys\.executable is '{path}', which is no Python, and no python3"):
        compiled(selected())


@POSIX
def test_what_can_t_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_bytes(b"\x7fELF, and no more")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(RuntimeError, match=rf"{FAILED}\[Errno 8\] Exec format error: '{broken}'$"):
        compiled(selected())


@POSIX
def test_what_is_no_python_says_so(program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program("python"))
    with pytest.raises(RuntimeError, match=rf"{FAILED}this is no Python$"):
        compiled(selected())
