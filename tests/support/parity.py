"""Models against transformers: the truth is transformers in float64, the measure torch's own float32.

What transformers 5 has no more is done to its models here: head_mask by scaling values, position_embedding_type by an
attention function of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from conftest import assert_as_close_as_torch
from npbert_kernels.ops import Backend
from safetensors.numpy import load_file
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import PreTrainedModel
from transformers.models.modernbert import modeling_modernbert

from npbert import AutoModel
from npbert.models.model import BareModel

Folders = Callable[..., Path]
FIELDS = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")
VALUES = (".value", ".v_lin", ".attn.v")  # how the linears of attention's values are called
FUSED = (".Wqkv", ".c_attn")  # and those of queries, keys and values


@cache
def torch_model(folder: Path, dtype: torch.dtype, auto: Any = transformers.AutoModel) -> Any:
    """auto: the class that loads it."""
    config = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(config, "position_embedding_type", "absolute")
    attention = "eager" if kind == "absolute" else kind
    if config.model_type in PLAIN:
        attention = "plain"
    model = auto.from_pretrained(folder, attn_implementation=attention)
    if kind != "absolute":
        with torch.no_grad():
            model.base_model.embeddings.position_embeddings.weight.zero_()
        for name, rows in load_file(folder / "model.safetensors").items():
            if name.endswith(".distance_embedding.weight"):
                model.get_submodule(name.removesuffix(".distance_embedding.weight")).distances = torch.tensor(rows)
    for module in model.modules():
        if hasattr(module, "distances"):
            module.distances = module.distances.to(dtype)
    return model.to(dtype).eval()


def relative_attention(
    module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's relative_key and relative_key_query (https://arxiv.org/abs/2009.13658), as transformers 4 had them."""
    length, P = q.shape[2], len(module.distances) // 2 + 1
    columns = torch.arange(length)
    apart = module.distances[columns[:, None] - columns + P - 1]  # [length, length, D]
    by_distance = torch.einsum("bhld,lrd->bhlr", q, apart)
    if module.config.position_embedding_type == "relative_key_query":
        by_distance = by_distance + torch.einsum("bhrd,lrd->bhlr", k, apart)
    scaled = math.sqrt(q.shape[-1])
    scores = q @ k.transpose(2, 3) / scaled
    scores = scores + (by_distance if module.config.model_type == "albert" else by_distance / scaled)
    probs = (scores if mask is None else scores + mask).softmax(-1)
    return (probs @ v).transpose(1, 2).contiguous(), probs


PLAIN = ("modernbert", "gpt2")
"""Families whose queries may be left without a key, where transformers has NaN or something of all keys, or of which it
computes softmax and angles in float32 whatever the model's dtype is."""


def plain_attention(
    module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """As transformers' own in eager mode, in the dtype of the queries; a query without a key gets zeros."""
    scores = q @ k.transpose(2, 3) * kwargs["scaling"]
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else (mask == 0).expand_as(scores)
    queries, keys = q.shape[2], k.shape[2]
    behind = torch.arange(keys) - torch.arange(keys - queries, keys)[:, None]
    if (window := kwargs.get("sliding_window")) is not None:  # which a mask of pairs has not in it
        allowed = allowed & (behind.abs() < window)
    if module.is_causal:
        allowed = allowed & (behind <= 0)
    probs = scores.masked_fill(~allowed, -torch.inf).softmax(-1).masked_fill(~allowed, 0.0)
    return (probs @ v).transpose(1, 2).contiguous(), probs


def rotated(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, ...]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return tuple(x * cos + modeling_modernbert.rotate_half(x) * sin for x in (q, k))


modeling_modernbert.apply_rotary_pos_emb = rotated
for name, attention in (
    ("relative_key", relative_attention),
    ("relative_key_query", relative_attention),
    ("plain", plain_attention),
):
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, eager_mask)


@cache
def loaded(folder: Path, backend: Backend) -> BareModel:
    return AutoModel.from_pretrained(folder, backend=backend)


