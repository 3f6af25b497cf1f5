"""The examples of the README and of docs/ run, on small models in the place of those that they name.

What they say comes out does.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import NER

import npbert
from npbert.cli.main import main
from npbert.models.registry import MODEL_TYPES, family_class

ROOT = Path(__file__).parent.parent
README = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))))
NLI = ("contradiction", "entailment", "neutral")
HEADS = {
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": (
        "BertForSequenceClassification",
        {"labels": ("NEGATIVE", "POSITIVE")},
    ),
    "google-bert/bert-base-uncased": ("BertForMaskedLM", {}),
    "dslim/bert-base-NER": ("BertForTokenClassification", {"labels": tuple(NER)}),
    "deepset/minilm-uncased-squad2": ("BertForQuestionAnswering", {}),
    "cross-encoder/nli-MiniLM2-L6-H768": ("BertForSequenceClassification", {"labels": NLI}),
    "cross-encoder/ms-marco-MiniLM-L6-v2": ("BertForSequenceClassification", {"num_labels": 1}),
}
VERBS = {
    "classify": "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    "fill-mask": "google-bert/bert-base-uncased",
    "ner": "dslim/bert-base-NER",
    "qa": "deepset/minilm-uncased-squad2",
    "zero-shot": "cross-encoder/nli-MiniLM2-L6-H768",
    "rerank": "cross-encoder/ms-marco-MiniLM-L6-v2",
}
"""verb -> what stands for MODEL; all-MiniLM-L6-v2 for other verbs."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def models(minilm: Path, task_folder: Callable[..., Path]) -> dict[str, Path]:
    """A name in the README -> a folder that takes its place."""
    small = {name: task_folder(architecture, **config) for name, (architecture, config) in HEADS.items()}
    return {"sentence-transformers/all-MiniLM-L6-v2": minilm, **small}


@pytest.mark.parametrize("block", blocks("python"))
def test_python(block: str, models: dict[str, Path]) -> None:
    found: dict[str, Any] = {}
    checked = 0
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        source = ast.unparse(statement)
        for name, folder in models.items():
            source = source.replace(repr(name), repr(str(folder)))
        if isinstance(statement, ast.Expr):
            source = f"_ = {source}"
        exec(source, found)
        target = statement.targets[0].id if isinstance(statement, ast.Assign) else "_"
        comment = lines[statement.end_lineno - 1].partition("  # ")[2]
        checked += check(comment, found.get(target))
    assert checked >= 2, "comments that say what comes out"


def check(comment: str, value: Any) -> bool:
    """Whether the comment says what a value is; fails where it says what it is not."""
    if shape := re.fullmatch(r"(float32|nested lists) (\[[\d, ]+\])", comment):
        assert list(np.shape(value)) == ast.literal_eval(shape[2])
        assert isinstance(value, list) if shape[1] == "nested lists" else value.dtype == shape[1]
    elif keys := re.fullmatch(r"(\[?)({.+})(, \.\.\.])?", comment):
        assert isinstance(value, list) == bool(keys[1])
        each = value if keys[1] else [value]
        assert each
        assert all(set(answer) == ast.literal_eval(keys[2]) for answer in each)
    elif comment.startswith('"'):
        assert value == ast.literal_eval(comment)
    else:
        assert not comment.startswith(("float32", "nested", "[", "{")), f"not understood: {comment}"
        return False
    return True


@pytest.mark.parametrize("line", COMMANDS)
def test_command(
    line: str,
    models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "texts.txt").write_text("Yeast turns sugar into gas.\nThe train was late.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    program, verb, *arguments = shlex.split(line, comments=True)
    model = models[VERBS.get(verb, "sentence-transformers/all-MiniLM-L6-v2")]
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    assert program == "npbert"
    assert main([verb, *given, *(["--seconds", "0.01"] if verb == "bench" else [])]) == 0
    captured = capsys.readouterr()
    assert captured.out or (tmp_path / "vectors.npy").exists()


def test_families_and_heads() -> None:
    """The table has a row for each kind of model and a column for each family, and a mark where there is a class."""
    header, _, *rows = table("| | BERT")
    types = {name.replace("-", "").lower(): name for name in MODEL_TYPES}
    families = [types[name.replace("-", "").lower()] for name in header[1:]]
    assert sorted(families) == sorted(MODEL_TYPES)
    for kind, *marks in rows:
        for family, mark in zip(families, marks, strict=True):
            assert (mark == "✓") == (family_class(family, kind.strip("`")) is not None), (kind, family)


def table(start: str) -> list[list[str]]:
    """The cells of the table that begins so."""
    text = README[README.index(start) :]
    rows = text[: text.index("\n\n")].splitlines()
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows]


def test_models_say_what_they_are(models: dict[str, Path], minilm: Path) -> None:
    """What an interpreter shows of them."""
    sentences = npbert.SentenceTransformer(minilm, dtype="int8")
    bert = "BertModel(6 layers of width 384, 22,565,376 parameters, int8)"
    assert repr(sentences) == f"SentenceTransformer({bert}, mean, Normalize, max_seq_length=256, vectors of 384)"
    head = npbert.AutoModelForSequenceClassification.from_pretrained(models["cross-encoder/ms-marco-MiniLM-L6-v2"])
    shown = f"BertForSequenceClassification(2 layers of width 32, {head.num_parameters():,} parameters, float32)"
    assert repr(head) == shown
    reranker = npbert.CrossEncoder(models["cross-encoder/ms-marco-MiniLM-L6-v2"])
    assert repr(reranker) == f"CrossEncoder({shown}, max_length=128, num_labels=1)"
    classify = npbert.pipeline("text-classification", models["cross-encoder/ms-marco-MiniLM-L6-v2"])
    assert repr(classify) == f"TextClassificationPipeline({shown})"


def test_links() -> None:
    """Each link to a file leads to one."""
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("kernels/*.md"),
        *ROOT.glob("benchmarks/results/*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
