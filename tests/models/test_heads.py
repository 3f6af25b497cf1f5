"""Every family with every head against transformers, from folders that transformers made: logits, losses, predict."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import assert_as_close_as_torch
from heads import (
    MODELS,
    RELATIVE,
    STEMS,
    Folders,
    V,
    class_name,
    draw,
    draw_labels,
    load,
    rewritten,
    torch_errors,
    torch_model,
    torch_output,
)
from npbert_kernels.ops import Backend
from test_reduced_families import LEAST, cosines

import npbert
from npbert.models import batch as batches

pytestmark = pytest.mark.filterwarnings("ignore:.*not used")


@pytest.mark.parametrize(("family", "kind"), [*MODELS, *RELATIVE])
def test_parity(family: str, kind: str, head_folder: Folders, backend: Backend) -> None:
    """Logits where the mask keeps a token, 0 elsewhere; with labels the logits and the loss that transformers has."""
    folder, name = head_folder(family, kind), class_name(family, kind)
    model = load(folder, family, kind, backend)
    B, S = 100, 23
    arguments, labels = draw(family, kind, B, S), draw_labels(family, kind, B, S)
    given = {**arguments, **labels}
    truth, errors = torch_output(folder, name, torch.float64, given), torch_errors(folder, family, kind)
    own = torch_output(folder, name, torch.float32, given)
    kept = arguments["attention_mask"].astype(bool).copy()
    kept[..., 0] = True
    plain, labelled = dict(model(**arguments)), dict(model(**given))
    assert list(labelled) == list(truth)
    assert list(plain) == [key for key in truth if key != "loss"]
    for key, wanted in truth.items():
        error = errors[key]
        if key == "loss":  # the mean of log softmax's: each is off by at most twice what the logits are
            logits = max(error for other, error in errors.items() if other != "loss")
            assert abs(labelled[key] - wanted) <= 2 * 2 * logits
            continue
        of_tokens = wanted.ndim >= 2 and wanted.shape[:2] == (B, S)
        rows = kept if of_tokens else np.ones(len(wanted), bool)
        if name != "ElectraForPreTraining":  # whose loss counts no padding
            assert_as_close_as_torch(labelled[key], wanted, error, key)
            assert np.sqrt(np.mean((labelled[key] - wanted) ** 2)) < 1.5 * np.sqrt(np.mean((own[key] - wanted) ** 2))
        assert_as_close_as_torch(plain[key][rows], wanted[rows], error, key)
        assert not plain[key][~rows].any()


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_predict(family: str, kind: str, head_folder: Folders) -> None:
    """Lists give the bits of the padded call, whatever else is in them."""
    model = load(head_folder(family, kind), family, kind)
    if kind == "ForPreTraining" and family != "electra":
        with pytest.raises(ValueError, match="one head"):
            model.predict([[1]])
        return
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, V, n).tolist() for n in (7, 1, 23, 3)]
    found = model.predict(ids)
    assert [len(row) for row in found] == [len(model.predict([row])[0]) for row in ids]
    for row, alone in zip(found, ids, strict=True):
        np.testing.assert_array_equal(row, model.predict([alone])[0])
        array = np.array([alone])[:, None] if kind == "ForMultipleChoice" else np.array([alone])
        output = model(array)
        if kind == "ForQuestionAnswering":
            np.testing.assert_array_equal(row, np.stack([output.start_logits[0], output.end_logits[0]], -1))
        else:
            np.testing.assert_array_equal(row, output.logits[0])
    assert model.predict([]) == []


@pytest.mark.parametrize("family", STEMS)
def test_predict_of_some_tokens(family: str, head_folder: Folders, backend: Backend) -> None:
    model = load(head_folder(family, "ForMaskedLM"), family, "ForMaskedLM", backend)
    ids, columns = [[5, 6, 7, 8, 9], [10], [11, 12, 13]], [[1, 4], [], [0, 1, 2]]
    everything = model.predict(ids)
    for row, wanted, chosen in zip(model.predict(ids, None, columns), everything, columns, strict=True):
        assert row.shape == (len(chosen), V)
        if backend.name == "cpu":
            np.testing.assert_array_equal(row, wanted[chosen])
        elif chosen:
            assert np.abs(row - wanted[chosen]).max() < 1e-4


def test_the_last_layer_is_computed_where_it_is_wanted(head_folder: Folders) -> None:
    """A classifier of the first token and a decoder of chosen ones run its linears on those rows alone."""

    class Counting:
        """The reference's ops, which note how many rows each linear gets."""

        def __init__(self, ops: Any) -> None:
            self.ops, self.rows = ops, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.ops, name)

        def linear(self, x: Any, *given: Any, **named: Any) -> Any:
            self.rows.append(len(x))
            return self.ops.linear(x, *given, **named)

    from npbert_kernels.reference import ReferenceOps

    from npbert.models.heads import head_forward

    for kind, columns, rows in (("ForSequenceClassification", None, 2), ("ForMaskedLM", [[3], [1, 2, 5]], 4)):
        model = load(head_folder("bert", kind), "bert", kind, "reference")
        packed = batches.pack_lists(model.config, [list(range(5, 14)), list(range(5, 17))], None, columns)
        ops = Counting(ReferenceOps(np.dtype(np.float32)))
        head_forward(model._encoder, model._heads, selected=columns is not None)(ops, packed)
        layers = model.config.num_hidden_layers
        assert ops.rows == [21] * (4 * (layers - 1) + 1) + [rows] * (len(ops.rows) - 4 * layers + 3)
        assert len(ops.rows) == 4 * layers + 2


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForMaskedLM", "ForQuestionAnswering"])
def test_hidden_states_and_attentions(kind: str, head_folder: Folders) -> None:
    """As the bare model gives them; the logits stay the same, to the bit."""
    folder = head_folder("bert", kind)
    model, bare = load(folder, "bert", kind), npbert.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    arguments = draw("bert", kind, 4, 11)
    output = model(**arguments, output_hidden_states=True, output_attentions=True)
    wanted = bare(**arguments, output_hidden_states=True, output_attentions=True)
    for found, right in ((output.hidden_states, wanted.hidden_states), (output.attentions, wanted.attentions)):
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            np.testing.assert_array_equal(a, b)
    plain = model(**arguments)
    np.testing.assert_array_equal(plain[0], output[0])
    as_tuple = model(**arguments, output_attentions=True, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(plain) + 1


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels"),
    [
        (None, 1, [0.5, -1.0, 2.0]),
        (None, 1, [[0.5], [-1.0], [2.0]]),
        (None, 4, [3, 0, -100]),
        (None, 4, [[0.0, 1.0, 0.5, 1.0]] * 3),
        ("regression", 4, [[0.5, 2.0, -1.0, 0.0]] * 3),
        ("regression", 1, [1, 2, 3]),
        ("multi_label_classification", 4, [[0.0, 1.0, 1.0, 1.0]] * 3),
        ("single_label_classification", 4, [1, 2, 3]),
    ],
)
def test_problem_types(problem: str | None, num_labels: int, labels: Any, head_folder: Folders) -> None:
    folder = head_folder("bert", "ForSequenceClassification", num_labels=num_labels, problem_type=problem)
    model = load(folder, "bert", "ForSequenceClassification")
    arguments = draw("bert", "ForSequenceClassification", 3, 9)
    given = np.array(labels, np.float32 if num_labels == 1 or np.array(labels).ndim == 2 else np.int64)
    name = "BertForSequenceClassification"
    torch_model(folder, name, torch.float64).config.problem_type = problem  # it notes what it found
    truth = torch_output(
        folder,
        name,
        torch.float64,
        {**arguments, "labels": given.astype(np.float64) if given.dtype == np.float32 else given},
    )
    output = model(**arguments, labels=labels)
    off = np.abs(output.logits - truth["logits"]).max()
    # the slope of a squared error is twice the distance; that of the others at most 2
    regression = problem == "regression" or num_labels == 1
    steepest = 2 * (np.abs(truth["logits"]).max() + np.abs(given).max() + off) if regression else 2
    assert abs(output.loss - truth["loss"]) <= steepest * off
    assert model.config.problem_type == problem


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("ForTokenClassification", [[-100, -100]]),
        ("ForSequenceClassification", [-100]),
        ("ForMaskedLM", [[-100, -100]]),
        ("ForNextSentencePrediction", [-100]),
    ],
)
def test_nothing_to_learn_from(kind: str, labels: Any, head_folder: Folders) -> None:
    folder = head_folder("bert", kind)
    given = {"input_ids": [[5, 6]], "labels": labels}
    assert np.isnan(torch_output(folder, class_name("bert", kind), torch.float64, given)["loss"])
    assert np.isnan(load(folder, "bert", kind)(**given).loss)


