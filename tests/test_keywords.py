"""Nothing that is given is swallowed: an argument that there is not is an error, which names the one that is near."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbert
from npbert.keywords import KeywordError, OtherArguments, harmless_values, refuse_unknown

LOADERS: dict[str, Callable[..., Any]] = {
    "AutoTokenizer.from_pretrained": npbert.AutoTokenizer.from_pretrained,
    "BertTokenizer.from_pretrained": npbert.BertTokenizer.from_pretrained,
    "AutoConfig.from_pretrained": npbert.AutoConfig.from_pretrained,
    "BertConfig.from_pretrained": npbert.BertConfig.from_pretrained,
    "BertModel.from_pretrained": npbert.AutoModel.from_pretrained,
    "BertForMaskedLM.from_pretrained": npbert.BertForMaskedLM.from_pretrained,
    "SentenceTransformer": npbert.SentenceTransformer,
    "CrossEncoder": npbert.CrossEncoder,
    "pipeline": lambda folder, **given: npbert.pipeline("feature-extraction", folder, **given),
}
SLOW = {name: {} if "Tokenizer" in name or "Config" in name else {"backend": "reference"} for name in LOADERS}


@pytest.mark.parametrize("name", ["AutoModel", "AutoModelForMaskedLM", "AutoConfig", "AutoTokenizer", "BertModel"])
def test_what_has_no_objects(name: str) -> None:
    for places in ((), ("bert",)):
        with pytest.raises(TypeError, match=rf"^{name}: wanted {name}\.from_pretrained\(name\).*, found a call$"):
            getattr(npbert, name)(*places)


@pytest.mark.parametrize("name", ["SentenceTransformer", "CrossEncoder"])
def test_without_a_folder(name: str) -> None:
    with pytest.raises(KeywordError, match=f"^{name}: there is no argument 'modules'$"):
        getattr(npbert, name)(modules=[])
    with pytest.raises(ValueError, match=r"^model: wanted a folder, package:NAME or a hub id, found None$"):
        getattr(npbert, name)()


@pytest.mark.parametrize("name", LOADERS)
def test_an_argument_that_there_is_not(name: str, minilm: Path) -> None:
    caller = "feature-extraction" if name == "pipeline" else name
    for error in (TypeError, ValueError):  # Python's own kind, and that of every other check
        with pytest.raises(error, match=rf"^{caller}: .*'cache_dirr?'; is 'cache_(dir|folder)' meant\?$"):
            LOADERS[name](minilm, cache_dirr="x") if "Encoder" not in name else LOADERS[name](minilm, cache_dir="x")
    with pytest.raises(KeywordError, match=rf"^{caller}: .*'colour'$"):
        LOADERS[name](minilm, colour="blue")


@pytest.mark.parametrize(
    "name", [name for name in LOADERS if name not in ("CrossEncoder", "BertForMaskedLM.from_pretrained")]
)
def test_what_changes_nothing_is_taken(name: str, minilm: Path) -> None:
    harmless = {"trust_remote_code": False, "force_download": False, "low_cpu_mem_usage": True, "use_fast": True}
    assert LOADERS[name](minilm, **harmless, **SLOW[name]) is not None


@pytest.mark.parametrize("name", LOADERS)
def test_a_value_that_asks_for_something_is_not(name: str, minilm: Path) -> None:
    with pytest.raises(KeywordError, match=r"force_download: wanted False or None, found True"):
        LOADERS[name](minilm, force_download=True)


def test_values_of_any_kind() -> None:
    harmless = harmless_values(OtherArguments)
    refuse_unknown("f", {name: values[0] if values else object() for name, values in harmless.items()})
    for value in (0, np.array([False]), np.False_, "False", {}, [None]):
        with pytest.raises(KeywordError, match=r"^f: trust_remote_code: wanted False or None, found"):
            refuse_unknown("f", {"trust_remote_code": value})


@pytest.mark.parametrize("name", LOADERS)
def test_a_subfolder(name: str, minilm: Path, tmp_path: Path) -> None:
    """Of a folder whose own files are no model's."""
    shutil.copytree(minilm, tmp_path / "a" / "cased")
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json"):
        (tmp_path / file).write_text("{")
    if name not in ("CrossEncoder", "BertForMaskedLM.from_pretrained"):
        for subfolder in ("a/cased", "./a/cased/"):
            assert LOADERS[name](tmp_path, subfolder=subfolder, **SLOW[name]) is not None
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}: no folder b in it$"):
        LOADERS[name](tmp_path, subfolder="b", **SLOW[name])
    for subfolder in ("../a", "/a", "a/../..", "a\\b", 3):
        with pytest.raises(ValueError, match=r"^subfolder: wanted the path of a folder within the model's, found"):
            LOADERS[name](tmp_path, subfolder=subfolder, **SLOW[name])


