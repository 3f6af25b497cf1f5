"""CrossEncoder against sentence-transformers': scores, ranks, folders, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_folders import with_files
from tasks import CLOSE
from tokenizer_folders import CLASSES
from tokenizing import edit_json
from torch import nn

from npbert import CrossEncoder
from npbert.cli.main import main

QUERY = "What makes bread rise?"
DOCUMENTS = [
    "Yeast turns sugar into gas.",
    "",
    "The train leaves at noon.",
    "Bread needs yeast, water, flour, salt, and " + "time and " * 100 + "heat.",
    "Ünïcödé, 日本語 and 👩‍👩‍👧!",
    "The train leaves at noon.",
]
PAIRS = [(QUERY, document) for document in DOCUMENTS]


@pytest.fixture(scope="module")
def folder(task_folder: Callable[..., Path]) -> Path:
    """A reranker: one label."""
    return task_folder("BertForSequenceClassification", labels=("SCORE",))


@pytest.fixture(scope="module")
def classifier(task_folder: Callable[..., Path]) -> Path:
    """Three labels."""
    return task_folder("BertForSequenceClassification", labels=("NO", "MAYBE", "YES"))


@pytest.fixture(scope="module")
def model(folder: Path) -> CrossEncoder:
    return CrossEncoder(folder)


@pytest.fixture(scope="module")
def truth(folder: Path) -> Any:
    return oracle(folder)


def oracle(folder: Path, **arguments: Any) -> Any:
    import sentence_transformers

    return sentence_transformers.CrossEncoder(str(folder), device="cpu", **arguments)


def assert_close(found: Any, wanted: Any) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE * max(1, np.abs(wanted).max()))


# --- scores


def test_scores(model: CrossEncoder, truth: Any) -> None:
    found = model.predict(PAIRS)
    assert_close(found, truth.predict(PAIRS))
    assert found.max() - found.min() > 0.1
    one = model.predict(PAIRS[0])
    assert isinstance(one, np.float32)
    assert one == found[0]
    for several in (list(map(list, PAIRS)), iter(PAIRS), tuple(PAIRS), np.array(PAIRS)):
        np.testing.assert_array_equal(model.predict(several), found)
    np.testing.assert_array_equal(model.predict(np.array(PAIRS[0])), found[0])
    listed = model.predict(PAIRS, convert_to_numpy=False)
    assert isinstance(listed, list)
    assert listed == found.tolist()
    assert model.predict([]).shape == (0,)


def test_same_bits_whatever_is_around(model: CrossEncoder) -> None:
    found = model.predict(PAIRS)
    np.testing.assert_array_equal(np.array([model.predict(pair) for pair in PAIRS]), found)
    np.testing.assert_array_equal(model.predict(PAIRS[::-1])[::-1], found)
    for batch_size in (1, 4):
        np.testing.assert_array_equal(model.predict(PAIRS, batch_size=batch_size), found)


@pytest.mark.parametrize("apply_softmax", [False, True])
def test_several_labels(classifier: Path, apply_softmax: bool) -> None:
    model, truth = CrossEncoder(classifier, num_labels=3), oracle(classifier)
    found = model.predict(PAIRS, apply_softmax=apply_softmax)
    assert found.shape == (len(PAIRS), 3)
    assert_close(found, truth.predict(PAIRS, apply_softmax=apply_softmax))
    np.testing.assert_array_equal(model.predict(PAIRS[0], apply_softmax=apply_softmax), found[0])
    assert model.predict([]).shape == (0, 3)
    with pytest.raises(ValueError, match="rank: wanted a model with one label, found 3: use predict with pairs"):
        model.rank(QUERY, DOCUMENTS)


@pytest.mark.parametrize("name", ["Identity", "Sigmoid", "Tanh", "ReLU"])
def test_activations_by_torchs_names(model: CrossEncoder, truth: Any, folder: Path, name: str) -> None:
    function = getattr(nn, name)()
    wanted = truth.predict(PAIRS, activation_fn=function)
    assert_close(model.predict(PAIRS, activation_fn=function), wanted)
    assert_close(CrossEncoder(folder, activation_fn=function).predict(PAIRS), wanted)


def test_an_activation_of_ones_own(model: CrossEncoder, truth: Any) -> None:
    found = model.predict(PAIRS, activation_fn=lambda logits: logits * 2)
    assert_close(found, 2 * truth.predict(PAIRS, activation_fn=nn.Identity()))


def test_large_scores_do_not_overflow(model: CrossEncoder) -> None:
    found = model.predict(PAIRS, activation_fn=lambda logits: model.activation_fn(logits * np.float32(1e6)))
    assert set(found.tolist()) <= {0.0, 1.0}


def test_a_relative_folder(model: CrossEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, where in (("/".join(folder.parts[-2:]), folder.parent.parent), (".", folder)):
        monkeypatch.chdir(where)
        np.testing.assert_array_equal(CrossEncoder(name).predict(PAIRS), model.predict(PAIRS))


def test_max_length(folder: Path) -> None:
    for length in (3, 12, 77):
        model, truth = CrossEncoder(folder, max_length=length), oracle(folder, max_length=length)
        assert model.max_seq_length == model.max_length == truth.max_seq_length == length
        assert_close(model.predict(PAIRS), truth.predict(PAIRS))
    assert CrossEncoder(folder).max_length == oracle(folder).max_seq_length == 128
    for wrong in (2, 129, 8.0, True):
        with pytest.raises(ValueError, match=r"max_length: wanted a whole number from 3 to 128, found"):
            CrossEncoder(folder, max_length=wrong)  # type: ignore[arg-type]


def test_a_length_in_the_folder_that_leaves_no_room(task_folder: Callable[..., Path], tmp_path: Path) -> None:
    """[CLS] and two [SEP] need three."""
    made = task_folder("BertForSequenceClassification", labels=("relevance",))
    folder = shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    edit_json(folder / "tokenizer_config.json", model_max_length=1)
    message = r"tokenizer_config\.json: model_max_length: wanted a whole number from 3 to \d+, found 1"
    with pytest.raises(ValueError, match=message):
        CrossEncoder(folder)
    assert CrossEncoder(folder, max_length=8).max_length == 8


def test_prompts(folder: Path) -> None:
    arguments = {"prompts": {"ask": "question: ", "tell": "statement: "}, "default_prompt_name": "ask"}
    model, truth = CrossEncoder(folder, **arguments), oracle(folder, **arguments)
    for call in ({}, {"prompt_name": "tell"}, {"prompt": "x "}, {"prompt": ""}):
        assert_close(model.predict(PAIRS, **call), truth.predict(PAIRS, **call))
        ranks = [[item["corpus_id"] for item in each.rank(QUERY, DOCUMENTS, **call)] for each in (model, truth)]
        assert ranks[0] == ranks[1]
    with pytest.raises(ValueError, match=r"prompt_name: wanted one of \['ask', 'tell'\], found 'x'"):
        model.predict(PAIRS, prompt_name="x")
    with pytest.raises(ValueError, match=r"default_prompt_name: wanted one of \['ask'\], found 'x'"):
        CrossEncoder(folder, prompts={"ask": ""}, default_prompt_name="x")


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "bert"])
def test_every_family(tokenizer_folder: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    """Pairs in each family's own format, with token types or without."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    sizes = {"hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 50}
    if kind == "distilbert":
        sizes = {"dim": 36, "n_layers": 2, "n_heads": 3, "hidden_dim": 50}
    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=42,
        num_labels=1,
        **sizes,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # as transformers starts them, all scores are nearly the same
            parameter.add_(0.2 * torch.randn_like(parameter))
    shutil.copytree(tokenizer_folder(kind), tmp_path, dirs_exist_ok=True)
    model.save_pretrained(tmp_path)
    if kind == "albert":  # as 4.57 does it where nothing says so: docs/versions.md
        names = ["input_ids", "token_type_ids", "attention_mask"]
        edit_json(tmp_path / "tokenizer_config.json", model_input_names=names)
    found, truth = CrossEncoder(tmp_path, max_length=40), oracle(tmp_path, max_length=40)
    scores = found.predict(PAIRS)
    assert scores.max() - scores.min() > 1e-3
    assert_close(scores, truth.predict(PAIRS))


