"""Markdown from a result: the tables that a reader wants, and every figure beside its target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from . import targets
from .cases import CASES, TEXT_CASES, Case
from .engines import OWN, PEERS_TO_BEAT
from .timing import ratio

Record = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    head = list(head)
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def full(result: Record) -> str:
    """All of it."""
    parts = [f"# {result['machine']['cpu']}\n", machine_line(result)]
    for dtype in dict.fromkeys(t["dtype"] for t in result.get("timings", [])):
        parts += [f"## Milliseconds a batch, {dtype}\n", speed(of_dtype(result["timings"], dtype))]
        if dtype != "float32":
            parts.append("npbert's own float32 stands beside it; the limit is that of the instruction in that dtype.\n")
    if result.get("tasks"):
        parts += ["## Milliseconds for 32 texts through a pipeline\n", speed(result["tasks"], limit=False)]
        parts.append(
            "Medians, tokenizer included; models of DistilBERT's size. torch is transformers' pipelines, ONNX Runtime "
            f"is called by hand; text after text, and in one padded batch. {describe_texts()}\n"
        )
    if result.get("quality"):
        parts += ["## What reduced precision changes\n", quality(result["quality"])]
        parts.append(
            "all-MiniLM-L6-v2 on sentences from the standard library's docstrings, each engine beside its own float32: "
            "cosines, ten nearest neighbours kept, rank correlation of the similarities of all pairs. ONNX Runtime's "
            "int8 is its dynamic one, OpenVINO's is calibrated by NNCF.\n"
        )
    if result.get("decisions"):
        parts.append(decisions(result["decisions"]))
        parts.append(
            "npbert with linear heads fitted on the same model: what a sentence begins with, what kind a token is.\n"
        )
    if result.get("memory") or result.get("startup"):
        parts += ["## Memory and start\n", footprint(result)]
    reached = list(figures(result))
    if reached:
        parts += ["## Figures beside their targets\n", table(("figure", "wanted", "reached", ""), reached)]
        parts.append(reading(result))
    timed = [*result.get("timings", []), *result.get("tasks", [])]
    disturbed = sum(t["disturbed_rounds"] for t in timed if t["engine"] == "npbert")
    if disturbed:
        parts.append(f"{disturbed} rounds began while something else used the cores: run it again.\n")
    return "\n".join(parts)


def machine_line(result: Record) -> str:
    machine = result["machine"]
    versions = machine["versions"]
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']} (family/model {machine['family_model']}), {machine['cores']} cores, "
        f"{result['rate'] / 1e9:.0f} GFLOP/s a core, ISA {machine['isa']}, {machine['system']}, "
        f"Python {machine['python']}; {peers}. {result['date'][:10]}.\n"
    )


def speed(timings: list[Record], *, limit: bool = True) -> str:
    """A table for each number of threads: median ± half the quartiles' distance; bold is fastest."""
    engines = list(dict.fromkeys(t["engine"] for t in timings))
    compared = "npbert" in engines
    parts = []
    for threads in dict.fromkeys(t["threads"] for t in timings):
        rows = []
        for (model, case), by_engine in _groups(t for t in timings if t["threads"] == threads):
            fastest = min(by_engine.values(), key=lambda t: t["median_ms"])
            cells = [_milliseconds(by_engine.get(e), bold=by_engine.get(e) is fastest) for e in engines]
            if compared:
                cells.append(_times(over_fastest(by_engine)))
                cells += [f"{by_engine['npbert']['share_of_limit']:.0%}"] * limit
            rows.append([f"{model} {case}", *cells])
        head = [f"{threads} thread{'s' * (threads > 1)}", *engines]
        parts.append(table(head + ["over the fastest peer", "of the limit"][: 1 + limit] * compared, rows))
    return "\n".join(parts)


def of_dtype(records: list[Record], dtype: str) -> list[Record]:
    return [record for record in records if record["dtype"] == dtype]


def over_fastest(by_engine: dict[str, Record], peers: Iterable[str] | None = None) -> float | None:
    """npbert's speed over the fastest of these peers, by default of all."""
    wanted = set(by_engine) - {*OWN} if peers is None else set(by_engine) & set(peers)
    return min((ratio(by_engine[peer], by_engine["npbert"]) for peer in wanted), default=None)


