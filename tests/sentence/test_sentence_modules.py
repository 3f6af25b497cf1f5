"""What comes after the transformer: all poolings, Dense, LayerNorm, Normalize; from folders that sentence-transformers
saves, and from the same folders in its older schemas."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npbert_kernels.ops import Backend
from record_sentences import PROMPTS, RECORDED, cases, first_numbers, make_sentences
from record_sentences import TEXTS as RECORDED_TEXTS
from recording import read_recorded
from sentence_folders import LETTERS as TEXTS
from sentence_folders import SAME, WIDTH, oracle, parts, save
from tokenizer_folders import CLASSES
from torch import nn

from npbert import SentenceTransformer
from npbert.sentence.modules import POOLING_FLAGS

MODES = tuple(POOLING_FLAGS.values())


def assert_same(found: Any, wanted: Any) -> None:
    """2e-6 of the greatest number, or of 1: what a unit vector holds."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SAME * max(1, np.abs(wanted).max()))


COMBINATIONS: dict[str, list[Any]] = {
    **{mode: [mode] for mode in MODES},
    "all modes": [MODES],
    "in another order": [("lasttoken", "mean", "cls"), "unit"],
    "dense": ["mean", {"out_features": 20}],
    "dense, wider": [("cls", "mean"), {"out_features": 100, "activation_function": nn.Identity()}, "unit"],
    "no bias": ["cls", {"out_features": 20, "bias": False, "activation_function": nn.ReLU()}],
    "sigmoid without bias": ["max", {"out_features": 7, "bias": False, "activation_function": nn.Sigmoid()}, "unit"],
    "residual": ["mean", {"out_features": WIDTH, "use_residual": True, "activation_function": nn.Identity()}],
    "residual with activation": ["mean", {"out_features": WIDTH, "use_residual": True}],
    "residual of another width": [
        "mean",
        {"out_features": 21, "use_residual": True, "activation_function": nn.Sigmoid()},
        {"out_features": 9, "use_residual": True, "activation_function": nn.Identity()},
    ],
    "norm": ["mean", "norm"],
    "all, several times": [
        ("mean", "max"),
        "unit",
        {"out_features": 50, "activation_function": nn.GELU()},
        "norm",
        "dropout",
        {"out_features": 33, "activation_function": nn.SiLU()},
        {"out_features": 12, "activation_function": nn.Mish()},
        {"out_features": 16, "activation_function": nn.Sigmoid()},
        "norm",
        "unit",
    ],
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_as_sentence_transformers(encoder: Path, tmp_path: Path, name: str) -> None:
    truth = save(encoder, tmp_path, *parts(*COMBINATIONS[name]))
    model = SentenceTransformer(tmp_path)
    assert model.get_embedding_dimension() == truth.get_embedding_dimension()
    assert model.max_seq_length == truth.max_seq_length
    found = model.encode(TEXTS)
    assert_same(found, truth.encode(TEXTS))
    for arguments in ({"normalize_embeddings": True}, {"truncate_dim": 5}):
        assert_same(model.encode(TEXTS, **arguments), truth.encode(TEXTS, **arguments))
    # the same bits alone, and in another order
    np.testing.assert_array_equal(np.stack([model.encode(text) for text in TEXTS]), found)
    np.testing.assert_array_equal(model.encode(TEXTS[::-1])[::-1], found)
    assert model.encode([]).shape == (0, found.shape[1])


SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 50}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": WIDTH, "n_layers": 2, "n_heads": 3, "hidden_dim": 50},
    "albert": {**SIZES, "embedding_size": 20},
    "electra": {**SIZES, "embedding_size": 20},
    "roberta": {**SIZES, "pad_token_id": 1},
}


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "bert"])
def test_every_family(
    family_folder: Callable[..., Path], tokenizer_folder: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder(kind))
    sizes = {"pad_token_id": tokenizer.pad_token_id, **OWN_SIZES.get(kind, SIZES)}
    source = family_folder(kind, vocab_size=len(tokenizer), max_position_embeddings=34, **sizes)
    shutil.copytree(tokenizer_folder(kind), tmp_path / "encoder")
    shutil.copytree(source, tmp_path / "encoder", dirs_exist_ok=True)
    truth = save(tmp_path / "encoder", tmp_path / "model", *parts(("cls", "mean"), {"out_features": 20}, "unit"))
    model = SentenceTransformer(tmp_path / "model")
    truth.max_seq_length = model.max_seq_length = 30
    assert_same(model.encode(TEXTS), truth.encode(TEXTS))
    with pytest.raises(ValueError, match="max_seq_length: wanted a whole number from 1 to"):
        model.max_seq_length = 35


