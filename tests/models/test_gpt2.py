"""GPT-2, and keys and values that outlive a call."""

from __future__ import annotations

import copy
import json
import pickle
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import parity  # noqa: F401  registers transformers' attention "plain"
import pytest
import torch
import transformers
from conftest import NORM_WEIGHTS, TABLES, assert_as_close_as_torch
from heads import rewritten
from npbert_kernels.cpu import get_num_threads, set_num_threads
from npbert_kernels.ops import Backend
from tokenizers.pre_tokenizers import ByteLevel

import npbert
from npbert import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, GPT2Model

SIZES = {"vocab_size": 61, "n_embd": 42, "n_layer": 3, "n_head": 3, "n_positions": 80, "bos_token_id": 0}
SIZES |= {"eos_token_id": 0}
LENGTHS = (30, 1, 17, 24)
"""Of the rows of a padded batch."""


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """make(**config) -> a folder with random weights."""

    @cache
    def made(items: tuple[tuple[str, Any], ...]) -> Path:
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SIZES, **dict(items)))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                table = TABLES.search(name) and parameter.ndim == 2
                parameter.normal_(
                    0, 1.0 if table else 1.5 * (parameter.shape[0] if parameter.ndim == 2 else 100) ** -0.5
                )
                if name.endswith(NORM_WEIGHTS):
                    parameter.add_(1)
        folder = tmp_path_factory.mktemp("gpt2")
        model.save_pretrained(folder)
        return folder

    return lambda **config: made(tuple(sorted(config.items())))


@pytest.fixture(scope="module")
def folder(make: Any) -> Path:
    found: Path = make()
    return found


@cache
def theirs(folder: Path, dtype: torch.dtype) -> Any:
    return transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="plain").to(dtype).eval()