def footprint(result: Record) -> str:
    parts = []
    memory = result.get("memory", [])
    if memory:
        engines = list(dict.fromkeys(m["engine"] for m in memory))
        sizes = {(m["model"], m["dtype"], m["engine"]): f"{m['bytes'] / 1e6:.0f}" for m in memory}
        points = dict.fromkeys((m["model"], m["dtype"]) for m in memory)
        rows = [[", ".join(point), *(sizes.get((*point, engine), "") for engine in engines)] for point in points]
        parts.append(table(["largest resident memory, MB", *engines], rows))
    if result.get("startup"):
        quartiles = {s["process"]: np.percentile(s["seconds"], (25, 50, 75)) for s in result["startup"]}
        rows = [[name, f"{q2:.2f} ±{(q3 - q1) / 2:.2f}"] for name, (q1, q2, q3) in quartiles.items()]
        if result.get("first_run"):
            rows.append(["first run ever, kernels compiled", f"{result['first_run']['seconds']:.1f}"])
        parts.append(table(["process start to the first vector, MiniLM", "seconds"], rows))
    return "\n".join(parts)


def quality(changes: list[Record]) -> str:
    columns = ("mean cosine", "least cosine", "neighbours kept", "Spearman")
    rows = [[f"{c['engine']}, {c['dtype']}", *(f"{c[column]:.5f}" for column in columns)] for c in changes]
    return table([f"{changes[0]['sentences']} sentences", *columns], rows)


def decisions(kept: list[Record]) -> str:
    rows = [
        [f"{d['head']}, {d['dtype']}", f"{d['cases']:,}", f"{d['kept']:.2%}", f"{d['right']:.1%}"] for d in kept
    ]  # fmt: skip
    return table(("head", "cases", "decided as in float32", "float32 decides right"), rows)


def figures(result: Record) -> Iterator[list[str]]:
    """Every figure of `targets` that this result holds: name, wanted, reached, yes or no."""
    for g in result.get("gemm", []):
        if g["threads"] == 1:
            name = f"GEMM ({g['m']}, {g['n']}, {g['k']}), {g['dtype']}, share of the instruction's rate"
            yield _at_least(name, targets.GEMM_SHARE[g["dtype"]][g["m"]], g["share"])
    for (model, case), by_engine in _groups(result.get("timings", [])):
        own = by_engine.get("npbert")
        if own is None:
            continue
        threads, dtype = own["threads"], own["dtype"]
        name = f"{model} {case}, {threads} thread{'s' * (threads > 1)}"
        if dtype != "float32":
            yield from _reduced(f"{name}, {dtype}", case, by_engine)
            continue
        best = over_fastest(by_engine, PEERS_TO_BEAT)
        if best is not None:
            yield _at_least(f"{name}, over torch, ORT, OpenVINO", targets.OVER_FASTEST[case], best)
        if "CTranslate2" in by_engine:
            yield _at_least(f"{name}, over CTranslate2", 1.0, ratio(by_engine["CTranslate2"], own))
        if threads == 1:
            yield _at_least(f"{name}, share of the limit", targets.SHARE[model][case], own["share_of_limit"])
    for (model, case), by_engine in _groups(result.get("tasks", [])):
        best = over_fastest(by_engine) if "npbert" in by_engine else None
        if best is not None:
            threads = by_engine["npbert"]["threads"]
            name = f"{model} {case}, {threads} thread{'s' * (threads > 1)}, over transformers and ORT"
            yield _at_least(name, targets.OVER_FASTEST_TASK[case], best)
    pairs = {(s["model"], s["case"], s["threads"]): s for s in result.get("scaling", [])}
    for (model, case, threads), two in pairs.items():
        if threads == 2 and (model, case, 1) in pairs and case in targets.TWO_OVER_ONE:
            gain = ratio(pairs[model, case, 1], two)
            yield _at_least(f"{model} {case}, two threads over one", targets.TWO_OVER_ONE[case], gain)
    for m in result.get("memory", []):
        if m["engine"] == "npbert":
            wanted_mb = targets.RESIDENT_MB[m["dtype"]][m["model"]]
            yield _at_most(f"{m['model']}, {m['dtype']}, resident MB", wanted_mb, m["bytes"] / 1e6)
    for change in result.get("quality", []):
        if change["engine"] == "npbert":
            for name, wanted in targets.QUALITY[change["dtype"]].items():
                yield _at_least(f"{change['dtype']}, {name}", wanted, change[name])
    for kept in result.get("decisions", []):
        name = f"{kept['head']}, {kept['dtype']}, decisions kept"
        yield _at_least(name, targets.DECISIONS_KEPT[kept["dtype"]], kept["kept"])
    starts = {s["process"]: float(np.median(s["seconds"])) for s in result.get("startup", [])}
    for name, seconds in starts.items():
        if name.startswith("npbert"):
            wanted = min(targets.START_SECONDS, starts.get("ONNX Runtime and tokenizers", np.inf))
            yield _at_most(f"{name}, seconds to the first vector", wanted, seconds)
    if result.get("first_run"):
        yield _at_most("first run ever, seconds", targets.FIRST_RUN_SECONDS, result["first_run"]["seconds"])