# --- ranks


@pytest.mark.parametrize("arguments", [{}, {"top_k": 1}, {"top_k": 3}, {"top_k": 99}, {"return_documents": True}])
def test_rank(model: CrossEncoder, truth: Any, arguments: dict[str, Any]) -> None:
    found, wanted = model.rank(QUERY, DOCUMENTS, **arguments), truth.rank(QUERY, DOCUMENTS, **arguments)
    assert [item["corpus_id"] for item in found] == [item["corpus_id"] for item in wanted]
    for own, other in zip(found, wanted, strict=True):
        assert list(own) == list(other)
        assert type(own["score"]) is float
        assert type(own["corpus_id"]) is int
        assert abs(own["score"] - other["score"]) <= CLOSE
        assert own.get("text") == other.get("text")
    json.dumps(found)


def test_documents_that_are_no_list(model: CrossEncoder) -> None:
    wanted = model.rank(QUERY, DOCUMENTS, return_documents=True)
    assert model.rank(QUERY, (text for text in DOCUMENTS), return_documents=True) == wanted
    assert model.rank(QUERY, dict(enumerate(DOCUMENTS)).values(), return_documents=True) == wanted


def test_nothing_to_rank(model: CrossEncoder) -> None:
    assert model.rank(QUERY, []) == []
    assert [item["corpus_id"] for item in model.rank("", ["", ""])] == [0, 1]  # empty texts are texts