def test_labels_of_padding_count_for_nothing(head_folder: Folders) -> None:
    """ELECTRA's discriminator learns from the tokens that the mask keeps, whatever the others' labels are."""
    folder = head_folder("electra", "ForPreTraining")
    given = {"input_ids": [[5, 6, 7], [8, 9, 5]], "attention_mask": [[1, 1, 0], [1, 1, 1]]}
    labels = [[1, 0, -100], [0, 0, 1]]
    truth = torch_output(folder, "ElectraForPreTraining", torch.float64, {**given, "labels": labels})
    model = load(folder, "electra", "ForPreTraining")
    output = model(**given, labels=labels)
    assert (
        abs(output.loss - truth["loss"])
        <= np.abs(output.logits - truth["logits"])[[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]].max()
    )
    for wrong in (-100, 2):
        with pytest.raises(ValueError, match=rf"labels\[1, 2\]: wanted 0 to 1.*, found {wrong}$"):
            model(**given, labels=[[1, 0, 0], [0, 0, wrong]])


# Classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_auto_picks(family: str, kind: str, head_folder: Folders) -> None:
    auto = getattr(npbert, f"AutoModel{kind}")
    assert type(auto.from_pretrained(head_folder(family, kind))).__name__ == STEMS[family] + kind


def test_auto_lists_those_that_there_are(head_folder: Folders) -> None:
    folder = head_folder("distilbert", "ForMaskedLM")
    with pytest.raises(ValueError, match=r"model_type that has a ForNextSentencePrediction \(bert\), found distilbert"):
        npbert.AutoModelForNextSentencePrediction.from_pretrained(folder)
    assert type(npbert.AutoModelForPreTraining.from_pretrained(folder)) is npbert.DistilBertForMaskedLM
    with pytest.raises(ValueError, match="AutoModelForMaskedLM fills in words"):
        npbert.AutoModelForCausalLM.from_pretrained(folder)


