"""The thread pool: the same bits by any number, many callers, forks, Ctrl-C, errors in a thread."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npbert_kernels.cpu import cgroups, get_num_threads, launch, layout, processors, set_num_threads, thread_pool
from npbert_kernels.cpu.layout import Op
from npbert_kernels.cpu.thread_pool import default_threads

from npbert import AutoModel, BertModel

Folders = Callable[..., Path]
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.fixture
def model(bert_folder: Folders) -> BertModel:
    return AutoModel.from_pretrained(bert_folder())


def inputs(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 9), rng.integers(1, 60)
    mask = np.arange(columns) < rng.integers(1, columns + 1, (rows, 1))
    return {"input_ids": rng.integers(0, 61, (rows, columns)), "attention_mask": mask}


def bits(model: BertModel, seed: int) -> bytes:
    output = model(**inputs(seed), output_hidden_states=True, output_attentions=True)
    return b"".join(a.tobytes() for a in (*output.hidden_states, *output.attentions, output.pooler_output))


def test_any_number_of_threads_gives_the_same_bits(model: BertModel) -> None:
    set_num_threads(1)
    wanted = [bits(model, seed) for seed in range(10)]
    for n in (2, 3, 5, 8, 2, 1):
        set_num_threads(n)
        assert get_num_threads() == n
        assert [bits(model, seed) for seed in range(10)] == wanted, n


@pytest.mark.parametrize("threads", [(1,), (2,), (1, 2, 3)])
def test_many_callers_of_one_model(model: BertModel, threads: tuple[int, ...]) -> None:
    """Each gets its own answer, also while somebody changes the number of threads."""
    set_num_threads(1)
    wanted = [bits(model, seed) for seed in range(12)]

    def call(turn: int) -> bool:
        set_num_threads(threads[turn % len(threads)])
        return bits(model, turn % 12) == wanted[turn % 12]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(200)))


FORKS = """
import os, sys, threading
import numpy as np
import npbert
from npbert_kernels.cpu import set_num_threads

set_num_threads(int(sys.argv[2]))
ids = np.random.default_rng(0).integers(0, 61, (6, 50))

def answer(model):
    return model(ids, output_hidden_states=True).hidden_states[-1].tobytes()

def in_child(function):
    # whether it is right in a forked process, and ends
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if function() else 1
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0

wanted = answer(npbert.AutoModel.from_pretrained(sys.argv[1], backend="reference"))
def near(found):
    a, b = (np.frombuffer(x, np.float32) for x in (found, wanted))
    return np.abs(a - b).max() < 1e-4

# before anything is loaded; then before the first call; then between calls
assert in_child(lambda: near(answer(npbert.AutoModel.from_pretrained(sys.argv[1]))))
model = npbert.AutoModel.from_pretrained(sys.argv[1])
assert in_child(lambda: near(answer(model)))
right = answer(model)
assert near(right)
assert in_child(lambda: answer(model) == right)
assert answer(model) == right
# a child's child
assert in_child(lambda: answer(model) == right and in_child(lambda: answer(model) == right))

# while another thread records what the child is going to need
class Slow:
    def __init__(self, backend):
        self.backend, self.recording, self.go_on = backend, threading.Event(), threading.Event()
    def record(self, *arguments, **flags):
        if threading.current_thread() is not threading.main_thread():
            self.recording.set()
            self.go_on.wait()
        return self.backend.record(*arguments, **flags)
slow = model._backend = Slow(model._backend)
recording = threading.Thread(target=lambda: model(ids, output_attentions=True))
recording.start()
slow.recording.wait()
assert in_child(lambda: model(ids, output_attentions=True).last_hidden_state.shape == (6, 50, 48))
slow.go_on.set()
recording.join()

# during calls by other threads, which go on
stop, wrong, count = threading.Event(), [], [0, 0]
def caller(i):
    while not stop.is_set():
        count[i] += 1
        if answer(model) != right:
            wrong.append(count[i])
callers = [threading.Thread(target=caller, args=(i,)) for i in range(2)]
for thread in callers:
    thread.start()
for _ in range(30):
    before = count[:]
    assert in_child(lambda: answer(model) == right and answer(model) == right)
    while count[0] == before[0] or count[1] == before[1]:
        pass
stop.set()
for thread in callers:
    thread.join()
assert not wrong
assert answer(model) == right
"""


def completes(code: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """A program that must end well, and not hang."""
    # A shell's background jobs start with SIGINT ignored, and Python then leaves it so.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", heard + code, *map(str, arguments)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):  # what it forked hangs with it
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise
    assert process.returncode == 0, f"{process.returncode}: {err[-3000:]}"
    return subprocess.CompletedProcess(command, 0, out, err)


@FORK
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_forks(threads: int, bert_folder: Folders) -> None:
    """Before, between and during calls."""
    completes(FORKS, bert_folder(), threads)


SUPPORT = Path(__file__).parents[1] / "support"
LONG_CALL = f"""
import os, random, signal, sys, threading, time
sys.path.insert(0, {str(SUPPORT)!r})
import numpy as np
from npbert_kernels.cpu import backend, set_num_threads
from one_op import batch_of