# --- folders


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "Identity"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh"}, "Tanh"),
        ({"sbert_ce_default_activation_function": None}, "Sigmoid"),
        (
            {
                "sentence_transformers": {"activation_fn": "torch.nn.Identity"},
                "sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh",
            },
            "Identity",
        ),
    ],
)
def test_activations_that_the_config_names(folder: Path, tmp_path: Path, values: dict[str, Any], name: str) -> None:
    path = with_config(folder, tmp_path, values)
    model, truth = CrossEncoder(path), oracle(path)
    assert model.settings.activation == type(truth.activation_fn).__name__ == name
    assert_close(model.predict(PAIRS), truth.predict(PAIRS))


def with_config(folder: Path, target: Path, values: dict[str, Any]) -> Path:
    path = target / "model"
    shutil.copytree(folder, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **values}))
    return path


def test_saved_by_sentence_transformers(folder: Path, tmp_path: Path) -> None:
    truth = oracle(folder, activation_fn=nn.Tanh(), max_length=20, prompts={"ask": "a: "}, default_prompt_name="ask")
    truth.save(str(tmp_path), create_model_card=False)
    assert (tmp_path / "modules.json").exists()
    model = CrossEncoder(tmp_path)
    assert model.max_length == 20
    assert (model.prompts, model.default_prompt_name) == ({"ask": "a: "}, "ask")
    assert_close(model.predict(PAIRS), truth.predict(PAIRS))
    np.testing.assert_array_equal(CrossEncoder(tmp_path, activation_fn=nn.Identity()).predict([]), np.zeros(0))


def test_saved(folder: Path, tmp_path: Path) -> None:
    """Both libraries read back what was saved, settings included; so do those before modules.json."""
    model = CrossEncoder(folder, activation_fn=nn.Tanh(), max_length=20, prompts={"ask": "a: "})
    model.save_pretrained(tmp_path)
    found = model.predict(PAIRS, prompt_name="ask")
    again, truth = CrossEncoder(tmp_path), oracle(tmp_path)
    np.testing.assert_array_equal(again.predict(PAIRS, prompt_name="ask"), found)
    assert_close(found, truth.predict(PAIRS, prompt_name="ask"))
    for other in (again, truth):
        assert other.max_seq_length == 20
    (tmp_path / "modules.json").unlink()
    assert CrossEncoder(tmp_path).settings.activation == type(oracle(tmp_path).activation_fn).__name__ == "Tanh"
    own = CrossEncoder(folder, activation_fn=lambda x: x)
    with pytest.raises(ValueError, match=r"activation_fn: wanted one of Identity, .*, which a file can name"):
        own.save_pretrained(tmp_path / "b")


