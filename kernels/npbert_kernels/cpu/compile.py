"""Compiles the kernels, in a process of its own that writes their object code to its standard output.

So numba is never imported where a model runs: that process stays small, and can fork. NPBERT_ISA names the ISA.
"""

from __future__ import annotations

import os
import pathlib
import sys

from ..object_store import ObjectCode
from .isa import ISA


def compiled(isa: ISA) -> ObjectCode:
    """Compile the kernels for an ISA in a fresh Python process. Raises RuntimeError with its last line."""
    import subprocess

    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | {
        "NPBERT_ISA": isa.name,
        "NUMBA_LOOP_VECTORIZE": "0",  # vectors are written out where they pay
        "NUMBA_SLP_VECTORIZE": "0",
    }
    if isa.target:
        environment |= {"NUMBA_CPU_NAME": isa.target, "NUMBA_CPU_FEATURES": isa.features}
    # It imports from where this process did, but never from the folder that it happens to run in.
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    path.append(str(pathlib.Path(__file__).resolve().parents[2]))
    code = f"import sys; sys.path[:] = {path!r}; from {__spec__.name} import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {done.returncode}"
        raise RuntimeError(f"the kernels could not be compiled for {isa.name}: {last}")
    return ObjectCode.from_bytes(done.stdout)


def main() -> None:
    from .kernels.entry import ENTRY_SIGNATURE, run

    run.compile(ENTRY_SIGNATURE.args)
    (result,) = run.overloads.values()
    _, _, (code, _) = result.library.serialize_using_object_code()
    sys.stdout.buffer.write(ObjectCode(result.fndesc.llvm_func_name, code).to_bytes())
