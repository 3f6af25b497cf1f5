"""A LoRA beside a model's weights, or in a folder of its own: merged as peft merges it, or refused by name.

The files are laid out as peft 0.18 and 0.21 write them; the truth is torch's answer with W + scale B A in W's place,
which is what their merge_and_unload makes of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from sentence_folders import letters_folder, modules

import npbert

IDS = np.array([[2, 5, 6, 9], [7, 8, 3, 4]])
Tensors = dict[str, np.ndarray]
LINEARS = ("attention.self.query", "attention.self.value", "intermediate.dense", "output.dense")


def factors(rng: np.random.Generator, weight: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """A [r, in] and B [out, r], as large as they are after some training."""
    out, width = weight.shape
    return (rng.standard_normal(shape, np.float32) * np.float32(0.1) for shape in ((rank, width), (out, rank)))


def adapter_of(
    weights: Tensors, linears: list[str], rank: Callable[[str], int], wrapped: str = ""
) -> dict[str, np.ndarray]:
    """An adapter's tensors for linears of a model, as peft names them; `wrapped` goes before the encoder's names."""
    rng = np.random.default_rng(0)
    tensors: Tensors = {}
    for name in linears:
        a, b = factors(rng, weights[f"{name}.weight"], rank(name))
        tensors |= {f"base_model.model.{wrapped}{name}.lora_{half}.weight": t for half, t in (("A", a), ("B", b))}
    return tensors


def write_adapter(folder: Path, tensors: Tensors, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "init_lora_weights": True, **settings}
    config |= {"target_modules": ["query"], "inference_mode": True, "lora_dropout": 0.1, "fan_in_fan_out": False}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def merged(weights: Tensors, tensors: Tensors, scale: Callable[[str], float]) -> Tensors:
    """The formula, in torch."""
    result = dict(weights)
    for name in weights:
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" in tensors:
            a, b = (torch.from_numpy(tensors[f"{stem}.lora_{half}.weight"]) for half in "AB")
            result[name] = (torch.from_numpy(weights[name]) + (b @ a) * scale(name)).numpy()
    return result


def torch_output(folder: Path, tensors: Tensors, target: Path, name: str = "AutoModel") -> np.ndarray:
    shutil.copytree(folder, target)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    model = getattr(transformers, name).from_pretrained(target, dtype=torch.float64).eval()
    with torch.no_grad():
        return model(torch.from_numpy(IDS))[0].numpy()


@pytest.fixture
def base(bert_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """A small BERT whose tensors have the names of the bare model."""
    folder = tmp_path / "base"
    shutil.copytree(bert_folder(vocab_size=65), folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("bert."): array for name, array in weights.items()}, folder / "model.safetensors")
    return folder


def linears_of(weights: Tensors, layers: tuple[int, ...] = (0, 1)) -> list[str]:
    names = [f"encoder.layer.{layer}.{name}" for layer in layers for name in LINEARS]
    assert all(f"{name}.weight" in weights for name in names)
    return names


def answer(folder: Path, **arguments: Any) -> np.ndarray:
    return npbert.AutoModel.from_pretrained(folder, backend="reference", **arguments)(IDS).last_hidden_state


KINDS: dict[str, tuple[dict[str, Any], Callable[[str], int], Callable[[str], float]]] = {
    "plain": ({}, lambda name: 4, lambda name: 2.0),
    "rslora": ({"use_rslora": True}, lambda name: 4, lambda name: 4.0),
    "patterns": (
        {
            "rank_pattern": {"query": 2, "layer.1.attention.self.value": 3},
            "alpha_pattern": {"^encoder.layer.0.output.dense": 1, "intermediate.dense": 0.5},
        },
        lambda name: 2 if "query" in name else 3 if "1.attention.self.value" in name else 4,
        lambda name: (
            (1 if "layer.0.output" in name else 0.5 if "intermediate" in name else 8)
            / (2 if "query" in name else 3 if "1.attention.self.value" in name else 4)
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["beside the weights", "alone"])
def test_it_is_merged(base: Path, tmp_path: Path, kind: str, place: str) -> None:
    settings, rank, scale = KINDS[kind]
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), rank)
    truth = torch_output(base, merged(weights, tensors, scale), tmp_path / "truth")
    folder = base if place == "beside the weights" else tmp_path / "adapter"
    write_adapter(folder, tensors, base_model_name_or_path=str(base), **settings)
    found = answer(folder)
    np.testing.assert_allclose(found, truth, rtol=0, atol=5e-6)
    (folder / "adapter_config.json").unlink()
    if place == "beside the weights":
        assert np.abs(answer(folder) - found).max() > 0.01  # the adapter matters


def test_weights_that_are_stored_the_other_way(tmp_path: Path) -> None:
    """GPT-2's: [in, out], square or not, as bare models and those with a head name them."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=65, n_embd=12, n_layer=2, n_head=3, n_positions=16, eos_token_id=0)
    base = tmp_path / "base"
    transformers.GPT2LMHeadModel(config).save_pretrained(base)
    weights = load_file(base / "model.safetensors")
    names = [f"transformer.h.1.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
    turned = {name: array.T if name.removesuffix(".weight") in names else array for name, array in weights.items()}
    tensors = adapter_of(turned, names, lambda name: 4)
    summed = merged(turned, tensors, lambda name: 2.0)
    back = {name: np.ascontiguousarray(a.T) if turned[name] is not weights[name] else a for name, a in summed.items()}
    truth = torch_output(base, back, tmp_path / "truth", "GPT2LMHeadModel")
    folder = write_adapter(tmp_path / "adapter", tensors, base_model_name_or_path=str(base))
    found = npbert.GPT2LMHeadModel.from_pretrained(folder, backend="reference")(IDS).logits
    np.testing.assert_allclose(found, truth, rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("config", "name", "decoder"),
    [
        (
            transformers.GPT2Config(vocab_size=65, n_embd=12, n_layer=1, n_head=3, eos_token_id=0),
            "GPT2LMHeadModel",
            "lm_head",
        ),
        (
            transformers.BertConfig(
                vocab_size=65, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=8
            ),
            "BertForMaskedLM",
            "cls.predictions.decoder",
        ),
    ],
    ids=["gpt2", "bert"],
)
def test_a_head_that_is_the_word_embeddings(config: Any, name: str, decoder: str, tmp_path: Path) -> None:
    """What is added to it is its own: the words stay as they are."""
    torch.manual_seed(0)
    base = tmp_path / "base"
    made = getattr(transformers, name)(config)
    made.save_pretrained(base)
    words = made.get_input_embeddings().weight.detach().numpy()
    tensors = adapter_of({f"{decoder}.weight": words}, [decoder], lambda name: 4)
    added = merged({f"{decoder}.weight": words}, tensors, lambda name: 2.0)
    made.config.tie_word_embeddings = False
    made.set_output_embeddings(torch.nn.Linear(*words.shape[::-1], bias=made.get_output_embeddings().bias is not None))
    made.load_state_dict({f"{decoder}.weight": torch.from_numpy(added[f"{decoder}.weight"])}, strict=False)
    if (bias := made.get_output_embeddings().bias) is not None:
        bias.data.zero_()  # as a new model's
    with torch.no_grad():
        truth = made.double().eval()(torch.from_numpy(IDS)).logits.numpy()
    folder = write_adapter(tmp_path / "adapter", tensors, base_model_name_or_path=str(base))
    with pytest.warns(UserWarning, match="the file has a decoder that is not the word embeddings: it is used"):
        found = getattr(npbert, name).from_pretrained(folder, backend="reference")
    np.testing.assert_allclose(found(IDS).logits, truth, rtol=0, atol=5e-6)
    bare = npbert.AutoModel.from_pretrained(base, backend="reference", add_pooling_layer=False)(IDS)
    np.testing.assert_array_equal(
        npbert.AutoModel.from_pretrained(folder, backend="reference", add_pooling_layer=False)(IDS)[0], bare[0]
    )


def test_names_of_a_model_with_a_head(base: Path, tmp_path: Path) -> None:
    """The adapter's begin with bert., the base's do not; what it saved whole is in the place of the base's."""
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights, (1,)), lambda name: 4, "bert.")
    rng = np.random.default_rng(1)
    H = weights["pooler.dense.bias"].size
    saved = {
        "classifier.weight": rng.standard_normal((2, H), np.float32),
        "classifier.bias": rng.standard_normal(2, np.float32),
        "embeddings.LayerNorm.bias": rng.standard_normal(H, np.float32),
    }
    of_peft = {f"base_model.model.{'bert.' if 'Norm' in name else ''}{name}": array for name, array in saved.items()}
    folder = write_adapter(
        tmp_path / "adapter",
        {**tensors, **of_peft},
        base_model_name_or_path=str(base),
        modules_to_save=["classifier", "embeddings.LayerNorm"],
        task_type="SEQ_CLS",
    )
    plain = {name.replace("model.bert.", "model."): array for name, array in tensors.items()}
    whole = {**merged(weights, plain, lambda name: 2.0), **saved}
    whole = {name if name.startswith("classifier") else f"bert.{name}": array for name, array in whole.items()}
    truth = torch_output(base, whole, tmp_path / "truth", "AutoModelForSequenceClassification")
    model = npbert.AutoModelForSequenceClassification.from_pretrained(folder, backend="reference")
    np.testing.assert_allclose(model(IDS).logits, truth, rtol=0, atol=5e-6)