# --- what is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Mish"}},
            "config.json: sentence_transformers: activation_fn: supported are torch.nn.Identity, .* found",
        ),
        (
            {"sentence_transformers": {"activation_fn": "custom.Sigmoid"}},
            "activation_fn: supported are .* found 'custom",
        ),
        ({"sentence_transformers": 3}, "config.json: sentence_transformers: wanted an object, found 3"),
        ({"sbert_ce_default_activation_function": 3}, "sbert_ce_default_activation_function: supported are .* found 3"),
    ],
)
def test_configs_refused(folder: Path, tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = with_config(folder, tmp_path, values)
    with pytest.raises(ValueError, match=message) as caught:
        CrossEncoder(path)
    assert str(path) in str(caught.value)


def test_folders_refused(folder: Path, tmp_path: Path, minilm: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(folder, path)
    modules = {"": "Transformer", "1_Pooling": "Pooling"}
    entries = [{"path": inner, "type": f"sentence_transformers.models.{kind}"} for inner, kind in modules.items()]
    (path / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"modules.json: wanted a Transformer alone, found Transformer, Pooling"):
        CrossEncoder(path)
    (path / "modules.json").write_text(json.dumps(entries[:1]))
    (path / "config_sentence_transformers.json").write_text('{"model_type": "SentenceTransformer"}')
    with pytest.raises(ValueError, match="model_type: wanted 'CrossEncoder', found 'SentenceTransformer'"):
        CrossEncoder(path)
    (path / "config_sentence_transformers.json").unlink()
    (path / "sentence_bert_config.json").write_text('{"transformer_task": "text-generation"}')
    with pytest.raises(ValueError, match="transformer_task: wanted 'sequence-classification', found 'text-generation'"):
        CrossEncoder(path)
    (tmp_path / "bare").mkdir()
    bare = with_files(minilm, tmp_path / "bare", {"modules.json": None})
    with pytest.raises(ValueError, match=r"classifier\.weight"):  # no head
        CrossEncoder(bare)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": "text"}, "inputs: wanted a pair of texts, or a list of pairs, found str"),
        ({"inputs": 3}, "inputs: wanted a pair of texts, or a list of pairs, found int"),
        ({"inputs": {"text": "a"}}, "inputs: wanted a pair of texts, or a list of pairs, found dict"),
        ({"inputs": ["alone"]}, r"inputs: wanted a pair of texts, found \['alone'\]"),
        ({"inputs": ["a", "b", "c"]}, "inputs: wanted a pair of texts, found"),
        ({"inputs": ["a", None]}, r"inputs\[1\]: wanted a text \(str\), found None"),
        ({"inputs": [("a", "b"), ("a",)]}, r"inputs\[1\]: wanted a pair of texts, found \('a',\)"),
        ({"inputs": [("a", "b"), "ab"]}, r"inputs\[1\]: wanted a pair of texts, found 'ab'"),
        ({"inputs": [("a", "b"), 3]}, r"inputs\[1\]: wanted a pair of texts, found 3"),
        ({"inputs": [("a", "b"), (b"a", "b")]}, r"inputs\[1\]\[0\]: wanted a text \(str\), found bytes"),
        ({"inputs": [("a", "\ud800")]}, r"inputs\[0\]\[1\]: wanted valid Unicode, found a lone surrogate"),
        ({"batch_size": 0}, "batch_size: wanted a whole number, 1 or more, found 0"),
        ({"apply_softmax": 1}, "apply_softmax: wanted one of True, False, None, found 1"),
        ({"convert_to_numpy": "yes"}, "convert_to_numpy: wanted True or False, found 'yes'"),
        ({"convert_to_tensor": True}, "convert_to_tensor: wanted False, found True"),
        ({"device": "tpu"}, "device: wanted one of None, 'cpu', found 'tpu'"),
        ({"activation_fn": "sigmoid"}, "activation_fn: wanted a function of arrays, found 'sigmoid'"),
        (
            {"activation_fn": nn.Mish()},
            r"activation_fn: wanted a function of arrays, or one of torch\.nn\..*Mish",
        ),
        ({"activation_fn": lambda logits: logits[0]}, r"activation_fn: wanted an array \[1, 1\], found \[1\]"),
    ],
)
def test_arguments_refused(model: CrossEncoder, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        model.predict(**{"inputs": [("a", "b")], **arguments})
    assert isinstance(caught.value, TypeError) == ("inputs" in arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k: wanted a whole number, 1 or more, found 0"),
        ({"top_k": -1}, "top_k: wanted a whole number, 1 or more, found -1"),
        ({"top_k": 1.0}, "top_k: wanted a whole number, 1 or more, found 1.0"),
        ({"return_documents": "yes"}, "return_documents: wanted True or False, found 'yes'"),
        ({"query": None}, r"query: wanted a text \(str\), found None"),
        ({"query": "\ud800"}, "query: wanted valid Unicode, found a lone surrogate"),
        ({"documents": "text"}, "documents: wanted a list of texts, found one text"),
        ({"documents": None}, "documents: wanted a list of texts, found None"),
        ({"documents": ["a", None]}, r"documents\[1\]: wanted a text \(str\), found None"),
    ],
)
def test_ranks_refused(model: CrossEncoder, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.rank(**{"query": QUERY, "documents": DOCUMENTS, **arguments})


def test_constructor_refuses(folder: Path) -> None:
    with pytest.raises(ValueError, match="num_labels: wanted None or 1, the model's, found 2"):
        CrossEncoder(folder, num_labels=2)
    with pytest.raises(ValueError, match="prompts: wanted names and texts, found 3"):
        CrossEncoder(folder, prompts=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"device: wanted None or 'cpu', .*found 'tpu'"):
        CrossEncoder(folder, device="tpu")


# --- the command


def test_rerank(folder: Path, model: CrossEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerank", str(folder), QUERY, *DOCUMENTS]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == model.rank(QUERY, DOCUMENTS, return_documents=True)
    assert main(["rerank", str(folder), QUERY, *DOCUMENTS, "--top-k", "2", "--max-length", "12"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["rerank", str(folder), QUERY, "a", "--max-length", "1000"]) == 1
    assert "max_length: wanted a whole number from 3 to 128" in capsys.readouterr().err
