"""A GPU's machine code for each kernel: from the store of `object_store`, or compiled and stored.

A file's name is a hash of all sources that kernels come from, the compilers' versions and the compute capability. A
process that finds all of its kernels there never imports Numba.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import pathlib
import sys

from .. import object_store
from ..object_store import ObjectCode
from . import compiler
from .makers import make
from .tiles import Key

SOURCES = ("compiler", "makers", "tiles")  # besides all of kernels/
# What makes code: Numba, NVVM (a wheel of its own for CUDA 13, in the compiler's for 12) and nvJitLink.
COMPILERS = (
    "numba",
    "numba-cuda",
    "llvmlite",
    "nvidia-nvvm",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-nvjitlink",
    "nvidia-nvjitlink-cu12",
)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _common() -> hashlib._Hash:
    """What all kernels depend on."""
    here = pathlib.Path(__file__).parent
    digest = object_store.source_hash([*sorted(here.glob("kernels/*.py")), *(here / f"{m}.py" for m in SOURCES)])
    for package in COMPILERS:
        digest.update(f"{package} {_version(package)}\n".encode())
    return digest


def name(key: Key, capability: tuple[int, int]) -> str:
    digest = _common().copy()
    target = f"sm_{capability[0]}{capability[1]}"
    digest.update(f"{target} {key!r}".encode())
    return f"{target}-{key[0]}-{digest.hexdigest()[:32]}.cubin"


def stored(key: Key, capability: tuple[int, int]) -> ObjectCode | None:
    return object_store.read(name(key, capability))


@functools.cache
def _say(line: str) -> None:
    """Once a process."""
    print(f"npbert: {line}", file=sys.stderr, flush=True)


def compiled(key: Key, capability: tuple[int, int]) -> ObjectCode:
    _say(f"compiling kernels for compute capability {capability[0]}.{capability[1]}, once on this machine ...")
    assembly = compiler.assembled(make(key), capability)
    code = ObjectCode(assembly.symbol, compiler.linked(assembly, capability)[0])
    if object_store.write(name(key, capability), code) is None:
        _say(
            f"{object_store.folder()} can't be written, or not by this user alone, so the next process will compile"
            " again; NPBERT_KERNEL_CACHE names another folder"
        )
    return code
