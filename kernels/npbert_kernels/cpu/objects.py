"""The name of compiled kernels in the store of `object_store`."""

from __future__ import annotations

import pathlib
import platform
import sys
from importlib.util import find_spec

from ..object_store import digest, named_contents
from .isa import ISA, host


def name(isa: ISA) -> str:
    """The hash of all kernel sources, the compiler's versions, the ISA and what CPU is compiled for.

    That is the ISA's target, which runs on any CPU that has it, or where it has none this machine's.
    """
    here = pathlib.Path(__file__).parent
    modules = ("isa", "layout", "dtypes", "blocking", "compile")
    sources = named_contents([*sorted(here.glob("kernels/*.py")), *(here / f"{module}.py" for module in modules)])
    cpu, features = (isa.target, isa.features.split(",")) if isa.target else host()
    facts = "\n".join((sys.platform, platform.machine(), cpu, *sorted(features), isa.name))
    made_of = digest(b"".join((sources, _version("numba"), _version("llvmlite"), facts.encode())))
    return f"{isa.name}-{made_of}.o"


def _version(package: str) -> bytes:
    """The file with a package's version, which costs a tenth of asking importlib.metadata."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"{package} is not installed")
    return pathlib.Path(spec.origin).with_name("_version.py").read_bytes()
