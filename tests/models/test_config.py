"""config.json: HF's keys and defaults, every value checked, everything else kept."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from npbert_kernels import ops
from transformers.activations import ACT2FN

import npbert
from npbert import AlbertConfig, AutoConfig, BertConfig, DistilBertConfig
from npbert.checks import brief, listed, show
from npbert.models.config import ACTIVATIONS
from npbert.models.registry import MODEL_TYPES

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
FLAGS = ("use_cache", "tie_word_embeddings", "output_attentions", "output_hidden_states", "return_dict")


def write(folder: Path, values: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(values))
    return folder


FAMILY_CONFIGS = {
    model_type: (getattr(npbert, f"{stem}Config"), getattr(transformers, f"{stem}Config"))
    for model_type, (_, stem) in MODEL_TYPES.items()
}
NOT_IN_5 = {"position_embedding_type", "pruned_heads"}  # keys of transformers 4


@pytest.mark.parametrize("model_type", FAMILY_CONFIGS)
def test_each_family_s_keys_and_defaults_are_those_of_transformers(model_type: str) -> None:
    ours, theirs = (config().to_dict() for config in FAMILY_CONFIGS[model_type])
    meta = {"transformers_version", "_name_or_path", "chunk_size_feed_forward", "is_encoder_decoder"}
    assert theirs.keys() - ours.keys() <= meta
    assert ours.keys() - theirs.keys() <= NOT_IN_5
    shared = ours.keys() & theirs.keys()
    assert {key: ours[key] for key in shared} == {key: theirs[key] for key in shared}


OTHERS = {
    "hidden_act": "relu",
    "hidden_activation": "relu",
    "activation_function": "relu",
    "n_inner": 7,
    "classifier_activation": "relu",
    "classifier_pooling": "mean",
    "rope_parameters": {
        kind: {"rope_type": "default", "rope_theta": 77.0} for kind in ("full_attention", "sliding_attention")
    },
    "activation": "relu",
    "summary_activation": "tanh",
    "summary_type": "mean",
    "position_embedding_type": "relative_key",
    "problem_type": "regression",
    "architectures": ["Some"],
    "dtype": "float16",
    "pruned_heads": {0: [1, 2]},
    "id2label": {0: "a", 1: "b", 2: "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
}
ONLY_ONE = {"model_type", "is_decoder", "add_cross_attention"}  # keys with one value that is not refused


def another(key: str, value: Any) -> Any:
    """A value that is not the default."""
    if key in OTHERS:
        return OTHERS[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value / 2 + 1e-3
    if value is None or value == 0 or key.endswith("_token_id"):
        return 7 if key.endswith("_token_id") else 0.25
    return 2 * value


@pytest.mark.parametrize("model_type", FAMILY_CONFIGS)
def test_each_family_is_written_and_read_back(model_type: str, tmp_path: Path) -> None:
    """Every key, with a value that is not its default, by npbert and by transformers."""
    ours, theirs = FAMILY_CONFIGS[model_type]
    defaults = ours().to_dict()
    given = {key: another(key, value) for key, value in defaults.items() if key not in ONLY_ONE}
    config = ours.from_dict(given)
    values = config.to_dict()
    assert {key for key, value in values.items() if value == defaults[key]} == ONLY_ONE & values.keys()
    config.save_pretrained(tmp_path)
    back = AutoConfig.from_pretrained(tmp_path)
    assert back == config
    assert type(back) is ours
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(read) is theirs
    assert read.num_labels == config.num_labels == 3
    found = read.to_dict()
    found["pruned_heads"] = {int(layer): heads for layer, heads in found["pruned_heads"].items()}
    assert {key: found[key] for key in values} == values


def test_distilbert_s_own_keys_and_the_shared_names() -> None:
    config = DistilBertConfig(dim=24, n_layers=2, n_heads=3, hidden_dim=17, activation="relu")
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (24, 2, 3)
    assert (config.intermediate_size, config.hidden_act, config.activation_op, config.head_size) == (
        17,
        "relu",
        "relu",
        8,
    )
    by_names = DistilBertConfig.from_dict({"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3})
    assert (by_names.dim, by_names.n_layers, by_names.n_heads, by_names.extra) == (24, 2, 3, {})
    for key, value, message in (
        ("dim", 23, r"dim: wanted a multiple of n_heads \(12\), found 23"),
        ("n_layers", 0, "n_layers: wanted an integer from 1 to 1024, found 0"),
        ("hidden_dim", 1.5, "hidden_dim: wanted an integer from 1 to 2147483647, found 1.5"),
        ("activation", "swoosh", "activation: wanted one of gelu, .*, found 'swoosh'"),
        ("seq_classif_dropout", 2, "seq_classif_dropout: wanted a number at least 0, at most 1, found 2"),
        ("sinusoidal_pos_embds", 1, "sinusoidal_pos_embds: wanted true or false, found 1"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            DistilBertConfig(**{key: value})


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_that_begin_behind_the_padding_s(model_type: str) -> None:
    config, _ = FAMILY_CONFIGS[model_type]
    assert config(max_position_embeddings=514).max_tokens == 512
    with pytest.raises(ValueError, match=r"^max_position_embeddings: wanted at least 3: position 0 .*, found 2$"):
        config(max_position_embeddings=2)
    if model_type == "mpnet":
        assert config(max_position_embeddings=514, pad_token_id=7).max_tokens == 512  # as transformers has it
    else:
        assert config(max_position_embeddings=514, pad_token_id=7).max_tokens == 506
        assert config(max_position_embeddings=514, pad_token_id=-1).max_tokens == 514
        for value in (None, -2):
            with pytest.raises(ValueError, match=r"^pad_token_id: wanted an integer from -1 to .*, found"):
                config(pad_token_id=value)


@pytest.mark.parametrize(
    ("model_type", "values", "message"),
    [
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups: wanted an integer from 1 to 1024, found 0"),
        ("albert", {"inner_group_num": "1"}, "inner_group_num: wanted an integer from 1 to 1024, found '1'"),
        ("albert", {"inner_group_num": 500}, "inner_group_num: wanted at most 1024 layers in all, found 500"),
        ("albert", {"num_hidden_groups": 9, "inner_group_num": 300}, "inner_group_num: wanted at most 1024 layers"),
        ("albert", {"embedding_size": 0}, "embedding_size: wanted an integer from 1 to 2147483647, found 0"),
        ("albert", {"classifier_dropout_prob": -1}, "classifier_dropout_prob: wanted a number at least 0"),
        ("albert", {"pruned_heads": {1: [0]}}, "pruned_heads: wanted for layers of 0 to 0, lists of heads of 0 to 63"),
        ("electra", {"embedding_size": None}, "embedding_size: wanted an integer from 1 to 2147483647, found None"),
        ("electra", {"summary_use_proj": 1}, "summary_use_proj: wanted true or false, found 1"),
        ("mpnet", {"relative_attention_num_buckets": 31}, "relative_attention_num_buckets: wanted an integer from 32"),
        ("mpnet", {"relative_attention_num_buckets": 1e9}, "relative_attention_num_buckets: wanted an integer from 32"),
        (
            "roberta",
            {"is_decoder": True},
            "is_decoder: wanted none: npbert runs roberta as an encoder only, found True",
        ),
        ("roberta", {"model_type": "bert"}, "model_type: wanted 'roberta', found 'bert'"),
    ],
)
def test_what_families_refuse(model_type: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        FAMILY_CONFIGS[model_type][0].from_dict(values)


def test_layers_that_share_weights() -> None:
    """HF's rule: group = int(layer / (layers / groups)), also where that is no whole number."""
    assert AlbertConfig().layer_weights == (0,) * 12
    assert AlbertConfig(num_hidden_layers=3, num_hidden_groups=2).layer_weights == (0, 0, 1)
    grouped = AlbertConfig(num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    assert grouped.layer_weights == (0, 1, 0, 1, 2, 3, 2, 3)
    assert grouped.weight_sets == 4
    assert BertConfig(num_hidden_layers=3).layer_weights == (0, 1, 2)


def test_pruned_heads_from_a_file() -> None:
    config = BertConfig.from_dict({"pruned_heads": {"3": [1, 0, 1], "1": [], "0": [11]}})
    assert config.pruned_heads == {0: [11], 3: [0, 1]}
    assert config.kept_heads(3) == list(range(2, 12))
    assert config.kept_heads(1) == list(range(12))


def test_transformers_reads_what_is_saved_and_the_other_way_round(tmp_path: Path) -> None:
    ours = BertConfig(hidden_size=24, num_attention_heads=3, num_labels=3, hidden_act="silu", dtype="float16")
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert (theirs.hidden_size, theirs.num_attention_heads, theirs.hidden_act) == (24, 3, "silu")
    assert theirs.id2label == ours.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    theirs.save_pretrained(tmp_path / "theirs")
    back = AutoConfig.from_pretrained(tmp_path / "theirs")
    known = {entry.name for entry in fields(BertConfig)} - {"extra"}
    assert {key: getattr(back, key) for key in known} == {key: getattr(ours, key) for key in known}


def test_unknown_keys_are_kept_readable_and_written_back(tmp_path: Path) -> None:
    values = {"model_type": "bert", "_name_or_path": "x", "nested": {"a": [1, None]}, "head_size": "theirs"}
    config = BertConfig.from_pretrained(write(tmp_path, values))
    assert config.nested == {"a": [1, None]}
    assert config.head_size == 64
    config.save_pretrained(tmp_path / "saved" / "deeper")
    assert AutoConfig.from_pretrained(tmp_path / "saved" / "deeper") == config
    assert json.loads((tmp_path / "saved" / "deeper" / "config.json").read_text()).items() >= values.items()
    with pytest.raises(AttributeError, match="BertConfig has no attribute 'unheard_of'"):
        _ = config.unheard_of


def test_a_config_stays_as_it_is() -> None:
    config = BertConfig.from_dict({"nested": {"a": 1}})
    with pytest.raises(FrozenInstanceError):
        config.hidden_size = 3  # type: ignore[misc]
    given_out = config.to_dict()
    given_out["nested"]["a"] = 2
    given_out["id2label"][0] = "changed"
    assert config.nested == {"a": 1}
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_copies_are_equal() -> None:
    config = BertConfig(extra={"key": [1]})
    assert config == copy.deepcopy(config) == copy.copy(config) == pickle.loads(pickle.dumps(config))
    assert config == BertConfig.from_dict(config.to_dict())
    assert config != BertConfig()


def test_derived_values() -> None:
    config = BertConfig(hidden_size=60, num_attention_heads=4, hidden_act="gelu_new")
    assert config.head_size == 15
    assert config.activation_op == "gelu_tanh"


@pytest.mark.parametrize(("key", "value"), [("dtype", "bfloat16"), ("torch_dtype", "bfloat16")])
def test_dtype_by_either_name(key: str, value: str) -> None:
    config = BertConfig.from_dict({key: value})
    assert config.dtype == config.torch_dtype == value
    assert config.extra == {}


def test_labels_from_a_file() -> None:
    config = BertConfig.from_dict({"id2label": {"1": "no", "0": "yes"}, "label2id": {"yes": 0, "no": "1"}})
    assert config.id2label == {0: "yes", 1: "no"}
    assert config.label2id == {"yes": 0, "no": 1}
    assert config.num_labels == 2
    assert BertConfig(num_labels=1).label2id == {"LABEL_0": 0}


# The activations


FORMULAS = {
    "gelu_erf": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "gelu_10": lambda x: np.clip(0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))), -10, 10),
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    None: lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_name_means_what_it_means_in_transformers(name: str) -> None:
    assert ACTIVATIONS[name] in (None, *ops.ACTIVATIONS)
    x = np.linspace(-12, 12, 1001)
    theirs = ACT2FN[name](torch.from_numpy(x)).numpy()
    # gelu_fast writes sqrt(2 / pi) with ten digits: 1.3e-11 off, times a slope below 12 * 12.
    np.testing.assert_allclose(FORMULAS[ACTIVATIONS[name]](x), theirs, rtol=0, atol=1e-9)