def test_what_is_made_of_it(base: Path, tmp_path: Path) -> None:
    """Halves of the factors, int8, pruning, a folder of the whole: all have what is merged."""
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    tensors = {name: array.astype(np.float16) for name, array in tensors.items()}
    whole = tmp_path / "whole"
    shutil.copytree(base, whole)
    rounded = {name: array.astype(np.float32) for name, array in tensors.items()}
    save_file(merged(weights, rounded, lambda name: 2.0), whole / "model.safetensors")
    write_adapter(base, tensors)
    for dtype in ("float32", "int8"):
        np.testing.assert_allclose(answer(base, dtype=dtype), answer(whole, dtype=dtype), rtol=0, atol=1e-6)
    model, same = (npbert.AutoModel.from_pretrained(folder, backend="reference") for folder in (base, whole))
    for one in (model, same):
        one.prune_heads({0: [1]})
    np.testing.assert_allclose(model(IDS)[0], same(IDS)[0], rtol=0, atol=1e-6)
    npbert.AutoModel.from_pretrained(base, backend="reference").save_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(answer(tmp_path / "saved"), answer(base))
    with pytest.raises(
        ValueError, match=r"save_directory: wanted a folder without adapter_config\.json, found .*base$"
    ):
        model.save_pretrained(base)
    npbert.AutoModel.from_pretrained(whole, backend="reference", dtype="int8").save_pretrained(tmp_path / "int8")
    write_adapter(tmp_path / "int8", tensors)
    with pytest.raises(ValueError, match=r"lora_A\.weight: wanted a model of floats, .* found encoder\..* in int8$"):
        answer(tmp_path / "int8")


