"""Which device a number means."""

from __future__ import annotations

import os

from .device import Device, DeviceError


def open_device(index: int) -> Device:
    """The GPU of that number, or under NUMBA_ENABLE_CUDASIM=1 a simulated one.

    Raises:
        DeviceError: there is none, or what makes code for it is not installed.
    """
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        from .simulated import Simulated

        if index:
            raise DeviceError(f"device: wanted the simulated GPU, cuda:0, found cuda:{index}")
        return Simulated()
    from .gpu import Gpu

    return Gpu(index)
