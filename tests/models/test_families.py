"""Every family against transformers, from folders that transformers made: all outputs, all arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import COMMON, DECODERS, FAMILIES, RELATIVE, ROTARY
from npbert_kernels.ops import Backend
from npbert_kernels.reference import Reference
from parity import Folders, assert_parity, assert_same, draw_arguments, loaded, torch_model, torch_outputs
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

import npbert
from npbert import AutoModel
from npbert.models.bert.relative import bias_by_distance, bucket

pytestmark = pytest.mark.filterwarnings("ignore:.*not used")


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each in turn."""
    return str(request.param)


@pytest.fixture
def config(family: str) -> dict[str, Any]:
    return FAMILIES[family][1]


@pytest.fixture
def folder(family: str, family_folder: Folders) -> Path:
    model_type, config = FAMILIES[family]
    return family_folder(model_type, **config)


def longest(folder: Path) -> int:
    return npbert.AutoConfig.from_pretrained(folder).max_tokens


@pytest.mark.parametrize(
    "given",
    [
        {"mask": "right", "types": True},
        {"mask": "left", "positions": True},
        {"mask": "holes", "head_mask": True},
        {"mask": "holes", "embeds": True},
        {"mask": "pairs", "positions": True},
    ],
    ids=str,
)
def test_arguments(folder: Path, config: dict[str, Any], backend: Backend, given: dict[str, Any]) -> None:
    """Of ids, some are the padding's by chance, in places that the mask keeps."""
    for B, S in ((4, 23), (1, longest(folder))):
        assert_parity(folder, backend, **draw_arguments(config, B, S, S, **given))


def test_reference_in_float64_is_the_truth(family: str, folder: Path, config: dict[str, Any]) -> None:
    """Sines and cosines are float32 in transformers as well, and the last bit of one is each library's own."""
    arguments = draw_arguments(config, 3, 20, 0, mask="holes", types=True, positions=True, head_mask=True)
    truth = torch_outputs(folder, torch.float64, arguments)
    found = loaded(folder, Reference(np.float64))(**arguments)
    kept = arguments["attention_mask"].astype(bool)
    np.testing.assert_allclose(
        found[0][kept], truth["last_hidden_state"][kept], rtol=0, atol=1e-6 if family in ROTARY else 1e-12
    )


def test_bits_do_not_depend_on_the_batch(folder: Path, cpu_backend: Backend) -> None:
    """Alone, in a batch, padded on the right: the same; as lists that nobody padded: the same."""
    model = loaded(folder, cpu_backend)
    config = model.config
    rng = np.random.default_rng(0)
    rows = [rng.integers(5, 61, length) for length in (1, 9, 36, 17)]
    ids, mask = np.full((4, 36), config.pad_token_id), np.zeros((4, 36), np.int64)
    for b, row in enumerate(rows):
        ids[b, : len(row)], mask[b, : len(row)] = row, 1
    batch, vectors = model(ids, mask), model.embed(rows, "cls")
    for b, row in enumerate(rows):
        alone = model(row[None]).last_hidden_state[0]
        np.testing.assert_array_equal(batch.last_hidden_state[b, : len(row)], alone)
        np.testing.assert_array_equal(vectors[b], alone[0])
        np.testing.assert_array_equal(model.embed([row.tolist()], "cls")[0], vectors[b])


def test_lists_with_padding_ids_in_them(folder: Path) -> None:
    """Positions are counted as in a padded call."""
    model = loaded(folder, Reference())
    pad = model.config.pad_token_id
    rows = [[5, pad, 6, 7], [pad], [pad, pad, 9], [8]]
    vectors = model.embed(rows, "max")
    for vector, row in zip(vectors, rows, strict=True):
        assert_same(vector, model([row]).last_hidden_state[0].max(axis=0), Reference())


def test_counts_are_those_of_transformers(folder: Path) -> None:
    model, reference = loaded(folder, Reference()), torch_model(folder, torch.float32)
    extra = sum(module.distances.numel() for module in reference.modules() if hasattr(module, "distances"))
    assert model.num_parameters() == reference.num_parameters() + extra
    assert model.num_parameters(exclude_embeddings=True) == reference.num_parameters(exclude_embeddings=True)
    assert "head" not in dict(model.parameter_table())