OLD_TYPES = {
    "Transformer": "sentence_transformers.models.Transformer",
    "Normalize": "sentence_transformers.models.Normalize",
    "Pooling": "sentence_transformers.models.Pooling",
    "Dense": "sentence_transformers.models.Dense",
    "LayerNorm": "sentence_transformers.models.LayerNorm",
}


def make_old(folder: Path, inner: str) -> None:
    """What 6.2 saved, as versions before 5.4 did; with `inner`, as those before 1.0: the transformer in a folder."""
    entries = json.loads((folder / "modules.json").read_text())
    for entry in entries:
        kind = entry["type"].rsplit(".", 1)[1]
        entry["type"] = OLD_TYPES[kind]
        file = folder / entry["path"] / "config.json"
        if kind == "Pooling":
            new = json.loads(file.read_text())
            modes = new["pooling_mode"] if isinstance(new["pooling_mode"], list) else [new["pooling_mode"]]
            flags = {flag: mode in modes for flag, mode in POOLING_FLAGS.items()}
            file.write_text(json.dumps({"word_embedding_dimension": WIDTH, **flags}))
        if kind == "Normalize":
            file.unlink()
            file.parent.rmdir()
        if kind == "Dense":
            new = json.loads(file.read_text())
            keys = ("in_features", "out_features", "bias", "activation_function")
            file.write_text(json.dumps({key: new[key] for key in keys}))
    if inner:
        (folder / inner).mkdir()
        for path in list(folder.iterdir()):
            if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
                path.rename(folder / inner / path.name)
        entries[0]["path"] = inner
    (folder / inner / "sentence_bert_config.json").write_text('{"max_seq_length": 24, "do_lower_case": false}')
    (folder / "modules.json").write_text(json.dumps(entries))


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
@pytest.mark.parametrize("name", ["all modes", "dense", "all, several times"])
def test_older_schemas(encoder: Path, tmp_path: Path, name: str, inner: str) -> None:
    save(encoder, tmp_path, *parts(*(part for part in COMBINATIONS[name] if part != "dropout")))
    make_old(tmp_path, inner)
    model, truth = SentenceTransformer(tmp_path), oracle(tmp_path)
    assert model.max_seq_length == truth.max_seq_length == 24
    assert_same(model.encode(TEXTS), truth.encode(TEXTS))


