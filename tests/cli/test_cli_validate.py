"""`npbert validate`: what it says of a folder, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sentence_folders import modules, with_files

from npbert import CrossEncoder
from npbert.cli.main import main

DENSE = {"in_features": 768, "out_features": 10, "activation_function": "torch.nn.modules.activation.Sigmoid"}
FILES = {
    "modules.json": modules(*(f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling", "Dense"))),
    "1_Pooling/config.json": {"pooling_mode": ["cls", "mean"], "include_prompt": False},
    "2_Dense/config.json": DENSE,
    "config_sentence_transformers.json": {"prompts": {"query": "find: "}, "truncate_dim": 8},
}


@pytest.fixture
def folder(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    return partial(with_files, minilm, tmp_path)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_says_what_and_where_from(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(FILES)
    weights = {"linear.weight": np.ones((10, 768), np.float32), "linear.bias": np.ones(10, np.float32)}
    save_file(weights, path / "2_Dense" / "model.safetensors")
    assert main(["validate", str(path)]) == 0
    lines = printed(capsys)
    for wanted in (
        "prompts query='find: ' config_sentence_transformers.json: prompts",
        "default prompt none not set",
        "max length 256 tokens sentence_bert_config.json: max_seq_length",
        "pooling cls + mean, without the prompt 1_Pooling/config.json: pooling_mode",
        "then Dense, 768 to 10, Sigmoid 2_Dense/config.json: in_features, out_features, activation_function",
        "vector 8 numbers config_sentence_transformers.json: truncate_dim",
        "similarity cosine not set",
        "weights 2 tensors, all there and of their shapes 2_Dense/model.safetensors",
    ):
        assert wanted in lines


def test_bare_transformer(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(folder({"modules.json": None}))]) == 0
    assert "pooling mean no modules.json: sentence-transformers' default" in printed(capsys)


def test_cross_encoder(task_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = task_folder("BertForSequenceClassification", labels=("SCORE",))
    CrossEncoder(source, max_length=20).save_pretrained(tmp_path)
    for verb in ("validate", "info"):
        assert main([verb, str(tmp_path)]) == 0
        lines = printed(capsys)
        assert "max length 20 tokens tokenizer_config.json: model_max_length" in lines
        assert "scores Sigmoid config_sentence_transformers.json: activation_fn" in lines
    config = json.loads((tmp_path / "config.json").read_text())
    labels = {"id2label": {"0": "A", "1": "B"}, "label2id": {"A": 0, "B": 1}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **labels}))
    assert main(["validate", str(tmp_path)]) == 1
    assert "classifier.weight: wanted the shape [2, 32]" in capsys.readouterr().err


def test_info_counts_dense_modules(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(folder(FILES))]) == 0
    assert any(line.startswith("after pooling 7,690 ") for line in printed(capsys))  # 768 x 10 + 10


def test_failures(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(FILES)
    assert main(["validate", str(path)]) == 1  # no weights
    assert "2_Dense: wanted model.safetensors" in capsys.readouterr().err
    weights = {"linear.weight": np.ones((10, 767), np.float32), "linear.bias": np.ones(10, np.float32)}
    save_file(weights, path / "2_Dense" / "model.safetensors")
    assert main(["validate", str(path)]) == 1
    assert (
        "linear.weight: wanted the shape [10, 768] that config.json gives, found [10, 767]" in capsys.readouterr().err
    )
    (path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "median"}))
    assert main(["validate", str(path)]) == 1
    assert "found 'median'" in capsys.readouterr().err