def padded(side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, mask and positions [B, S], of rows that begin or end with padding."""
    S = max(LENGTHS)
    ids = np.random.default_rng(0).integers(1, 61, (len(LENGTHS), S))
    lengths = np.array(LENGTHS)[:, None]
    mask = (np.arange(S) < lengths) if side == "right" else (np.arange(S) >= S - lengths)
    return ids, mask.astype(np.int64), np.maximum(mask.cumsum(axis=1) - 1, 0)


def call(model: Any, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray, cuts: list[int], **given: Any) -> Any:
    """A model's outputs, one for each part of the columns; of either library."""
    found, past = [], None
    is_torch = isinstance(model, torch.nn.Module)
    for begin, end in zip([0, *cuts], [*cuts, ids.shape[1]], strict=True):
        parts = {
            "input_ids": ids[:, begin:end],
            "attention_mask": mask[:, :end],
            "position_ids": positions[:, begin:end],
        }
        if is_torch:
            with torch.no_grad():
                tensors = {name: torch.as_tensor(part) for name, part in parts.items()}
                found.append(model(**tensors, past_key_values=past, use_cache=True, **given))
        else:
            found.append(model(**parts, past_key_values=past, use_cache=True, **given))
        past = found[-1].past_key_values
    return found


def logits(outputs: list[Any]) -> np.ndarray:
    """[B, S, V] of all parts."""
    return np.concatenate([np.asarray(output.logits) for output in outputs], axis=1)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("cuts", [[], [7, 8, 9, 25]], ids=["whole", "in parts"])
def test_parity(folder: Path, backend: Backend, cuts: list[int], side: str) -> None:
    """Logits, attentions and what is kept: as transformers in float64 has them, as close as its own float32."""
    ids, mask, positions = padded(side)
    asked = {"output_attentions": True, "output_hidden_states": True}
    truth, single = (call(theirs(folder, dtype), ids, mask, positions, cuts, **asked) for dtype in DTYPES)
    model = AutoModelForCausalLM.from_pretrained(folder, backend=backend)
    found = call(model, ids, mask, positions, cuts, **asked)
    kept = mask.astype(bool)
    measure = np.abs(logits(single)[kept] - logits(truth)[kept]).max()
    assert_as_close_as_torch(logits(found)[kept], logits(truth)[kept], measure)
    begin = 0
    for one, wanted, other in zip(found, truth, single, strict=True):
        S = one.logits.shape[1]
        end = begin + S
        there = kept[:, None, begin:end, None] & kept[:, None, None, :end] & np.ones((1, 3, 1, 1), bool)
        for p, q, r in zip(one.attentions, wanted.attentions, other.attentions, strict=True):
            assert p.shape == (4, 3, S, end)
            error = np.abs(r.numpy() - q.numpy())[there].max(initial=0)
            assert_as_close_as_torch(p[there], q.numpy()[there], error, "attentions")
        for x, y, z in zip(one.hidden_states, wanted.hidden_states, other.hidden_states, strict=True):
            rows = kept[:, begin:end]
            error = np.abs(z.numpy() - y.numpy())[rows].max(initial=0)
            assert_as_close_as_torch(x[rows], y.numpy()[rows], error, "hidden states")
        begin = end
    past = found[-1].past_key_values
    assert past.get_seq_length() == 30
    for layer in range(len(past)):
        for held, wanted, other in zip(
            past[layer], *(layer_of(output[-1], layer) for output in (truth, single)), strict=True
        ):
            rows = np.broadcast_to(kept[:, None], held.shape[:3])
            error = np.abs(other - wanted)[rows].max()
            assert_as_close_as_torch(held[rows], wanted[rows], error, "cache")
            assert not held[~rows].any()


DTYPES = (torch.float64, torch.float32)


def layer_of(output: Any, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """transformers' keys and values, [B, N, P, D] each."""
    one = output.past_key_values.layers[layer]
    return one.keys.numpy(), one.values.numpy()


@pytest.mark.parametrize("threads", [1, 3])
def test_bits(folder: Path, threads: int) -> None:
    """Each row has the bits that it has alone and in one call, however the batch is padded, cut, and computed."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    before = get_num_threads()
    for side in ("right", "left"):
        ids, mask, positions = padded(side)
        for cuts in ([], [15], [1, 2, 3, 20], [*range(1, 30)]):
            set_num_threads(threads)
            found = logits(call(model, ids, mask, positions, cuts))
            set_num_threads(1)
            for row, kept, one in zip(found, mask.astype(bool), ids, strict=True):
                np.testing.assert_array_equal(row[kept], model(one[kept][None]).logits[0])
    set_num_threads(before)


def test_positions_go_on(folder: Path, backend: Backend) -> None:
    """Where nobody gives them, from the columns before; with and without a mask."""
    model = GPT2Model.from_pretrained(folder, backend=backend)
    ids = padded("right")[0]
    whole = model(ids, use_cache=False)
    assert whole.past_key_values is None
    first = model(ids[:, :12])
    assert first.past_key_values.get_seq_length() == 12  # config.use_cache is true, as in transformers
    second = model(ids[:, 12:], past_key_values=first.past_key_values, use_cache=False)
    assert second.past_key_values is None
    joined = np.concatenate([first.last_hidden_state, second.last_hidden_state], axis=1)
    np.testing.assert_allclose(joined, whole.last_hidden_state, rtol=0, atol=1e-4 * (backend.name != "cpu"))
    assert first.past_key_values.get_seq_length() == 30  # what was given was added to
    hidden = model(ids, output_hidden_states=True)
    np.testing.assert_array_equal(hidden.hidden_states[-1], hidden.last_hidden_state)
    embeds = model.get_input_embeddings()(ids)
    by_embeds = model(inputs_embeds=embeds[:, :12])
    np.testing.assert_array_equal(by_embeds.last_hidden_state, first.last_hidden_state)


def test_loss(folder: Path, backend: Backend) -> None:
    """Of each label and the logits before it; padding that has a label counts."""
    ids, mask, _ = padded("right")
    labels = np.where(np.random.default_rng(1).random(ids.shape) < 0.3, -100, ids)
    model = AutoModelForCausalLM.from_pretrained(folder, backend=backend)
    found = model(ids, mask, labels=labels)
    tensors = {
        name: torch.as_tensor(array)
        for name, array in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))
    }
    truth, single = (theirs(folder, dtype)(**tensors) for dtype in DTYPES)
    error = np.abs((single.logits - truth.logits).detach().numpy()).max()
    assert_as_close_as_torch(found.logits, truth.logits.detach().numpy(), error)
    assert abs(found.loss - truth.loss.item()) <= 2 * 2 * error
    assert list(found) == ["loss", "logits", "past_key_values"]
    assert list(model(ids, use_cache=False)) == ["logits"]


@pytest.mark.parametrize(
    "config",
    [
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
        {"tie_word_embeddings": False, "n_inner": 50, "activation_function": "relu"},
    ],
    ids=str,
)
def test_what_a_config_may_say(make: Any, backend: Backend, config: dict[str, Any]) -> None:
    folder = make(**config)
    ids = padded("right")[0]
    with torch.no_grad():
        truth, single = (theirs(folder, dtype)(torch.as_tensor(ids)).logits.numpy() for dtype in DTYPES)
    found = AutoModelForCausalLM.from_pretrained(folder, backend=backend)(ids).logits
    assert_as_close_as_torch(found, truth, np.abs(single - truth).max())


def test_a_cache_grows(folder: Path) -> None:
    """Beyond the room that it begins with; in several chunks."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = np.random.default_rng(0).integers(1, 61, (5, 79))
    whole = model(ids).logits
    past = None
    for begin, end in ((0, 20), (20, 63), (63, 64), (64, 65), (65, 79)):
        output = model(ids[:, begin:end], past_key_values=past)
        past = output.past_key_values
        np.testing.assert_array_equal(output.logits, whole[:, begin:end])
    with pytest.raises(IndexError, match="wanted a layer of 3, found 3"):
        past[3]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_go_on_by_themselves(folder: Path, copied: Any) -> None:
    """Of one beginning, as of a prompt that many texts share; of a call's output, too."""
    model = AutoModelForCausalLM.from_pretrained(folder, backend="reference")
    ids = padded("right")[0]
    past = model(ids[:, :20]).past_key_values
    other = copied(past)
    model((ids + 1)[:, 20:25] % 61, past_key_values=other)
    found = model(ids[:, 20:], past_key_values=past).logits
    first = copy.deepcopy(model(ids[:, :20]))
    np.testing.assert_array_equal(model(ids[:, 20:], past_key_values=first.past_key_values).logits, found)
    np.testing.assert_allclose(found, model(ids).logits[:, 20:], rtol=0, atol=1e-4)
    assert other.get_seq_length() == 25
    with pytest.raises(TypeError, match=r"^past_key_values: wanted by the model that they are of, which can't be"):
        pickle.dumps(past)


def test_no_rows(folder: Path, backend: Backend) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, backend=backend)
    output = model(np.zeros((0, 5), np.int64))
    assert output.logits.shape == (0, 5, 61)
    assert model(np.zeros((0, 2), np.int64), past_key_values=output.past_key_values).logits.shape == (0, 2, 61)


def test_pruned_heads(folder: Path, backend: Backend) -> None:
    """Layers with fewer heads keep fewer keys; a cache from before is another model's."""
    model = GPT2Model.from_pretrained(folder, backend=backend)
    ids = padded("right")[0]
    older = model(ids).past_key_values
    model.prune_heads({0: [1], 2: [0, 2]})
    whole, first = model(ids).last_hidden_state, model(ids[:, :9])
    rest = model(ids[:, 9:], past_key_values=first.past_key_values).last_hidden_state
    np.testing.assert_allclose(rest, whole[:, 9:], rtol=0, atol=1e-4 * (backend.name != "cpu"))
    with pytest.raises(ValueError, match=r"^past_key_values: wanted what a call of this model gave, found another"):
        model(ids, past_key_values=older)


def test_bad_arguments(folder: Path, backend: Backend) -> None:
    """A line each; and the cache is as it was."""
    model = AutoModelForCausalLM.from_pretrained(folder, backend=backend)
    ids, mask, _ = padded("right")
    past = model(ids[:, :20], mask[:, :20]).past_key_values
    other = AutoModelForCausalLM.from_pretrained(folder, backend=backend)(ids).past_key_values
    here = {"input_ids": ids[:, 20:], "past_key_values": past}
    changed = mask.copy()
    changed[1, 3] = 1
    for given, message in (
        ({**here, "past_key_values": [1]}, "past_key_values: wanted None or what an earlier call gave, found [1]"),
        (
            {**here, "past_key_values": other},
            "past_key_values: wanted what a call of this model gave, found another model's",
        ),
        (here, "attention_mask: wanted the shape [4, 30]: earlier calls had one, found None"),
        (
            {**here, "attention_mask": mask[:, 20:]},
            "attention_mask: wanted the shape [4, 30], [4, 30, 30] or [4, 1, 30, 30], found [4, 10]",
        ),
        ({**here, "attention_mask": changed}, "attention_mask[1, 3]: wanted 0, as in earlier calls, found 1"),
        (
            {**here, "attention_mask": np.broadcast_to(np.tri(30), (4, 30, 30))},
            "attention_mask: wanted the shape [4, 30], the same for all queries, found [4, 30, 30]",
        ),
        ({**here, "input_ids": ids[:3, 20:]}, "past_key_values: wanted 3 rows, as input_ids has, found 4"),
        (
            {"input_ids": np.ones((4, 61), int), "past_key_values": past, "attention_mask": np.ones((4, 81))},
            "input_ids: wanted at most 80 tokens (max_position_embeddings), 20 of them in past_key_values, found 81",
        ),
        ({**here, "input_ids": ids[:, 20:] + 61, "attention_mask": mask}, "input_ids[0, 0]: wanted 0 to 60, found "),
        ({**here, "attention_mask": mask, "use_cache": 1}, "use_cache: wanted True, False or None, found 1"),
        ({**here, "attention_mask": mask, "return_dict": 1}, "return_dict: wanted True, False or None, found 1"),
        ({**here, "attention_mask": mask, "labels": [1]}, "labels: wanted the shape [4, 10], found [1]"),
        (
            {**here, "attention_mask": mask, "token_type_ids": np.zeros((4, 10), int)},
            "token_type_ids: wanted None: that they are looked up among the words is not computed here",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}") as error:
            model(**given)
        assert "\n" not in str(error.value)
    assert past.get_seq_length() == 20
    np.testing.assert_allclose(
        model(**here, attention_mask=mask).logits[:, 4],
        model(ids, mask).logits[:, 24],
        rtol=0,
        atol=1e-4 * (backend.name != "cpu"),
    )


def test_files_of_old(folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """As the first checkpoints are: no prefix, no lm_head, and attention's masks among the tensors."""

    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        bare = {name.removeprefix("transformer."): array for name, array in tensors.items() if "lm_head" not in name}
        return {**bare, "h.0.attn.bias": np.tri(80)[None, None], "h.1.attn.masked_bias": np.array(-1e4)}

    older = rewritten(folder, tmp_path, change)
    found = GPT2LMHeadModel.from_pretrained(older, backend="reference")([[5, 6]]).logits
    np.testing.assert_array_equal(found, GPT2LMHeadModel.from_pretrained(folder, backend="reference")([[5, 6]]).logits)
    assert not recwarn.list


def test_saved(folder: Path, tmp_path: Path) -> None:
    """With its head, read back by both libraries; in int8 as well."""
    ids = padded("right")[0]
    model = AutoModelForCausalLM.from_pretrained(folder, backend="reference")
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", backend="reference")
    np.testing.assert_array_equal(again(ids).logits, model(ids).logits)
    np.testing.assert_array_equal(
        theirs(tmp_path / "saved", torch.float32)(torch.as_tensor(ids)).logits.detach(),
        theirs(folder, torch.float32)(torch.as_tensor(ids)).logits.detach(),
    )


def test_a_config_that_says_what_it_is() -> None:
    """A decoder is one: transformers' GPT-2 takes no notice of it, and writes it again."""
    assert GPT2Config.from_dict({**SIZES, "is_decoder": True}).to_dict()["is_decoder"] is True


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_inner": 0}, "n_inner: wanted an integer from 1 to 2147483647, found 0"),
        ({"n_embd": 43}, "n_embd: wanted a multiple of n_head (3), found 43"),
        ({"n_positions": "80"}, "n_positions: wanted an integer from 1 to 2147483647, found '80'"),
        ({"activation_function": "erf"}, "activation_function: wanted one of gelu, "),
        ({"layer_norm_epsilon": 2}, "layer_norm_epsilon: wanted a number at least 1.17549e-38, at most 1, found 2"),
        (
            {"add_cross_attention": True},
            "add_cross_attention: wanted none: npbert computes no cross attention, found True",
        ),
        ({"scale_attn_weights": 1}, "scale_attn_weights: wanted true or false, found 1"),
    ],
    ids=str,
)
def test_bad_configs(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **SIZES, **given}))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))}/config\.json: {re.escape(message)}"):
        GPT2Config.from_pretrained(tmp_path)


def test_its_tokenizer(folder: Path, tmp_path: Path) -> None:
    """Of a tokenizer.json, whichever class tokenizer_config.json names: no types, nothing around a text."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*letters, "Ġc", "at", "<|endoftext|>"])}
    oracle = transformers.GPT2Tokenizer(vocab=vocabulary, merges=[("Ġ", "c"), ("a", "t")])
    oracle.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    found = npbert.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("the cat sat", " naïve\n", "<|endoftext|>a", ""):
        assert dict(found(text)) == dict(oracle(text))


def test_what_calls_take() -> None:
    """help() finds what a cache is."""
    for model in (GPT2Model, GPT2LMHeadModel):
        assert "past_key_values" in (model.__call__.__doc__ or "")
        assert model.forward is model.__call__
    assert npbert.KeyValueCache.__doc__
