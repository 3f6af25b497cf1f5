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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .cases import CASES, Case
from .models import MODELS, default_cache, make_exported

GPU_CASES = (*CASES.values(), Case("32x128", (128,) * 32))
ROUNDS, RUNS, WARMUPS = 7, 20, 10
RESULTS = Path(__file__).parent / "results"
Run = Callable[[], float]  # one forward pass: its milliseconds on the device


def npbert_run(folder: Path, case: Case, dtype: str) -> Run:
    from npbert import AutoModel
    from npbert.batch import pack
    from npbert.bert import model_forward

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
    if how == "compile":
        model = torch.compile(model, mode="max-autotune-no-cudagraphs")
    if how == "graph":
        model = torch.compile(model, mode="reduce-overhead")
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


def onnx_run(model: Any, case: Case) -> Run:
    """By the clock around a call with its inputs bound: it has a stream of its own, which waits at the end."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError("no CUDAExecutionProvider")
    session = onnxruntime.InferenceSession(str(model.onnx()), providers=["CUDAExecutionProvider"])
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


def engines(model: Any, case: Case) -> dict[str, Callable[[], Run]]:
    made: dict[str, Callable[[], Run]] = {}
    for dtype in ("float16", "bfloat16"):
        made[f"npbert {dtype}"] = lambda dtype=dtype: npbert_run(model.folder, case, dtype)  # type: ignore[misc]
        for how in ("eager", "compile", "graph"):
            made[f"torch {how} {dtype}"] = lambda d=dtype, h=how: torch_run(model.folder, case, d, h)  # type: ignore[misc]
    made["npbert float32"] = lambda: npbert_run(model.folder, case, "float32")
    made["ONNX Runtime float32"] = lambda: onnx_run(model, case)
    return made


def timed(model: Any, case: Case) -> list[dict[str, Any]]:
    runs: dict[str, Run] = {}
    for name, prepare in engines(model, case).items():
        try:
            run = prepare()
            for _ in range(WARMUPS):
                run()
            runs[name] = run
        except Exception as error:
            print(f"{model.name} {case.name}: {name} left out: {type(error).__name__}: {str(error).splitlines()[:1]}")
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
    """Operations a second of torch's own bfloat16 matrix product, on BERT-base's largest shape at 32x128."""
    import torch

    x, w = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((4096, 768), (768, 3072)))
    times = []
    for _ in range(100):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        x @ w
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return 2.0 * 4096 * 768 * 3072 / (statistics.median(times) * 1e-3)


def table(timings: list[dict[str, Any]]) -> str:
    cases = list(dict.fromkeys((t["model"], t["case"]) for t in timings))
    names = list(dict.fromkeys(t["engine"] for t in timings))
    by = {(t["engine"], t["model"], t["case"]): f"{t['ms']:.3f}" for t in timings}
    lines = ["| ms on the device | " + " | ".join(f"{m} {c}" for m, c in cases) + " |", "|---" * (len(cases) + 1) + "|"]
    lines += ["| " + " | ".join([name, *(by.get((name, *case), "") for case in cases)]) + " |" for name in names]
    return "\n".join(lines) + "\n"


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
            timings += timed(model, case)
            print(table(timings), flush=True)
    rate = product_rate()
    stem = RESULTS / re.sub(r"[^a-z0-9]+", "-", name.lower())
    result = {"gpu": name, "torch_bfloat16_product_rate": rate, "timings": timings}
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = (
        f"# {name}\n\n{table(timings)}\ntorch's bfloat16 matrix product, 4096 x 768 x 3072: {rate / 1e12:.0f} TFLOP/s\n"
    )
    stem.with_suffix(".md").write_text(text)
    plot(timings, stem.with_suffix(".svg"))
    assert np.isfinite(rate)


if __name__ == "__main__":
    main()
