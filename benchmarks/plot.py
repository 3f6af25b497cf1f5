"""One picture: the share of the machine's limit that each engine reaches, by model and number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {
    "npbert": "#c2410c",
    "torch": "#94a3b8",
    "ONNX Runtime": "#64748b",
    "OpenVINO": "#334155",
    "CTranslate2": "#cbd5e1",
}


def draw(result: dict[str, Any], path: Path) -> None:
    """Bars from zero, so that lengths compare as speeds do; the milliseconds stand on them."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "npbert"  # the same picture for the same result
    import matplotlib.pyplot as plt

    timings = [t for t in result["timings"] if t["dtype"] == "float32"]
    models, threads, engines, cases = (
        list(dict.fromkeys(t[key] for t in timings)) for key in ("model", "threads", "engine", "case")
    )
    size = (5.6 * len(threads), 3.1 * len(models) + 0.9)
    figure, panels = plt.subplots(
        len(models), len(threads), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    width = 0.84 / len(engines)
    for row, model in enumerate(models):
        for column, count in enumerate(threads):
            axes = panels[row][column]
            for place, engine in enumerate(engines):
                chosen = [t for t in timings if (t["model"], t["threads"], t["engine"]) == (model, count, engine)]
                at = [cases.index(t["case"]) + (place - (len(engines) - 1) / 2) * width for t in chosen]
                shares = [t["share_of_limit"] * 100 for t in chosen]
                # the time's quartiles, as shares: a longer time is a lower share
                low = [s * (1 - t["median_ms"] / t["q3_ms"]) for s, t in zip(shares, chosen, strict=True)]
                high = [s * (t["median_ms"] / t["q1_ms"] - 1) for s, t in zip(shares, chosen, strict=True)]
                axes.bar(
                    at, shares, width * 0.94, yerr=(low, high), color=COLOURS[engine], label=engine,
                    error_kw={"elinewidth": 0.8, "ecolor": "#111827"},
                )  # fmt: skip
                for x, share, up, timing in zip(at, shares, high, chosen, strict=True):
                    milliseconds = timing["median_ms"]
                    text = f"{milliseconds:.3g}" if milliseconds < 1000 else f"{milliseconds:.0f}"
                    axes.text(
                        x, share + up + 1.5, text, ha="center", va="bottom", rotation=90, fontsize=6.5,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
                    )  # fmt: skip
            axes.axhline(100, color="#111827", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            axes.text(len(cases) - 0.45, 101, "limit", ha="right", va="bottom", fontsize=7)
            axes.set_title(f"{model}, {count} thread{'s' * (count > 1)}", fontsize=10)
            axes.set_xticks(range(len(cases)), cases)
            axes.set_ylim(0, 115)
            axes.set_yticks(range(0, 101, 25))
            axes.tick_params(length=0)
            axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
            axes.set_axisbelow(True)
            for side in ("top", "right", "left"):
                axes.spines[side].set_visible(False)
            if column == 0:
                axes.set_ylabel("% of the limit", fontsize=9)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(engines), frameon=False, fontsize=9)
    figure.supxlabel(
        f"float32 on {result['machine']['cpu']}. Limit: arithmetic of the real tokens at the measured FMA "
        "rate of the cores.\nOn the bars: median milliseconds a batch; whiskers: quartiles.",
        fontsize=8,
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
