"""What ModernBERT alone has: older and newer keys of a config, biases that may be there, its head, its tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import FAMILIES
from npbert_kernels.ops import Backend
from npbert_kernels.reference import Reference
from parity import Folders, assert_parity, draw_arguments, torch_outputs
from record_modernbert import IDS, RECORDED, weights
from recording import read_recorded
from safetensors.numpy import save_file
from sentence_folders import LETTERS, SAME, letters_folder, oracle

import npbert
from npbert import ModernBertConfig

MODEL_TYPE, CONFIG = FAMILIES["modernbert"]
BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
RECORD = read_recorded(RECORDED)
# Of four layers of width 8, whose rows' norms divide by a third at the least: some hundreds of roundings.
CLOSE = 2e-5


@pytest.fixture(params=range(len(RECORD)))
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A folder as transformers 4.57 saves it, and its answer."""
    case = RECORD[request.param]
    (tmp_path / "config.json").write_text(json.dumps(case["given"]))
    config = ModernBertConfig.from_dict(case["given"])
    save_file(weights(config.architecture.shapes(config, pooler=False)), tmp_path / "model.safetensors")
    return tmp_path, np.array(case["answer"])


def test_a_folder_that_4_57_saved(saved: tuple[Path, np.ndarray], backend: Backend, tmp_path: Path) -> None:
    """And as npbert saves it again, with both kinds of keys; where 5.24 reads the older keys, it gives the same."""
    folder, answer = saved
    model = npbert.AutoModel.from_pretrained(folder, backend=backend)
    np.testing.assert_allclose(model(IDS).last_hidden_state, answer, rtol=0, atol=CLOSE)
    again = tmp_path / "again"
    model.save_pretrained(again)
    np.testing.assert_array_equal(npbert.AutoModel.from_pretrained(again, backend=backend)(IDS)[0], model(IDS)[0])
    assert json.loads((again / "config.json").read_text())["rope_parameters"] == model.config.rope_parameters
    theirs = (
        [again] if json.loads((folder / "config.json").read_text())["local_rope_theta"] is None else [folder, again]
    )
    for path in theirs:  # 5.24 takes null for no number at all
        newer = torch_outputs(path, torch.float64, {"input_ids": np.array(IDS)})["last_hidden_state"]
        np.testing.assert_allclose(newer, answer, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("given", [{"mask": "right"}, {"mask": "holes", "head_mask": True}], ids=str)
def test_biases(family_folder: Folders, backend: Backend, given: dict[str, Any]) -> None:
    folder = family_folder(MODEL_TYPE, **CONFIG, **BIASES)
    assert_parity(folder, backend, **draw_arguments(CONFIG, 4, 23, 0, **given))


@pytest.mark.parametrize("config", [{}, {**BIASES, "tie_word_embeddings": False, "decoder_bias": False}], ids=str)
def test_the_head(head_folder: Folders, config: dict[str, Any]) -> None:
    """With a bias or without, tied or not, in float64."""
    folder = head_folder("modernbert", "ForMaskedLM", classifier_activation="silu", **config)
    ids = np.random.default_rng(0).integers(0, 61, (2, 17))
    model = transformers.ModernBertForMaskedLM.from_pretrained(folder, attn_implementation="plain").double()
    with torch.no_grad():
        truth = model(torch.tensor(ids)).logits.numpy()
    found = npbert.AutoModelForMaskedLM.from_pretrained(folder, backend=Reference(np.float64))(ids)
    np.testing.assert_allclose(found.logits, truth, rtol=0, atol=1e-5)  # float32's angles; logits are some tens


def test_keys_old_and_new_say_the_same() -> None:
    older = {
        "global_attn_every_n_layers": 2,
        "global_rope_theta": 7.0,
        "local_rope_theta": None,
        "num_hidden_layers": 3,
    }
    newer = {
        "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        "rope_parameters": {"full_attention": {"rope_theta": 7.0}, "sliding_attention": {"rope_theta": 7.0}},
        "num_hidden_layers": 3,
        "sliding_window": 64,
    }
    old, new = (ModernBertConfig.from_dict(given) for given in (older, newer))
    for key in ("layer_types", "rope_parameters", "local_attention"):
        assert getattr(old, key) == getattr(new, key), key
    both = ModernBertConfig.from_dict({**older, "rope_parameters": {"full_attention": {"rope_theta": 9}}})
    assert [one["rope_theta"] for one in both.rope_parameters.values()] == [9, 7.0]  # the newer key goes first


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"local_attention": 0}, "local_attention: wanted an integer from 1 to 2147483647, found 0"),
        ({"sliding_window": "64"}, "sliding_window: wanted an integer from 1 to 1073741823, found '64'"),
        (
            {"global_attn_every_n_layers": 0},
            "global_attn_every_n_layers: wanted an integer from 1 to 2147483647, found 0",
        ),
        (
            {"layer_types": ["full_attention"]},
            "layer_types: wanted full_attention or sliding_attention for each of 3 layers, found ['full_attention']",
        ),
        (
            {"layer_types": ["chunked_attention"] * 3},
            "layer_types: wanted full_attention or sliding_attention for each of 3 layers, found ['chunked_",
        ),
        (
            {"rope_parameters": {"rope_theta": 5.0}},
            "rope_parameters: wanted an object of full_attention and sliding_attention, found {'rope_theta': 5.0}",
        ),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 4.0}}},
            "rope_parameters: full_attention: rope_type: wanted 'default', found 'yarn'",
        ),
        (
            {"rope_parameters": {"full_attention": {"factor": 4.0}}},
            "rope_parameters: full_attention: wanted rope_type and rope_theta alone, found ['factor']",
        ),
        (
            {"local_rope_theta": "high"},
            "rope_parameters: sliding_attention: rope_theta: wanted a number at least 1, at most 1e+12, found 'high'",
        ),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling: wanted none: angles are not scaled, found {"),
        ({"num_attention_heads": 14}, "hidden_size: wanted an even width of a head, for rotary positions, found 3"),
        (
            {"max_position_embeddings": 2**31 - 1},  # a table of which would end in memory
            "max_position_embeddings: wanted an integer from 1 to 1048576, found 2147483647",
        ),
        ({"norm_eps": 0}, "norm_eps: wanted a number at least 1.17549e-38, at most 1, found 0"),
        ({"hidden_activation": "erf"}, "hidden_activation: wanted one of gelu, "),
    ],
    ids=str,
)
def test_bad_configs(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A line that names the file and the key."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "modernbert", **CONFIG, **given}))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))}/config\.json: {re.escape(message)}") as error:
        npbert.AutoConfig.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_an_activation_of_the_head_alone(head_folder: Folders, tmp_path: Path) -> None:
    """Nobody's concern but the head's."""
    source = head_folder("modernbert", "ForMaskedLM")
    values = json.loads((source / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "classifier_activation": "erf"}))
    (tmp_path / "model.safetensors").symlink_to(source / "model.safetensors")
    npbert.AutoModel.from_pretrained(tmp_path, backend="reference")
    message = r"config\.json: classifier_activation: wanted null or one of gelu, .* found 'erf'$"
    with pytest.raises(ValueError, match=message):
        npbert.AutoModelForMaskedLM.from_pretrained(tmp_path, backend="reference")


def test_sentences(family_folder: Folders, tmp_path: Path) -> None:
    """A folder of the encoder and a tokenizer alone, as sentence-transformers reads it: mean, no token types."""
    source = family_folder(MODEL_TYPE, **{**CONFIG, "vocab_size": 65})
    folder = letters_folder(source, tmp_path / "model")
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    (folder / "vocab.txt").unlink()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]", model_max_length=32
    )
    fast.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_input_names", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert sorted(npbert.AutoTokenizer.from_pretrained(folder)("a", "b")) == ["attention_mask", "input_ids"]
    model = npbert.SentenceTransformer(folder)
    vectors = model.encode(LETTERS, normalize_embeddings=True)
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    theirs = oracle(folder).encode(LETTERS, normalize_embeddings=True)
    np.testing.assert_allclose(vectors, theirs, rtol=0, atol=SAME)