def test_a_subfolder_of_a_model_that_is_loaded(minilm: Path) -> None:
    model = npbert.AutoModel.from_pretrained(minilm, backend="reference")
    with pytest.raises(ValueError, match=r"^subfolder: wanted none, since the model is loaded already, found 'a'"):
        npbert.pipeline("feature-extraction", model, minilm, subfolder="a")


def test_a_pipeline_refuses_before_it_loads(tmp_path: Path) -> None:
    with pytest.raises(KeywordError, match=r"found 'trunction'; is 'truncation' meant"):
        npbert.pipeline("feature-extraction", tmp_path, trunction=True)


# Settings of tokenizers


@pytest.mark.parametrize(
    "given",
    [
        {"errors": "replace", "legacy": False, "never_split": None, "do_basic_tokenize": True},
        {"never_split": [], "use_fast": False, "add_prefix_space": True, "trim_offsets": False},
        {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "keep_accents": False},
        {"sp_model_kwargs": {}, "wordpieces_prefix": "##", "verbose": False, "clean_text": True},
    ],
)
def test_settings_that_are_as_they_are(given: dict[str, Any], minilm: Path, tokenizer: npbert.BertTokenizer) -> None:
    loaded = npbert.AutoTokenizer.from_pretrained(minilm, **given)
    assert loaded.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"never_split": ["##ally"]}, r"never_split: wanted None or \[\], found \['##ally'\]"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize: wanted True or None, found False"),
        ({"errors": "strict"}, "errors: wanted 'replace' or None, found 'strict'"),
        ({"keep_accents": True}, "keep_accents: wanted False, as this tokenizer's steps have it, found True"),
        ({"clean_text": False}, "clean_text: wanted True, as this tokenizer's steps have it, found False"),
        ({"max_length": 8}, "there is no argument 'max_length'; is 'model_max_length' meant"),
        ({"lower_case": True}, "there is no argument 'lower_case'; is 'do_lower_case' meant"),
    ],
)
def test_settings_that_there_are_not(given: dict[str, Any], message: str, minilm: Path) -> None:
    for load in (npbert.AutoTokenizer.from_pretrained, npbert.BertTokenizer.from_pretrained):
        with pytest.raises(KeywordError, match=message):
            load(minilm, **given)
    with pytest.raises(KeywordError, match=message):
        npbert.BertTokenizer(minilm / "vocab.txt", **given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("roberta", {"do_lower_case": True}),
        ("roberta", {"strip_accents": True}),
        ("roberta", {"tokenize_chinese_chars": True}),
        ("xlm-roberta", {"do_lower_case": True}),
        ("camembert", {"keep_accents": False}),
    ],
)
def test_a_switch_of_another_family(kind: str, given: dict[str, Any], tokenizer_folder: Callable[[str], Path]) -> None:
    folder = tokenizer_folder(kind)
    ((name, value),) = given.items()
    with pytest.raises(KeywordError, match=f"^{name}: wanted {not value}, as this tokenizer's steps have it, found"):
        npbert.AutoTokenizer.from_pretrained(folder, **given)
    npbert.AutoTokenizer.from_pretrained(folder, **{name: not value})


def test_a_switch_of_a_tokenizer_that_says_all_itself(minilm: Path) -> None:
    load = npbert.PreTrainedTokenizerFast.from_pretrained
    assert load(minilm, do_lower_case=True).tokenize("Hello") == ["hello"]
    with pytest.raises(KeywordError, match=r"do_lower_case: wanted True, as this tokenizer's steps have it"):
        load(minilm, do_lower_case=False)


def test_a_switch_that_is_set_too_late(minilm: Path) -> None:
    """Nothing would come of it, in transformers as here."""
    tokenizer = npbert.AutoTokenizer.from_pretrained(minilm)
    assert (tokenizer.do_lower_case, tokenizer.strip_accents, tokenizer.tokenize_chinese_chars) == (True, None, True)
    assert not hasattr(tokenizer, "add_prefix_space")
    with pytest.raises(AttributeError, match=r"^do_lower_case: wanted from_pretrained\(..., do_lower_case=False\)"):
        tokenizer.do_lower_case = False