def test_no_head_is_forgotten() -> None:
    """All classes of transformers' for these families and heads are here."""
    assert [model for model in MODELS if not hasattr(npbert, STEMS[model[0]] + model[1])] == []
    assert len(MODELS) == 45


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_every_class_says_what_it_takes(family: str, kind: str) -> None:
    """help() finds shapes and labels, and from_pretrained takes the same arguments everywhere."""
    model = getattr(npbert, class_name(family, kind))
    assert "[B" in model.__doc__
    assert "labels:" in model.__doc__ or "start_positions, end_positions:" in model.__doc__
    assert inspect.signature(model.from_pretrained) == inspect.signature(npbert.BertForMaskedLM.from_pretrained)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_every_class_takes_a_dtype(family: str, kind: str, dtype: str, head_folder: Folders) -> None:
    """Logits as close to float32's as the encoder's rows are, and not the same."""
    folder, arguments = head_folder(family, kind), draw(family, kind, 20, 23, masked=False)
    model = getattr(npbert, class_name(family, kind)).from_pretrained(folder, dtype=dtype, device="cpu")
    single = load(folder, family, kind)(**arguments)
    for name, found in model(**arguments).items():
        assert LEAST[dtype] < cosines(found.ravel(), single[name].ravel()) < 1 - 1e-7


# Bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("ForTokenClassification", {"labels": [[0, 1]]}, r"labels: wanted the shape \[1, 3\], found \[1, 2\]"),
        (
            "ForTokenClassification",
            {"labels": [[0, 1, 5]]},
            r"labels\[0, 2\]: wanted 0 to 4, or -100 for none, found 5",
        ),
        ("ForTokenClassification", {"labels": [[0, 1, -1]]}, r"labels\[0, 2\]: wanted 0 to 4, or -100 .*, found -1"),
        ("ForTokenClassification", {"labels": [[0, 1, 2.0]]}, "labels: wanted integers, found the dtype float64"),
        ("ForTokenClassification", {"labels": [[0], [1, 2]]}, "labels: wanted an array, or lists of one length"),
        ("ForMaskedLM", {"labels": [[0, 1, V]]}, rf"labels\[0, 2\]: wanted 0 to {V - 1}, or -100 for none, found {V}"),
        ("ForSequenceClassification", {"labels": [[1]]}, r"labels: wanted the shape \[1\], found \[1, 1\]"),
        ("ForSequenceClassification", {"labels": [5]}, r"labels\[0\]: wanted 0 to 4, or -100 for none, found 5"),
        ("ForSequenceClassification", {"labels": [0.5]}, r"labels: wanted the shape \[1, 5\], found \[1\]"),
        ("ForSequenceClassification", {"labels": [[np.nan] * 5]}, r"labels\[0, 0\]: wanted a finite number, found nan"),
        ("ForSequenceClassification", {"labels": ["x"]}, "labels: wanted numbers, found the dtype <U1"),
        (
            "ForQuestionAnswering",
            {"start_positions": [1, 2], "end_positions": [2]},
            r"start_positions: wanted the shape",
        ),
        ("ForQuestionAnswering", {"start_positions": [1], "end_positions": [0.5]}, "end_positions: wanted integers"),
        ("ForNextSentencePrediction", {"labels": [2]}, r"labels\[0\]: wanted 0 to 1, or -100 for none, found 2"),
        (
            "ForPreTraining",
            {"labels": [[0] * 3], "next_sentence_label": [2]},
            r"next_sentence_label\[0\]: wanted 0 to 1",
        ),
        ("ForPreTraining", {"labels": [[0]], "next_sentence_label": [1]}, r"labels: wanted the shape \[1, 3\]"),
    ],
)
def test_bad_labels(kind: str, given: dict[str, Any], message: str, head_folder: Folders) -> None:
    model = load(head_folder("bert", kind), "bert", kind)
    with pytest.raises(ValueError, match=message):
        model([[5, 6, 7]], **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "wanted one of input_ids and inputs_embeds, found neither"),
        ({"input_ids": [[5, 6]]}, r"input_ids: wanted the shape \[sequences, choices, tokens\], found \[1, 2\]"),
        (
            {"input_ids": [[[5], [6]]], "attention_mask": [[[1], [1], [1]]]},
            r"attention_mask: wanted the shape \[sequences, choices, tokens\] with 2 choices, found \[1, 3, 1\]",
        ),
        ({"input_ids": [[[5], [6]]], "labels": [2]}, r"labels\[0\]: wanted 0 to 1, or -100 for none, found 2"),
        ({"inputs_embeds": [[[5.0]]]}, r"inputs_embeds: wanted the shape \[sequences, choices, tokens, hidden_size\]"),
    ],
)
def test_bad_choices(given: dict[str, Any], message: str, head_folder: Folders) -> None:
    model = load(head_folder("bert", "ForMultipleChoice"), "bert", "ForMultipleChoice")
    with pytest.raises(ValueError, match=message):
        model(**given)


