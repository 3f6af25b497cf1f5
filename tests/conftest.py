"""Fixtures that several test modules share: real and random model folders, and backends to run them on."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from minilm import minilm_folder
from npbert_kernels.ops import Backend
from tasks import make_folder

# Examples are the same in every run, and a shared machine's pauses are no failures.
settings.register_profile("npbert", deadline=None, derandomize=True, database=None)
settings.load_profile("npbert")


def pytest_configure(config: pytest.Config) -> None:
    """One store of kernels for all processes that run the tests, so that each ISA is compiled once, in each run anew.

    NPBERT_KERNEL_CACHE names another folder, for those who run tests again and again.
    """
    if "NPBERT_KERNEL_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="npbert-kernels-")
        os.environ["NPBERT_KERNEL_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if config.getoption("numprocesses", None):  # torch's threads: there are as many processes as processors
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def kernel_cache() -> Path:
    return Path(os.environ["NPBERT_KERNEL_CACHE"])


@pytest.fixture(scope="session")
def minilm() -> Path:
    return minilm_folder()


@pytest.fixture(scope="session")
def tokenizer(minilm: Path) -> Any:
    """MiniLM's, which is BERT's."""
    from npbert.text.auto import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="session")
def tokenizer_oracle(minilm: Path) -> Any:
    """The same, of transformers."""
    from tokenizing import load_oracle

    return load_oracle(minilm)


@pytest.fixture(scope="session")
def tokenizer_folder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """tokenizer_folder(model_type) -> a folder of that family to read, made once."""
    from tokenizer_folders import make_folder

    return cache(lambda kind: make_folder(kind, minilm, tmp_path_factory.mktemp(kind)))


@pytest.fixture(params=["reference", "cpu"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    return load_backend(request.param)


@pytest.fixture
def cpu_backend() -> Backend:
    return load_backend("cpu")


def load_backend(name: str) -> Backend:
    module = importlib.import_module(f"npbert_kernels.{name}")
    if not hasattr(module, "backend"):
        pytest.skip(f"npbert_kernels.{name} has no backend yet")
    return module.backend


SMALL = {
    "vocab_size": 61,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "type_vocab_size": 3,
}
"""A BERT that runs in no time, its sizes all different from each other."""


NORM_WEIGHTS = ("layernorm.weight", "layer_norm.weight", "norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")
TABLES = re.compile(r"(embeddings|\b(wte|wpe))\.")
"""How the names of embedding tables begin."""


def add_distances(model: Any) -> None:
    """Gives a model of transformers 5, which lacks them, the tables that its config's position_embedding_type wants."""
    import torch

    config = model.config
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        shape = 2 * config.max_position_embeddings - 1, config.hidden_size // config.num_attention_heads
        for name, module in list(model.named_modules()):
            if name.endswith((".self", "attention")) and hasattr(module, "query"):
                module.distance_embedding = torch.nn.Embedding(*shape)


@pytest.fixture(scope="session")
def head_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """head_folder(family, kind, **config) -> a folder with random weights; one for each."""
    import heads

    return heads.folders(tmp_path_factory)


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """family_folder(model_type, **config) -> a folder with random weights, made by transformers, once for each."""

    @cache
    def make(model_type: str, items: tuple[tuple[str, Any], ...]) -> Path:
        import torch
        import transformers

        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(model_type, **dict(items)))
        add_distances(model)
        with torch.no_grad():
            # As transformers starts them, biases are 0, norms 1, and attention is nearly even.
            for name, parameter in model.named_parameters():
                fan_in = parameter.shape[-1] if parameter.ndim == 2 else 100
                scale = 1.0 if TABLES.search(name) and parameter.ndim == 2 else 1.5 * fan_in**-0.5
                parameter.normal_(0, scale)
                if name.lower().endswith(NORM_WEIGHTS):
                    parameter.add_(1)
        folder = tmp_path_factory.mktemp(model_type)
        model.save_pretrained(folder)
        return folder

    return lambda model_type, **config: make(model_type, tuple(sorted(config.items())))


@pytest.fixture(scope="session")
def bert_folder(family_folder: Callable[..., Path]) -> Callable[..., Path]:
    """bert_folder(**config) -> the folder of a small BERT."""
    return lambda **config: family_folder("bert", **{**SMALL, **config})


@pytest.fixture(scope="session")
def encoder(bert_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT for sentences of letters and a few words."""
    from sentence_folders import WIDTH, letters_folder

    source = bert_folder(vocab_size=65, hidden_size=WIDTH, max_position_embeddings=32)
    return letters_folder(source, tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def task_folder(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """task_folder(architecture, **config) -> a small model with a head and MiniLM's tokenizer; one for each."""

    @cache
    def make(architecture: str, items: tuple[tuple[str, Any], ...]) -> Path:
        return make_folder(tmp_path_factory.mktemp(architecture), minilm, architecture, **dict(items))

    return lambda architecture, **config: make(architecture, tuple(sorted(config.items())))


@pytest.fixture(scope="session")
def oracle() -> Callable[..., Any]:
    """oracle(task, folder) -> transformers' pipeline; one for each."""

    @cache
    def make(task: str, folder: Path) -> Any:
        import transformers

        return transformers.pipeline(task, model=str(folder), tokenizer=str(folder), device=-1)

    return make


def assert_as_close_as_torch(found: np.ndarray, truth: np.ndarray, torch_error: float, what: str = "output") -> None:
    """The largest error is at most three times that of torch's own float32.

    Both are the largest of a few thousand errors of the same kind. On processors where torch sums in another order the
    same npbert was seen at 2.2 times torch's luckiest largest, with a smaller root mean square.

    The floor is four roundings of the largest number: what the last steps of a LayerNorm (subtract, divide,
    scale, shift) cost anyone, where torch happens to be luckier than that.
    """
    assert found.shape == truth.shape, f"{what}: shape {found.shape}, not {truth.shape}"
    assert found.dtype == np.float32
    if truth.size == 0:
        return
    error = np.abs(found - truth)
    floor = 4 * np.finfo(np.float32).eps / 2 * np.abs(truth).max()
    bound = max(3 * torch_error, floor)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    where = ", ".join(map(str, worst))
    assert error[worst] <= bound, (
        f"{what}[{where}]: {found[worst]!r} where the truth is {truth[worst]!r}: "
        f"off by {error[worst]:.3g}, allowed {bound:.3g}"
    )
