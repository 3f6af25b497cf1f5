"""Where versions of transformers differ, docs/versions.md: npbert is held to what 4.57 gave, and 5 is asked anew."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_tokenizers import RECORDED, SWITCHES, TEXTS, cases, rows, switch_cases
from recording import read_recorded
from small_tokenizers import MODELS, tokenizer_json, write_folder
from tokenizers import Tokenizer
from tokenizing import edit_json, load_oracle

import npbert
from npbert.models.registry import MODEL_TYPES, family_class
from npbert.text.auto import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast
from npbert.text.families import WITHOUT_TYPE_TABLE

RECORD = read_recorded(RECORDED)
SWITCHED = [case for case in RECORD if "name" not in case["given"]]
NAMED = {case["given"]["name"]: case["answer"] for case in RECORD if "name" in case["given"]}
CASES = cases()
ALIKE = {
    "silent about capitals",
    "silent about accents",
    "silent about Chinese",
    "RoBERTa, silent about spaces",
    "ALBERT, template",
}
"""Versions 4.57 and 5 give the same."""
MENDED = {name for name in CASES if name.split(",")[0] in ("XLM-R", "CamemBERT", "ALBERT")}
MENDED -= {"XLM-R, white space", "XLM-R, template"}
"""Version 5 gives the same of what npbert saves: the switches then say what tokenizer.json does."""
BY_THE_FILE = {
    "silent about capitals": ({"do_lower_case": True}, 0, "[CLS] H ##e ##ll ##o W ##ö ##r ##ld [SEP]"),
    "silent about accents": ({"strip_accents": None}, 0, "[CLS] hello w ##ö ##r ##ld [SEP]"),
    "silent about Chinese": ({"tokenize_chinese_chars": True}, 1, "[CLS] e l 漢 ##字 ! [SEP]"),
    "generic, silent about spaces": ({"add_prefix_space": False}, 0, "<s> Ġ H e ll o Ġ W Ã ¶ r l d </s>"),
}
"""Where npbert does what neither gives, since the file says it and the config is silent: the config that 4.57 takes for
granted, the number of a text and its tokens."""


def test_all_cases_are_recorded() -> None:
    assert [case["given"] for case in SWITCHED] == json.loads(json.dumps(switch_cases()))
    named = [{"name": name, **given} for name, given in CASES.items()]
    assert [case["given"] for case in RECORD if "name" in case["given"]] == json.loads(json.dumps(named))


# --- switches of tokenizer_config.json


@pytest.mark.parametrize(
    "case", SWITCHED, ids=lambda case: " ".join([case["given"]["config"]["tokenizer_class"], *case["given"]["changes"]])
)
def test_a_switch_sets_what_it_set_in_training(case: dict[str, Any], tmp_path: Path) -> None:
    given, answer = case["given"], case["answer"]
    folder = write_folder(tmp_path, given)
    config = folder / "tokenizer_config.json"
    for switch, place in zip(SWITCHES, answer["by_switch"].split(), strict=True):
        config.write_text(json.dumps({**given["config"], **switch}))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert rows(tokenizer) == answer["rows"][int(place)], switch
        assert tokenizer.model_input_names == answer["names"].split()


def test_a_switch_that_sets_nothing_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    """Unless it asks for what is there anyway, or for what makes no difference."""
    folder = write_folder(tmp_path, CASES["XLM-R, left-over"])
    with pytest.raises(ValueError, match=r"^add_prefix_space: wanted True, as this tokenizer's steps have it"):
        AutoTokenizer.from_pretrained(folder, add_prefix_space=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True, trim_offsets=False)
    assert rows(tokenizer) == NAMED["XLM-R, left-over"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoTokenizer.from_pretrained(folder)
        write_folder(tmp_path, CASES["RoBERTa, silent about spaces"])
        AutoTokenizer.from_pretrained(folder, add_prefix_space=True, trim_offsets=False)


@pytest.mark.parametrize("name", BY_THE_FILE)
def test_a_silent_config(name: str, tmp_path: Path) -> None:
    """The file decides; and where the config says what 4.57 took for granted, the answer is 4.57's."""
    said, text, tokens = BY_THE_FILE[name]
    folder = write_folder(tmp_path, CASES[name])
    if name.startswith("generic"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    else:
        (key,) = said
        with pytest.warns(UserWarning, match=rf"tokenizer_config.json: does not say {key} \(tokenizer.json: false\)"):
            tokenizer = AutoTokenizer.from_pretrained(folder)
    found = rows(tokenizer)
    assert found[text] == tokens != NAMED[name][text]
    # Saved, it says so, and then 5 agrees.
    tokenizer.save_pretrained(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows(AutoTokenizer.from_pretrained(folder)) == found
    assert rows(load_oracle(folder)) == found
    write_folder(tmp_path, CASES[name])
    assert rows(AutoTokenizer.from_pretrained(folder, **said)) == NAMED[name]


# --- what else of the files decides


@pytest.mark.parametrize("name", [name for name in CASES if name not in BY_THE_FILE])
def test_the_tokens_of_version_4(name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, CASES[name])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert rows(tokenizer) == NAMED[name]
    # A copy is the same, and so is what is saved.
    assert rows(pickle.loads(pickle.dumps(tokenizer))) == NAMED[name]
    tokenizer.save_pretrained(folder)
    assert rows(AutoTokenizer.from_pretrained(folder)) == NAMED[name]
    if name in MENDED:
        assert rows(load_oracle(folder)) == NAMED[name]


@pytest.mark.parametrize("name", CASES)
def test_what_version_5_makes_of_it(name: str, tmp_path: Path) -> None:
    """So that docs/versions.md stays true."""
    folder = write_folder(tmp_path, CASES[name])
    assert (rows(load_oracle(folder)) == NAMED[name]) == (name in ALIKE)


@pytest.mark.parametrize("class_name", MODELS)
def test_a_folder_that_version_5_saved(class_name: str, tmp_path: Path) -> None:
    """What it made of its switches stands in its tokenizer.json, so the answer is its own."""
    folder = tmp_path / "before"
    for switch in SWITCHES:
        config = {"tokenizer_class": class_name, "model_max_length": 64, **switch}
        model = {"model_type": MODELS[class_name]}
        oracle = load_oracle(write_folder(folder, {"file": class_name, "config": config, "model": model}))
        oracle.save_pretrained(tmp_path / "after")
        edit_json(tmp_path / "after" / "config.json", **model)
        assert rows(AutoTokenizer.from_pretrained(tmp_path / "after")) == rows(oracle)


# --- token types


@pytest.mark.parametrize(
    ("class_name", "model", "given"),
    [
        ("AlbertTokenizer", {"model_type": "albert"}, True),
        ("AlbertTokenizer", {"model_type": "albert", "type_vocab_size": 2}, True),
        ("AlbertTokenizer", {"model_type": "albert", "type_vocab_size": 1}, False),
        ("BertTokenizer", {"model_type": "bert"}, True),
        ("BertTokenizer", {"model_type": "distilbert"}, False),
        ("BertTokenizer", {"model_type": "mpnet"}, False),
        ("BertTokenizer", {"model_type": "roberta", "type_vocab_size": 1}, False),
        ("BertTokenizer", {"model_type": "some other"}, True),
        ("DistilBertTokenizer", {"model_type": "bert", "type_vocab_size": 2}, False),
        ("PreTrainedTokenizerFast", {"model_type": "bert", "type_vocab_size": 2}, True),
        ("PreTrainedTokenizerFast", {"model_type": "xlm-roberta", "type_vocab_size": 1}, False),
        ("TokenizersBackend", {"model_type": "bert", "type_vocab_size": 2}, True),
        ("TokenizersBackend", {"model_type": "distilbert"}, False),
    ],
)
def test_types_by_default(class_name: str, model: dict[str, Any], given: bool, tmp_path: Path) -> None:
    """As the class gives them in 4.57, where the folder's model tells two types apart."""
    file = "AlbertTokenizer" if class_name == "AlbertTokenizer" else "BertTokenizer"
    folder = write_folder(tmp_path, {"file": file, "config": {"tokenizer_class": class_name}, "model": model})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer("a", "b")
    assert tokenizer.gives_token_types == ("token_type_ids" in encoded) == given
    assert set(tokenizer("a", "b", return_token_type_ids=True)["token_type_ids"]) == {0, 1}
    # What a file, or the caller, says goes before.
    for names in (["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]):
        assert list(AutoTokenizer.from_pretrained(folder, model_input_names=names)("a", "b")) == names
        edit_json(folder / "tokenizer_config.json", model_input_names=names)
        assert list(AutoTokenizer.from_pretrained(folder)("a", "b")) == names == list(load_oracle(folder)("a", "b"))


def test_types_of_a_tokenizer_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"file": "BertTokenizer", "config": {}, "model": {}})
    (folder / "config.json").unlink()
    for kind in (BertTokenizer, PreTrainedTokenizerFast):
        assert "token_type_ids" in kind.from_pretrained(folder)("a", "b")


def test_the_models_without_types() -> None:
    found = {name for name in MODEL_TYPES if not family_class(name, "Config").architecture.token_types}
    assert found == {*WITHOUT_TYPE_TABLE}


def test_distilbert_as_version_5_saves_it(family_folder: Callable[..., Path], tmp_path: Path) -> None:
    """With the tokenizer of BERT, which gives types there: here none are given, and the model takes them as well."""
    import torch
    import transformers

    sizes = {"vocab_size": 150, "dim": 42, "n_layers": 1, "n_heads": 3, "hidden_dim": 50}
    source = family_folder("distilbert", **sizes)
    folder = write_folder(tmp_path / "folder", {"file": "DistilBertTokenizer", "config": {}, "model": {}})
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    oracle = load_oracle(folder)
    oracle.save_pretrained(folder)
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "BertTokenizer"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), npbert.AutoModel.from_pretrained(folder)
    given = {"padding": True, "return_tensors": "np"}
    inputs, typed = tokenizer(TEXTS, TEXTS[::-1], **given), oracle(TEXTS, TEXTS[::-1], **given)
    assert set(inputs) == {*typed} - {"token_type_ids"}
    assert typed["token_type_ids"].any()
    found = model(**inputs).last_hidden_state
    np.testing.assert_array_equal(model(**typed).last_hidden_state, found)
    with torch.no_grad():
        wanted = transformers.AutoModel.from_pretrained(folder)(
            **{key: torch.from_numpy(array) for key, array in typed.items()}
        )
    kept = typed["attention_mask"].astype(bool)
    np.testing.assert_allclose(found[kept], wanted.last_hidden_state.numpy()[kept], rtol=0, atol=1e-5)


# --- what is drawn by lot


def test_dropout_is_off(tmp_path: Path) -> None:
    """BPE's, which tokenizer.json may ask for, drops merges at random: something for training."""
    given = {"file": "RobertaTokenizer", "config": {"tokenizer_class": "RobertaTokenizer"}, "model": {}}
    text = "hello hello hello hello well"
    wanted = AutoTokenizer.from_pretrained(write_folder(tmp_path, given)).tokenize(text)
    for class_name in ("RobertaTokenizer", "PreTrainedTokenizerFast"):
        config = {"tokenizer_class": class_name}
        write_folder(tmp_path, {**given, "changes": {"model.dropout": 0.9}, "config": config})
        backend = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        assert len({tuple(backend.encode(text).tokens) for _ in range(50)}) > 1
        with pytest.warns(UserWarning, match=r": dropout 0\.9: switched off: it is for training"):
            tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        with pytest.warns(UserWarning, match=r"^tokenizer: dropout 0\.9: switched off"):
            of_object = PreTrainedTokenizerFast(tokenizer_object=backend)
        with pytest.warns(UserWarning, match=r"^tokenizer: dropout 0\.9: switched off"):
            of_file = PreTrainedTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json")
        assert backend.model.dropout is not None  # the caller's own stays as it is
        for each in (tokenizer, of_object, of_file, pickle.loads(pickle.dumps(tokenizer))):
            assert {tuple(each.tokenize(text)) for _ in range(50)} == {tuple(wanted)}
        tokenizer.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["dropout"] is None


def test_sampling_is_off() -> None:
    """Unigram's, which no file can ask for."""
    backend = Tokenizer.from_str(json.dumps(tokenizer_json("XLMRobertaTokenizer")))
    if not hasattr(backend.model, "alpha"):
        pytest.skip("this version of tokenizers has none")
    text = "hello hello hello well"
    backend.model.alpha = 0.1
    assert len({tuple(backend.encode(text).tokens) for _ in range(50)}) > 1
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert len({tuple(tokenizer.tokenize(text)) for _ in range(50)}) == 1