def test_labels_of_torch(head_folder: Folders) -> None:
    model = load(head_folder("bert", "ForTokenClassification"), "bert", "ForTokenClassification")
    with pytest.raises(ValueError, match="labels: wanted a NumPy array, found a torch tensor"):
        model([[5, 6]], labels=torch.zeros((1, 2), dtype=torch.int64))


def test_positions_of_torch(head_folder: Folders) -> None:
    model = load(head_folder("bert", "ForQuestionAnswering"), "bert", "ForQuestionAnswering")
    with pytest.raises(ValueError, match="end_positions: wanted a NumPy array, found a torch tensor"):
        model([[5, 6]], start_positions=[0], end_positions=torch.zeros(1, dtype=torch.int64))


def test_bad_columns(head_folder: Folders) -> None:
    model = load(head_folder("bert", "ForMaskedLM"), "bert", "ForMaskedLM")
    for columns, message in (
        ([[0]], "columns: wanted 2 lists, as of ids, found 1"),
        ([[0], [3]], r"columns\[1\]"),
        ([[1, 0], []], r"columns\[0\]: wanted ascending"),
        ([[1, 1], []], r"columns\[0\]: wanted ascending"),
        ([[-1], []], r"columns\[0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict([[5, 6], [7, 8, 9]], None, columns)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("summary_activation", "selu", "summary_activation: wanted null or one of gelu"),
        ("summary_activation", [], "summary_activation: wanted null or one of gelu"),
        ("summary_type", "mean", "summary_type: wanted 'first'.*found 'mean'"),
        ("summary_type", [], "summary_type: wanted 'first'"),
        ("summary_use_proj", False, "summary_use_proj: wanted true.*found False"),
    ],
)
def test_a_summary_that_is_not_computed(
    head_folder: Folders, tmp_path: Path, key: str, value: object, message: str
) -> None:
    folder = head_folder("electra", "ForMultipleChoice")
    target = rewritten(folder, tmp_path, lambda tensors: tensors)
    config = {**json.loads((folder / "config.json").read_text()), key: value}
    (target / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        npbert.AutoModelForMultipleChoice.from_pretrained(target)


TYPELESS = [(family, kind) for family, kind in MODELS if family in ("distilbert", "mpnet")]


@pytest.mark.parametrize(("family", "kind"), [("distilbert", "Model"), ("mpnet", "Model"), *TYPELESS])
def test_token_types_make_no_difference_where_there_are_none(family: str, kind: str, head_folder: Folders) -> None:
    """transformers 5 takes them too, whatever they are; here that they are integers, and their shape, is checked."""
    folder = head_folder(family, "ForMaskedLM" if kind == "Model" else kind)
    model, given = load(folder, family, kind, "reference"), draw(family, kind, 3, 7)
    ids = given["input_ids"]
    wanted = dict(model(**given))
    for types in (np.ones_like(ids), -ids, np.full_like(ids, 2**62)):
        for key, array in dict(model(**given, token_type_ids=types)).items():
            np.testing.assert_array_equal(array, wanted[key])
    plain = torch_output(folder, class_name(family, kind), torch.float32, given)
    typed = torch_output(
        folder, class_name(family, kind), torch.float32, {**given, "token_type_ids": np.ones_like(ids)}
    )
    for key, array in plain.items():
        np.testing.assert_array_equal(typed[key], array)
    rows = ids.reshape(-1, 7).tolist()
    for one, other in zip(model.predict(rows), model.predict(rows, [[1] * 7 for _ in rows]), strict=True):
        np.testing.assert_array_equal(one, other)
    for bad, message in ((ids[..., :2], "the shape"), (ids / 2, "integers, found the dtype float64")):
        with pytest.raises(ValueError, match=rf"^token_type_ids: wanted {message}"):
            model(**given, token_type_ids=bad)
    with pytest.raises(ValueError, match=r"^token_types\[0\]: wanted 7 of them"):
        model.predict(rows, [[0] for _ in rows])
