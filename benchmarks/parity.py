"""`python -m benchmarks.parity MODEL`: npbert beside transformers, tensor by tensor in the order of computing.

Truth is transformers in float64; the measure is torch's own float32. A tensor diverges where npbert's largest
error is more than twice torch's, and more than four roundings of the tensor's largest number: what the last steps
of a LayerNorm cost anyone, where torch happens to be luckier than that. The exit status is 1 if one does.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import npbert
from npbert.files.hub import resolve

from .report import table

Feed = dict[str, NDArray[np.int64]]
FLOOR = 4 * float(np.finfo(np.float32).eps) / 2  # of the largest number
SHORT = (1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 100)


@dataclass(frozen=True)
class Row:
    """One tensor: the largest errors over all batches, at positions that the mask keeps."""

    name: str
    largest: float  # of the truth
    error: float  # npbert's
    torch_error: float

    @property
    def bound(self) -> float:
        return max(2 * self.torch_error, FLOOR * self.largest)

    @property
    def diverges(self) -> bool:
        return not self.error <= self.bound  # a NaN diverges as well

    @property
    def ratio(self) -> float:
        return self.error / self.torch_error if self.torch_error else float(self.error > 0) * np.inf

    def merged(self, other: Row) -> Row:
        largest = np.maximum(*((r.largest, r.error, r.torch_error) for r in (self, other)))  # NaN stays
        return Row(self.name, *largest.tolist())


def batches(config: npbert.BertConfig) -> Iterator[Feed]:
    """Mixed lengths up to the most that the model takes, token types, padding at the end and at the front, holes.

    Two batches, of short and of long rows: transformers pads, and in float64 attentions take 8 N S^2 bytes a row.
    """
    most = config.max_position_embeddings
    short = [n for n in SHORT if n < most]
    yield _batch(config, short + short[-3:], np.random.default_rng(0))
    yield _batch(config, [most, max(1, most - 1), most], np.random.default_rng(1))


def _batch(config: npbert.BertConfig, lengths: Sequence[int], rng: np.random.Generator) -> Feed:
    """The last row has holes, position 0 one of them; the one before is padded at its front as well."""
    shape = len(lengths), max(lengths)
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    mask[-1, : lengths[-1]] = rng.integers(0, 2, lengths[-1])
    mask[-1, 0] = 0 if lengths[-1] > 1 else 1
    mask[-1, lengths[-1] - 1] = 1
    mask[-2, : lengths[-2] // 3] = 0
    types = np.arange(shape[1]) >= rng.integers(0, shape[1], (shape[0], 1))  # pairs: a first and a second text
    return {
        "input_ids": rng.integers(0, config.vocab_size, shape),
        "attention_mask": mask,
        "token_type_ids": types * (config.type_vocab_size - 1),
    }


def kept(name: str, tensor: NDArray[Any], mask: NDArray[np.int64]) -> NDArray[Any]:
    """What is compared: tokens [B, S, H] and queries [B, N, S, S] that the mask keeps, and position 0."""
    if name == "pooler_output":
        return tensor
    asks = mask.astype(bool)
    asks[:, 0] = True
    return tensor.swapaxes(1, 2)[asks] if name.startswith("attentions") else tensor[asks]


def tensors(output: Any) -> dict[str, NDArray[Any]]:
    """The tensors of an output of either library by name, in the order of computing."""
    named = {"hidden_states[0], embeddings": output.hidden_states[0]}
    layers = zip(output.attentions, output.hidden_states[1:], strict=True)
    for layer, (attentions, hidden_state) in enumerate(layers):
        named[f"attentions[{layer}]"] = attentions
        named[f"hidden_states[{layer + 1}]"] = hidden_state
    named["last_hidden_state"] = output.last_hidden_state
    if output.pooler_output is not None:
        named["pooler_output"] = output.pooler_output
    return {name: np.asarray(tensor) for name, tensor in named.items()}


def compare(folder: Path, backend: str) -> list[Row]:
    """A row for each tensor."""
    import torch
    from transformers import BertModel

    own = npbert.BertModel.from_pretrained(folder, backend=backend)
    wanted: dict[str, bool] = {"output_attentions": True, "output_hidden_states": True}
    feeds = list(batches(own.config))
    found = [tensors(own(**feed, **wanted)) for feed in feeds]
    # Eager attention is the one that returns attentions. A pooler that the file lacks would be made up.
    exact, plain = (
        BertModel.from_pretrained(
            folder, add_pooling_layer="pooler_output" in found[0], attn_implementation="eager", dtype=dtype
        ).eval()
        for dtype in (torch.float64, torch.float32)
    )
    rows: dict[str, Row] = {}
    for feed, ours in zip(feeds, found, strict=True):
        arguments: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feed.items()}
        with torch.inference_mode():
            truths, torchs = (tensors(model(**arguments, **wanted)) for model in (exact, plain))
        for name in truths:
            truth, mine, theirs = (kept(name, t[name], feed["attention_mask"]) for t in (truths, ours, torchs))
            errors = (np.abs(truth).max(), np.abs(mine - truth).max(), np.abs(theirs - truth).max())
            row = Row(name, *map(float, errors))
            rows[name] = rows[name].merged(row) if name in rows else row
    return list(rows.values())


def render(rows: Sequence[Row]) -> str:
    """The table, and which tensor diverges first."""
    cells = [
        [
            row.name,
            f"{row.largest:.3g}",
            f"{row.error:.2e}",
            f"{row.torch_error:.2e}",
            f"{row.ratio:.2f}",
            "DIVERGES" if row.diverges else "ok",
        ]
        for row in rows
    ]
    head = ("tensor", "largest", "npbert's error", "torch's error", "ratio", "")
    first = next((row for row in rows if row.diverges), None)
    verdict = (
        "All tensors are as close to float64 as torch's own float32, within a factor of two."
        if first is None
        else f"First to diverge: {first.name}: off by {first.error:.3g}, allowed {first.bound:.3g}."
    )
    return f"{table(head, cells)}\n{verdict}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity",
        description="npbert beside transformers in float64, tensor by tensor",
    )
    parser.add_argument("model", help="a folder, package:NAME or a hub id")
    parser.add_argument("--backend", choices=("cpu", "reference"), default="cpu")
    given = parser.parse_args(arguments)
    os.environ.update(TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no weights for a pooler")
        rows = compare(resolve(given.model).path, given.backend)
    print(render(rows))
    return int(any(row.diverges for row in rows))


if __name__ == "__main__":
    sys.exit(main())