@pytest.mark.parametrize("mode", [*MODES, MODES])
def test_pooling_without_the_prompt(encoder: Path, tmp_path: Path, mode: Any) -> None:
    truth = save(encoder, tmp_path, *parts(mode, "unit", include_prompt=False), prompts={"query": "query: the cat "})
    model = SentenceTransformer(tmp_path)
    for arguments in ({"prompt_name": "query"}, {"prompt": "fox "}, {"prompt": ""}, {}):
        assert_same(model.encode(TEXTS, **arguments), truth.encode(TEXTS, **arguments))
    found = model.encode_query(TEXTS)
    assert_same(found, truth.encode_query(TEXTS))
    np.testing.assert_array_equal(np.stack([model.encode_query(text) for text in TEXTS]), found)
    model.set_pooling_include_prompt(True)
    truth.set_pooling_include_prompt(True)
    assert np.abs(model.encode_query(TEXTS) - found).max() > 0.01 or mode == "lasttoken"
    assert_same(model.encode_query(TEXTS), truth.encode_query(TEXTS))
    model.set_pooling_include_prompt(False)
    truth = oracle(tmp_path)  # it remembers a prompt's length
    model.max_seq_length = truth.max_seq_length = 4  # the prompt is all that is read, but for [SEP]
    assert_same(model.encode_query(TEXTS), truth.encode_query(TEXTS))
    with pytest.raises(ValueError, match="include_prompt: wanted True or False, found None"):
        model.set_pooling_include_prompt(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("saved_by", ["5.1.2", None])
@pytest.mark.parametrize("modes", cases(), ids=" and ".join)
def test_without_the_prompt_as_sentence_transformers_5_1(
    minilm: Path, tmp_path: Path, backend: Backend, modes: list[str], saved_by: str | None
) -> None:
    """And in a folder that does not say what saved it: "cls" is the text's first token, the prompt's or not."""
    folder = make_sentences(tmp_path, minilm, modes, saved_by)
    model = SentenceTransformer(folder, backend=backend)
    recorded = [case for case in read_recorded(RECORDED) if case["modes"] == modes]
    assert [case["prompt"] for case in recorded] == PROMPTS
    for case in recorded:
        vectors = model.encode(RECORDED_TEXTS, prompt=case["prompt"])
        np.testing.assert_allclose(first_numbers(vectors, modes), case["vectors"], rtol=0, atol=1e-5)
    if "cls" in modes:
        # The same folder, were it saved by a version that takes the first token behind the prompt: asked of it live.
        (folder / "config_sentence_transformers.json").write_text('{"__version__": {"sentence_transformers": "6.2.0"}}')
        newer, truth = SentenceTransformer(folder, backend=backend), oracle(folder)
        found, right = (each.encode(RECORDED_TEXTS, prompt=PROMPTS[0]) for each in (newer, truth))
        np.testing.assert_allclose(found, right, rtol=0, atol=1e-5)
        assert np.abs(found - model.encode(RECORDED_TEXTS, prompt=PROMPTS[0])).max() > 0.01
        (again := tmp_path / "again").mkdir()
        newer.save_pretrained(again)
        loaded = SentenceTransformer(again, backend=backend)
        np.testing.assert_array_equal(loaded.encode("a", prompt="b c "), newer.encode("a", prompt="b c "))


def test_a_prompt_that_leaves_nothing(encoder: Path, tmp_path: Path) -> None:
    """Where a text's first word completes the prompt's last, there are fewer tokens: the last one is pooled."""
    save(encoder, tmp_path, *parts("mean", include_prompt=False))
    model = SentenceTransformer(tmp_path)
    assert len(model.tokenizer("qu")["input_ids"]) > len(model.tokenizer("quick")["input_ids"])
    found = model.encode("ick", prompt="qu")
    np.testing.assert_array_equal(found, model.encode("quick", output_value="token_embeddings")[-1])


@pytest.mark.parametrize("name", ["in another order", "residual of another width", "all, several times"])
def test_saved(encoder: Path, tmp_path: Path, name: str) -> None:
    """Both libraries read back what was saved, settings included."""
    save(encoder, tmp_path / "a", *parts(*COMBINATIONS[name]), prompts={"query": "fox "}, truncate_dim=8)
    model = SentenceTransformer(tmp_path / "a", similarity_fn_name="dot", default_prompt_name="query")
    model.max_seq_length = 20
    model.save_pretrained(tmp_path / "b")
    found = model.encode(TEXTS)
    again = SentenceTransformer(tmp_path / "b")
    np.testing.assert_array_equal(again.encode(TEXTS), found)
    truth = oracle(tmp_path / "b")
    assert_same(found, truth.encode(TEXTS))
    for other in (again, truth):
        assert other.prompts == {"query": "fox ", "document": ""}
        assert other.default_prompt_name == "query"
        assert other.similarity_fn_name == "dot"
        assert other.truncate_dim == 8
        assert other.max_seq_length == 20


# --- what is refused


def dense_folder(encoder: Path, folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray] | None) -> Path:
    """A Dense module with these keys changed (left out where None), and with these weights or none."""
    from safetensors.numpy import save_file

    save(encoder, folder, *parts("mean", {"out_features": 20}))
    file = folder / "2_Dense" / "config.json"
    values = {**json.loads(file.read_text()), **config}
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    target = folder / "2_Dense" / "model.safetensors"
    target.unlink()
    if weights is not None:
        save_file(weights, target)
    return folder


