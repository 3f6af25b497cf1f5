# ruff: noqa: N802 - names are the driver's
"""NVIDIA's driver over the simulator: cuda.bindings finds its C functions as those of libcuda.so.1, and calls them.

What it runs is the kernels' source on the simulator or, where `install` is told so, their PTX on `ptx_machine`.

It is stricter than a driver must be. A thread has no context but what it pushes. What a stream is given is done when
somebody waits for it, and not before. What is captured copies pinned memory alone. A launch wants shared memory that
was asked for, and a grid within its limits; behind a kernel it is early, where the GPU can, and behind anything else
not. The context is never waited for. All that was made is counted.
"""

from __future__ import annotations

import ctypes
import inspect
import itertools
import subprocess
import threading
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from npbert_kernels.cuda import compiler, cubins, simulator
from npbert_kernels.cuda.compiler import FLOATS, Assembly
from npbert_kernels.cuda.makers import make
from npbert_kernels.cuda.tiles import Key
from npbert_kernels.object_store import ObjectCode, Place
from ptx_machine import KINDS, Kernel

SOURCE = """
typedef void *(*find_t)(const char *);
static find_t find;
void register_find(find_t f) { find = f; }
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status) {
  *function = find ? find(name) : 0;
  if (status) *status = *function ? 0 : 1;
  return *function ? 0 : 500;
}
"""
OK, INVALID_VALUE, NO_CONTEXT, INVALID_HANDLE, NOT_IN_CAPTURE = 0, 1, 201, 400, 900
ATTRIBUTES = {75: 9, 76: 0, 16: 4}  # compute capability 9.0, and few processors
STATIC_SHARED, LARGEST_GRID_Y, LARGEST_BLOCK = 48 * 1024, 65535, 1024
MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
PROGRAMMATIC_STREAM_SERIALIZATION = 6  # CU_LAUNCH_ATTRIBUTE_

FUNCTIONS: dict[str, Any] = {}
keep: list[Any] = []
numbers = itertools.count(1000)
live: dict[str, dict[int, Any]] = {kind: {} for kind in ("memory", "pinned", "stream", "graph", "exec", "event")}
loaded: list[Loaded] = []
limits: dict[int, int] = {}  # dynamic shared memory that a function may have
replays = 0
version = 13000
refused: dict[str, int] = {}  # functions that fail, with this status


@dataclass
class Loaded:
    """A module of one kernel."""

    symbol: str
    kinds: list[str]  # of its parameters
    launch: Callable[..., None]  # (grid, threads, args, shared)


class Here(threading.local):
    def __init__(self) -> None:
        self.contexts: list[int] = []


here = Here()


class Stream:
    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        self.last_is_kernel = False
        self.lock = threading.Lock()

    def add(self, work: Callable[[], None], is_kernel: bool = False) -> None:
        self.last_is_kernel = is_kernel
        (self.work if self.captured is None else self.captured).append(work)

    def finish(self) -> None:
        with self.lock:  # who waits while another thread does waits for all of it
            while self.work:
                self.work.pop(0)()


def function(*kinds: Any, context: bool = True) -> Callable[[Any], Any]:
    """A function of the driver, by its name; what it raises is printed, and an error for its caller."""

    def made(body: Callable[..., int]) -> Any:
        def called(*args: Any) -> int:
            try:
                if status := refused.get(body.__name__):
                    return status
                return NO_CONTEXT if context and not here.contexts else body(*args)
            except BaseException as error:
                print(f"{body.__name__}: {error!r}", flush=True)
                return 999

        wrapped = ctypes.CFUNCTYPE(c_int, *kinds)(called)
        keep.append(wrapped)
        FUNCTIONS[body.__name__] = ctypes.cast(wrapped, c_void_p).value
        return body

    return made


def handle(kind: str, thing: Any) -> int:
    number = next(numbers)
    live[kind][number] = thing
    return number


def dropped(kind: str, number: int) -> int:
    return OK if live[kind].pop(number, None) is not None else INVALID_HANDLE


# Devices and contexts ------------------------------------------------------------------------------------


