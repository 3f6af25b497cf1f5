"""BertModel against transformers: the truth is transformers in float64, the measure torch's own float32."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, assert_as_close_as_torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npbert_kernels.ops import Backend
from npbert_kernels.reference import Reference
from parity import (
    FIELDS,
    Folders,
    assert_parity,
    assert_same,
    draw_arguments,
    loaded,
    torch_errors,
    torch_model,
    torch_outputs,
)

from npbert import AutoModel, BertModel
from npbert.models.config import ACTIVATIONS
from npbert.models.model import BareModel
from npbert.models.outputs import BaseModelOutputWithPooling
from npbert.models.pooling import POOLS

# Parity -------------------------------------------------------------------------------------------------


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    B=st.integers(1, 5),
    S=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    mask=st.sampled_from(["none", "right", "left", "holes", "pairs"]),
    types=st.booleans(),
    positions=st.booleans(),
    head_mask=st.booleans(),
    embeds=st.booleans(),
)
def test_arguments(backend: Backend, bert_folder: Folders, B: int, S: int, seed: int, **given: str | bool) -> None:
    assert_parity(bert_folder(), backend, **draw_arguments(SMALL, B, S, seed, **given))


@pytest.mark.parametrize("hidden_act", ACTIVATIONS)
def test_activations(backend: Backend, bert_folder: Folders, hidden_act: str) -> None:
    config = {**SMALL, "hidden_act": hidden_act, "hidden_size": 40, "intermediate_size": 72}
    assert_parity(bert_folder(**config), backend, **draw_arguments(config, 3, 19, 0, mask="holes"))


@pytest.mark.parametrize(
    ("hidden_size", "heads", "intermediate_size"),
    [
        (64, 2, 128),  # head size 32
        (128, 2, 256),  # 64
        (96, 1, 33),  # 96
        (45, 3, 67),  # 15
        (51, 3, 100),  # 17
        (130, 2, 31),  # 65
        (5, 5, 7),  # 1
        (1, 1, 1),
    ],
)
def test_sizes(backend: Backend, bert_folder: Folders, hidden_size: int, heads: int, intermediate_size: int) -> None:
    config = {
        **SMALL,
        "hidden_size": hidden_size,
        "num_attention_heads": heads,
        "intermediate_size": intermediate_size,
        "layer_norm_eps": 1e-5,
    }
    folder = bert_folder(**config)
    for S in (1, 2, 15, 37):
        assert_parity(folder, backend, **draw_arguments(config, 3, S, S, mask="holes", types=True))


def test_lengths(backend: Backend, bert_folder: Folders) -> None:
    """From 1 to 512 tokens, mixed in one batch."""
    lengths = np.array([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257, 511, 512])
    config = {**SMALL, "max_position_embeddings": 512}
    arguments = draw_arguments(config, len(lengths), 512, 0, types=True)
    mask = (np.arange(512) < lengths[:, None]).astype(np.int64)
    assert_parity(bert_folder(**config), backend, **arguments, attention_mask=mask)


def test_a_deep_model(backend: Backend, bert_folder: Folders) -> None:
    config = {**SMALL, "num_hidden_layers": 12}
    assert_parity(bert_folder(**config), backend, **draw_arguments(config, 2, 30, 0, mask="right"))


def test_minilm(backend: Backend, minilm: Path) -> None:
    """Real weights. [CLS] A [SEP] B [SEP], [CLS] A [SEP], and a mask that hides [CLS]."""
    ids = np.array(
        [
            [101, 7592, 2088, 102, 2129, 2024, 2017, 102],
            [101, 1045, 2572, 2986, 102, 0, 0, 0],
            [101, 2748, 2009, 2003, 1037, 3899, 999, 102],
        ]
    )
    types = np.array([[0] * 4 + [1] * 4, [0] * 8, [0] * 8])
    mask = np.array([[1] * 8, [1] * 5 + [0] * 3, [0] + [1] * 7])
    assert_parity(minilm, backend, input_ids=ids, token_type_ids=types, attention_mask=mask)


def test_a_row_masked_whole(backend: Backend, bert_folder: Folders) -> None:
    """Attends to nothing: its context is 0, as if all heads were masked. Its neighbour does not notice."""
    folder = bert_folder()
    ids = np.array([[7, 8, 9], [4, 5, 6]])
    mask = np.array([[0, 0, 0], [1, 1, 0]])
    model = loaded(folder, backend)
    found = model(ids, mask, output_attentions=True, output_hidden_states=True)
    no_heads = {"input_ids": ids[:1, :1], "head_mask": np.zeros(4, np.float32)}
    truth, errors = torch_errors(folder, no_heads)
    for name, array in (
        ("last_hidden_state", found.last_hidden_state[:1, :1]),
        ("pooler_output", found.pooler_output[:1]),
    ):
        assert_as_close_as_torch(array, truth[name], errors[name], name)
    assert not found.last_hidden_state[0, 1:].any()
    assert not any(p[0].any() for p in found.attentions)
    assert_same(found.last_hidden_state[1:], model(ids[1:], mask[1:])[0], backend)


def test_reference_in_float64_is_the_truth(bert_folder: Folders) -> None:
    """To 1e-12, so that it can stand in for transformers where that is not at hand."""
    folder = bert_folder()
    arguments = draw_arguments(SMALL, 3, 20, 0, mask="holes", types=True, positions=True, head_mask=True)
    truth = torch_outputs(folder, torch.float64, arguments)
    found = loaded(folder, Reference(np.float64))(**arguments)
    assert found.last_hidden_state.dtype == np.float64
    kept = arguments["attention_mask"].astype(bool)
    np.testing.assert_allclose(found.last_hidden_state[kept], truth["last_hidden_state"][kept], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.pooler_output, truth["pooler_output"], rtol=0, atol=1e-12)


# The same text, the same bits ---------------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 64), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_bits_do_not_depend_on_the_batch(
    cpu_backend: Backend, bert_folder: Folders, lengths: list[int], seed: int, padding: int
) -> None:
    """Alone, in a batch, padded on the right."""
    model = loaded(bert_folder(), cpu_backend)
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 61, length) for length in lengths]
    S = min(max(lengths) + padding, 64)
    ids, mask = np.zeros((len(rows), S), np.int64), np.zeros((len(rows), S), np.int64)
    for b, row in enumerate(rows):
        ids[b, : len(row)], mask[b, : len(row)] = row, 1
    batch = model(ids, mask)
    vectors = model.embed(rows, "mean")
    for b, row in enumerate(rows):
        alone = model(row[None])
        np.testing.assert_array_equal(batch.last_hidden_state[b, : len(row)], alone.last_hidden_state[0])
        np.testing.assert_array_equal(batch.pooler_output[b], alone.pooler_output[0])
        np.testing.assert_array_equal(vectors[b], model.embed([row], "mean")[0])


# embed --------------------------------------------------------------------------------------------------

LISTS = [[5, 6, 7], [60], [1, 2, 3, 4, 5, 6, 7, 8, 9], [8, 8]]


def pooled(model: BareModel, mode: str) -> np.ndarray:
    """By the model's own last_hidden_state, one list at a time."""
    rows = [model([ids]).last_hidden_state[0] for ids in LISTS]
    pool = {"cls": lambda x: x[0], "mean": lambda x: x.mean(0), "max": lambda x: x.max(0)}[mode]
    return np.stack([pool(x) for x in rows])