def test_what_is_saved_is_read_back_by_both(folder: Path, config: dict[str, Any], tmp_path: Path) -> None:
    model = loaded(folder, Reference())
    model.save_pretrained(tmp_path)
    arguments = draw_arguments(config, 2, 11, 0, types=True)
    wanted = model(**arguments)[0]
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path, backend="reference")(**arguments)[0], wanted)
    truth = torch_outputs(folder, torch.float32, arguments)["last_hidden_state"]
    np.testing.assert_array_equal(torch_outputs(tmp_path, torch.float32, arguments)["last_hidden_state"], truth)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(model).__name__]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_encoder_of_a_model_with_a_head(family: str, folder: Path, config: dict[str, Any], tmp_path: Path) -> None:
    """Its tensors have the family's prefix there; what pretraining left besides is no news."""
    reference = torch_model(folder, torch.float32)
    auto = transformers.AutoModelForCausalLM if family in DECODERS else transformers.AutoModelForMaskedLM
    with_head = auto.from_config(transformers.AutoConfig.from_pretrained(folder))
    prefix = with_head.base_model_prefix
    getattr(with_head, prefix).load_state_dict(reference.state_dict(), strict=False)
    with_head.save_pretrained(tmp_path)
    if "relative_" in family:
        pytest.skip("transformers 5 does not save what it lacks")
    model = AutoModel.from_pretrained(tmp_path, backend="reference", add_pooling_layer=False)
    arguments = draw_arguments(config, 2, 11, 0, types=True)
    np.testing.assert_array_equal(model(**arguments)[0], loaded(folder, Reference())(**arguments)[0])


def test_a_row_masked_whole(folder: Path, backend: Backend) -> None:
    """Attends to nothing, as if all heads were masked. Its neighbour does not notice."""
    model = loaded(folder, backend)
    ids, mask = np.array([[7, 8, 9], [14, 15, 16]]), np.array([[0, 0, 0], [1, 1, 0]])
    found = model(ids, mask, output_attentions=True)
    alone = model(ids[:1], np.array([[1, 0, 0]]), head_mask=np.zeros(3))
    assert_same(found[0][0, 0], alone[0][0, 0], backend)
    assert not any(p[0].any() for p in found.attentions)
    assert_same(found[0][1:], model(ids[1:], mask[1:])[0], backend)


def test_too_many_tokens(folder: Path, backend: Backend) -> None:
    model = loaded(folder, backend)
    most = longest(folder)
    ids = np.full((2, most + 1), 5)
    counted = model.config.padding_position is not None
    where, what = (r"\[0\]", "at most {} tokens besides padding") if counted else ("", "rows of at most {} tokens")
    message = rf"^input_ids{where}: wanted {what.format(most)} \(max_position_embeddings\), found {most + 1}$"
    with pytest.raises(ValueError, match=message):
        model(ids)
    width = model.config.embedding_size
    with pytest.raises(ValueError, match=r"^inputs_embeds: wanted rows of at most \d+ tokens"):
        model(inputs_embeds=np.zeros((1, most + 1, width)))
    with pytest.raises(ValueError, match=rf"^ids\[1\]: wanted 1 to {most} tokens \(max_position_embeddings\), found "):
        model.embed([[5], ids[0].tolist()])


