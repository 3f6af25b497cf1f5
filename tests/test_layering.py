"""Imports run one way: npbert -> npbert_kernels, and within each of them never in a circle."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from imports import MODULES, PACKAGES, imports, roots

import npbert
from npbert.models.registry import MODEL_TYPES
from npbert.pipelines import TASKS

FRAMEWORKS = {"numba", "llvmlite", "torch", "transformers", "sentence_transformers", "scipy"}

GROUND = {"checks", "arrays", "sequences", "keywords", "signatures", "progress"}
FLOORS = [
    GROUND,
    {"files"},
    {"text", "models"},
    {"sentence", "pipelines"},
    {"cli"},
]
"""Rooms of npbert, from the ground up: each is a folder, or a module on the ground floor."""
ROOF = {"", "__main__", "util"}
"""What users import: it may import all, and nothing in the house imports it, but for the version."""

ROOTS = {".".join(module.split(".")[:3]) for module, _ in MODEL_TYPES.values()}
ARCHITECTURES = [[name for name in MODULES if f"{name}.".startswith(f"{root}.")] for root in sorted(ROOTS)]
"""The modules of each architecture: a file, or those of a folder."""


def test_imports_are_seen() -> None:
    """The reader itself: absolute, relative and nested imports, and none that only types need."""
    assert "npbert_kernels.ops" in imports("npbert.models.bert.forward")
    assert "npbert_kernels.ops" in imports("npbert_kernels.reference")
    assert "npbert.models.config" in imports("npbert.models.model")
    assert "npbert.models.batch" in imports("npbert.models.model")
    assert not any(name.startswith("npbert.") for name in imports("npbert"))


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] == "npbert"])
def test_the_model_knows_no_framework(module: str) -> None:
    assert not roots(module) & FRAMEWORKS


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] == "npbert_kernels"])
def test_kernels_do_not_know_the_model(module: str) -> None:
    assert not roots(module) & {"npbert", "torch", "transformers", "scipy", "tokenizers", "safetensors"}
    for mine, other in (("cpu", "cuda"), ("cuda", "cpu")):
        if module.startswith(f"npbert_kernels.{mine}"):
            assert not any(name.startswith(f"npbert_kernels.{other}") for name in imports(module))


@pytest.mark.parametrize("package", list(PACKAGES))
def test_no_circles(package: str) -> None:
    """A package's own __init__ is left out: to import a module is to import it, whoever asks."""
    names = {name for name in MODULES if name.startswith(f"{package}.")}
    graph = {name: (imports(name, types=True) & names) - {name} for name in names}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which shows the circle


def test_the_forward_pass_sees_ops_alone() -> None:
    forward_passes = [module for own in ARCHITECTURES for module in own]
    for module in ("npbert.models.architecture", "npbert.models.heads", "npbert.models.pooling", *forward_passes):
        kernels = {name for name in imports(module) if name.startswith("npbert_kernels")}
        assert kernels <= {"npbert_kernels.ops"}, module
    for module in MODULES:
        if module.startswith("npbert.") and module != "npbert.cli.main":
            used = {name for name in imports(module) if name.startswith("npbert_kernels")}
            assert not any(name.startswith("npbert_kernels.reference") for name in used), module


def test_ops_stand_on_nothing() -> None:
    assert not any(name.startswith("npbert") for name in imports("npbert_kernels.ops"))
    own = {name for name in imports("npbert_kernels.reference") if name.startswith("npbert")}
    assert own == {"npbert_kernels.ops"}


def test_an_architecture_is_known_by_its_registry_alone() -> None:
    """Models, heads, pooling, pipelines and sentences reach it through `architecture`."""
    for own in ARCHITECTURES:
        for module in MODULES:
            if module not in (*own, "npbert", "npbert.models.registry"):
                assert not imports(module, types=True) & set(own), module


def test_every_class_that_is_registered_is_public() -> None:
    """With its family's name, or that of a tokenizer or of what picks one; the .pyi is where users' tools look."""
    for module, stem in MODEL_TYPES.values():
        found = vars(importlib.import_module(module)).items()
        names = {name for name, value in found if inspect.isclass(value) and value.__module__ == module}
        own = {name for name in names if re.match(rf"{stem}(Config$|Model$|For|LMHead)", name)}
        assert own - set(npbert.__all__) == set(), module
    for module in ("npbert.models.auto", "npbert.text.auto"):
        named = {name for name in vars(importlib.import_module(module)) if re.match(r"Auto|.+Tokenizer(Fast)?$", name)}
        assert {name for name in named if not name.startswith("_")} - set(npbert.__all__) == set(), module
    assert set(TASKS.values()) <= set(npbert.__all__)


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_import_is_cheap() -> None:
    run(
        "import sys, npbert\n"
        "heavy = {'numpy', 'numba', 'torch', 'transformers', 'tokenizers', 'safetensors'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )


def test_reference_needs_no_compiler(bert_folder) -> None:  # type: ignore[no-untyped-def]
    run(
        "import sys, npbert\n"
        f"model = npbert.AutoModel.from_pretrained({str(bert_folder())!r}, backend='reference')\n"
        "assert model([[1, 2, 3]]).last_hidden_state.shape == (1, 3, 48)\n"
        f"frameworks = {FRAMEWORKS!r}\n"
        "assert not frameworks & set(sys.modules), frameworks & set(sys.modules)\n"
    )


def test_names() -> None:
    from npbert.models.auto import AutoModel
    from npbert.models.bert.bert import BertConfig

    assert npbert.BertConfig is BertConfig
    assert npbert.AutoModel is AutoModel
    assert {"AutoModel", "SentenceTransformer", "__version__"} <= set(dir(npbert))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        npbert.nothing  # noqa: B018


def test_version_is_the_distribution_s() -> None:
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    assert f'\nversion = "{npbert.__version__}"\n' in pyproject.read_text(encoding="utf-8")
