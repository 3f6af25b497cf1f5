"""Pruned heads: as if the head's probabilities were 0, which is what transformers' whole models are given here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES
from npbert_kernels.ops import Backend
from npbert_kernels.reference import Reference
from parity import Folders, assert_close, draw_arguments, loaded, torch_errors

from npbert import AutoModel
from npbert.files.checkpoint import Checkpoint
from npbert.models.model import BareModel

PRUNED = {0: [1], 2: [0, 2]}
ALL_SETS = {**PRUNED, 3: [2]}  # of "albert, groups", whose layers are sets 0, 1, 0, 1, 2, 3


def pruned_of(family: str) -> dict[int, list[int]]:
    return {"albert": {0: [0]}, "albert, groups": ALL_SETS}.get(family, PRUNED)


def kept_heads(model: BareModel, pruned: dict[int, list[int]]) -> list[list[int]]:
    """Of each layer in turn."""
    return [[head for head in range(3) if head not in pruned.get(index, ())] for index in model.config.layer_weights]


@pytest.mark.parametrize("head_mask", [False, True])
@pytest.mark.parametrize("family", [name for name in FAMILIES if "albert, rel" not in name and "roberta, " not in name])
def test_parity(family_folder: Folders, backend: Backend, family: str, head_mask: bool) -> None:
    model_type, config = FAMILIES[family]
    folder, pruned = family_folder(model_type, **config), pruned_of(family)
    model = AutoModel.from_pretrained(folder, backend=backend)
    model.prune_heads(pruned)
    kept = kept_heads(model, pruned)
    factors = np.zeros((len(kept), 3), np.float32)
    for row, heads in zip(factors, kept, strict=True):
        row[heads] = np.random.default_rng(0).choice([0.5, 1, 2], len(heads)) if head_mask else 1
    arguments = draw_arguments(config, 4, 20, 0, mask="holes", types=True)
    truth, errors = torch_errors(folder, {**arguments, "head_mask": factors})
    truth["attentions"] = [p[:, heads] for p, heads in zip(truth["attentions"], kept, strict=True)]
    given = {**arguments, "head_mask": np.where(factors == 0, 7, factors)} if head_mask else arguments
    output = model(**given, output_hidden_states=True, output_attentions=True)
    assert [p.shape[1] for p in output.attentions] == list(map(len, kept))
    assert_close(dict(output), truth, errors, arguments)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_pruned(family_folder: Folders, tmp_path: Path, family: str) -> None:
    """And may be pruned on, by the numbers of the whole model."""
    model_type, config = FAMILIES[family]
    folder = family_folder(model_type, **config)
    whole = loaded(folder, Reference())
    model = AutoModel.from_pretrained(folder, backend="reference")
    model.prune_heads({0: [1]})
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["pruned_heads"] == {"0": [1]}
    back = AutoModel.from_pretrained(tmp_path, backend="reference")
    head = 4 * 14 * 42 + (0 if family == "modernbert" else 3 * 14)  # which has no biases
    assert whole.num_parameters() - head == model.num_parameters() == back.num_parameters()
    arguments = draw_arguments(config, 2, 9, 0, types=True)
    np.testing.assert_array_equal(back(**arguments)[0], model(**arguments)[0])
    back.prune_heads({0: [1, 2], 2: [0]} if back.config.weight_sets > 2 else {0: [2]})
    model.prune_heads({0: {2}, **({2: [0]} if back.config.weight_sets > 2 else {})})
    assert back.config.pruned_heads == model.config.pruned_heads
    np.testing.assert_array_equal(back(**arguments)[0], model(**arguments)[0])
    assert not np.allclose(model(**arguments)[0], whole(**arguments)[0], atol=1e-3)


def test_a_config_that_prunes_what_the_file_has(family_folder: Folders, tmp_path: Path) -> None:
    model_type, config = FAMILIES["bert"]
    shutil.copytree(family_folder(model_type, **config), tmp_path, dirs_exist_ok=True)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "pruned_heads": {"1": [0]}}))
    message = r"layer\.1\.attention\.self\.query\.weight: wanted the shape \[28, 42\] .*, found \[42, 42\]"
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(tmp_path, backend="reference")


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({3: [0]}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {3: [0]}"),
        ({-1: [0]}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {-1: [0]}"),
        ({0: [3]}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {0: [3]}"),
        ({0: [-1]}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {0: [-1]}"),
        ({0: 1}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {0: 1}"),
        ({0.0: [1]}, "wanted for layers of 0 to 2, lists of heads of 0 to 2, found {0.0: [1]}"),
        ([0], "wanted for layers of 0 to 2, lists of heads of 0 to 2, found [0]"),
        ({1: [0, 1, 2]}, "wanted at least one of the 3 heads of layer 1 to be left, found {1: [0, 1, 2]}"),
        ({0: [0, 2]}, "wanted at least one of the 3 heads of layer 0 to be left, found {0: {0, 1, 2}}"),
    ],
)
def test_bad_heads(family_folder: Folders, heads: Any, message: str) -> None:
    """The model stays as it was. Head 1 of layer 0 is pruned already."""
    model_type, config = FAMILIES["bert"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), backend="reference")
    model.prune_heads({0: [1]})
    wanted = model([[5, 6]])[0]
    with pytest.raises(ValueError, match="heads") as caught:
        model.prune_heads(heads)
    assert str(caught.value) == f"heads_to_prune: {message}"
    assert model.config.pruned_heads == {0: [1]}
    np.testing.assert_array_equal(model([[5, 6]])[0], wanted)


def test_a_file_that_is_gone(family_folder: Folders, tmp_path: Path) -> None:
    model_type, config = FAMILIES["bert"]
    shutil.copytree(family_folder(model_type, **config), tmp_path, dirs_exist_ok=True)
    model = AutoModel.from_pretrained(tmp_path, backend="reference")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(OSError, match=r"model\.safetensors: the file has changed"):
        model.prune_heads({0: [1]})
    with pytest.raises(OSError, match=r"model\.safetensors: the file has changed"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_file_that_can_not_be_read_for_a_while(
    family_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that could not be pruned is what it was, and is saved as that."""
    model_type, config = FAMILIES["bert"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), backend="reference")
    model.prune_heads({0: [1]})
    wanted = model([[5, 6]])[0]

    def fail(self: Checkpoint, name: str, out: Any = None) -> None:
        raise OSError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "read", fail)
        with pytest.raises(OSError, match="not now"):
            model.prune_heads({1: [0]})
    np.testing.assert_array_equal(model([[5, 6]])[0], wanted)
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path, backend="reference")([[5, 6]])[0], wanted)


def test_saving_over_the_own_file(family_folder: Folders, tmp_path: Path) -> None:
    """The file is replaced as a whole: a model that has it open goes on with the old one."""
    model_type, config = FAMILIES["roberta"]
    shutil.copytree(family_folder(model_type, **config), tmp_path, dirs_exist_ok=True)
    model = AutoModel.from_pretrained(tmp_path, backend="reference")
    wanted = model([[5, 6]])[0]
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(model([[5, 6]])[0], wanted)
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path, backend="reference")([[5, 6]])[0], wanted)
