"""npbert and its peers on one GPU, by device events: `make bench-gpu` writes results, a table and a plot.

Device time is the time between two events around a forward pass, inputs on the device already: a replay of npbert's
graph (which also uploads the batch, some kilobytes), a call of torch's model, or of ONNX Runtime's with its inputs
bound. The median of many, and the quartiles. Engines take turns, so that a clock that wanders meets all of them.

A peer that is not installed, or fails, is named with its reason, and left out.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cases import CASES, Case, flops
from .models import MODELS, Model, default_cache, make_exported

GPU_CASES = (*CASES.values(), Case("32x128", (128,) * 32))
ROUNDS, RUNS, WARMUPS = 7, 20, 10
RESULTS = Path(__file__).parent / "results"
Run = Callable[[], float]  # one forward pass: its milliseconds on the device
Show = Callable[[dict[str, Any]], str]


def npbert_run(folder: Path, case: Case, dtype: str) -> Run:
    from npbert import AutoModel
    from npbert.models.batch import pack
    from npbert.models.pooling import model_forward

    model: Any = AutoModel.from_pretrained(folder, device="cuda", dtype=dtype)
    feed = case.feed()
    batch = pack(model.config, feed["input_ids"], feed["attention_mask"], feed["token_type_ids"]).batch
    program = model._backend.record(model_forward(model._encoder))
    program(batch)
    (workspace,) = program._free
    return lambda: float(workspace.queue.milliseconds(workspace.replay))


def torch_run(folder: Path, case: Case, dtype: str, how: str) -> Run:
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=getattr(torch, dtype))
    model = model.to("cuda").eval()
    if how != "eager":  # "reduce-overhead" is CUDA graphs
        model = torch.compile(model, dynamic=False, mode="default" if how == "compile" else "reduce-overhead")
    feed = {name: torch.tensor(array, device="cuda") for name, array in case.feed().items()}
    if len(set(case.lengths)) == 1:
        del feed["attention_mask"]  # as a careful user would: without padding there is nothing to mask

    def run() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.inference_mode():
            begin.record()
            model(**feed)
            end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))

    return run


def onnx_run(model: Model, case: Case) -> Run:
    """By the clock around a call with its inputs bound: it has a stream of its own, which waits at the end."""
    import onnxruntime

    onnxruntime.preload_dlls()  # CUDA's and cuDNN's, from torch's packages
    session = onnxruntime.InferenceSession(str(model.onnx()), providers=["CUDAExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":  # it goes on with the CPU, and a warning
        raise RuntimeError("its CUDAExecutionProvider could not be loaded")
    binding = session.io_binding()
    for name, array in case.feed().items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0)
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda")

    def run() -> float:
        begin = time.perf_counter()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return (time.perf_counter() - begin) * 1e3

    return run


def engines(model: Model, case: Case) -> dict[str, Callable[[], Run]]:
    made: dict[str, Callable[[], Run]] = {}
    for dtype in ("float16", "bfloat16"):
        made[f"npbert {dtype}"] = lambda dtype=dtype: npbert_run(model.folder, case, dtype)  # type: ignore[misc]
        for how in ("eager", "compile", "graph"):
            made[f"torch {how} {dtype}"] = lambda d=dtype, h=how: torch_run(model.folder, case, d, h)  # type: ignore[misc]
    made["npbert float32"] = lambda: npbert_run(model.folder, case, "float32")
    made["ONNX Runtime float32"] = lambda: onnx_run(model, case)
    return made


def timed(model: Model, case: Case) -> list[dict[str, Any]]:
    import torch

    torch.compiler.reset()  # models share their classes' code, of which torch compiles 8 varieties and no more
    runs: dict[str, Run] = {}
    for name, prepare in engines(model, case).items():
        try:
            run = prepare()
            for _ in range(WARMUPS):
                run()
            runs[name] = run
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            print(f"{model.name} {case.name}: {name} left out: {type(error).__name__}: {reason}", file=sys.stderr)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken[name] += [run() for _ in range(RUNS)]
    found = []
    for name, times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        found.append(
            {"model": model.name, "case": case.name, "engine": name, "q1_ms": low, "ms": middle, "q3_ms": high}
        )
    return found


def product_rate() -> float:
    """Operations a second of torch's own bfloat16 matrix products, on the four shapes of BERT-base at 32x128."""
    import torch

    operations = seconds = 0.0
    for n, k in ((2304, 768), (768, 768), (3072, 768), (768, 3072)):
        x, w = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((4096, k), (n, k)))
        times = []
        for _ in range(100):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            torch.nn.functional.linear(x, w)
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        operations += 2.0 * 4096 * n * k
        seconds += statistics.median(times) * 1e-3
    return operations / seconds


def milliseconds(timing: dict[str, Any]) -> str:
    return f"{timing['ms']:.3f}"


def table(timings: list[dict[str, Any]], head: str = "ms on the device", show: Show = milliseconds) -> str:
    """A row for each engine, a column for each model and case; show says what stands there of a timing."""
    cases = list(dict.fromkeys((t["model"], t["case"]) for t in timings))
    names = list(dict.fromkeys(t["engine"] for t in timings))
    by = {(t["engine"], t["model"], t["case"]): show(t) for t in timings}
    lines = [f"| {head} | " + " | ".join(f"{m} {c}" for m, c in cases) + " |", "|---" * (len(cases) + 1) + "|"]
    lines += ["| " + " | ".join([name, *(by.get((name, *case), "") for case in cases)]) + " |" for name in names]
    return "\n".join(lines) + "\n"


def shares(timings: list[dict[str, Any]], rate: float) -> str:
    """Of the rate of torch's products, what each engine reaches on a batch's real tokens."""

    def share(timing: dict[str, Any]) -> str:
        return f"{100 * timing['flops'] / (timing['ms'] * 1e-3) / rate:.0f}"

    return table(timings, "% of torch's bfloat16 products", share)


def plot(timings: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys((t["model"], t["case"]) for t in timings))
    figure, panels = plt.subplots(1, len(cases), figsize=(2.6 * len(cases), 3.4), squeeze=False, layout="constrained")
    for axes, case in zip(panels[0], cases, strict=True):
        chosen = [t for t in timings if (t["model"], t["case"]) == case]
        colours = ["#c2410c" if t["engine"].startswith("npbert") else "#94a3b8" for t in chosen]
        axes.barh([t["engine"] for t in chosen], [t["ms"] for t in chosen], color=colours)
        axes.set_title("\n".join(case), fontsize=8)
        axes.tick_params(labelsize=6)
        axes.invert_yaxis()
        axes.set_xlabel("ms on the device", fontsize=7)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    from npbert_kernels.cuda import backend_on

    name = backend_on().device.name
    timings: list[dict[str, Any]] = []
    for chosen in arguments.models:
        model = make_exported(chosen, default_cache())
        for case in GPU_CASES:
            work = flops(model.sizes(), case.lengths)
            timings += [{**timing, "flops": work} for timing in timed(model, case)]
            print(table(timings), flush=True)
    rate = product_rate()
    stem = RESULTS / re.sub(r"[^a-z0-9]+", "-", name.lower())
    result = {"gpu": name, "torch_bfloat16_product_rate": rate, "timings": timings}
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = f"# {name}\n\n{table(timings)}\ntorch's own products, on BERT-base's shapes: {rate / 1e12:.0f} TFLOP/s\n\n"
    stem.with_suffix(".md").write_text(text + shares(timings, rate))
    plot(timings, stem.with_suffix(".svg"))


if __name__ == "__main__":
    main()