def test_a_sentence_folder_of_an_adapter(base: Path, tmp_path: Path) -> None:
    """As sentence-transformers saves one: everything but config.json and the weights."""
    base = letters_folder(base, tmp_path / "letters")
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    files = {
        "modules.json": modules("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"),
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": 16},
    }
    folder = write_adapter(tmp_path / "adapter", tensors, base_model_name_or_path=str(base))
    (tmp_path / "whole").mkdir()
    shutil.copytree(base, tmp_path / "whole", dirs_exist_ok=True)
    save_file(merged(weights, tensors, lambda name: 2.0), tmp_path / "whole" / "model.safetensors")
    for target in (folder, tmp_path / "whole"):
        for name, content in files.items():
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_text(json.dumps(content))
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(base / name, folder)
    texts = ["a quick fox", "the cat"]
    found, wanted = (
        npbert.SentenceTransformer(path, backend="reference").encode(texts) for path in (folder, tmp_path / "whole")
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_an_adapter_without_a_tokenizer_has_the_models(base: Path, tmp_path: Path) -> None:
    base = letters_folder(base, tmp_path / "letters")
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    folder = write_adapter(tmp_path / "adapter", tensors, base_model_name_or_path=str(base))
    model = npbert.SentenceTransformer(folder, backend="reference")
    assert model.tokenizer.tokenize("a quick fox") == ["a", "quick", "fox"]
    found = npbert.pipeline("feature-extraction", folder, backend="reference")("a quick fox")
    np.testing.assert_allclose(np.mean(found[0], axis=0), model.encode("a quick fox"), rtol=0, atol=1e-6)


def test_a_table_is_no_linear(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    write_adapter(base, adapter_of(weights, ["embeddings.word_embeddings"], lambda name: 4))
    with pytest.raises(
        ValueError, match=r"lora_A\.weight: wanted the LoRA of a linear layer, found one of embeddings\.word"
    ):
        answer(base)


def test_an_adapter_of_a_pooler_that_the_model_lacks(base: Path) -> None:
    """All linear layers were wrapped, a pooler of chance among them: it says nothing of the vectors."""
    weights = {n: array for n, array in load_file(base / "model.safetensors").items() if not n.startswith("pooler")}
    H = weights["embeddings.LayerNorm.bias"].size
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    tensors |= adapter_of({"pooler.dense.weight": np.ones((H, H), np.float32)}, ["pooler.dense"], lambda name: 4)
    save_file(weights, base / "model.safetensors")
    write_adapter(base, tensors)
    answer(base, add_pooling_layer=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, r"peft_type: wanted 'LORA', the only one that is merged here, found 'IA3'$"),
        ({"peft_type": None}, "peft_type: wanted 'LORA', .*, found None$"),
        (
            {"use_dora": True},
            "use_dora: wanted none, found True; not merged here: peft's merge_and_unload makes a whole",
        ),
        ({"bias": "all"}, "bias: wanted 'none', found 'all'; not merged here"),
        ({"lora_bias": True}, "lora_bias: wanted none, found True; not merged here"),
        (
            {"init_lora_weights": "pissa_niter_4"},
            "init_lora_weights: 'pissa_niter_4' changes the model's own weights; not",
        ),
        ({"layer_replication": [[0, 1]]}, "layer_replication: wanted none, found .*; not merged here"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices: wanted none, found .*; not merged here"),
        ({"what_comes_next": {"a": 1}}, "what_comes_next: wanted none, found {'a': 1}; not merged here"),
        ({"r": 0}, "r: wanted an integer from 1 to 65536, found 0$"),
        ({"r": "4"}, "r: wanted an integer from 1 to 65536, found '4'$"),
        ({"lora_alpha": None}, "lora_alpha: wanted a number at least .*, found None$"),
        ({"rank_pattern": ["query"]}, r"rank_pattern: wanted an object, found \['query'\]$"),
        ({"rank_pattern": {"query": 0}}, "rank_pattern: wanted an integer from 1 to 65536, found 0$"),
        ({"alpha_pattern": {"(a+)+": 1}}, r"alpha_pattern: wanted the ends of modules' names, found '\(a\+\)\+'; not"),
        (
            {"base_model_name_or_path": None},
            "base_model_name_or_path: wanted the name of the model that .*, found None$",
        ),
        ({"base_model_name_or_path": "./gone"}, r"base_model_name_or_path: \./gone: no such folder$"),
        ({"revision": 3}, "revision: wanted a string or null, found 3$"),
    ],
)
def test_what_is_not_merged(base: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    folder = write_adapter(tmp_path / "adapter", tensors, **{"base_model_name_or_path": str(base), **settings})
    with pytest.raises((ValueError, OSError), match=rf"^{folder}/adapter_config\.json: {message}"):
        answer(folder)


QUERY = "base_model.model.encoder.layer.0.attention.self.query"
FLOATS = np.ones((4, 4), np.float32)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (f"{QUERY}.lora_A.weight", None, r"lora_B\.weight: wanted lora_A and lora_B, found lora_B alone$"),
        (f"{QUERY}.lora_A.weight", FLOATS, r"lora_A\.weight: wanted the shape \[4, \d+\], found \[4, 4\]$"),
        (f"{QUERY}.lora_B.bias", FLOATS, r"lora_B\.bias: wanted lora_A and lora_B of linear layers, found bias, which"),
        (f"{QUERY}.lora_magnitude_vector", FLOATS, "found lora_magnitude_vector, which is not merged here"),
        (
            "base_model.model.embeddings.word_embeddings.lora_embedding_A",
            FLOATS,
            "found lora_embedding_A, which is not merged here",
        ),
        ("base_model.model.encoder.layer.9.x.lora_A.weight", FLOATS, r"layer\.9\.x\.lora_A\.weight: wanted lora_A and"),
        (
            "base_model.model.encoder.layer.0.output.dense.weight",
            FLOATS,
            "wanted the LoRA of a linear layer, found one of",
        ),
        (f"{QUERY}.lora_A.weight", np.full((4, 48), np.nan, np.float32), "wanted finite float32 values, found nan at"),
    ],
)
def test_damaged_adapters(base: Path, tmp_path: Path, name: str, array: np.ndarray | None, message: str) -> None:
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    tensors.pop(name, None)
    if array is not None:
        tensors[name] = array
    write_adapter(base, tensors)
    with pytest.raises(ValueError, match=message) as caught:
        answer(base)
    assert "adapter_model.safetensors: " in str(caught.value)