# What is refused


def wrong_sizes() -> list[tuple[str, Any, str]]:
    top = {"num_hidden_layers": 1024}
    return [
        (key, value, rf"{key}: wanted an integer from 1 to {top.get(key, 2**31 - 1)}, found ")
        for key in SIZES
        for value in (0, -1, 2**31, 10**30, 12.0, "12", True, None, math.nan, [12])
    ]


def wrong_numbers() -> list[tuple[str, Any, str]]:
    wrong = (math.nan, math.inf, -math.inf, -1, "0.1", True, [0.1])
    probability = [
        (key, value, rf"{key}: wanted a number at least 0, at most 1, found ")
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        for value in (*wrong, 1.5)
    ]
    eps = "layer_norm_eps: wanted a number at least 1.17549e-38, at most 1, found "  # float32's least
    return [
        *probability,
        *(("layer_norm_eps", value, eps) for value in (*wrong, None, 0, 0.0, 1e-60, 2, 10**400)),
    ]


OTHER_WRONGS: list[tuple[str, Any, str]] = [
    ("num_attention_heads", 7, r"hidden_size: wanted a multiple of num_attention_heads \(7\), found 768"),
    *(
        ("hidden_act", value, "hidden_act: wanted one of gelu, gelu_python, .*, linear, found ")
        for value in ("relu6", "GELU", "", None, 3, ["gelu"], {"name": "gelu"})
    ),
    *(
        ("pad_token_id", value, "pad_token_id: wanted an integer from -30522 to 30521, found ")
        for value in (-30523, 30522, 0.0, "0", False)
    ),
    *((key, value, f"{key}: wanted true or false, found ") for key in FLAGS for value in (0, "false")),
    ("architectures", [1], r"architectures: wanted a list of strings or null, found \[1\]"),
    ("num_labels", -1, "num_labels: wanted an integer from 0 to 1048576, found -1"),
    ("num_labels", 2**31, "num_labels: wanted an integer from 0 to 1048576, found 2147483648"),
    *(
        ("id2label", value, "id2label: wanted (a label, a string, for whole numbers|each label once), found ")
        for value in (
            ["a"],
            {"0": 1},
            {"a": "b"},
            {"0": "a", "00": "b"},
            {"-1": "a"},
            {"9" * 5000: "a"},
        )
    ),
    *(
        ("label2id", value, "label2id: wanted an integer for each label, found ")
        for value in ([0], {"a": "b"}, {"a": 0.5}, {"a": None}, {"a": -0.0})
    ),
    # What would change the outputs, and is not computed here.
    ("model_type", "roberta", "model_type: wanted 'bert', found 'roberta'"),
    ("model_type", None, "model_type: wanted 'bert', found None"),
    *(
        (
            "position_embedding_type",
            value,
            "position_embedding_type: wanted one of absolute, relative_key, relative_key_query, found ",
        )
        for value in ("relative", None, 1, ["absolute"])
    ),
    ("is_decoder", True, "is_decoder: wanted none: npbert runs bert as an encoder only, found True"),
    ("is_decoder", 1, "is_decoder: wanted true or false, found 1"),
    ("add_cross_attention", True, "add_cross_attention: wanted none: npbert computes no cross attention, found True"),
    ("is_encoder_decoder", True, "is_encoder_decoder: wanted none: npbert computes no cross attention, found True"),
    *(
        ("pruned_heads", value, "pruned_heads: wanted for layers of 0 to 11, lists of heads of 0 to 11, found ")
        for value in ([1], "0", {"12": [0]}, {-1: [0]}, {"a": [0]}, {0: [12]}, {0: [-1]}, {0: 1}, {0: ["1"]})
    ),
    ("pruned_heads", {0: [True]}, "pruned_heads: wanted for layers of 0 to 11, lists of .*, found "),
    ("pruned_heads", {1: range(12)}, "pruned_heads: wanted .*, found "),
    (
        "pruned_heads",
        {"3": list(range(12))},
        "pruned_heads: wanted at least one of the 12 heads of layer 3 to be left, found ",
    ),
    (
        "quantization_config",
        {"bits": 4},
        "quantization_config: wanted none: quantized weights .*, found {'bits': 4}",
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), [*wrong_sizes(), *wrong_numbers(), *OTHER_WRONGS])
def test_a_wrong_value_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message) as caught:
        BertConfig.from_dict({key: value})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pad_token_id", -1),
        ("bos_token_id", "1"),
        ("eos_token_id", [1, "2"]),
        ("initializer_range", None),
        ("torch_dtype", 32),
        ("problem_type", "guess"),
        ("id2label", {"1": "a"}),
        ("pruned_heads", []),
        ("architectures", "BertModel"),
        *((key, None) for key in FLAGS),
    ],
)
def test_what_an_encoder_makes_no_use_of_is_not_refused(key: str, value: Any) -> None:
    """As transformers 4.57 takes it, or 5.24. Whoever reads it checks it."""
    config = BertConfig.from_dict({key: value})
    assert json.loads(json.dumps(config.to_dict()))[{"torch_dtype": "dtype"}.get(key, key)] == {
        "id2label": {"1": "a"},
        "pruned_heads": {},
        "architectures": ["BertModel"],
        **dict.fromkeys(FLAGS, False),
    }.get(key, value)


