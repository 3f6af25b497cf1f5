"""Compiles the kernels: `python -m npbert_kernels.cpu.compile FILE`, in a process of its own.

So numba is never imported where a model runs: that process stays small, and can fork. NPBERT_ISA names the ISA.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

from .isa import ISA
from .objects import ObjectCode


def compiled(isa: ISA) -> ObjectCode:
    """Compile the kernels for an ISA in a fresh Python process. Raises RuntimeError with its last line."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | {
        "NPBERT_ISA": isa.name,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "NUMBA_LOOP_VECTORIZE": "0",  # vectors are written out where they pay
        "NUMBA_SLP_VECTORIZE": "0",
    }
    if isa.target:
        environment |= {"NUMBA_CPU_NAME": isa.target, "NUMBA_CPU_FEATURES": ""}
    with tempfile.TemporaryDirectory(prefix="npbert-") as scratch:
        path = pathlib.Path(scratch, "kernels.o")
        command = [sys.executable, "-m", __spec__.name, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise RuntimeError(f"the kernels could not be compiled for {isa.name}: {last}")
        return ObjectCode.from_bytes(path.read_bytes())


def main(path: str) -> None:
    from .kernels.entry import ENTRY_SIGNATURE, run

    run.compile(ENTRY_SIGNATURE.args)
    (result,) = run.overloads.values()
    _, _, (code, _) = result.library.serialize_using_object_code()
    pathlib.Path(path).write_bytes(ObjectCode(result.fndesc.llvm_func_name, code).to_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