@function(c_uint, context=False)
def cuInit(flags: int) -> int:
    return OK


@function(POINTER(c_int), context=False)
def cuDriverGetVersion(found: Any) -> int:
    found[0] = version
    return OK


@function(POINTER(c_int), context=False)
def cuDeviceGetCount(found: Any) -> int:
    found[0] = 1
    return OK


@function(POINTER(c_int), c_int, context=False)
def cuDeviceGet(found: Any, index: int) -> int:
    found[0] = 7
    return OK


@function(POINTER(c_int), c_int, c_int, context=False)
def cuDeviceGetAttribute(found: Any, attribute: int, device: int) -> int:
    found[0] = ATTRIBUTES[attribute]
    return OK if device == 7 else INVALID_VALUE


@function(c_void_p, c_int, c_int, context=False)
def cuDeviceGetName(target: int, length: int, device: int) -> int:
    ctypes.memmove(target, b"Simulated H200\0", min(length, 15))
    return OK


@function(POINTER(c_uint64), c_int, context=False)
def cuDevicePrimaryCtxRetain(found: Any, device: int) -> int:
    found[0] = 77
    return OK


@function(c_uint64, context=False)
def cuCtxPushCurrent(context: int) -> int:
    here.contexts.append(context)
    return OK if context == 77 else INVALID_VALUE


@function(POINTER(c_uint64))
def cuCtxPopCurrent(found: Any) -> int:
    found[0] = here.contexts.pop()
    return OK


# Memory --------------------------------------------------------------------------------------------------


def device_range(at: int, nbytes: int) -> None:
    if not any(begin <= at and at + nbytes <= begin + size for begin, size in list(live["memory"].items())):
        raise RuntimeError(f"device memory {at} + {nbytes} was never allocated")


def is_pinned(at: int, nbytes: int) -> bool:
    return any(begin <= at and at + nbytes <= begin + len(b) for begin, b in list(live["pinned"].items()))


def copied(target: int, source: Any, nbytes: int, to_device: bool) -> None:
    """source: an address, or what a copy from pageable memory took of it when it was asked for."""
    if to_device:
        part = source if isinstance(source, bytes) else ctypes.string_at(source, nbytes)
        simulator.memory.bytes[target : target + nbytes] = np.frombuffer(part, np.uint8)
    else:
        part = np.ascontiguousarray(simulator.memory.bytes[source : source + nbytes])
        ctypes.memmove(target, part.ctypes.data, nbytes)


@function(POINTER(c_uint64), c_size_t)
def cuMemAlloc(found: Any, nbytes: int) -> int:
    if not nbytes:
        return INVALID_VALUE
    found[0] = simulator.memory.allocate(nbytes)
    live["memory"][found[0]] = nbytes
    return OK


@function(c_uint64)
def cuMemFree(at: int) -> int:
    nbytes = live["memory"].pop(at, None)
    if nbytes is None:
        return INVALID_VALUE
    simulator.memory.free(at, nbytes, simulator.memory.generation)
    return OK


@function(POINTER(c_uint64), c_size_t, c_uint)
def cuMemHostAlloc(found: Any, nbytes: int, flags: int) -> int:
    memory = (c_ubyte * nbytes)()
    found[0] = ctypes.addressof(memory)
    live["pinned"][found[0]] = memory
    return OK


@function(c_uint64)
def cuMemFreeHost(at: int) -> int:
    return dropped("pinned", at)


@function(c_uint64, c_uint64, c_size_t, c_uint64)
def cuMemcpyHtoDAsync(at: int, source: int, nbytes: int, stream: int) -> int:
    device_range(at, nbytes)
    if is_pinned(source, nbytes):
        live["stream"][stream].add(lambda: copied(at, source, nbytes, True))
    elif live["stream"][stream].captured is not None:
        return NOT_IN_CAPTURE  # replays would read memory that may be gone
    else:
        live["stream"][stream].add(partial(copied, at, ctypes.string_at(source, nbytes), nbytes, True))
    return OK


