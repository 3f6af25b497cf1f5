"""Every variable of the environment that npbert reads is told, by the command line and by docs/deployment.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imports import MODULES
from npbert_kernels.cpu.isa import ARM, OTHER, X86

from npbert.cli.main import main

DEPLOYMENT = (Path(__file__).parent.parent / "docs/deployment.md").read_text(encoding="utf-8")


def sources() -> set[str]:
    texts = (path.read_text(encoding="utf-8") for name, path in MODULES.items() if name != "npbert.cli.main")
    return {name for text in texts for name in re.findall(r"\bNPBERT_[A-Z_]+\b", text)}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["--help"])
    return capsys.readouterr().out


def test_each_is_told(told: str) -> None:
    assert {"NPBERT_KERNEL_CACHE", "NPBERT_ISA", "NPBERT_NUM_THREADS"} <= sources()
    for name in sources():
        assert re.search(rf"^  {name} ", told, re.MULTILINE), name
        assert f"\n| `{name}` |" in DEPLOYMENT, name


def test_the_instruction_sets_are_those_that_there_are(told: str) -> None:
    line = next(line for line in DEPLOYMENT.splitlines() if line.startswith("| `NPBERT_ISA`"))
    text = told[told.index("NPBERT_ISA") : told.index("NPBERT_NUM_THREADS")]
    names = list(dict.fromkeys(isa.name for isa in (*X86[:-1], *ARM, *OTHER)))
    assert re.findall(r"`(\w+)`", line)[1:] == names
    assert re.findall(r"\w+", text.partition("set:")[2].partition("(")[0]) == names