def test_a_sum_that_is_not_finite(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    tensors[f"{QUERY}.lora_A.weight"] *= np.float32(1e37)
    write_adapter(base, tensors, lora_alpha=1e6)
    with pytest.raises(
        ValueError, match=r"query\.lora_A\.weight: wanted finite float32 .* in \S*query\.weight, found oth"
    ):
        answer(base)


def test_a_linear_that_the_model_lacks(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    tensors = adapter_of(weights, linears_of(weights), lambda name: 4)
    write_adapter(base, {name.replace("layer.1", "layer.7"): array for name, array in tensors.items()})
    with pytest.raises(ValueError, match=r"layer\.7\.\S+: wanted a linear layer of .*base, found none of that name$"):
        answer(base)


def test_an_adapter_without_its_weights(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(base, {})
    (folder / "adapter_model.safetensors").unlink()
    message = r"adapter_config\.json: wanted adapter_model\.safetensors beside it, found none"
    with pytest.raises(FileNotFoundError, match=message + "$"):
        answer(folder)
    (folder / "adapter_model.bin").touch()
    with pytest.raises(FileNotFoundError, match=message + r": adapter_model\.bin is pickled"):
        answer(folder)


def test_an_adapter_without_its_config(base: Path) -> None:
    """Nothing is merged, as nothing says how; that is told."""
    plain = answer(base)
    write_adapter(base, {"a": np.ones(1, np.float32)})
    (base / "adapter_config.json").unlink()
    with pytest.warns(UserWarning, match=r"adapter_model\.safetensors: not used: there is no adapter_config\.json"):
        np.testing.assert_array_equal(answer(base), plain)
    (base / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"found neither; adapter_model\.safetensors is an adapter's, wanted"):
        answer(base)


def test_an_adapter_of_an_adapter(base: Path, tmp_path: Path) -> None:
    write_adapter(base, {})
    folder = write_adapter(tmp_path / "second", {}, base_model_name_or_path=str(base))
    with pytest.raises(
        ValueError, match=r"base_model_name_or_path: .*base: wanted a whole model, found another adapter$"
    ):
        answer(folder)
