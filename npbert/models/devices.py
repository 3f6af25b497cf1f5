"""Where a model computes: the backend of a device."""

from __future__ import annotations

import importlib
import re

from npbert_kernels.ops import Backend, Dtype, checked_dtype

from npbert.checks import show

BACKENDS = ("cpu", "reference")


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
