"""The compiled entry as a callable: from the object store, or compiled and stored, loaded once a process."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading

from ..compile_once import Kernels
from ..object_store import ObjectCode
from . import elf, objects
from .compile import compiled
from .isa import selected
from .layout import ERRNO, READS_FILES

TAKES = "10 to 60 s, longer where the machine is busy"  # to compile

_lock = threading.Lock()
_loaded: Entry | None = None


class Entry:
    """run(frame address, rank) -> COMPLETE or ABORTED. Releases the GIL."""

    def __init__(self, kernels: ObjectCode) -> None:
        try:
            address = elf.load(kernels.code, kernels.symbol, _symbols())
        except elf.UnknownError:
            address = self._by_llvm(kernels)
        # Numba's calling convention: where the result goes, where an exception goes, the arguments
        pointers = [ctypes.c_void_p, ctypes.c_void_p]
        self._function = ctypes.CFUNCTYPE(ctypes.c_int, *pointers, ctypes.c_int64, ctypes.c_int64)(address)

    def _by_llvm(self, kernels: ObjectCode) -> int:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        for name, address in _symbols().items():
            llvm.add_symbol(name, address)
        machine = llvm.Target.from_default_triple().create_target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(kernels.code))
        self._engine.finalize_object()
        address = int(self._engine.get_function_address(kernels.symbol))
        if not address:
            raise ValueError(f"no symbol {kernels.symbol}")
        return address

    def __call__(self, frame: int, rank: int) -> int:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        status = self._function(ctypes.addressof(result), ctypes.addressof(exception), frame, rank)
        if status != 0:
            raise RuntimeError(f"the kernels' entry returned status {status}")
        return result.value


def _symbols() -> dict[str, int]:
    """What compiled code may call: to yield the processor, to read, and what LLVM makes of loops that fill or copy."""
    system = ctypes.CDLL("kernel32" if sys.platform == "win32" else None)
    c = ctypes.CDLL("msvcrt") if sys.platform == "win32" else system
    functions = {"SwitchToThread" if sys.platform == "win32" else "sched_yield": system}
    functions |= dict.fromkeys(("memset", "memcpy", "memmove"), c)
    if READS_FILES:
        functions |= dict.fromkeys(("pread", ERRNO), c)
    return {name: ctypes.cast(getattr(lib, name), ctypes.c_void_p).value or 0 for name, lib in functions.items()}


def kernels() -> Kernels[Entry]:
    """Those for the selected ISA."""
    isa = selected()
    make = functools.partial(compiled, isa)
    return Kernels(objects.name(isa), f"kernels for {isa.name}", TAKES, make, Entry)


def entry() -> Entry:
    """The entry for the selected ISA; the first call of a process loads it, and compiles it where none is stored."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = kernels().loaded()
    return _loaded


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