set_num_threads(int(sys.argv[1]))
width, tokens = 1024, 4096
rng = np.random.default_rng(0)
store = backend.store(8 * width * width)
weight = rng.standard_normal((width, width), np.float32) / np.float32(width**0.5)
placed = store.linear(weight, None)
table = store.table(rng.standard_normal((tokens, width), np.float32))
flat, norm = store.table(np.zeros((1, width), np.float32)), store.norm(*np.ones((2, width), np.float32), 1e-5)

def forward(ops, batch):
    x = ops.embed(table, batch.ids, (flat, batch.positions), (flat, batch.token_types), norm)
    for _ in range(400):  # some thirty seconds
        x = ops.linear(x, placed, activation="tanh")
    return {{"x": x}}

program = backend.record(forward)
def batch(n):
    return batch_of([n], ids=np.arange(n))
right = program(batch(3))["x"].copy()
"""

FORKED_IN_A_CALL = """
# a child is right while the call of another thread goes on, whatever Ctrl-C does in the fork; the call then ends well
calls, found = [], []
def call():
    calls.append(1)
    found.append(program(batch(int(sys.argv[2])))["x"])
thread = threading.Thread(target=call)
thread.start()
while not calls:
    time.sleep(0.01)
time.sleep(0.1)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
process, child, interrupted = os.getpid(), None, False
try:
    while not interrupted and thread.is_alive():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os._exit(0 if (program(batch(3))["x"] == right).all() else 1)
        assert os.waitpid(child, 0)[1] == 0
except KeyboardInterrupt:
    assert os.getpid() == process or os._exit(0)
    interrupted = True
assert interrupted
assert thread.is_alive(), "the fork waited for the call"
thread.join()
np.testing.assert_array_equal(found[0][:3], right)
np.testing.assert_array_equal(program(batch(int(sys.argv[2])))["x"], found[0])
"""

INTERRUPTED = """
sent = 0.0
def interrupt():
    global sent
    time.sleep(0.4)
    sent = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)

late = []
for _ in range(3):
    threading.Thread(target=interrupt).start()
    try:
        program(batch(tokens))
        sys.exit("it was not interrupted")
    except KeyboardInterrupt:
        late.append(time.perf_counter() - sent)
    np.testing.assert_array_equal(program(batch(3))["x"], right)
print(*late)
"""

HAMMERED = """
# Ctrl-C some sixty times within a few milliseconds: while the call runs, while it is given up, while it cleans up
def handler(number, frame):
    while frame is not None:
        if frame.f_code is type(program)._run.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back
signal.signal(signal.SIGINT, handler)

def hammer(quiet):
    time.sleep(0.03 + random.random() * 0.01)
    for _ in range(60):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(random.random() * 0.0002)
    quiet.set()

late = []
end = time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    quiet = threading.Event()
    threading.Thread(target=hammer, args=(quiet,)).start()
    try:
        program(batch(tokens))
        sys.exit("it was not interrupted")
    except KeyboardInterrupt:
        pass
    quiet.wait()
    start = time.perf_counter()
    np.testing.assert_array_equal(program(batch(3))["x"], right)
    late.append(time.perf_counter() - start)
print(*late)
"""

INTERRUPTS = pytest.mark.skipif(sys.platform == "win32", reason="os.kill is another thing there")


@FORK
@INTERRUPTS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_fork_in_a_call(threads: int, kernel_cache: Path) -> None:
    """It does not wait for the call of another thread, in parent or child."""
    completes(LONG_CALL + FORKED_IN_A_CALL, threads, 200)


@INTERRUPTS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_ctrl_c_in_a_long_call(threads: int, kernel_cache: Path) -> None:
    """It is heard soon, and the next call is right."""
    late = [float(word) for word in completes(LONG_CALL + INTERRUPTED, threads).stdout.split()]
    assert len(late) == 3
    assert sorted(late)[1] < 0.2, late  # the median: the machine may be busy with something else


@INTERRUPTS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_ctrl_c_again_and_again(threads: int, kernel_cache: Path) -> None:
    """No crash, though it keeps the caller from waiting for threads; and they never hold up the next call."""
    late = [float(word) for word in completes(LONG_CALL + HAMMERED, threads, 4).stdout.split()]
    assert len(late) > 3
    assert sorted(late)[len(late) // 2] < 1, late


EXIT = """
import sys, threading, time
import numpy as np
import npbert
from npbert_kernels.cpu import set_num_threads
set_num_threads(2)
model = npbert.AutoModel.from_pretrained(sys.argv[1])
ids = np.ones((8, 60), int)
def forever():
    while True:
        model(ids)
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""


