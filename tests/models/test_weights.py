"""Which tensors of a file are taken for what, and what is said where that fails."""

from __future__ import annotations

import json
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from npbert_kernels.ops import Quantized
from npbert_kernels.reference import backend
from safetensors.numpy import load_file
from safetensors.torch import save_file

from npbert import AutoModel, BertModel
from npbert.files.checkpoint import Checkpoint
from npbert.models.bert.bert import BertConfig
from npbert.models.weights import NamedWeights, canonical_name

IDS = [[5, 1, 60, 7], [3, 3, 0, 59]]
Tensors = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def no_unexpected_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def tensors(bert_folder: Callable[..., Path]) -> Tensors:
    return load_file(bert_folder() / "model.safetensors")


@pytest.fixture
def load(bert_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., BertModel]:
    """load(tensors, **arguments): a model with these tensors in its file."""

    def write(tensors: dict[str, Any], **arguments: Any) -> BertModel:
        shutil.copy(bert_folder() / "config.json", tmp_path)
        as_torch = {name: torch.as_tensor(tensor).contiguous() for name, tensor in tensors.items()}
        save_file(as_torch, tmp_path / "model.safetensors")
        return BertModel.from_pretrained(tmp_path, backend="reference", **arguments)

    return write


@pytest.fixture
def wanted(bert_folder: Callable[..., Path]) -> np.ndarray:
    """The pooler's output for IDS: every weight has a say in it."""
    return BertModel.from_pretrained(bert_folder(), backend="reference")(IDS).pooler_output


OLD = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def aged(name: str) -> str:
    for new, old in OLD.items():
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"bert.{name}",
        lambda name: f"module.{name}",
        lambda name: f"module.bert.{name}",
        aged,
        lambda name: f"bert.{aged(name)}",
    ],
    ids=["bert", "module", "module.bert", "gamma and beta", "bert, gamma and beta"],
)
def test_other_names(load: Any, tensors: Tensors, wanted: np.ndarray, rename: Callable[[str], str]) -> None:
    model = load({rename(name): tensor for name, tensor in tensors.items()})
    np.testing.assert_array_equal(model(IDS).pooler_output, wanted)


def test_canonical_name_leaves_others_alone() -> None:
    for name in ("cls.predictions.bias", "encoder.layer.0.gamma", "embeddings.LayerNorm.gammas", "bertx.a"):
        assert canonical_name(name, "bert.") == name


def test_many_wrappers_take_no_more_time_than_their_length() -> None:
    """300,000 of them: half a minute, if each is taken off by itself."""
    start = time.process_time()
    assert canonical_name("module." * 300_000 + "bert.pooler", "bert.") == "pooler"
    assert time.process_time() - start < 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(load: Any, tensors: Tensors, dtype: torch.dtype) -> None:
    """As if the rounded numbers had been stored as float32."""
    stored = {name: torch.from_numpy(tensor).to(dtype) for name, tensor in tensors.items()}
    found = load(stored)(IDS).pooler_output
    rounded = load({name: tensor.float() for name, tensor in stored.items()})(IDS).pooler_output
    np.testing.assert_array_equal(found, rounded)