@function(c_uint64, c_uint64, c_size_t, c_uint64)
def cuMemcpyDtoHAsync(target: int, at: int, nbytes: int, stream: int) -> int:
    device_range(at, nbytes)
    if not is_pinned(target, nbytes):
        return INVALID_VALUE
    live["stream"][stream].add(lambda: copied(target, at, nbytes, False))
    return OK


@function(c_uint64, c_ubyte, c_size_t, c_uint64)
def cuMemsetD8Async(at: int, value: int, nbytes: int, stream: int) -> int:
    device_range(at, nbytes)

    def fill() -> None:
        simulator.memory.bytes[at : at + nbytes] = value

    live["stream"][stream].add(fill)
    return OK


# Kernels -------------------------------------------------------------------------------------------------


@function(POINTER(c_uint64), c_char_p)
def cuModuleLoadData(found: Any, image: bytes) -> int:
    if not image.startswith(b"cubin "):
        return 200  # CUDA_ERROR_INVALID_IMAGE
    found[0] = 5000 + int(image[6:])
    return OK


@function(POINTER(c_uint64), c_uint64, c_char_p)
def cuModuleGetFunction(found: Any, module: int, name: bytes) -> int:
    found[0] = module + 1000
    return OK if name == loaded[module - 5000].symbol.encode() else 500


@function(c_uint64, c_int, c_int)
def cuFuncSetAttribute(function: int, attribute: int, value: int) -> int:
    if attribute != MAX_DYNAMIC_SHARED or value > 227 * 1024:
        return INVALID_VALUE
    limits[function] = value
    return OK


class Attribute(ctypes.Structure):
    """CUlaunchAttribute, with its value's first number."""

    _fields_ = (("id", c_int), ("value", c_int * 17))


class Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        *((name, c_uint) for name in ("x", "y", "z", "bx", "by", "bz", "shared")),
        ("stream", c_uint64),
        ("attributes", POINTER(Attribute)),
        ("count", c_uint),
    )


@function(POINTER(Config), c_uint64, POINTER(c_void_p), c_void_p)
def cuLaunchKernelEx(config: Any, function: int, params: Any, extra: Any) -> int:
    wanted = config[0]
    x, y, threads, shared = wanted.x, wanted.y, wanted.bx, wanted.shared
    if not (x and 0 < y <= LARGEST_GRID_Y and (wanted.z, wanted.by, wanted.bz) == (1, 1, 1)) or extra:
        return INVALID_VALUE
    if not 0 < threads <= LARGEST_BLOCK or shared > max(STATIC_SHARED, limits[function]):
        return INVALID_VALUE
    stream = live["stream"][wanted.stream]
    attributes = [(one.id, one.value[1]) for one in wanted.attributes[: wanted.count]]
    early = attributes == [(PROGRAMMATIC_STREAM_SERIALIZATION, 1)]
    if (attributes and not early) or early != (stream.last_is_kernel and ATTRIBUTES[75] >= 9 and version >= 12030):
        return INVALID_VALUE
    kernel = loaded[function - 6000]
    args: list[Any] = []
    for i, kind in enumerate(kernel.kinds):
        number = KINDS[kind]
        args.append(np.frombuffer(ctypes.string_at(params[i], np.dtype(number).itemsize), number)[0])
    stream.add(lambda: kernel.launch((x, y), threads, args, shared), is_kernel=True)
    return OK


# Streams, graphs, events ---------------------------------------------------------------------------------


@function(POINTER(c_uint64), c_uint)
def cuStreamCreate(found: Any, flags: int) -> int:
    found[0] = handle("stream", Stream())
    return OK if flags == 1 else INVALID_VALUE  # CU_STREAM_NON_BLOCKING


@function(c_uint64)
def cuStreamDestroy(stream: int) -> int:
    return dropped("stream", stream)


@function(c_uint64)
def cuStreamSynchronize(stream: int) -> int:
    if live["stream"][stream].captured is not None:
        return NOT_IN_CAPTURE
    live["stream"][stream].finish()
    return OK


@function(c_uint64, c_int)
def cuStreamBeginCapture(stream: int, mode: int) -> int:
    live["stream"][stream].captured = []
    return OK if mode == 2 else INVALID_VALUE  # CU_STREAM_CAPTURE_MODE_RELAXED