def torch_outputs(folder: Path, dtype: torch.dtype, arguments: dict[str, Any]) -> dict[str, Any]:
    """transformers' outputs as arrays; for lists, one for each layer."""
    model = torch_model(folder, dtype)
    tensors = {name: torch.as_tensor(np.array(value)) for name, value in arguments.items()}
    if "inputs_embeds" in tensors:
        tensors["inputs_embeds"] = tensors["inputs_embeds"].to(dtype)
    if (pairs := tensors.get("attention_mask")) is not None and pairs.ndim == 4:  # transformers adds it to scores
        tensors["attention_mask"] = torch.zeros(pairs.shape, dtype=dtype).masked_fill(~pairs, torch.finfo(dtype).min)
    mask = tensors.pop("head_mask", None)
    with torch.no_grad(), head_masked(model, mask):
        output = model(**tensors, output_hidden_states=True, output_attentions=True)
    found: dict[str, Any] = {
        name: [t.numpy() for t in value] if isinstance(value, tuple) else value.numpy()
        for name, value in output.items()
        if name in FIELDS
    }
    if mask is not None:
        rows = np.broadcast_to(mask, (len(found["attentions"]), mask.shape[-1]))
        found["attentions"] = [p * row[:, None, None] for p, row in zip(found["attentions"], rows, strict=True)]
    return found


