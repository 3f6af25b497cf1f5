"""Whole models on the simulator, and what device= says where there is no GPU."""

from __future__ import annotations

from simulated import FEW_DTYPES, simulator

# isort: split
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES, ON_THE_CPU_ALONE
from safetensors.numpy import load_file, save_file
from sentence_folders import LETTERS, parts, save
from tasks import SHORT, assert_same_answer

import npbert
from npbert import AutoModel, CrossEncoder, SentenceTransformer

PLACES = ("cpu", "cuda:0")
IDS, MASK = np.array([[5, 6, 7, 8, 9], [10, 11, 12, 1, 1]]), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(autouse=True)
def simulating(monkeypatch: pytest.MonkeyPatch) -> None:
    simulator.memory.allocate(16)
    simulator.memory.clear()
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    monkeypatch.setattr("npbert_kernels.cuda._devices", {})


def cosine(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return (found * wanted).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(wanted, axis=-1)


@pytest.mark.parametrize("dtype", FEW_DTYPES)
@pytest.mark.parametrize("family", ["bert", "mpnet", "albert, relative_key_query", "bert, relative_key_query"])
def test_a_model_is_the_cpu_s(family_folder: Callable[..., Path], family: str, dtype: Any) -> None:
    model_type, config = FAMILIES[family]
    folder = family_folder(model_type, **config)
    on_cpu = AutoModel.from_pretrained(folder)(IDS, MASK, output_attentions=True, output_hidden_states=True)
    model = AutoModel.from_pretrained(folder, device="cuda", dtype=dtype)
    found = model(IDS, MASK, output_attentions=True, output_hidden_states=True)
    kept = MASK.astype(bool)
    if dtype == "float32":
        for mine, wanted in zip(found.hidden_states, on_cpu.hidden_states, strict=True):
            np.testing.assert_allclose(mine, wanted, atol=2e-5)
        for mine, wanted in zip(found.attentions, on_cpu.attentions, strict=True):
            # A score off by d moves a probability by 2 d; ALBERT adds distances to scores undivided by the root of D.
            np.testing.assert_allclose(mine, wanted, atol=2e-6 * (14**0.5 if "albert" in family else 1))
    assert cosine(found.last_hidden_state[kept], on_cpu.last_hidden_state[kept]).min() >= 0.9995
    assert (found.last_hidden_state[~kept] == 0).all()


@pytest.mark.parametrize("norm_bias", [False, True])
@pytest.mark.parametrize("family", ON_THE_CPU_ALONE)
def test_what_is_computed_on_the_cpu_alone(family_folder: Callable[..., Path], family: str, norm_bias: bool) -> None:
    """A line that says so, where the model is loaded or first called; with a cache as well."""
    model_type, config = FAMILIES[family]
    folder = family_folder(model_type, **config, **({"norm_bias": norm_bias} if family == "modernbert" else {}))
    given = {"use_cache": norm_bias} if family == "gpt2" else {}
    message = r"^[a-z ]+: computed on the CPU alone: wanted device='cpu', found a GPU$"
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(folder, device="cuda")(IDS, attention_mask=MASK, **given)


@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_a_text_s_bits_do_not_depend_on_its_batch(family_folder: Callable[..., Path], dtype: Any) -> None:
    """Batches of few and of many rows, which take other tiles; alone, first and last."""
    model_type, config = FAMILIES["bert"]
    folder = family_folder(model_type, **{**config, "num_hidden_layers": 1})
    model = AutoModel.from_pretrained(folder, device="cuda", dtype=dtype)
    one, others = [5, 6, 7, 8, 9, 10, 11], [[(7 * i + j) % 60 for j in range(4 + 7 * i)] for i in range(4)]
    alone = model.predict([one])[0]
    for lists, at in (([one, *others], 0), ([*others, one], 4)):
        np.testing.assert_array_equal(model.predict(lists)[at], alone)


def test_more_tokens_than_go_through_at_once(
    family_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_type, config = FAMILIES["bert"]
    folder = family_folder(model_type, **{**config, "num_hidden_layers": 1})
    model = AutoModel.from_pretrained(folder, device="cuda")
    every = {"output_hidden_states": True, "output_attentions": True}
    whole = model(IDS, MASK, **every)
    monkeypatch.setattr("npbert_kernels.cuda.program.TOKENS", 5)
    parts = model(IDS, MASK, **every)
    np.testing.assert_array_equal(parts.last_hidden_state, whole.last_hidden_state)
    np.testing.assert_array_equal(parts.attentions, whole.attentions)


def scaled_folder(source: Path, target: Path, scales: dict[str, float]) -> Path:
    """The same model with some of its tensors multiplied, by what their names end with."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    tensors = load_file(target / "model.safetensors")
    for name in tensors:
        for end, factor in scales.items():
            if name.endswith(end):
                tensors[name] = tensors[name] * np.float32(factor)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_what_a_layer_adds_may_go_beyond_float16(family_folder: Callable[..., Path], tmp_path: Path) -> None:
    """The sum of residual and projection is normed as float32: 1e5 there is no infinity."""
    model_type, config = FAMILIES["bert"]
    folder = scaled_folder(family_folder(model_type, **config), tmp_path, {"output.dense.weight": 7e4})
    wanted, found = (
        AutoModel.from_pretrained(folder, **given)(IDS, MASK).last_hidden_state[MASK > 0]
        for given in ({"backend": "reference"}, {"device": "cuda", "dtype": "float16"})
    )
    assert cosine(found, wanted).min() >= 0.9995


def test_numbers_beyond_float16_are_told(family_folder: Callable[..., Path], tmp_path: Path) -> None:
    model_type, config = FAMILIES["bert"]
    folder = family_folder(model_type, **config)
    large = scaled_folder(folder, tmp_path / "large", {"0.intermediate.dense.weight": 3e4})
    with pytest.warns(RuntimeWarning, match="^float16: results are not all finite"):
        AutoModel.from_pretrained(large, device="cuda", dtype="float16")(IDS, MASK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoModel.from_pretrained(large, device="cuda", dtype="bfloat16")(IDS, MASK)
        AutoModel.from_pretrained(folder, device="cuda", dtype="float16")(IDS, MASK)
    larger = scaled_folder(folder, tmp_path / "larger", {"0.intermediate.dense.weight": 1e7})
    with pytest.raises(ValueError, match=r"weight: wanted numbers that float16 holds, found one of magnitude \d"):
        AutoModel.from_pretrained(larger, device="cuda", dtype="float16")
    embeds = np.full((1, 2, 42), 1e5, np.float32)
    with pytest.raises(ValueError, match=r"^inputs_embeds: wanted numbers that float16 holds, found .* 1000"):
        AutoModel.from_pretrained(folder, device="cuda", dtype="float16")(inputs_embeds=embeds)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_call_leaves_nothing_to_the_next(family_folder: Callable[..., Path], dtype: Any) -> None:
    """NaN in every row of one call, in memory that the next call has too: heads of 14 leave columns unwritten."""
    model_type, config = FAMILIES["bert"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), device="cuda", dtype=dtype)
    embeds = np.random.default_rng(0).standard_normal((2, 5, 42)).astype(np.float32)
    first = model(inputs_embeds=embeds, attention_mask=MASK).last_hidden_state
    beyond = np.full_like(embeds, 3e38)
    assert np.isnan(model(inputs_embeds=beyond, attention_mask=MASK).last_hidden_state[MASK > 0]).all()
    np.testing.assert_array_equal(model(inputs_embeds=embeds, attention_mask=MASK).last_hidden_state, first)


HEADS = [
    "PreTraining",
    "MaskedLM",
    "SequenceClassification",
    "MultipleChoice",
    "TokenClassification",
    "QuestionAnswering",
]


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_the_cpu_s(head: str, tmp_path: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model("bert", **FAMILIES["bert"][1], initializer_range=0.2)
    getattr(transformers, f"BertFor{head}")(config).save_pretrained(tmp_path)
    ids, mask = (IDS[:, None], MASK[:, None]) if head == "MultipleChoice" else (IDS, MASK)
    wanted, found = (getattr(npbert, f"BertFor{head}").from_pretrained(tmp_path, device=d)(ids, mask) for d in PLACES)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("task", SHORT)
def test_a_pipeline_is_the_cpu_s(task: str, task_folder: Callable[..., Path]) -> None:
    architecture, inputs = SHORT[task]
    wanted, found = (npbert.pipeline(task, task_folder(architecture), device=d)(inputs) for d in PLACES)
    assert_same_answer(found, wanted)


def test_sentences_and_pairs_are_the_cpu_s(encoder: Path, task_folder: Callable[..., Path], tmp_path: Path) -> None:
    """A prompt that pooling leaves out; a Dense behind it; a reranker."""
    save(encoder, tmp_path, *parts("mean", {"out_features": 20}, include_prompt=False), prompts={"q": "query: the "})
    wanted, found = (SentenceTransformer(str(tmp_path), device=d).encode(LETTERS, prompt_name="q") for d in PLACES)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    folder = task_folder("BertForSequenceClassification", num_labels=1)
    wanted, found = (CrossEncoder(str(folder), device=d).predict([("a", "b"), ("c", "d e")]) for d in PLACES)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_int8_files_are_read_as_the_numbers_they_stand_for(family_folder: Callable[..., Path], tmp_path: Path) -> None:
    model_type, config = FAMILIES["bert"]
    AutoModel.from_pretrained(family_folder(model_type, **config), dtype="int8").save_pretrained(tmp_path)
    found = AutoModel.from_pretrained(tmp_path, device="cuda")(IDS, MASK).last_hidden_state
    wanted = AutoModel.from_pretrained(tmp_path, backend="reference")(IDS, MASK).last_hidden_state
    assert cosine(found[MASK > 0], wanted[MASK > 0]).min() >= 0.999


def test_a_mask_of_each_query_is_refused(family_folder: Callable[..., Path]) -> None:
    model_type, config = FAMILIES["bert"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), device="cuda")
    pairs = np.tril(np.ones((*IDS.shape, IDS.shape[1]), bool))
    with pytest.raises(ValueError, match=r"^attention_mask: wanted one for all tokens of a row on a GPU, found"):
        model(IDS, pairs)
    found, wanted = model(IDS, MASK[:, None].repeat(IDS.shape[1], axis=1)), model(IDS, MASK)
    np.testing.assert_array_equal(found.last_hidden_state, wanted.last_hidden_state)


@pytest.mark.parametrize("arguments", [{"device": "cuda", "dtype": "int8"}, {"device": "cpu", "dtype": "float16"}])
def test_dtype_refused(family_folder: Callable[..., Path], arguments: dict[str, str]) -> None:
    model_type, config = FAMILIES["bert"]
    with pytest.raises(ValueError, match=f"dtype: wanted .*, found '{arguments['dtype']}'"):
        AutoModel.from_pretrained(family_folder(model_type, **config), **arguments)


def test_a_backend_and_a_gpu_are_refused(family_folder: Callable[..., Path]) -> None:
    model_type, config = FAMILIES["bert"]
    with pytest.raises(ValueError, match="backend: wanted none with device 'cuda', found 'reference'"):
        AutoModel.from_pretrained(family_folder(model_type, **config), device="cuda", backend="reference")


CODE = """
import sys
{before}
from npbert.models.devices import backend_for
assert not {{"numba", "cuda", "npbert_kernels.cuda"}} & set(sys.modules)
try:
    backend_for("cuda:{index}", "cpu")
except ValueError as error:
    print(error)
"""


def said(before: str = "", index: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    code = CODE.format(before=before, index=index)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_numba_s_packages() -> None:
    """Importing npbert works, and asking for a GPU says what is missing, in one line."""
    message = said("sys.modules['cuda'] = sys.modules['cuda.bindings'] = None\ndel sys.modules['cuda']")
    assert message.startswith("device: cuda wants Numba's CUDA packages: ")
    assert "pip install '.[cuda]' in a checkout of npbert, or 'FILE.whl[cuda]' with its wheel," in message
    assert message.count("\n") == 1


def test_without_a_gpu() -> None:
    pytest.importorskip("numba_cuda")
    pytest.importorskip("cuda.bindings")
    message = said(index=99)  # where there are GPUs, there are fewer
    assert message.startswith(("device: cuda wants a GPU with NVIDIA's driver: ", "device: wanted one of the "))
    assert message.count("\n") == 1


def test_the_simulator_is_one_gpu(family_folder: Callable[..., Path]) -> None:
    model_type, config = FAMILIES["bert"]
    with pytest.raises(ValueError, match=r"^device: wanted the simulated GPU, cuda:0, found cuda:99$"):
        AutoModel.from_pretrained(family_folder(model_type, **config), device="cuda:99")


def test_npbert_does_not_import_it() -> None:
    assert npbert.__name__
    code = "import sys, npbert, npbert.models.model; print('npbert_kernels.cuda' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