AT_THE_END = """
import builtins
class Late:
    def __init__(self, *uses):
        self.uses = uses
    def __del__(self):
        program, batch, right, ending, write = self.uses
        assert ending()
        write(1, b"right" if program(batch)["x"].tobytes() == right.tobytes() else b"wrong")
builtins.late = Late(program, batch(3), right, sys.is_finalizing, os.write)
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_call_when_no_thread_can_begin_any_more(threads: int, kernel_cache: Path) -> None:
    """While the interpreter takes its modules apart: the caller works alone."""
    assert completes(LONG_CALL + AT_THE_END, threads).stdout == "right"


def test_a_process_may_end_in_the_middle_of_calls(bert_folder: Folders) -> None:
    for _ in range(3):
        assert completes(EXIT, bert_folder()).stderr == ""


class Job:
    """Called as the pool's job: notes who called, and fails for one rank, while the others wait for the abort."""

    def __init__(self, failing: int, error: BaseException) -> None:
        self.failing, self.error = failing, error
        self.aborted, self.finished = threading.Event(), []

    def __call__(self, rank: int) -> None:
        if rank == self.failing:
            raise self.error
        assert self.aborted.wait(60)
        self.finished.append(rank)


@pytest.mark.parametrize("flops", [0.0, 1e12])
@pytest.mark.parametrize("failing", [0, 1, 3])
@pytest.mark.parametrize("error", [ZeroDivisionError("by nought"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_a_thread_raises_is_raised(failing: int, error: BaseException, flops: float) -> None:
    """After all others have come back: they use the caller's memory. The caller takes part, or waits."""
    job = Job(failing, error)
    with pytest.raises(type(error)) as raised:
        thread_pool.thread_pool.run(job, 4, job.aborted.set, flops)
    assert raised.value is error
    assert sorted(job.finished) == [rank for rank in range(4) if rank != failing]

    ranks: list[int] = []
    thread_pool.thread_pool.run(ranks.append, 4, lambda: None, flops)
    assert sorted(ranks) == [0, 1, 2, 3]


@pytest.mark.parametrize("flops", [0.0, 1e12])
def test_a_thread_that_fails_before_it_begins(flops: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """It aborts for the others too."""
    job = Job(-1, ZeroDivisionError())
    failed: list[int] = []

    def leave(processor: int) -> None:
        if not failed:
            failed.append(processor)
            raise MemoryError("before the job")

    with monkeypatch.context() as changed:
        changed.setattr(processors, "leave", leave)
        with pytest.raises(MemoryError, match="before the job"):
            thread_pool.thread_pool.run(job, 4, job.aborted.set, flops)
    assert len(job.finished) == 3


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_thread_that_fails_holds_nobody_up(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others do its work or see the abort, what it raised is raised, and the next launch begins anew."""
    real = launch.entry()
    calls: list[int] = []

    def entry(frame: int, rank: int) -> int:
        if rank == failing:
            raise MemoryError("in a thread")
        calls.append(real(frame, rank))
        return calls[-1]

    target = np.zeros(64, np.float32)
    step = np.zeros((1, layout.STEP_WORDS), np.int64)
    step[0, [0, layout.RATE_ROUNDS, layout.RATE_TARGET]] = Op.RATE, 10, launch.address(target)
    with monkeypatch.context() as changed:
        changed.setattr(launch, "entry", lambda: entry)
        with pytest.raises(MemoryError, match="in a thread"):
            launch.launch_steps(step, target, threads=3)
    assert len(calls) == 2
    assert set(calls) <= {layout.COMPLETE, layout.ABORTED}
    launch.launch_steps(step, target, threads=3)


def test_no_more_threads(model: BertModel, monkeypatch: pytest.MonkeyPatch) -> None:
    set_num_threads(1)
    wanted = bits(model, 0)
    set_num_threads(40)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            bits(model, 0)
    set_num_threads(2)
    assert bits(model, 0) == wanted


@pytest.mark.parametrize("n", [0, -1, 1025, True, 1.0, 2.5, "2", None, [2]])
def test_set_num_threads_wants_a_number(n: Any) -> None:
    before = get_num_threads()
    with pytest.raises(ValueError, match="set_num_threads: wanted a whole number from 1 to 1024, found "):
        set_num_threads(n)
    assert get_num_threads() == before


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1025", "99999999999", "²", "1 2"])
def test_npbert_num_threads_wants_a_number(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPBERT_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"NPBERT_NUM_THREADS={value}: wanted a whole number from 1 to 1024"):
        default_threads()


def test_npbert_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPBERT_NUM_THREADS", " 7 ")
    monkeypatch.setattr(thread_pool, "_threads", None)
    assert get_num_threads() == 7


@pytest.mark.parametrize(
    ("cores", "quota", "wanted"), [(4, math.inf, 4), (4, 2.0, 2), (4, 1.5, 2), (4, 0.25, 1), (2, 8.0, 2)]
)
def test_what_this_process_may_use(cores: int, quota: float, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPBERT_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(cgroups, "quota", lambda: quota)
    assert default_threads() == wanted
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_threads() == wanted
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1