def test_labels_that_disagree() -> None:
    with pytest.raises(ValueError, match="num_labels: wanted 1, the length of id2label, found 2"):
        BertConfig(num_labels=2, id2label={0: "only"})


def test_the_file_is_named_with_the_key(tmp_path: Path) -> None:
    folder = write(tmp_path, {"model_type": "bert", "num_attention_heads": 0})
    for kind in (AutoConfig, BertConfig):
        with pytest.raises(ValueError, match=r"config\.json: num_attention_heads: wanted an integer .*, found 0$"):
            kind.from_pretrained(folder)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, "none"),
        ({"model_type": "t5"}, "'t5'"),
        ({"model_type": None}, "None"),
        ({"model_type": ["bert"]}, ".*"),
    ],
)
def test_a_family_that_is_not_supported(tmp_path: Path, values: dict[str, Any], found: str) -> None:
    families = ", ".join(sorted(MODEL_TYPES))
    message = rf"config\.json: model_type: wanted one of the supported families, {families}, found {found}$"
    with pytest.raises(ValueError, match=message):
        AutoConfig.from_pretrained(write(tmp_path, values))


def test_a_bert_of_the_time_before_model_type(tmp_path: Path) -> None:
    assert BertConfig.from_pretrained(write(tmp_path, {"hidden_size": 24})).hidden_size == 24


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"config\.json: an empty file, as a download that was cut short leaves it: get it again$"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            r"config\.json: a pointer of Git LFS in the place",
        ),
        (b'{"hidden_size": 3', r"config\.json: not a valid JSON file: "),
        (b'{"hidden_size": 3}}', r"config\.json: not a valid JSON file: "),
        (b'{"a": "\xff"}', r"config\.json: not a valid JSON file: .*utf-8"),
        (b"\xff\xfe{\x00}\x00", r"config\.json: not a valid JSON file: .*utf-8"),
        (b"[" * 200_000, r"config\.json: (the JSON is nested too deeply|not a valid JSON file)"),
        (rb'{"a": ["\ud800"]}', r"config\.json: not a valid JSON file: .* surrogates not allowed"),
        (b'{"a": 1, "a": 1}', r"config\.json: not a valid JSON file: the key 'a' is given twice"),
        (b'{"x": {"b": 1, "b": 2}}', r"config\.json: not a valid JSON file: the key 'b' is given twice"),
        (b"[]", r"config\.json: wanted a JSON object, found list"),
        (b"null", r"config\.json: wanted a JSON object, found NoneType"),
        (
            b'{"model_type": "bert", "layer_norm_eps": NaN}',
            r"config\.json: layer_norm_eps: wanted .*, found nan",
        ),
        (
            b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}",
            r"config\.json: not a valid JSON file: the JSON is nested too deeply$",
        ),
        (b'{"a": ' + b"9" * 5000 + b"}", r"config\.json: .*: a whole number of 5000 digits, wanted at most 100$"),
        (b'{"a": -' + b"9" * 101 + b"}", r"config\.json: .*: a whole number of 101 digits, wanted at most 100$"),
        (b'{"model_type": "bert", "vocab_size": ' + b"9" * 100 + b"}", r"config\.json: vocab_size: wanted .{,150}$"),
        (b'{"model_type": "' + b"x" * 10**6 + b'"}', r"config\.json: model_type: wanted one .*, found 'x+\.\.\.$"),
    ],
)
def test_a_damaged_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        AutoConfig.from_pretrained(tmp_path)