def test_shards(bert_folder: Any, tensors: Tensors, wanted: np.ndarray, tmp_path: Path) -> None:
    names = list(tensors)
    weight_map = {}
    for shard in range(3):
        file = f"model-{shard + 1:05}-of-00003.safetensors"
        save_file({name: torch.from_numpy(tensors[name]) for name in names[shard::3]}, tmp_path / file)
        weight_map |= dict.fromkeys(names[shard::3], file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    shutil.copy(bert_folder() / "config.json", tmp_path)
    model = BertModel.from_pretrained(tmp_path, backend="reference")
    np.testing.assert_array_equal(model(IDS).pooler_output, wanted)


MISSING = ["encoder.layer.0.output.dense.bias", "encoder.layer.1.attention.self.key.weight"]


def test_missing_weights_are_all_listed(load: Any, tensors: Tensors, tmp_path: Path) -> None:
    for name in MISSING:
        del tensors[name]
    message = f"{tmp_path / 'model.safetensors'}: missing weights (2): {', '.join(MISSING)}"
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        load(tensors)


def test_of_many_missing_weights_the_first_are_listed(load: Any, tensors: Tensors) -> None:
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.")}
    with pytest.raises(
        ValueError, match=r"missing weights \((\d\d)\): encoder\..*, encoder\.\S+ and \d+ more$"
    ) as error:
        load(kept)
    assert str(error.value).count("encoder.") == 10
    others = {f"model.layers.{number}.{'x' * 1000}": np.ones(3, np.float32) for number in range(30)}
    with pytest.raises(ValueError, match=r"more; found model\.layers\.0\..* and 20 more$") as error:
        load(others, add_pooling_layer=False)
    assert len(str(error.value)) < 2500


def test_many_tensors_that_are_not_used(load: Any, tensors: Tensors) -> None:
    others = {f"odd.{number}.{'x' * 1000}": np.ones(3, np.float32) for number in range(30)}
    with pytest.warns(UserWarning, match=r"tensors not used \(30\): odd\.0\.x{91}\.\.\., .* and 20 more$") as told:
        load({**tensors, **others})
    assert len(str(told[0].message)) < 1500


def test_half_a_pooler_is_missing_the_other(load: Any, tensors: Tensors) -> None:
    del tensors["pooler.dense.bias"]
    with pytest.raises(ValueError, match=r"missing weights \(1\): pooler\.dense\.bias$"):
        load(tensors)


def test_wrong_shape(load: Any, tensors: Tensors, tmp_path: Path) -> None:
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    renamed = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    renamed[name] = renamed[name].T
    message = (
        f"{tmp_path / 'model.safetensors'}: {name}: wanted the shape [80, 48] that config.json gives, found [48, 80]"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        load(renamed)


@pytest.mark.parametrize("name", ["embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"])
def test_tables_shorter_than_the_config_says(load: Any, tensors: Tensors, name: str) -> None:
    """What is checked against the config's sizes would otherwise be read beyond the table's end."""
    rows = len(tensors[name])
    tensors[name] = tensors[name][:-1]
    message = rf"{name}: wanted the shape \[{rows}, 48\] that config.json gives, found \[{rows - 1}, 48\]"
    with pytest.raises(ValueError, match=message):
        load(tensors)


def test_one_weight_under_two_names(load: Any, tensors: Tensors) -> None:
    name = "embeddings.LayerNorm.weight"
    tensors["bert.embeddings.LayerNorm.gamma"] = tensors[name].copy()
    with pytest.raises(ValueError, match=f"{name}: wanted once, found as ") as error:
        load(tensors)
    assert "bert.embeddings.LayerNorm.gamma" in str(error.value)


@pytest.mark.parametrize("scales", ["output.dense.weight_scale", "module.output.dense.weight_scale"])
def test_scales_of_what_is_not_int8(load: Any, tensors: Tensors, wanted: np.ndarray, scales: str) -> None:
    """Told, as whoever wrote them may have meant something."""
    prefix, _, rest = scales.rpartition("output.")
    name = f"{prefix}encoder.layer.1.output.{rest}"
    tensors[name] = np.full(48, 0.5, np.float32)
    with pytest.warns(UserWarning, match=rf"tensors not used \(1\): {re.escape(name)}$"):
        model = load(tensors)
    np.testing.assert_array_equal(model(IDS).pooler_output, wanted)


def test_scales_under_two_names(load: Any, tensors: Tensors) -> None:
    name = "encoder.layer.1.output.dense.weight_scale"
    tensors |= {name: np.ones(48, np.float32), f"bert.{name}": np.ones(48, np.float32)}
    with pytest.raises(ValueError, match=f"{name}: wanted once, found as "):
        load(tensors)


def test_nan_names_the_tensor(load: Any, tensors: Tensors) -> None:
    tensors["encoder.layer.0.attention.self.value.bias"][3] = np.nan
    wanted = r"encoder\.layer\.0\.attention\.self\.value\.bias: wanted finite float32 values, found nan at \[3\]"
    with pytest.raises(ValueError, match=wanted):
        load(tensors)


def test_nan_in_the_table(load: Any, tensors: Tensors) -> None:
    tensors["embeddings.word_embeddings.weight"][3, 5] = np.inf
    wanted = r"embeddings\.word_embeddings\.weight: wanted finite float32 values, found inf at \[3, 5\]"
    with pytest.raises(ValueError, match=wanted):
        load(tensors)


def test_what_is_left_over_is_told(load: Any, tensors: Tensors, wanted: np.ndarray, tmp_path: Path) -> None:
    tensors["classifier.weight"] = np.zeros((2, 48), np.float32)
    tensors["encoder.layer.2.output.dense.bias"] = np.zeros(48, np.float32)
    with pytest.warns(UserWarning, match=r"tensors not used \(2\): ") as told:
        model = load(tensors)
    (warning,) = told
    assert "classifier.weight" in str(warning.message)
    assert "encoder.layer.2.output.dense.bias" in str(warning.message)
    assert str(tmp_path / "model.safetensors") in str(warning.message)
    np.testing.assert_array_equal(model(IDS).pooler_output, wanted)


def test_harmless_leftovers_are_not_told(load: Any, tensors: Tensors) -> None:
    """An index, and the heads of pretraining. Warnings are errors here."""
    tensors["embeddings.position_ids"] = np.arange(64)[None]
    tensors["cls.predictions.bias"] = np.zeros(61, np.float32)
    tensors["cls.seq_relationship.weight"] = np.zeros((2, 48), np.float32)
    load(tensors)


def test_a_pooler_that_is_not_there(load: Any, tensors: Tensors, tmp_path: Path) -> None:
    bare = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    with pytest.warns(UserWarning, match=re.escape(f"{tmp_path}: the file has no weights for a pooler")):
        model = load(bare)
    output = model(IDS)
    assert output.pooler_output is None
    assert "pooler_output" not in output
    assert model.num_parameters() == sum(tensor.size for tensor in bare.values())


def test_a_pooler_that_is_not_wanted(load: Any, tensors: Tensors) -> None:
    """Neither reported as left over nor, where the file lacks it, as missing."""
    assert load(tensors, add_pooling_layer=False)(IDS).pooler_output is None
    bare = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    assert load(bare, add_pooling_layer=False)(IDS).pooler_output is None


def test_a_failed_load_closes_its_file(load: Any, tensors: Tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(Checkpoint, "close", lambda self: closed.append(self))
    del tensors[MISSING[0]]
    with pytest.raises(ValueError, match="missing"):
        load(tensors)
    assert len(closed) == 1


@pytest.mark.parametrize("pooler", [True, False])
def test_shapes_and_counts_are_those_of_transformers(pooler: bool) -> None:
    import transformers

    sizes = {
        "vocab_size": 31,
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 17,
        "max_position_embeddings": 9,
        "type_vocab_size": 4,
    }
    model = transformers.BertModel(transformers.BertConfig(**sizes), add_pooling_layer=pooler)
    config = BertConfig(**sizes)
    found = config.architecture.shapes(config, pooler=pooler)
    assert found == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert sum(count for _, count in config.architecture.parameter_table(config, found)) == model.num_parameters()
    tables = 12 * (31 + 9 + 4)
    assert config.architecture.store_nbytes(found) == 4 * (model.num_parameters() - tables)


def test_parameter_table_names_the_parts() -> None:
    config = BertConfig()
    shapes = config.architecture.shapes(config, pooler=True)
    table = dict(config.architecture.parameter_table(config, shapes))
    assert table["word embeddings"] == 30522 * 768
    assert table["position embeddings"] == 512 * 768
    assert table["token type embeddings"] == 2 * 768
    assert table["embeddings' LayerNorm"] == 2 * 768
    assert table["attention"] == 12 * (4 * 768 * 769 + 2 * 768)
    assert table["feed-forward"] == 12 * (2 * 768 * 3072 + 3072 + 768 + 2 * 768)
    assert table["pooler"] == 768 * 769


def test_weights_are_read_one_at_a_time(bert_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, in the order in which a forward pass comes to them; the words stay in the file."""
    folder = bert_folder()
    read: list[str] = []
    tables: list[str] = []

    def noting(method: Any, names: list[str]) -> Any:
        def noted(checkpoint: Checkpoint, name: str, *how: Any, **more: Any) -> np.ndarray:
            names.append(name)
            return method(checkpoint, name, *how, **more)

        return noted

    monkeypatch.setattr(Checkpoint, "read", noting(Checkpoint.read, read))
    monkeypatch.setattr(Checkpoint, "table", noting(Checkpoint.table, tables))
    config = BertConfig.from_pretrained(folder)
    shapes = config.architecture.shapes(config, pooler=True)
    weights = NamedWeights(Checkpoint.open(folder), config.architecture.prefix, shapes)
    config.architecture.load(config, weights, backend.store(0), backend.store(0), pooler=True, dtype="float32")
    assert tables == ["embeddings.word_embeddings.weight"]
    assert sorted([*tables, *read]) == sorted(shapes)
    layers = [int(name.split(".")[2]) for name in read if name.startswith("encoder.")]
    assert layers == sorted(layers)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_words_become_int8_a_block_at_a_time(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of the whole table; and what isn't finite is told where it is."""
    monkeypatch.setattr("npbert.models.weights.BLOCK", 10)  # four rows of three
    table = torch.linspace(-1, 1, 33).reshape(11, 3).to(stored)
    sizes: list[int] = []
    read = Checkpoint.read

    def noted(checkpoint: Checkpoint, name: str, rows: tuple[int, int]) -> np.ndarray:
        sizes.append(len(found := read(checkpoint, name, rows)))
        return found

    monkeypatch.setattr(Checkpoint, "read", noted)
    save_file({"x": table}, tmp_path / "model.safetensors")
    weights = NamedWeights(Checkpoint.open(tmp_path), "", {"x": (11, 3)})
    found, wanted = weights.table("x", "int8"), Quantized.of(table.float().numpy())
    assert isinstance(found, Quantized)
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.scales, wanted.scales)
    assert sizes == [4, 4, 3]
    table[9, 2] = torch.nan
    save_file({"x": table}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"x: wanted finite float32 values, found nan at \[9, 2\]"):
        NamedWeights(Checkpoint.open(tmp_path), "", {"x": (11, 3)}).table("x", "int8")


def test_a_config_of_a_giant(load: Any, tensors: Tensors, tmp_path: Path) -> None:
    """Told by the shapes in the header, before anything of its size is made."""
    huge = {"hidden_size": 2**30, "num_attention_heads": 2**30, "max_position_embeddings": 2**31 - 1}
    load(tensors)
    config = json.loads((tmp_path / "config.json").read_text())
    for kind in ("bert", "roberta"):
        (tmp_path / "config.json").write_text(json.dumps({**config, **huge, "model_type": kind}))
        with pytest.raises(ValueError, match=r"word_embeddings\.weight: wanted the shape \[61, 1073741824\]"):
            AutoModel.from_pretrained(tmp_path, backend="reference")


def test_named_weights_of_an_empty_file(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"missing weights \(1\): x$"):
        NamedWeights(Checkpoint.open(tmp_path), "bert.", {"x": (1,)})
