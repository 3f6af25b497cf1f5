"""Kernels -> machine code: Numba makes PTX of them, nvJitLink a cubin. No GPU is needed. Imports Numba when called."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

LEAST = (8, 0)  # compute capability: cp.async, and mma.sync with bfloat16
TARGETS = (LEAST, (9, 0))  # that PTX is made for: each is good for every later GPU
FLOATS = ("eps", "scale")  # arguments of kernels that are float32; all others are int64

lock = threading.Lock()


@dataclass(frozen=True)
class Assembly:
    symbol: str
    ptx: str


def installing(extra: str) -> str:
    """The command for one of npbert's extras: they are in no registry, but in its sources and its wheel."""
    return f"pip install '.[{extra}]' in a checkout of npbert, or 'FILE.whl[{extra}]' with its wheel,"


def missing() -> str | None:
    """What is not installed, in one line, or None. Nothing is imported."""
    for name in ("numba", "llvmlite", "cuda.bindings", "numba_cuda"):
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None:
            return f"no module {name}; {installing('cuda')} brings what is needed"
    return None


def assembled(kernel: Callable[..., None], capability: tuple[int, int]) -> Assembly:
    """PTX for a GPU of that compute capability."""
    from numba import types

    cuda: Any = importlib.import_module("numba.cuda")
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")

    target = max(one for one in TARGETS if one <= capability)
    names = inspect.signature(kernel).parameters
    signature = types.void(*[types.float32 if name in FLOATS else types.int64 for name in names])
    with lock:
        found = dispatcher.get_current_device
        # Numba asks the driver which GPU the functions that a kernel calls are for; here that is known without one.
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=target)
        try:
            ptx, _ = cuda.compile_ptx(kernel, signature, cc=target)
        finally:
            dispatcher.get_current_device = found
    entry = re.search(r"\.entry\s+([\w$]+)", ptx)
    assert entry is not None, "compiled code without a kernel"
    return Assembly(entry[1], ptx)


def linked(assembly: Assembly, capability: tuple[int, int]) -> tuple[bytes, str]:
    """Machine code, and what ptxas said of registers, shared memory, stack and spills."""
    from cuda.bindings import nvjitlink

    ptx = assembly.ptx.encode()
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-O3", "-verbose", "-Xptxas=-v"]
    handle: Any = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, ptx, len(ptx), "kernel")
        nvjitlink.complete(handle)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return bytes(cubin), log.decode(errors="replace").strip("\0\n")
