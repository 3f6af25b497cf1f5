"""device.Device on a GPU: the driver's own calls, by cuda.bindings. Kernels are compiled when first prepared.

Written against the driver's documentation and checked for its calls' forms only: it has yet to run on a GPU.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import compiler
from .device import DeviceError, Memory
from .makers import make
from .tiles import Key, shared_bytes


def _called(result: tuple[Any, ...]) -> Any:
    """What a call of the driver gave, behind its status."""
    from cuda.bindings import driver

    status, *values = result
    if status != driver.CUresult.CUDA_SUCCESS:
        raise DeviceError(f"CUDA: {status.name}")
    return values[0] if len(values) == 1 else tuple(values) if values else None


class GpuMemory:
    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        gpu.enter()
        pointer = _called(gpu.driver.cuMemAlloc(nbytes))
        self.at, self.nbytes = int(pointer), nbytes
        weakref.finalize(self, gpu.release, gpu.driver.cuMemFree, pointer)


class Pinned:
    """Host memory that the GPU reads and writes by itself."""

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        gpu.enter()
        pointer = _called(gpu.driver.cuMemHostAlloc(nbytes, 0))
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (int(pointer), False), "version": 3}
        weakref.finalize(self, gpu.release, gpu.driver.cuMemFreeHost, pointer)


class GpuQueue:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.driver = gpu, gpu.driver
        gpu.enter()
        self.stream = _called(self.driver.cuStreamCreate(self.driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        weakref.finalize(self, gpu.release, self.driver.cuStreamDestroy, self.stream)

    def host(self, nbytes: int) -> NDArray[np.uint8]:
        return np.asarray(Pinned(self.gpu, nbytes))  # which keeps the Pinned

    def copy_in(self, at: int, source: NDArray[Any]) -> None:
        self.gpu.enter()
        _called(self.driver.cuMemcpyHtoDAsync(at, source.ctypes.data, source.nbytes, self.stream))

    def copy_out(self, target: NDArray[Any], at: int) -> None:
        self.gpu.enter()
        _called(self.driver.cuMemcpyDtoHAsync(target.ctypes.data, at, target.nbytes, self.stream))

    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None:
        self.gpu.enter()
        kinds = tuple(ctypes.c_float if isinstance(arg, float) else ctypes.c_int64 for arg in args)
        given = (tuple(args), kinds)
        function = self.gpu.functions[key]
        _called(self.driver.cuLaunchKernel(function, *grid, 1, threads, 1, 1, shared_bytes(key), self.stream, given, 0))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        driver, gpu = self.driver, self.gpu
        gpu.enter()
        # Thread-local: another thread may allocate meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _called(driver.cuStreamBeginCapture(self.stream, mode))
        try:
            work()
        finally:
            graph = _called(driver.cuStreamEndCapture(self.stream))
        ready = _called(driver.cuGraphInstantiate(graph, 0))
        _called(driver.cuGraphDestroy(graph))
        weakref.finalize(self, gpu.release, driver.cuGraphExecDestroy, ready)

        def replay() -> None:
            gpu.enter()
            _called(driver.cuGraphLaunch(ready, self.stream))

        return replay

    def milliseconds(self, work: Callable[[], None]) -> float:
        """How long the device takes for what `work` queues."""
        self.gpu.enter()
        driver = self.driver
        begin, end = (_called(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DEFAULT)) for _ in range(2))
        _called(driver.cuEventRecord(begin, self.stream))
        work()
        _called(driver.cuEventRecord(end, self.stream))
        _called(driver.cuEventSynchronize(end))
        elapsed = float(_called(driver.cuEventElapsedTime(begin, end)))
        for event in (begin, end):
            _called(driver.cuEventDestroy(event))
        return elapsed

    def wait(self) -> None:
        self.gpu.enter()
        _called(self.driver.cuStreamSynchronize(self.stream))


class Gpu:
    def __init__(self, index: int) -> None:
        if said := compiler.missing():
            raise DeviceError(f"device: cuda wants Numba's CUDA packages: {said}")
        from cuda.bindings import driver

        self.driver: Any = driver
        try:
            _called(driver.cuInit(0))
            count = _called(driver.cuDeviceGetCount())
        except (DeviceError, RuntimeError, OSError, ImportError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DeviceError(f"device: cuda wants a GPU with NVIDIA's driver: {first}") from None
        if not 0 <= index < count:
            raise DeviceError(f"device: wanted one of the {count} GPUs that are there, found cuda:{index}")
        self.device = _called(driver.cuDeviceGet(index))
        attribute = driver.CUdevice_attribute

        def told(name: str) -> int:
            wanted = getattr(attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
            return int(_called(driver.cuDeviceGetAttribute(wanted, self.device)))

        self.capability = told("COMPUTE_CAPABILITY_MAJOR"), told("COMPUTE_CAPABILITY_MINOR")
        self.processors = told("MULTIPROCESSOR_COUNT")
        self.name = _called(driver.cuDeviceGetName(256, self.device)).split(b"\0")[0].decode()
        if self.capability < compiler.LEAST:
            least, found = (".".join(map(str, pair)) for pair in (compiler.LEAST, self.capability))
            raise DeviceError(f"device: wanted compute capability {least} or later, found {found}: {self.name}")
        self.context = _called(driver.cuDevicePrimaryCtxRetain(self.device))
        self.functions: dict[Key, Any] = {}
        self.lock = threading.Lock()

    def enter(self) -> None:
        """The context is the calling thread's own from here on."""
        _called(self.driver.cuCtxSetCurrent(self.context))

    def release(self, free: Callable[[Any], Any], handle: Any) -> None:
        """Errors are left: at the end of a process the context may be gone before what it holds."""
        self.driver.cuCtxSetCurrent(self.context)
        free(handle)

    def allocate(self, nbytes: int) -> Memory:
        return GpuMemory(self, nbytes)

    def zero(self, memory: Memory) -> None:
        self.enter()
        _called(self.driver.cuMemsetD8(memory.at, 0, memory.nbytes))
        _called(self.driver.cuCtxSynchronize())  # queues do not wait for the default stream

    def upload(self, at: int, array: NDArray[Any]) -> None:
        self.enter()
        _called(self.driver.cuMemcpyHtoD(at, array.ctypes.data, array.nbytes))
        _called(self.driver.cuCtxSynchronize())

    def prepare(self, key: Key) -> None:
        with self.lock:
            if key not in self.functions:
                assembly = compiler.assembled(make(key))
                cubin, _ = compiler.linked(assembly, self.capability)
                self.enter()
                module = _called(self.driver.cuModuleLoadData(cubin))  # for as long as the process lives
                self.functions[key] = _called(self.driver.cuModuleGetFunction(module, assembly.symbol.encode()))

    def queue(self) -> GpuQueue:
        return GpuQueue(self)