WEIGHT, BIAS = np.ones((20, WIDTH), np.float32), np.ones(20, np.float32)
GOOD = {"linear.weight": WEIGHT, "linear.bias": BIAS}


def test_tanh_where_no_activation_is_named(encoder: Path, tmp_path: Path) -> None:
    folder = dense_folder(encoder, tmp_path, {"activation_function": None}, GOOD)
    assert_same(SentenceTransformer(folder).encode(TEXTS), oracle(folder).encode(TEXTS))


@pytest.mark.parametrize(
    ("config", "weights", "message"),
    [
        (
            {"in_features": 37},
            GOOD,
            f"in_features: wanted {WIDTH}, the numbers that .* give, found 37",
        ),
        ({"in_features": None}, GOOD, "in_features: wanted a positive whole number, found None"),
        ({"out_features": 0}, GOOD, "out_features: wanted a positive whole number, found 0"),
        ({"out_features": True}, GOOD, "out_features: wanted a positive whole number, found True"),
        ({"bias": "yes"}, GOOD, "bias: wanted true or false, found 'yes'"),
        ({"use_residual": 1}, GOOD, "use_residual: wanted true or false, found 1"),
        (
            {"activation_function": "torch.nn.modules.activation.Softplus"},
            GOOD,
            "activation_function: supported are torch.nn.Identity, .*torch.nn.Sigmoid, found 'torch.nn.modules.activ",
        ),
        *(
            ({"activation_function": name}, GOOD, f"activation_function: .* found '{name}'")
            for name in ("custom.Tanh", "torch.nn.custom.Tanh", "torch.nn.modules.linear.Tanh", "Tanh")
        ),
        ({"activation_function": 3}, GOOD, "activation_function: .* found 3"),
        (
            {"module_input_name": "token_embeddings"},
            GOOD,
            "module_input_name: wanted 'sentence_embedding', found 'token_embeddings'; not supported",
        ),
        ({"module_output_name": "scores"}, GOOD, "module_output_name: wanted 'sentence_embedding', found 'scores'"),
        ({}, {"linear.weight": WEIGHT}, r"2_Dense: missing weights \(1\): linear.bias"),
        ({"bias": False}, GOOD, "2_Dense: tensors that config.json does not speak of: linear.bias"),
        (
            {},
            {"linear.weight": WEIGHT.T.copy(), "linear.bias": BIAS},
            rf"linear.weight: wanted the shape \[20, {WIDTH}\] that config.json gives, found \[{WIDTH}, 20\]",
        ),
        ({}, {"linear.weight": WEIGHT * np.nan, "linear.bias": BIAS}, "linear.weight: wanted finite"),
        ({}, None, "2_Dense: wanted model.safetensors"),
    ],
)
def test_dense_refused(encoder: Path, tmp_path: Path, config: dict[str, Any], weights: Any, message: str) -> None:
    folder = dense_folder(encoder, tmp_path, config, weights)
    with pytest.raises((ValueError, OSError), match=message) as caught:
        SentenceTransformer(folder)
    assert str(folder / "2_Dense") in str(caught.value)
    assert isinstance(caught.value, OSError) == (weights is None)


def test_pickled_weights_are_not_loaded(encoder: Path, tmp_path: Path) -> None:
    folder = dense_folder(encoder, tmp_path, {}, None)
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(OSError, match=r"2_Dense: wanted .*pytorch_model\.bin is pickled, which npbert does not load"):
        SentenceTransformer(folder)


def test_layer_norm_refused(encoder: Path, tmp_path: Path) -> None:
    save(encoder, tmp_path, *parts("mean", "norm"))
    file = tmp_path / "2_LayerNorm" / "config.json"
    file.write_text('{"dimension": 35}')
    with pytest.raises(ValueError, match=f"dimension: wanted {WIDTH}, the numbers that the modules before"):
        SentenceTransformer(tmp_path)
