"""Heads in files: saved, pruned, in older layouts, missing, or not what the config says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import assert_as_close_as_torch
from heads import HEADS_OF, MODELS, STEMS, Folders, draw, load, rewritten, torch_output
from safetensors.numpy import load_file

import npbert

pytestmark = pytest.mark.filterwarnings("ignore:.*not used")


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_saved_and_read_by_transformers(family: str, kind: str, head_folder: Folders, tmp_path: Path) -> None:
    folder, name = head_folder(family, kind), STEMS[family] + kind
    load(folder, family, kind).save_pretrained(tmp_path)
    arguments = draw(family, kind, 2, 9)
    _, report = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for key, wanted in torch_output(folder, name, torch.float64, arguments).items():
        assert np.abs(torch_output(tmp_path, name, torch.float64, arguments)[key] - wanted).max() < 1e-12
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [name]


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_pruned(family: str, kind: str, head_folder: Folders, tmp_path: Path) -> None:
    """As if the heads were masked; so it is saved, and read back."""
    model, arguments = load(head_folder(family, kind), family, kind), draw(family, kind, 4, 9)
    shared = family == "albert"  # whose layers are one
    mask = np.array([[1, 0, 1]] * 3 if shared else [[1, 0, 1], [1, 1, 1], [0, 1, 0]])
    wanted, whole = model(**arguments, head_mask=mask), model(**arguments)
    model.prune_heads({0: [1]} if shared else {0: [1], 2: [0, 2]})
    found = model(**arguments)
    model.save_pretrained(tmp_path)
    back = load(tmp_path, family, kind)
    assert back.config.pruned_heads == model.config.pruned_heads
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-4)
        assert np.abs(found[name] - whole[name]).max() > 1e-3
        np.testing.assert_array_equal(back(**arguments)[name], found[name])


@pytest.mark.parametrize(
    ("family", "prefix", "weight", "bias", "alias"),
    [
        ("bert", "bert.", "cls.predictions.decoder.weight", "cls.predictions.bias", "cls.predictions.decoder.bias"),
        ("roberta", "roberta.", "lm_head.decoder.weight", "lm_head.bias", "lm_head.decoder.bias"),
        ("albert", "albert.", "predictions.decoder.weight", "predictions.bias", "predictions.decoder.bias"),
    ],
)
def test_older_layouts_of_a_decoder(
    family: str, prefix: str, weight: str, bias: str, alias: str, head_folder: Folders, tmp_path: Path
) -> None:
    """Its weight saved beside the embeddings that it is, or in their place; its bias under either name, or both."""
    folder = head_folder(family, "ForMaskedLM")
    wanted = load(folder, family, "ForMaskedLM").predict([[5, 6, 7]])[0]
    words = f"{prefix}embeddings.word_embeddings.weight"
    layouts = ((words, weight, bias), (words, weight, alias), (words, weight, bias, alias), (weight, bias))
    for number, names in enumerate(layouts):

        def change(tensors: dict[str, np.ndarray], names: tuple[str, ...] = names) -> dict[str, np.ndarray]:
            value = next(tensors.pop(name) for name in (bias, alias) if name in tensors)
            values = {words: tensors.pop(words), bias: value, alias: value}
            return {**tensors, **{name: values.get(name, values[words]) for name in names}}

        target = tmp_path / str(number)
        target.mkdir()
        model = load(rewritten(folder, target, change), family, "ForMaskedLM")
        np.testing.assert_array_equal(model.predict([[5, 6, 7]])[0], wanted)


def test_a_decoder_of_its_own(head_folder: Folders, tmp_path: Path) -> None:
    """Where the config unties it."""
    folder = head_folder("bert", "ForMaskedLM", tie_word_embeddings=False)
    arguments = draw("bert", "ForMaskedLM", 2, 9)
    truth, measure = (
        torch_output(folder, "BertForMaskedLM", dtype, arguments)["logits"] for dtype in (torch.float64, torch.float32)
    )
    kept = arguments["attention_mask"].astype(bool)
    found = load(folder, "bert", "ForMaskedLM")(**arguments).logits
    assert_as_close_as_torch(found[kept], truth[kept], np.abs(measure - truth).max())
    words = load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert np.abs(load_file(folder / "model.safetensors")["cls.predictions.decoder.weight"] - words).max() > 0.1


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_decoder_that_the_config_gets_wrong(part: str, head_folder: Folders, tmp_path: Path) -> None:
    """Tied, it says, but the file has another: that one counts, as in transformers 5, and stays when it is saved."""
    folder, name = head_folder("bert", "ForMaskedLM"), "BertForMaskedLM"
    source = {"weight": "bert.embeddings.word_embeddings.weight", "bias": "cls.predictions.bias"}[part]

    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**tensors, f"cls.predictions.decoder.{part}": tensors[source][::-1]}

    target = rewritten(folder, tmp_path, change)
    arguments = draw("bert", "ForMaskedLM", 2, 9, masked=False)
    truth, measure = (
        torch_output(target, name, dtype, arguments)["logits"] for dtype in (torch.float64, torch.float32)
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = load(target, "bert", "ForMaskedLM")
    said = [str(warning.message) for warning in told]
    wanted = f"{target}: tie_word_embeddings is true, but the file has a decoder that is not the word embeddings"
    assert [text.startswith(wanted) for text in said] == ([True] if part == "weight" else [])
    assert_as_close_as_torch(model(**arguments).logits, truth, np.abs(measure - truth).max())
    model.save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(
        load(tmp_path / "saved", "bert", "ForMaskedLM")(**arguments).logits, model(**arguments).logits
    )
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["tie_word_embeddings"] == (part == "bias")


@pytest.mark.parametrize("family", [family for family in STEMS if family not in HEADS_OF])
def test_a_missing_head(family: str, head_folder: Folders) -> None:
    """What is missing is named, what the folder has, and how that and the encoder can be had."""
    folder = head_folder(family, "ForTokenClassification")
    message = (
        r"missing weights \(2\): qa_outputs\.weight, qa_outputs\.bias; config\.json names \w+ForTokenClassification: "
        r"AutoModelForTokenClassification loads it, for the pipeline token-classification; AutoModel loads the encoder"
    )
    with pytest.raises(ValueError, match=message):
        npbert.AutoModelForQuestionAnswering.from_pretrained(folder)
    npbert.AutoModel.from_pretrained(folder, add_pooling_layer=False)


def test_a_missing_pooler_of_a_head(head_folder: Folders) -> None:
    folder = head_folder("bert", "ForTokenClassification")
    message = r"missing weights \(2\): pooler\.dense\.weight, pooler\.dense\.bias; config\.json names BertForTokenC"
    with pytest.raises(ValueError, match=message):
        npbert.pipeline("text-classification", folder)


@pytest.mark.parametrize("name", ["BertForSomethingElse", "x" * 10**5])
def test_a_missing_head_of_a_class_that_is_not_known(head_folder: Folders, tmp_path: Path, name: str) -> None:
    folder = rewritten(head_folder("bert", "ForTokenClassification"), tmp_path, lambda tensors: tensors)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [name]}))
    with pytest.raises(ValueError, match=rf"qa_outputs\.bias; config\.json names {name[:97]}.{{,3}}; AutoModel loads"):
        npbert.AutoModelForQuestionAnswering.from_pretrained(folder)


def test_a_head_whose_tensors_have_the_names_of_another(head_folder: Folders, tmp_path: Path) -> None:
    """It is loaded, as it is asked for, and told: its answers would be wrong in silence."""
    folder = head_folder("distilbert", "ForTokenClassification")
    H = json.loads((folder / "config.json").read_text())["dim"]

    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        dense = {"pre_classifier.weight": np.eye(H, dtype=np.float32), "pre_classifier.bias": np.zeros(H, np.float32)}
        return {**tensors, **dense}

    target = rewritten(folder, tmp_path, change)
    with pytest.warns(
        UserWarning, match=r"config\.json names DistilBertForTokenClassification, whose head has tensors"
    ):
        npbert.AutoModelForSequenceClassification.from_pretrained(target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        npbert.AutoModelForTokenClassification.from_pretrained(head_folder("bert", "ForTokenClassification"))


@pytest.mark.parametrize(
    ("family", "kind", "values", "message"),
    [
        (
            "bert",
            "ForTokenClassification",
            {"id2label": {str(n): "a" for n in (0, 1, 2, 3, 9)}},
            "id2label: wanted a label",
        ),
        ("electra", "ForMultipleChoice", {"summary_type": "last"}, "summary_type: wanted 'first', .*, found 'last'$"),
        ("electra", "ForMultipleChoice", {"summary_activation": 3}, "summary_activation: wanted null or one of .*3$"),
    ],
)
def test_what_only_a_head_reads(
    family: str, kind: str, values: dict[str, object], message: str, head_folder: Folders, tmp_path: Path
) -> None:
    """It is refused, by its key, where the head is loaded, and not with the encoder alone."""
    target = rewritten(head_folder(family, kind), tmp_path, lambda tensors: tensors)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "label2id": None, **values}))
    with pytest.raises(ValueError, match=rf"^{target}/config\.json: {message}"):
        load(target, family, kind)
    npbert.AutoModel.from_pretrained(target, add_pooling_layer=False, backend="reference")


def test_a_problem_that_is_not_known(head_folder: Folders, tmp_path: Path) -> None:
    """It matters to a loss alone."""
    target = rewritten(head_folder("bert", "ForSequenceClassification"), tmp_path, lambda tensors: tensors)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "problem_type": "guess"}))
    model = load(target, "bert", "ForSequenceClassification")
    assert model([[2, 5, 3]]).logits.shape == (1, 5)
    with pytest.raises(ValueError, match=r"^config\.json: problem_type: wanted null or one of regression, .*'guess'$"):
        model([[2, 5, 3]], labels=[1])


def test_another_number_of_labels(head_folder: Folders, tmp_path: Path) -> None:
    folder = head_folder("bert", "ForTokenClassification")
    config = json.loads((folder / "config.json").read_text())
    target = rewritten(folder, tmp_path, lambda tensors: tensors)
    config.update(id2label={str(i): str(i) for i in range(3)}, label2id={str(i): i for i in range(3)})
    (target / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"classifier\.weight: wanted the shape \[3, 42\] .*, found \[5, 42\]"):
        npbert.AutoModelForTokenClassification.from_pretrained(target)
