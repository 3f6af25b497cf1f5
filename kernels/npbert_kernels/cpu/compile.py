"""Compiles the kernels, in a process of its own that writes their object code to a pipe.

So numba is never imported where a model runs: that process stays small, and can fork. NPBERT_ISA names the ISA.
"""

from __future__ import annotations

import os
import pathlib
import sys
import threading
from collections.abc import Iterator

from ..object_store import ObjectCode
from .isa import ISA

UNWANTED = ("NUMBA_", "PYTHONWARNINGS", "PYTHONINSPECT")  # change the code, make errors of warnings, wait for input
MOST = 400  # characters of an error that are shown


def compiled(isa: ISA) -> ObjectCode:
    """Compile the kernels for an ISA in a fresh Python process.

    That ends when this one does, and as soon as Ctrl-C or another exception ends the call. Raises RuntimeError that
    says why they can't be compiled.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(UNWANTED)} | {
        "NPBERT_ISA": isa.name,
        "NUMBA_LOOP_VECTORIZE": "0",  # vectors are written out where they pay
        "NUMBA_SLP_VECTORIZE": "0",
    }
    if isa.target:
        environment |= {"NUMBA_CPU_NAME": isa.target, "NUMBA_CPU_FEATURES": isa.features}
    mark = f"{os.urandom(16).hex()}\n"  # behind it is the object code, and before it whatever else was printed
    try:
        # It imports from where this process did, but never from the folder that it happens to run in.
        path = [os.path.abspath(entry) for entry in sys.path if entry]
        path.append(str(pathlib.Path(__file__).resolve().parents[2]))
        code = f"import sys; sys.path[:] = {path!r}; from {__spec__.name} import main; main({mark!r})"
        status, said = _output([interpreter(), "-c", code], environment)
        before, marked, kernels = said.rpartition(mark.encode())
        if status != 0 or not marked:
            raise ValueError(_reason((before or kernels).decode(errors="replace"), status))
        return ObjectCode.from_bytes(kernels)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"the kernels could not be compiled for {isa.name}: {error}") from None


def _output(command: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
    """A process's exit status and all that it wrote. Its input is a pipe that ends when this process does."""
    import subprocess

    with subprocess.Popen(
        command,
        env=environment,
        cwd=os.path.abspath(os.sep),  # a folder in which numba finds no settings
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,  # a terminal's Ctrl-C is for this process alone
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.read()
            return process.wait(), said
        except BaseException:
            process.kill()
            process.wait()  # by the system's call; Popen looks again and again after Ctrl-C
            raise


def _reason(said: str, status: int) -> str:
    """What a process that failed said last, in one line."""
    _, traceback, rest = said.rpartition("Traceback (most recent call last):\n")
    lines = [line for line in rest.splitlines() if line.strip()]
    # Of a traceback what it ends with; indented lines are of the way there.
    lines = [line for line in lines if not line[0].isspace()][:3] if traceback else lines[-3:]
    if status < 0:
        short = " (memory may be short)" if status == -9 else ""
        lines.insert(0, f"ended by signal {-status}{short}")
    return "; ".join(line.strip() for line in lines)[:MOST] or f"exit status {status}"


def interpreter() -> str:
    """A Python of this version, as this process's own program is none where Python is embedded or frozen.

    Raises ValueError where none is found.
    """
    for path in _programs():
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    version = ".".join(map(str, sys.version_info[:2]))
    raise ValueError(
        f"sys.executable is {sys.executable!r}, which is no Python, and no python{version} was found for {sys.prefix};"
        " 'npbert warmup', run by one that has the same packages, stores what this process then loads"
    )


def _programs() -> Iterator[str]:
    """Where it may be. What has another name than a Python's is not tried: it would begin to do its own work."""
    import sysconfig

    if not getattr(sys, "frozen", False):
        for path in (sys.executable, getattr(sys, "_base_executable", None)):
            if path and any(word in os.path.basename(path).lower() for word in ("python", "pypy", "graalpy")):
                yield path
    name = "python.exe" if sys.platform == "win32" else f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_config_var("BINDIR"), sys.base_exec_prefix):
        if folder:
            yield os.path.join(folder, name)


def main(mark: str) -> None:
    """In the process that compiles: writes the mark and then the object code to standard output."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from .kernels.entry import ENTRY_SIGNATURE, run

    run.compile(ENTRY_SIGNATURE.args)
    (result,) = run.overloads.values()
    _, _, (code, _) = result.library.serialize_using_object_code()
    output, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # nothing else comes behind the mark
        os.dup2(null, descriptor)
    with open(output, "wb") as file:
        file.write(mark.encode() + ObjectCode(result.fndesc.llvm_func_name, code).to_bytes())
    os._exit(0)


def _end_with_parent() -> None:
    """Standard input ends with the process that holds its other end."""
    while os.read(0, 1):
        pass
    os._exit(1)
