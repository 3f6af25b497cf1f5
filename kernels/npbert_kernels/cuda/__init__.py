"""The CUDA backend: ops recorded into launches, captured once for a bucket of sizes, replayed.

Importing this imports neither Numba nor a driver; `Cuda` does, and says in one line what is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from .. import ops
from .device import Device, DeviceError
from .formats import DTYPES, Dtype, not_there
from .opening import open_device
from .program import Program
from .recorder import record
from .store import Store

__all__ = ["DTYPES", "Cuda", "DeviceError", "Dtype", "backend_on"]


class Cuda:
    """ops.Backend on a GPU. dtype: of weights and activations; sums are float32 always."""

    name = "cuda"

    def __init__(self, device: Device, dtype: Dtype = "float32") -> None:
        self.device, self.dtype = device, dtype

    def store(self, nbytes: int, *, dtype: ops.Dtype = "float32") -> Store:
        """dtype: the backend's, whatever is asked for: see ops.Backend."""
        return Store(self.device, self.dtype)

    def cache(self, layers: int, sequences: int, heads: int, room: int, head_size: int) -> ops.Floats:
        """Raises ValueError: attention has no form for it."""
        raise not_there("a cache of keys and values")

    def record(self, forward: ops.Forward, given: Collection[str] = ()) -> Program:
        if "allowed" in given:
            raise ValueError("attention_mask: wanted one for all tokens of a row on a GPU, found one for each of them")
        recording = record(forward, self.dtype, given)
        return Program(self.device, recording)


_devices: dict[int, Device] = {}
_lock = threading.Lock()


def backend_on(index: int = 0, dtype: Dtype = "float32") -> Cuda:
    """The backend on the GPU of that number.

    Raises:
        DeviceError: no such GPU, no driver, or Numba's CUDA packages are not installed.
        ValueError: dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype: wanted one of {', '.join(DTYPES)}, found {dtype!r}")
    with _lock:
        if index not in _devices:
            _devices[index] = open_device(index)
        return Cuda(_devices[index], dtype)