@pytest.mark.parametrize("mode", ["cls", "max", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_embed(backend: Backend, bert_folder: Folders, mode: Any, normalize: bool) -> None:
    model = loaded(bert_folder(), backend)
    wanted = pooled(model, mode)
    if normalize:
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = model.embed(LISTS, mode, normalize)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(model.embed(LISTS, [mode], normalize), found)


def test_embed_joins_in_the_order_asked_for(backend: Backend, bert_folder: Folders) -> None:
    model = loaded(bert_folder(), backend)
    wanted = np.concatenate([pooled(model, mode) for mode in ("mean", "cls", "max")], axis=1)
    np.testing.assert_allclose(model.embed(LISTS, ("mean", "cls", "max")), wanted, rtol=0, atol=1e-5)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    found = model.embed(LISTS, ("mean", "cls", "max"), normalize=True)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "skip_cls"), [("cls", False), ("cls", True), ("max", False), ("mean", False)])
def test_embed_with_a_tail_from_the_third_token_on(
    backend: Backend, bert_folder: Folders, mode: Any, skip_cls: bool
) -> None:
    model = loaded(bert_folder(), backend)
    weight = np.random.default_rng(0).standard_normal((5, 48), np.float32)
    placed = model.backend.store(0).linear(weight, None)
    found = model.embed(
        LISTS, mode, normalize=True, tail=lambda ops, x: ops.linear(x, placed), skip=2, skip_cls=skip_cls
    )
    rows = [model([ids]).last_hidden_state[0] for ids in LISTS]
    pool = {"cls": lambda x: x[0], "mean": lambda x: x.mean(0), "max": lambda x: x.max(0)}[mode]
    skip = 2 if mode != "cls" or skip_cls else 0
    wanted = np.stack([pool(x[min(skip, len(x) - 1) :]) for x in rows]) @ weight.T
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert found.shape == (len(LISTS), 5)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_embed_token_types(backend: Backend, bert_folder: Folders) -> None:
    model = loaded(bert_folder(), backend)
    types = [[index % 3 for index in ids] for ids in LISTS]
    found = model.embed(LISTS, "cls", token_types=types)
    for b, (ids, row) in enumerate(zip(LISTS, types, strict=True)):
        alone = model([ids], token_type_ids=[row]).last_hidden_state[0, 0]
        assert_same(found[b], alone, backend)


