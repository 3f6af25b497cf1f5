"""A GPU's machine code for each kernel: from the store of `object_store`, or compiled and stored.

A file's name is a hash of all sources that kernels come from, the compilers' versions and the compute capability. A
process that finds all of its kernels there never imports Numba.
"""

from __future__ import annotations

import functools
import importlib.metadata
import pathlib
from collections.abc import Callable
from typing import TypeVar

from .. import object_store
from ..compile_once import Kernels
from ..object_store import ObjectCode
from . import compiler, makers
from .tiles import Key

T = TypeVar("T")

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
def _common() -> bytes:
    """What all kernels depend on."""
    here = pathlib.Path(__file__).parent
    sources = object_store.named_contents([*sorted(here.glob("kernels/*.py")), *(here / f"{m}.py" for m in SOURCES)])
    return sources + "".join(f"{package} {_version(package)}\n" for package in COMPILERS).encode()


def name(key: Key, capability: tuple[int, int]) -> str:
    target = f"sm_{capability[0]}{capability[1]}"
    made_of = object_store.digest(_common() + f"{target} {key!r}".encode())
    return f"{target}-{key[0]}-{made_of}.cubin"


def loaded(key: Key, capability: tuple[int, int], load: Callable[[ObjectCode], T]) -> T:
    """What load makes of a kernel for a GPU of that compute capability. It raises ValueError for what no GPU takes."""
    what = f"kernels for compute capability {capability[0]}.{capability[1]}"
    make = functools.partial(compiled, key, capability)
    return Kernels(name(key, capability), what, "", make, load).loaded()


def compiled(key: Key, capability: tuple[int, int]) -> ObjectCode:
    assembly = compiler.assembled(makers.make(key), capability)
    return ObjectCode(assembly.symbol, compiler.linked(assembly, capability)[0])
