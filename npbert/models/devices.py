"""Where a model computes: the backend of a device."""

from __future__ import annotations

import importlib
import re
from typing import TypedDict

from npbert_kernels.ops import Backend, Dtype, checked_dtype

from npbert.checks import show
from npbert.signatures import Arguments

BACKENDS = ("cpu", "reference")


class EngineArguments(TypedDict, total=False):
    """
    device: None or "cpu", or "cuda" or "cuda:N", a GPU.
    backend: "cpu" (compiled kernels) or "reference" (NumPy: slow, needs no compiler).
    dtype: of the encoder's matrices and what they are multiplied with: "float32", "bfloat16" or "int8".
        With either of the last two, attention multiplies bfloat16; with "int8", word embeddings are int8, too.
        All else is float32: softmax, LayerNorm, residuals, pooler, heads, and what is returned.
        On a GPU "float32", "bfloat16" or "float16", of all weights and of what is kept between ops.
    """

    device: str | None
    backend: str | Backend
    dtype: Dtype


ENGINE = Arguments(EngineArguments, backend="cpu", dtype="float32")


def backend_for(device: str | None, backend: str | Backend, dtype: Dtype = "float32") -> Backend:
    """The backend that computes on a device with weights of a dtype. On the CPU, `backend` says which."""
    if isinstance(device, str) and (cuda := re.fullmatch(r"cuda(?::(\d+))?", device)):
        if backend != "cpu":
            raise ValueError(f"backend: wanted none with device {device!r}, found {show(backend)}")
        on_gpu: Backend = importlib.import_module("npbert_kernels.cuda").backend_on(int(cuda[1] or 0), dtype)
        return on_gpu
    if device not in (None, "cpu"):
        raise ValueError(f"device: wanted None or 'cpu', 'cuda' or 'cuda:N', found {show(device)}")
    checked_dtype(dtype)
    if not (backend in BACKENDS if isinstance(backend, str) else hasattr(backend, "record")):
        raise ValueError(f"backend: wanted one of {', '.join(BACKENDS)}, found {show(backend)}")
    if not isinstance(backend, str):
        return backend
    chosen: Backend = importlib.import_module(f"npbert_kernels.{backend}").backend
    return chosen