def test_other_bad_arguments(folder: Path, backend: Backend) -> None:
    """One of each kind that depends on the family; test_batch.py has the rest."""
    model = loaded(folder, backend)
    types = "0 to [01], found 9" if model.config.architecture.token_types else r"the shape \[1, 2\], found \[1, 1\]"
    types = types if model.config.architecture.token_types is not None else "None: "
    given = [[9, 9]] if model.config.architecture.token_types else [[9]]
    for arguments, message in (
        ({"input_ids": [[61]]}, r"input_ids\[0, 0\]: wanted 0 to 60, found 61"),
        ({"input_ids": [[5, 6]], "token_type_ids": given}, rf"token_type_ids(\[0, 0\])?: wanted {types}"),
        ({"input_ids": [[5, 6]], "position_ids": [[0, 40]]}, r"position_ids\[0, 1\]: wanted 0 to 39, found 40"),
        ({"inputs_embeds": np.zeros((1, 2, 43))}, r"inputs_embeds: wanted the shape \[sequences, tokens, (26|42)\]"),
        ({"input_ids": [[5]], "head_mask": np.ones((2, 3))}, r"head_mask: wanted the shape \[3\] or \[[36], 3\]"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            model(**arguments)


def test_empty_batch(folder: Path, backend: Backend) -> None:
    model = loaded(folder, backend)
    output = model(np.zeros((0, 7), np.int64), output_hidden_states=True, output_attentions=True)
    layers = len(model.config.layer_weights)
    assert output.last_hidden_state.shape == (0, 7, 42)
    assert [x.shape for x in output.hidden_states] == [(0, 7, 42)] * (layers + 1)
    assert [x.shape for x in output.attentions] == [(0, 3, 7, 7)] * layers
    by_embeds = model(inputs_embeds=np.zeros((0, 7, model.config.embedding_size)), head_mask=np.ones(3))
    assert by_embeds.last_hidden_state.shape == (0, 7, 42)


def test_a_call_is_run_in_chunks(folder: Path, cpu_backend: Backend, config: dict[str, Any], monkeypatch: Any) -> None:
    model = loaded(folder, cpu_backend)
    arguments = draw_arguments(config, 6, 12, 1, mask="holes", types=True, head_mask=True)
    whole = model(**arguments, output_attentions=True)
    monkeypatch.setattr("npbert_kernels.cpu.program.CHUNK_TOKENS", 20)
    parts = model(**arguments, output_attentions=True)
    for name in whole:
        for part, one in zip(parts[name], whole[name], strict=True):  # a row each, or a layer
            np.testing.assert_array_equal(part, one, name)


# What single families have -------------------------------------------------------------------------------


def test_rows_longer_than_positions_where_the_rest_is_padding(family_folder: Folders, backend: Backend) -> None:
    """RoBERTa counts tokens, not columns."""
    model_type, config = FAMILIES["roberta"]
    ids = np.full((20, 55), 1)
    ids[:10, 20:50], ids[10:, ::2] = np.random.default_rng(0).integers(2, 61, (10, 30)), 9
    mask = (ids != 1).astype(np.int64)
    mask[:, 0] = 1
    assert_parity(family_folder(model_type, **config), backend, input_ids=ids, attention_mask=mask)


def test_distance_buckets() -> None:
    apart = np.arange(-700, 701)
    theirs = MPNetEncoder.relative_position_bucket(torch.from_numpy(apart)).numpy()
    np.testing.assert_array_equal(bucket(apart), theirs)
    rows = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    bias = bias_by_distance(rows, 200)  # [3, 399]
    for query, key in ((0, 0), (0, 199), (199, 0), (100, 101), (60, 20)):
        np.testing.assert_array_equal(bias[:, key - query + 199], rows[theirs[key - query + 700]])


def test_mpnet_far_apart(family_folder: Folders, backend: Backend) -> None:
    """Beyond the last bucket's edge, and with more buckets than are ever used."""
    config = {**COMMON, "max_position_embeddings": 170, "relative_attention_num_buckets": 40, "num_hidden_layers": 1}
    arguments = draw_arguments(config, 2, 168, 0, mask="holes")
    assert_parity(family_folder("mpnet", **config), backend, **arguments)


@pytest.mark.parametrize("family", RELATIVE, indirect=True)
def test_distances_need_columns_within_the_table(folder: Path, backend: Backend) -> None:
    """Positions that the caller gives do not help rows that are too long."""
    with pytest.raises(ValueError, match=r"^input_ids: wanted rows of at most 40 tokens \(max_position_embeddings\)"):
        loaded(folder, backend)(np.full((1, 41), 5), position_ids=np.full((1, 41), 2))


def test_a_family_without_a_pooler(family_folder: Folders, recwarn: pytest.WarningsRecorder) -> None:
    """None is asked for, none is missed."""
    model_type, config = FAMILIES["distilbert"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), backend="reference")
    assert model([[5]]).pooler_output is None
    assert not recwarn.list


@pytest.mark.parametrize("device", ["mps", "cuda:", "cuda:x", 0])
def test_devices(family_folder: Folders, device: Any) -> None:
    folder = family_folder("mpnet", **COMMON)
    assert AutoModel.from_pretrained(folder, backend="reference", device="cpu")([[5]])[0].shape == (1, 1, 42)
    message = rf"^device: wanted None or 'cpu', 'cuda' or 'cuda:N', found {device!r}$"
    with pytest.raises(ValueError, match=message):
        AutoModel.from_pretrained(folder, device=device)
