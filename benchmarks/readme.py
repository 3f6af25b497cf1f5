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
    """What stands between the markers: float32 on one thread, the plot, and where all figures are.

    plot: its path from the README; the page of all figures has the same name.
    """
    timings = [timing for timing in report.of_dtype(result["timings"], "float32") if timing["threads"] == 1]
    figures = plot.removesuffix(".svg") + ".md"
    return "\n".join(
        [
            report.speed(timings),
            "Median milliseconds of one batch, encoder only, float32, ± half the distance between the "
            "quartiles. The engines take turns in one run. The limit is the arithmetic of the real tokens "
            "over the rate at which the cores multiply and add, measured in the same run. "
            f"{report.describe_cases().capitalize()}.\n",
            f"![share of the limit by engine]({plot})\n",
            f"Two threads, bfloat16 and int8, pipelines, quality, memory and start: [{figures}]({figures}).\n",
            report.machine_line(result),
        ]
    )


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