@pytest.mark.parametrize(("pooling", "width"), [("mean", 48), (["cls", "max", "mean"], 144)])
def test_embed_nothing(backend: Backend, bert_folder: Folders, pooling: Any, width: int) -> None:
    found = loaded(bert_folder(), backend).embed([], pooling)
    assert found.shape == (0, width)
    assert found.dtype == np.float32


@pytest.mark.parametrize("pooling", ["sum", [], ["mean", "sum"]])
def test_embed_refuses_other_poolings(bert_folder: Folders, pooling: Any) -> None:
    message = f"pooling: wanted some of {', '.join(POOLS)}, found {pooling!r}"
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        loaded(bert_folder(), Reference()).embed(LISTS, pooling)


def test_large_batches_are_run_in_chunks(
    cpu_backend: Backend, bert_folder: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every output is what it would have been in one go, whatever the chunks."""
    model = loaded(bert_folder(), cpu_backend)
    arguments = draw_arguments(SMALL, 7, 12, 1, mask="holes", types=True, head_mask=True)
    every = {"output_hidden_states": True, "output_attentions": True}
    whole, vectors = model(**arguments, **every), model.embed(LISTS, ["cls", "mean"])
    monkeypatch.setattr("npbert_kernels.cpu.program.CHUNK_TOKENS", 20)
    parts = model(**arguments, **every)
    for name in FIELDS:
        for part, one in zip(parts[name], whole[name], strict=True):  # a row each, or a layer
            np.testing.assert_array_equal(part, one, name)
    monkeypatch.setattr("npbert_kernels.cpu.program.CHUNK_TOKENS", 4)
    np.testing.assert_array_equal(model.embed(LISTS, ["cls", "mean"]), vectors)


# What a call gives --------------------------------------------------------------------------------------


@pytest.fixture
def model(bert_folder: Folders) -> BareModel:
    return loaded(bert_folder(), Reference())


IDS = [[1, 2, 3], [4, 5, 6]]


def test_output_by_attribute_key_and_index(model: BareModel) -> None:
    output = model(IDS, output_attentions=True)
    assert isinstance(output, BaseModelOutputWithPooling)
    assert output[0] is output.last_hidden_state is output["last_hidden_state"]
    assert output[1] is output.pooler_output
    assert output[2] is output.attentions  # hidden_states is None and has no index
    assert output[:2] == (output.last_hidden_state, output.pooler_output)
    assert output.hidden_states is None
    assert list(output) == list(output.keys()) == ["last_hidden_state", "pooler_output", "attentions"]
    assert len(output) == 3
    assert "attentions" in output
    assert "hidden_states" not in output
    assert output.get("hidden_states") is None
    assert output == output
    assert output != model(IDS)
    for missing in ("hidden_states", "to_tuple", "other"):
        with pytest.raises(KeyError, match=missing):
            output[missing]
    with pytest.raises(IndexError):
        output[3]
    with pytest.raises(AttributeError):
        output.other  # noqa: B018


def test_return_dict_false(model: BareModel) -> None:
    found = model(IDS, output_hidden_states=True, return_dict=False)
    assert type(found) is tuple
    assert [np.shape(part) for part in found] == [(2, 3, 48), (2, 48), (3, 2, 3, 48)]


@pytest.mark.parametrize("name", ["output_attentions", "output_hidden_states", "return_dict"])
@pytest.mark.parametrize("value", ["no", "", 2, float("nan"), np.zeros(2, np.bool_), []])
def test_flags_are_true_or_false(model: BareModel, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}: wanted True, False or None, found"):
        model(IDS, **{name: value})
    model(IDS, **{name: np.False_})


@pytest.mark.parametrize("name", ["output_attentions", "output_hidden_states", "return_dict"])
def test_the_config_gives_the_defaults(bert_folder: Folders, tmp_path: Path, name: str) -> None:
    shutil.copytree(bert_folder(), tmp_path, dirs_exist_ok=True)
    value = name != "return_dict"
    text = (tmp_path / "config.json").read_text()
    text = re.sub(rf'\n *"{name}": \w+,', "", text)
    (tmp_path / "config.json").write_text(text.replace("{", f'{{"{name}": {str(value).lower()},', 1))
    model = BertModel.from_pretrained(tmp_path, backend="reference")
    if name == "return_dict":
        assert type(model(IDS)) is tuple
        assert type(model(IDS, return_dict=True)) is BaseModelOutputWithPooling
    else:
        key = name.removeprefix("output_")
        assert key in model(IDS)
        assert key not in model(IDS, **{name: False})


def test_last_hidden_state_ends_hidden_states(model: BareModel) -> None:
    output = model(IDS, output_hidden_states=True)
    assert output.hidden_states[-1] is output.last_hidden_state


def test_add_pooling_layer_false(backend: Backend, bert_folder: Folders) -> None:
    with_pooler = loaded(bert_folder(), backend)
    without = BertModel.from_pretrained(bert_folder(), add_pooling_layer=False, backend=backend)
    found = without(IDS)
    assert found.pooler_output is None
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], with_pooler(IDS)[0])
    assert without.num_parameters() == with_pooler.num_parameters() - 48 * 49


@pytest.mark.parametrize("S", [0, 5])
def test_empty_batch(backend: Backend, bert_folder: Folders, S: int) -> None:
    model = loaded(bert_folder(), backend)
    output = model(np.zeros((0, S), np.int64), output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (0, S, 48)
    assert output.pooler_output.shape == (0, 48)
    assert [x.shape for x in output.hidden_states] == [(0, S, 48)] * 3
    assert [x.shape for x in output.attentions] == [(0, 4, S, S)] * 2


def test_a_call_checks_its_arguments(backend: Backend, bert_folder: Folders) -> None:
    """One of each kind of argument; test_batch.py has them all. The next call is right."""
    model = loaded(bert_folder(), backend)
    wanted = model(IDS).pooler_output
    for arguments, message in (
        ({"input_ids": [[1, 61]]}, "input_ids[0, 1]: wanted 0 to 60, found 61"),
        (
            {"input_ids": IDS, "token_type_ids": [[0, 3, 0]] * 2},
            "token_type_ids[0, 1]: wanted 0 to 2, found 3",
        ),
        ({"input_ids": IDS, "position_ids": [[0, 1, 64]]}, "position_ids[0, 2]: wanted 0 to 63, found 64"),
        ({"inputs_embeds": np.zeros((1, 2, 47))}, "inputs_embeds: wanted the shape [sequences, tokens, 48]"),
        ({"input_ids": np.zeros((1, 65), int)}, "input_ids: wanted rows of at most 64 tokens"),
        ({}, "wanted one of input_ids and inputs_embeds, found neither"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            model(**arguments)
    with pytest.raises(ValueError, match=re.escape("ids[1][0]: wanted 0 to 60, found -1")):
        model.embed([[1], [-1]])
    np.testing.assert_array_equal(model(IDS).pooler_output, wanted)


def test_arguments_are_left_as_they_are(backend: Backend, bert_folder: Folders) -> None:
    """And an answer is the caller's own: the next call does not write into it."""
    model = loaded(bert_folder(), backend)
    arguments = draw_arguments(SMALL, 2, 9, 0, mask="holes", types=True, positions=True, head_mask=True)
    copies = {name: value.copy() for name, value in arguments.items()}
    first = model(**arguments)
    kept = first.last_hidden_state.copy()
    model(np.zeros((2, 9), np.int64))
    for name, value in arguments.items():
        np.testing.assert_array_equal(value, copies[name])
    np.testing.assert_array_equal(first.last_hidden_state, kept)
    assert first.last_hidden_state.flags.writeable
    model(IDS).last_hidden_state[:] = 0
    np.testing.assert_array_equal(model(**arguments).last_hidden_state, kept)


def test_two_threads_call_one_model(backend: Backend, bert_folder: Folders) -> None:
    """From the first call on, when programs are still to be recorded."""
    model = BertModel.from_pretrained(bert_folder(), backend=backend)
    batches = [draw_arguments(SMALL, B, 10 + B, B, mask="right") for B in (1, 2, 3, 4)]
    wanted = [loaded(bert_folder(), backend)(**batch).last_hidden_state for batch in batches]
    found: list[Sequence[np.ndarray]] = [()] * len(batches)
    start = threading.Barrier(len(batches))

    def call(index: int) -> None:
        start.wait()
        found[index] = [model(**batches[index]).last_hidden_state for _ in range(20)]

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for arrays, right in zip(found, wanted, strict=True):
        assert len(arrays) == 20
        for array in arrays:
            np.testing.assert_array_equal(array, right)


def test_a_program_is_recorded_once(bert_folder: Folders) -> None:
    class Counting(Reference):
        recorded = 0

        def record(self, *args: Any, **kwargs: Any) -> Any:
            self.recorded += 1
            return super().record(*args, **kwargs)

    counting = Counting()
    model = BertModel.from_pretrained(bert_folder(), backend=counting)
    for _ in range(3):
        model(IDS)
        model(IDS, np.ones((2, 3)), np.zeros((2, 3), int))
        model(IDS, output_hidden_states=True)
        model.embed(IDS)
        model.embed(IDS, normalize=True)
    assert counting.recorded == 4


# The rest of the class ----------------------------------------------------------------------------------


def test_get_input_embeddings(model: BareModel, bert_folder: Folders) -> None:
    table = torch_model(bert_folder(), torch.float32).get_input_embeddings()
    embeddings = model.get_input_embeddings()
    np.testing.assert_array_equal(embeddings.weight, table.weight.detach().numpy())
    np.testing.assert_array_equal(embeddings(IDS), table(torch.tensor(IDS)).detach().numpy())
    assert embeddings(5).shape == (48,)
    assert (embeddings.num_embeddings, embeddings.embedding_dim) == (61, 48)
    with pytest.raises(ValueError, match=r"^input_ids\[1\]: wanted 0 to 60, found 61$"):
        embeddings([0, 61])
    with pytest.raises(ValueError, match="read-only"):
        embeddings.weight[0] = 0
    by_embeds = model(inputs_embeds=embeddings(IDS))
    np.testing.assert_array_equal(by_embeds.last_hidden_state, model(IDS).last_hidden_state)


def test_num_parameters(model: BareModel, bert_folder: Folders) -> None:
    reference = torch_model(bert_folder(), torch.float32)
    assert model.num_parameters() == reference.num_parameters()
    assert model.num_parameters(only_trainable=True) == reference.num_parameters(only_trainable=True)
    assert model.num_parameters(exclude_embeddings=True) == reference.num_parameters(exclude_embeddings=True)
    assert sum(count for _, count in model.parameter_table()) == reference.num_parameters()


def test_eval_and_forward(model: BareModel) -> None:
    assert model.eval() is model
    np.testing.assert_array_equal(model.forward(IDS)[0], model(IDS)[0])


def test_auto_model(bert_folder: Folders, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(bert_folder(), backend="reference", add_pooling_layer=False)
    assert type(model) is BertModel
    assert model(IDS).pooler_output is None
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match=r"model_type: wanted .*bert.*, found .*llama"):
        AutoModel.from_pretrained(tmp_path)


def test_unknown_backend(bert_folder: Folders) -> None:
    with pytest.raises(ValueError, match=r"^backend: wanted one of cpu, reference, found 'tpu'$"):
        BertModel.from_pretrained(bert_folder(), backend="tpu")
