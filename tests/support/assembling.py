"""Kernels as PTX, made by a process of its own, whose kernels are imported with a GPU's primitives."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

from npbert_kernels.cuda.tiles import Key


def assembled(key: Key, capability: tuple[int, int]) -> str:
    os.environ.pop("NUMBA_ENABLE_CUDASIM", None)
    from npbert_kernels.cuda import compiler
    from npbert_kernels.cuda.makers import make

    return compiler.assembled(make(key), capability).ptx


@cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


@cache
def ptx(key: Key, capability: tuple[int, int] = (9, 0)) -> str:
    return _process().submit(assembled, key, capability).result()
