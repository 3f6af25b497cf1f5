"""`python -m benchmarks.readme RESULT.json`: rewrites what stands between the markers in README.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from . import report

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def section(result: dict[str, Any], plot: str) -> str:
    """What stands between the markers."""
    return "\n".join(
        [
            report.speed(report.of_dtype(result["timings"], "float32")),
            "Median milliseconds of one batch, encoder only, float32, ± half the distance between the "
            "quartiles. The engines take turns in one run. The limit is the arithmetic of the real tokens "
            "over the rate at which the cores multiply and add, measured in the same run. "
            f"{report.describe_cases().capitalize()}.\n",
            f"![share of the limit by engine]({plot})\n",
            *_reduced(result),
            *_tasks(result),
            report.footprint(result),
            report.machine_line(result),
        ]
    )


def _reduced(result: dict[str, Any]) -> list[str]:
    parts = []
    for dtype in dict.fromkeys(t["dtype"] for t in result["timings"] if t["dtype"] != "float32"):
        parts += [f"**{dtype}**\n", report.speed(report.of_dtype(result["timings"], dtype))]
    if parts:
        parts.append(
            "As above, in reduced precision, with npbert's own float32 beside it; the limit is that of the "
            "instruction in that dtype. ONNX Runtime's int8 is its dynamic one, OpenVINO's is calibrated by NNCF.\n"
        )
    if result.get("quality") and result.get("decisions"):
        parts += [
            report.quality(result["quality"]),
            "all-MiniLM-L6-v2 on sentences from the standard library's docstrings, each engine beside its own float32: "
            "cosines, ten nearest neighbours kept, rank correlation of the similarities of all pairs.\n",
            report.decisions(result["decisions"]),
            "npbert with linear heads fitted on the same model: what a sentence begins with, what kind a token is.\n",
        ]
    return parts


def _tasks(result: dict[str, Any]) -> list[str]:
    if not result.get("tasks"):
        return []
    return [
        report.speed(result["tasks"], limit=False),
        "Median milliseconds for 32 texts through a pipeline, tokenizer included; models of DistilBERT's size. "
        "torch is transformers' pipelines, ONNX Runtime is called by hand; text after text, and in one padded "
        f"batch. {report.describe_texts()}\n",
    ]


def replace(text: str, new: str) -> str:
    """The text with what is between the markers replaced.

    Raises ValueError unless both markers are there, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"wanted {BEGIN} and, after it, {END}, once each")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{new.strip()}\n{END}{rest.partition(END)[2]}"


def rewrite(result: Path, readme: Path) -> None:
    plot = result.with_suffix(".svg").resolve().relative_to(readme.resolve().parent)
    new = section(json.loads(result.read_text()), plot.as_posix())
    readme.write_text(replace(readme.read_text(), new))


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), README)
