"""device.Device on a GPU: the driver's own calls, by cuda.bindings. Kernels are loaded when first prepared.

It has yet to run on a GPU. tests/kernels/cuda/test_cuda_driver.py runs it on functions that simulate the driver's.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..object_store import ObjectCode
from . import compiler, cubins
from .device import DeviceError, Memory
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
        with gpu:
            pointer = _called(gpu.driver.cuMemAlloc(nbytes))
        self.at, self.nbytes = int(pointer), nbytes
        weakref.finalize(self, gpu.release, gpu.driver.cuMemFree, pointer)


class Pinned:
    """Host memory that the GPU reads and writes by itself."""

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        with gpu:
            pointer = _called(gpu.driver.cuMemHostAlloc(nbytes, 0))
        self.__array_interface__ = {"shape": (nbytes,), "typestr": "|u1", "data": (int(pointer), False), "version": 3}
        weakref.finalize(self, gpu.release, gpu.driver.cuMemFreeHost, pointer)


class GpuQueue:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.driver = gpu, gpu.driver
        self.last_is_kernel = False  # of what the stream was given
        with gpu:
            self.stream = _called(self.driver.cuStreamCreate(self.driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        weakref.finalize(self, gpu.release, self.driver.cuStreamDestroy, self.stream)

    def host(self, nbytes: int) -> NDArray[np.uint8]:
        return np.asarray(Pinned(self.gpu, nbytes))  # which keeps the Pinned

    def copy_in(self, at: int, source: NDArray[Any]) -> None:
        self.last_is_kernel = False
        with self.gpu:
            _called(self.driver.cuMemcpyHtoDAsync(at, source.ctypes.data, source.nbytes, self.stream))

    def copy_out(self, target: NDArray[Any], at: int) -> None:
        self.last_is_kernel = False
        with self.gpu:
            _called(self.driver.cuMemcpyDtoHAsync(target.ctypes.data, at, target.nbytes, self.stream))

    def launch(self, key: Key, grid: tuple[int, int], threads: int, args: Sequence[int | float]) -> None:
        """Behind another kernel, one is launched while that ends, and waits for the rest (`after_previous`)."""
        kinds = tuple(ctypes.c_float if isinstance(arg, float) else ctypes.c_int64 for arg in args)
        driver, config = self.driver, self.driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = *grid, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = threads, 1, 1
        config.sharedMemBytes, config.hStream = shared_bytes(key), self.stream
        if self.last_is_kernel and self.gpu.launches_early:
            early = driver.CUlaunchAttribute()
            early.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            early.value.programmaticStreamSerializationAllowed = 1
            config.attrs, config.numAttrs = [early], 1
        with self.gpu:
            _called(driver.cuLaunchKernelEx(config, self.gpu.functions[key], (tuple(args), kinds), 0))
        self.last_is_kernel = True

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        driver, gpu = self.driver, self.gpu
        # Relaxed: other threads, and finalizers in this one, may allocate and free meanwhile.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        self.last_is_kernel = False
        with gpu:
            _called(driver.cuStreamBeginCapture(self.stream, mode))
            try:
                work()
            except BaseException:
                _, graph = driver.cuStreamEndCapture(self.stream)  # which the driver may have given up by itself
                driver.cuGraphDestroy(graph)
                raise
            graph = _called(driver.cuStreamEndCapture(self.stream))
            try:
                ready = _called(driver.cuGraphInstantiate(graph, 0))
            finally:
                driver.cuGraphDestroy(graph)
        weakref.finalize(self, gpu.release, driver.cuGraphExecDestroy, ready)

        def replay() -> None:
            self.last_is_kernel = False
            with gpu:
                _called(driver.cuGraphLaunch(ready, self.stream))

        return replay

    def milliseconds(self, work: Callable[[], None]) -> float:
        """How long the device takes for what `work` queues."""
        driver = self.driver
        with self.gpu:
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
        with self.gpu:
            _called(self.driver.cuStreamSynchronize(self.stream))


class Gpu:
    def __init__(self, index: int) -> None:
        if said := compiler.missing():
            raise DeviceError(f"device: cuda wants Numba's CUDA packages: {said}")
        import cuda.bindings
        from cuda.bindings import driver

        self.driver: Any = driver
        try:
            _called(driver.cuInit(0))
            version = int(_called(driver.cuDriverGetVersion()))
            count = _called(driver.cuDeviceGetCount())
        except (DeviceError, RuntimeError, OSError, ImportError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DeviceError(f"device: cuda wants a GPU with NVIDIA's driver: {first}") from None
        wanted = int(cuda.bindings.__version__.partition(".")[0])
        if version // 1000 < wanted:  # what the packages compile is not what such a driver loads
            raise DeviceError(
                f"device: cuda wants NVIDIA's driver for CUDA {wanted} or later, found one for CUDA {version // 1000};"
                f" {compiler.installing('cuda12')} brings packages for CUDA 12"
            )
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
        # Graphs have such launches since CUDA 12.3.
        self.launches_early = self.capability >= (9, 0) and version >= 12030
        self.context = _called(driver.cuDevicePrimaryCtxRetain(self.device))
        self.functions: dict[Key, Any] = {}
        self.lock = threading.Lock()
        self.uploads = GpuQueue(self)

    # A thread's context is that of other libraries too, which may be of another GPU: it is put back.
    def __enter__(self) -> None:
        _called(self.driver.cuCtxPushCurrent(self.context))

    def __exit__(self, *error: object) -> None:
        self.driver.cuCtxPopCurrent()

    def release(self, free: Callable[[Any], Any], handle: Any) -> None:
        """Errors are left: at the end of a process the context may be gone before what it holds."""
        with contextlib.suppress(DeviceError), self:
            free(handle)

    def allocate(self, nbytes: int) -> Memory:
        return GpuMemory(self, nbytes)

    # On a stream of its own, which alone is waited for: the context can't be while another thread captures.
    def zero(self, memory: Memory) -> None:
        with self:
            _called(self.driver.cuMemsetD8Async(memory.at, 0, memory.nbytes, self.uploads.stream))
        self.uploads.wait()

    def upload(self, at: int, array: NDArray[Any]) -> None:
        self.uploads.copy_in(at, array)
        self.uploads.wait()

    def prepare(self, key: Key) -> None:
        with self.lock:
            if key not in self.functions:
                self.functions[key] = self._function(key)

    def _function(self, key: Key) -> Any:
        """From the store; what the driver doesn't take is compiled anew."""
        return cubins.loaded(key, self.capability, functools.partial(self._loaded, key))

    def _loaded(self, key: Key, kernel: ObjectCode) -> Any:
        driver = self.driver
        # Up to 48 KiB need no asking; more do, on every GPU.
        dynamic = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        with self:
            module = _called(driver.cuModuleLoadData(kernel.code))  # for as long as the process lives
            function = _called(driver.cuModuleGetFunction(module, kernel.symbol.encode()))
            _called(driver.cuFuncSetAttribute(function, dynamic, shared_bytes(key)))
        return function

    def queue(self) -> GpuQueue:
        return GpuQueue(self)