def test_what_a_message_shows_is_bounded() -> None:
    nested: list[Any] = []
    for _ in range(10**5):
        nested = [nested]
    for value in (10**5000, "x" * 10**6, b"x" * 10**6, [1] * 10**5, {"a": "x" * 10**5}, nested):
        assert 3 <= len(show(value)) <= 100
    while nested:  # else its end would recurse
        nested = nested.pop()
    assert show({"a": 1}) == "{'a': 1}"
    assert brief("a.b") == "a.b"
    assert brief("a\nb" + "x" * 10**6) == "a\\nb" + "x" * 93 + "..."
    assert listed([str(number) for number in range(11)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    assert listed([str(number) for number in range(12)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


def test_a_folder_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-500").mkdir()
    write(tmp_path / "checkpoint-500", {"model_type": "bert"})
    with pytest.raises(FileNotFoundError, match=r"wanted config\.json, found none; there is one in checkpoint-500$"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json.incomplete").touch()
    with pytest.raises(
        FileNotFoundError, match=r"found none; config\.json\.incomplete is of a download that was not fini"
    ):
        AutoConfig.from_pretrained(tmp_path)


def test_a_file_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("npbert.files.json_file.MAX_BYTES", 100)
    write(tmp_path, {"model_type": "bert", "padding": "x" * 100})
    with pytest.raises(ValueError, match=r"config\.json: wanted at most 100 bytes, found 137"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").mkdir()
    with pytest.raises(OSError, match=r"config\.json: wanted a regular file"):
        AutoConfig.from_pretrained(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_file_that_would_never_answer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(OSError, match=r"config\.json: wanted a regular file"):
        AutoConfig.from_pretrained(tmp_path)


TEXTS = st.text("01aé\0\ud800", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DRAWN = st.sampled_from([ours for ours, _ in FAMILY_CONFIGS.values()]).flatmap(
    lambda ours: st.tuples(
        st.just(ours),
        st.dictionaries(
            st.sampled_from([entry.name for entry in fields(ours)] + ["torch_dtype", "hidden_size", "other"]),
            JSON | st.integers(0, 64),
            max_size=4,
        ),
    )
)


@settings(deadline=None, max_examples=300)
@given(DRAWN)
def test_any_json_makes_a_config_or_a_value_error(drawn: tuple[Any, dict[str, Any]]) -> None:
    ours, values = drawn
    try:
        config = ours.from_dict(values)
    except ValueError as error:
        assert ": wanted " in str(error)  # noqa: PT017 (most draws are refused, and each must say why)
    else:
        assert config.hidden_size == config.num_attention_heads * config.head_size > 0
        written = json.dumps(config.to_dict())
        assert json.dumps(ours.from_dict(json.loads(written)).to_dict()) == written