@function(c_uint64, POINTER(c_uint64))
def cuStreamEndCapture(stream: int, found: Any) -> int:
    found[0] = handle("graph", live["stream"][stream].captured)
    live["stream"][stream].captured = None
    return OK


@function(POINTER(c_uint64), c_uint64, c_uint64)
def cuGraphInstantiateWithFlags(found: Any, graph: int, flags: int) -> int:
    found[0] = handle("exec", list(live["graph"][graph]))
    return OK


FUNCTIONS["cuGraphInstantiate"] = FUNCTIONS["cuGraphInstantiateWithFlags"]


@function(c_uint64)
def cuGraphDestroy(graph: int) -> int:
    return dropped("graph", graph)


@function(c_uint64)
def cuGraphExecDestroy(ready: int) -> int:
    return dropped("exec", ready)


@function(c_uint64, c_uint64)
def cuGraphLaunch(ready: int, stream: int) -> int:
    global replays
    replays += 1
    for work in live["exec"][ready]:
        live["stream"][stream].add(work)
    return OK


@function(POINTER(c_uint64), c_uint)
def cuEventCreate(found: Any, flags: int) -> int:
    found[0] = handle("event", [])
    return OK


@function(c_uint64, c_uint64)
def cuEventRecord(event: int, stream: int) -> int:
    live["event"][event].append(stream)
    return OK


@function(c_uint64)
def cuEventSynchronize(event: int) -> int:
    live["stream"][live["event"][event][-1]].finish()
    return OK


@function(POINTER(c_float), c_uint64, c_uint64)
def cuEventElapsedTime(found: Any, begin: int, end: int) -> int:
    found[0] = 1.5
    return OK if live["event"][begin] and live["event"][end] else INVALID_HANDLE


@function(c_uint64)
def cuEventDestroy(event: int) -> int:
    return dropped("event", event)


# Taking the driver's place ---------------------------------------------------------------------------------


def image(one: Loaded) -> bytes:
    loaded.append(one)
    return b"cubin %d\0" % (len(loaded) - 1)


def compiled(key: Key, capability: tuple[int, int]) -> ObjectCode:
    """The source, for the simulator."""
    assert capability == (ATTRIBUTES[75], ATTRIBUTES[76])
    kernel = make(key)
    kinds = ["f32" if name in FLOATS else "s64" for name in inspect.signature(kernel).parameters]
    return ObjectCode(key[0], image(Loaded(key[0], kinds, partial(simulator.launch, kernel))))


def linked(assembly: Assembly, capability: tuple[int, int]) -> tuple[bytes, str]:
    """The PTX, as it came from the compilers."""
    assert capability == (ATTRIBUTES[75], ATTRIBUTES[76])
    kernel = Kernel(assembly.ptx)
    return image(Loaded(assembly.symbol, kernel.code.parameters, kernel.launch)), ""


stored: list[ObjectCode] = []  # what the store has in the place of every kernel, if anything
read_file, write_file = Place.read, Place.write


def read(place: Place, name: str) -> ObjectCode:
    """Of GPUs' kernels what a test says, and of the CPU's what there is."""
    if not name.endswith(".cubin"):
        return read_file(place, name)
    if not stored:
        raise FileNotFoundError(name)
    return stored[-1]


def write(place: Place, name: str, kernels: ObjectCode) -> Path:
    """A store keeps none of a GPU's."""
    return place.folder / name if name.endswith(".cubin") else write_file(place, name, kernels)


def install(folder: Path, ptx: bool = False) -> None:
    """Before cuda.bindings is imported. A C compiler makes the library's one function of its own."""
    (folder / "driver.c").write_text(SOURCE)
    library = folder / "libcuda.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(folder / "driver.c")]
    subprocess.run(command, check=True)
    own = ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    find = ctypes.CFUNCTYPE(c_void_p, c_char_p)(lambda name: FUNCTIONS.get(name.decode()))
    keep.extend([own, find])
    own.register_find(find)
    Place.read, Place.write = read, write
    if ptx:
        compiler.linked = linked
    else:
        cubins.compiled = compiled