class head_masked:  # noqa: N801
    """transformers 5 has no head_mask. A factor on a head's probabilities is one on its values."""

    def __init__(self, model: PreTrainedModel, head_mask: torch.Tensor | None) -> None:
        self.head_mask, self.calls = head_mask, 0
        self.values = [module for name, module in model.named_modules() if name.endswith(VALUES + FUSED)]
        self.fused = {module for name, module in model.named_modules() if name.endswith(FUSED)}

    def scale(self, module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """Called for one layer after another, whichever share their weights. output [B, S, N D], or [B, S, 3 N D]."""
        assert self.head_mask is not None
        row = self.head_mask if self.head_mask.ndim == 1 else self.head_mask[self.calls]
        self.calls += 1
        if module in self.fused:
            row = torch.cat([torch.ones(2 * len(row)), row])
        return output * row.repeat_interleave(output.shape[-1] // len(row)).to(output.dtype)

    def __enter__(self) -> None:
        values = self.values if self.head_mask is not None else []
        self.hooks = [module.register_forward_hook(self.scale) for module in values]

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()


def flat_outputs(outputs: dict[str, Any], arguments: dict[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each output, and each layer's, with where in it something is computed."""
    B, S = outputs["last_hidden_state"].shape[:2]
    mask = np.asarray(arguments.get("attention_mask", np.ones((B, S)))).astype(bool)
    pairs = mask.ndim == 4
    queries = np.ones((B, S), bool) if pairs else mask.copy()
    queries[:, 0] = True
    there = {
        "pooler_output": np.ones(B, bool),
        "attentions": mask if pairs else queries[:, None, :, None] & mask[:, None, None],
    }
    flat = {}
    for name in outputs:
        several = isinstance(outputs[name], (list, tuple))
        for layer, array in enumerate(outputs[name] if several else [outputs[name]]):
            where = there.get(name, queries)
            if name == "attentions":
                where = np.broadcast_to(where, array.shape)
            flat[f"{name}[{layer}]" if several else name] = (array, where)
    return flat


MEASURED_TOKENS = 2000


def torch_errors(folder: Path, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """The truth, and the largest error of torch's own float32 in each output.

    The largest of a few numbers is a matter of luck, so torch is tried on more rows than a small batch has.
    """
    truth = torch_outputs(folder, torch.float64, arguments)
    more = dict(arguments)
    B, S = truth["last_hidden_state"].shape[:2]
    copies = MEASURED_TOKENS // (B * S)
    if copies > 1:
        rng = np.random.default_rng(0)
        for name, array in more.items():
            if name != "head_mask":
                more[name] = np.concatenate([array] * copies)
        if "inputs_embeds" in more:
            more["inputs_embeds"][B:] = rng.standard_normal(more["inputs_embeds"][B:].shape)
        else:
            vocab_size = torch_model(folder, torch.float64).config.vocab_size
            more["input_ids"][B:] = rng.integers(0, vocab_size, more["input_ids"][B:].shape)
    errors: dict[str, float] = {}
    for batch in (arguments, more) if copies > 1 else (arguments,):
        right, found = (
            flat_outputs(torch_outputs(folder, dtype, batch), batch) for dtype in (torch.float64, torch.float32)
        )
        for name, (wanted, where) in right.items():
            error = np.abs(found[name][0][where] - wanted[where]).max(initial=0)
            errors[name] = max(errors.get(name, 0.0), error)
    return truth, errors


def assert_parity(folder: Path, backend: Backend, **arguments: Any) -> None:
    """Every output, at every position that is computed; the others are 0."""
    truth, errors = torch_errors(folder, arguments)
    model = loaded(folder, backend)
    output = model(**arguments, output_hidden_states=True, output_attentions=True)
    assert_close(dict(output), truth, errors, arguments)
    plain = dict(model(**arguments))
    assert_close(plain, {name: truth[name] for name in plain}, errors, arguments)


def assert_same(found: np.ndarray, wanted: np.ndarray, backend: Backend, what: str = "") -> None:
    """One thing computed in two batches: on the CPU the same bits. NumPy's products sum in an order that goes by the
    batch, and a row in a thousand, whose norms divide by little, is off by twenty times the others' 1e-6.
    """
    if backend.name == "cpu":
        np.testing.assert_array_equal(found, wanted, what)
    else:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4, err_msg=what)


def assert_close(
    output: dict[str, Any], truth: dict[str, Any], errors: dict[str, float], arguments: dict[str, Any]
) -> None:
    """Each output of a call to its truth; `errors` are torch's own."""
    found, wanted = flat_outputs(output, arguments), flat_outputs(truth, arguments)
    assert found.keys() == wanted.keys()
    for name, (array, where) in found.items():
        assert array.shape == wanted[name][0].shape
        assert not array[~where].any(), f"{name}: not 0 where the mask excludes it"
        assert_as_close_as_torch(array[where], wanted[name][0][where], errors[name], name)


def draw_arguments(config: dict[str, Any], B: int, S: int, seed: int, **given: str | bool) -> dict[str, Any]:
    """Arguments of a call. Each row keeps a token: what a row without any gives is tested by itself."""
    rng = np.random.default_rng(seed)
    arguments: dict[str, Any] = {}
    hidden_size = config.get("hidden_size", config.get("dim"))
    if given.get("embeds"):
        width = config.get("embedding_size", hidden_size)
        arguments["inputs_embeds"] = rng.standard_normal((B, S, width), np.float32)
    else:
        arguments["input_ids"] = rng.integers(0, config["vocab_size"], (B, S))
    mask = given.get("mask", "none")
    if mask == "right":
        arguments["attention_mask"] = (np.arange(S) < rng.integers(1, S + 1, (B, 1))).astype(np.int64)
    elif mask == "left":
        arguments["attention_mask"] = (np.arange(S) >= rng.integers(0, S, (B, 1))).astype(np.int64)
    elif mask == "holes":
        holes = rng.random((B, S)) < 0.6
        holes[np.arange(B), rng.integers(0, S, B)] = True
        arguments["attention_mask"] = holes.astype(np.int64)
    elif mask == "pairs":
        arguments["attention_mask"] = (rng.random((B, 1, S, S)) < 0.5) | np.eye(S, dtype=bool)
    if given.get("types") and "type_vocab_size" in config:
        arguments["token_type_ids"] = rng.integers(0, config["type_vocab_size"], (B, S))
    if given.get("positions"):
        arguments["position_ids"] = rng.integers(0, config["max_position_embeddings"], (B, S))
    if given.get("head_mask"):
        layers = config.get("num_hidden_layers", config.get("n_layers")) * config.get("inner_group_num", 1)
        shape = (layers, config.get("num_attention_heads", config.get("n_heads")))
        arguments["head_mask"] = rng.choice([0.0, 0.25, 1.0, 2.0], shape).astype(np.float32)
    return arguments
