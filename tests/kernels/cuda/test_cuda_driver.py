"""gpu.py itself, by cuda.bindings, on a driver whose functions are simulated: each call's form, order and arguments.

In processes of their own, which import cuda.bindings with a libcuda.so.1 that a C compiler makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from families import FAMILIES

pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed: the cuda extra brings it")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

BEFORE = """
import gc, pathlib, sys, threading
ptx = sys.argv[3] == "ptx"
if not ptx:
    import simulated
import fake_driver
fake_driver.install(pathlib.Path(sys.argv[1]), ptx)
import numpy as np
from npbert import AutoModel
from npbert_kernels.cuda import Cuda, DeviceError, backend_on
from npbert_kernels.cuda.simulated import Simulated
folder = sys.argv[2]
ids, mask = np.array([[5, 6, 7], [8, 9, 1]]), np.array([[1, 1, 1], [1, 1, 0]])
def made():
    gc.collect()
    return {kind: len(things) for kind, things in fake_driver.live.items() if things}
"""


@pytest.fixture
def run(family_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., str]:
    """run(code, what runs) -> what a process with the simulated driver printed; it ended well."""
    model_type, config = FAMILIES["bert"]
    folder = family_folder(model_type, **{**config, "num_hidden_layers": 1})

    def in_a_process(code: str, runs: str = "source") -> str:
        command = [sys.executable, "-c", BEFORE + code, str(tmp_path), str(folder), runs]
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2] / "support"), *sys.path])
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return in_a_process


CALLS = """
model = AutoModel.from_pretrained(folder, device="cuda", dtype="float16")
assert isinstance(model.backend, Cuda) and model.backend.device.name == "Simulated H200"
weights = made()
twin = AutoModel.from_pretrained(folder, backend=Cuda(Simulated(), "float16"))
def outputs(model):
    found = model(ids, mask, output_attentions=True, head_mask=np.full(3, 0.5))
    return found.last_hidden_state, found.pooler_output, *found.attentions
right, before = outputs(twin), fake_driver.replays
for mine, other in zip(outputs(model), right):
    np.testing.assert_array_equal(mine, other)
first = made()
assert (first["stream"], first["exec"], first["memory"]) == (2, 1, weights["memory"] + 2), first  # one for uploads
outputs(model)
assert made() == first  # nothing is allocated again
assert fake_driver.replays == before + 2
(program,) = model._programs.values()
(workspace,) = program._free
assert workspace.queue.milliseconds(workspace.replay) == 1.5
wrong = []
def call():
    wrong.extend(i for i, array in enumerate(outputs(model)) if not np.array_equal(array, right[i]))
assert fake_driver.here.contexts == []  # what a thread had before is its own again
threads = [threading.Thread(target=call) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong
assert made()["stream"] == 1 + len(program._free) <= 4
del model, program, workspace, outputs, call
assert made() == {"stream": 1}, made()
"""


def test_a_model_s_calls(run: Callable[..., str]) -> None:
    """The bits of the simulated device; a replay a call; a stream a caller; and all is given back."""
    assert run(CALLS) == ""


BEFORE_HOPPER = """
fake_driver.ATTRIBUTES[75] = 8
AutoModel.from_pretrained(folder, device="cuda", dtype="float16")(ids, mask)
"""


def test_gpus_that_launch_nothing_early(run: Callable[..., str]) -> None:
    assert run(BEFORE_HOPPER) == ""


REFUSED = """
def said(index=0):
    try:
        backend_on(index)
    except DeviceError as error:
        print(error)
said(1)
fake_driver.version = 12040
said(2)
fake_driver.version, fake_driver.ATTRIBUTES[75], fake_driver.ATTRIBUTES[76] = 13000, 7, 5
said()
fake_driver.refused["cuInit"] = 100
said()
"""


def test_gpus_that_can_t_be_used(run: Callable[..., str]) -> None:
    import cuda.bindings

    lines = run(REFUSED).splitlines()
    packages = cuda.bindings.__version__.partition(".")[0]
    one_gpu = "device: wanted one of the 1 GPUs that are there, found cuda:"
    old = (
        f"device: cuda wants NVIDIA's driver for CUDA {packages} or later, found one for CUDA 12;"
        " pip install '.[cuda12]' in a checkout of npbert, or 'FILE.whl[cuda12]' with its wheel,"
        " brings packages for CUDA 12"
    )
    assert lines == [
        one_gpu + "1",
        old if packages != "12" else one_gpu + "2",
        "device: wanted compute capability 8.0 or later, found 7.5: Simulated H200",
        "device: cuda wants a GPU with NVIDIA's driver: CUDA: CUDA_ERROR_NO_DEVICE",
    ]


FAILING = """
model = AutoModel.from_pretrained(folder, device="cuda")
weights = made()
refusals = {"cuMemAlloc": 2, "cuLaunchKernelEx": 701, "cuGraphInstantiateWithFlags": 2, "cuGraphLaunch": 719}
for function, status in refusals.items():
    fake_driver.refused[function] = status
    try:
        model(ids)
    except DeviceError as error:
        print(error)
    fake_driver.refused.clear()
    assert made() == weights, (function, made())
model(ids)
fake_driver.stored.append(fake_driver.ObjectCode("kernel", b"of another GPU"))
model.backend.device.functions.clear()
model(ids, output_attentions=True)  # what the driver does not take is compiled anew
"""


def test_what_the_driver_refuses(run: Callable[..., str]) -> None:
    """An error each, after which nothing is left and the next call works."""
    names = ("OUT_OF_MEMORY", "LAUNCH_OUT_OF_RESOURCES", "OUT_OF_MEMORY", "LAUNCH_FAILED")
    assert run(FAILING).splitlines() == [f"CUDA: CUDA_ERROR_{name}" for name in names]


ALL_OF_IT = """
model, wanted = AutoModel.from_pretrained(folder, device="cuda", dtype="float16"), AutoModel.from_pretrained(folder)
asked, lists = {"output_attentions": True, "head_mask": np.full(3, 0.5)}, [[5, 6, 7], [8, 9], [11, 12, 13, 14]]
pairs = list(zip(*(one(ids, mask, **asked).values() for one in (model, wanted))))
pairs.append([one.embed(lists, ["cls", "mean"], normalize=True) for one in (model, wanted)])
for mine, other in pairs:
    np.testing.assert_allclose(mine, other, atol=0.004)
print(len(pairs))
"""


def test_a_call_down_to_the_compiled_kernels(run: Callable[..., str]) -> None:
    """The arguments as the driver is given them, read as the PTX declares them."""
    pytest.importorskip("numba_cuda")
    assert run(ALL_OF_IT, "ptx") == "4\n"