def _reduced(name: str, case: str, by_engine: dict[str, Record]) -> Iterator[list[str]]:
    best = over_fastest(by_engine)
    if best is not None:
        yield _at_least(f"{name}, over its peers", targets.OVER_FASTEST_REDUCED[case], best)
    own = by_engine["npbert"]
    wanted = targets.OVER_FLOAT32[own["dtype"]].get(case)
    single = by_engine.get(OWN[1])
    if wanted and single:
        yield _at_least(f"{name}, over npbert's float32", wanted, ratio(single, own))


def _groups(timings: Iterable[Record]) -> Iterator[tuple[tuple[str, str], dict[str, Record]]]:
    """The engines of each model, number of threads, case and dtype, in order."""
    groups: dict[tuple[str, int, str, str], dict[str, Record]] = {}
    for timing in timings:
        key = timing["model"], timing["threads"], timing["case"], timing["dtype"]
        groups.setdefault(key, {})[timing["engine"]] = timing
    for (model, _, case, _), by_engine in groups.items():
        yield (model, case), by_engine


def reading(result: Record) -> str:
    """Why short batches are not bound by arithmetic alone."""
    times = (
        f"{size / result['read_rate'] * 1e3:.1f} ms for {model}'s {size / 1e6:.0f} MB"
        for model, size in result["weight_bytes"].items()
    )
    return (
        f"One core reads memory at {result['read_rate'] / 1e9:.0f} GB/s: an encoder's weights, read once a batch, "
        f"take it {', '.join(times)}.\n"
    )


def describe_cases() -> str:
    return _described(CASES["ragged"])


def describe_texts() -> str:
    return f"{'; '.join(map(_described, TEXT_CASES.values()))}.".capitalize()


def _described(case: Case) -> str:
    shortest, longest = min(case.lengths), max(case.lengths)
    if shortest == longest:
        return f"{case.name}: {longest} tokens each"
    return (
        f"{case.name}: {len(case.lengths)} texts of {shortest} to {longest} tokens, {case.tokens} in all, "
        f"{case.padded_tokens:,} when padded"
    )


def _milliseconds(timing: Record | None, *, bold: bool) -> str:
    """Three digits of the median, or as many as show the spread, but never more than two decimals."""
    if timing is None:
        return ""
    spread = (timing["q3_ms"] - timing["q1_ms"]) / 2
    wanted = max(2 - np.floor(np.log10(timing["median_ms"])), -np.floor(np.log10(max(spread, 0.01))))
    digits = int(np.clip(wanted, 0, 2))
    median = f"{timing['median_ms']:.{digits}f}"
    return f"{f'**{median}**' if bold else median} ±{spread:.{digits}f}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def _at_least(name: str, wanted: float, reached: float) -> list[str]:
    return [name, f"≥ {wanted:g}", f"{reached:.3g}", "yes" if reached >= wanted else "**no**"]


def _at_most(name: str, wanted: float, reached: float) -> list[str]:
    return [name, f"≤ {wanted:.3g}", f"{reached:.3g}", "yes" if reached <= wanted else "**no**"]
