"""`npbert info`: what a model is, which file says so, and what it takes."""

from __future__ import annotations

import argparse
import importlib
import math
from contextlib import suppress

from npbert.cli.heads import headed
from npbert.cli.process import megabytes, peak_memory
from npbert.cli.settings import Settings, described, folder_rows
from npbert.cli.streams import show
from npbert.cli.table import table
from npbert.files.checkpoint import Checkpoint
from npbert.files.hub import Folder
from npbert.models.config import EncoderConfig
from npbert.models.head_models import HeadModel
from npbert.models.heads import tied
from npbert.models.model import BareModel
from npbert.models.open_weights import open_weights
from npbert.sentence.folder import SentenceFolder
from npbert.sentence.tail import weighted
from npbert.text.auto import AutoTokenizer

WORDS = "word embeddings"
TAIL = "after pooling"
POOLER = "pooler"  # sentence vectors do without it
HEAD = "head"
GROUPS = {
    "attention": "encoder",
    "relative positions": "encoder",
    "feed-forward": "encoder",
    "last LayerNorm": "encoder",
    POOLER: POOLER,
    HEAD: HEAD,
    TAIL: TAIL,
}
BYTES = 4  # of a float32


def run(given: argparse.Namespace) -> None:
    """Prints it all; of the weights only the headers are read."""
    folder, settings, transformer, config = described(given.model)
    with open_weights(transformer, config) as checkpoint:
        model = headed(config, checkpoint)
        # Says what is missing or of another shape.
        named = (model or BareModel).named_weights(
            config, checkpoint, pooler=config.architecture.has_pooler(checkpoint)
        )
        counts = dict(config.architecture.parameter_table(config, named.shapes))
        of_int8 = {name: named.shapes[name] for name in filter(named.is_int8, named.shapes)}
        int8 = dict(config.architecture.parameter_table(config, of_int8))
        weights = _describe_weights(checkpoint)
    modules = weighted(settings.modules) if isinstance(settings, SentenceFolder) else []
    if modules:
        counts[TAIL] = sum(math.prod(shape) for module in modules for shape in module.weight_shapes.values())
    # What every process with a model holds, so that it is part of the memory.
    with suppress(FileNotFoundError):  # a model does without a tokenizer
        AutoTokenizer.from_pretrained(transformer)
    importlib.import_module("npbert_kernels.cpu")

    again = (
        counts.get(WORDS, 0)
        if model and any(tied(config, config.architecture.heads[kind]) for kind in model.kinds)
        else 0
    )
    tables = (
        table(_facts(folder, config, settings, weights, model), "<<<"),
        _parameter_table(counts),
        _memory_table(config, counts, int8, settings, again),
    )
    show("\n\n".join("\n".join(lines) for lines in tables))


def _describe_weights(checkpoint: Checkpoint) -> tuple[str, str]:
    stored = sorted({checkpoint.dtype(name) for name in checkpoint if not name.endswith("position_ids")})
    size = sum(path.stat().st_size for path in checkpoint.paths)
    names = [path.name for path in checkpoint.paths]
    computed = "int8 and float32" if "I8" in stored else "float32"
    return f"{', '.join(stored)}, {megabytes(size)}; computed in {computed}", ", ".join(names)


def _facts(
    folder: Folder, config: EncoderConfig, settings: Settings, weights: tuple[str, str], model: type[HeadModel] | None
) -> list[list[str]]:
    architecture = ", ".join(getattr(config, "architectures", None) or []) or config.model_type
    return [
        ["folder", str(folder), ""],
        ["architecture", architecture, "config.json: architectures"],
        [
            "layers",
            f"{config.num_hidden_layers} of width {config.hidden_size}, "
            f"{config.num_attention_heads} heads of {config.head_size}, "
            f"feed-forward {config.intermediate_size}, {config.hidden_act}",
            "config.json",
        ],
        ["vocabulary", f"{config.vocab_size:,} tokens", "config.json: vocab_size"],
        ["weights", *weights],
        *folder_rows(folder, settings, config, model),
    ]


def _parameter_table(counts: dict[str, int]) -> list[str]:
    """Embeddings, encoder and pooler, the first two with what they are made of."""
    total = sum(counts.values())
    rows = [["part", "parameters", "share", "in float32"]]

    def row(part: str, count: int) -> None:
        rows.append([part, f"{count:,}", f"{100 * count / total:.1f} %", megabytes(count * BYTES)])

    groups: dict[str, dict[str, int]] = {}
    for part, count in counts.items():
        groups.setdefault(GROUPS.get(part, "embeddings"), {})[part] = count
    for group, parts in groups.items():
        row(group, sum(parts.values()))
        for part, count in parts.items() if len(parts) > 1 else ():
            row(f"  {part}", count)
    row("all", total)
    return table(rows, "<>>>")


def _memory_table(
    config: EncoderConfig, counts: dict[str, int], int8: dict[str, int], settings: Settings, again: int
) -> list[str]:
    """int8: those of the counts that are of int8. again: how many word embeddings a head has packed for itself."""
    sizes = {part: count * BYTES - int8.get(part, 0) * (BYTES - 1) for part, count in counts.items()}
    packed = sum(size for part, size in sizes.items() if part not in (WORDS, POOLER)) + again * BYTES
    words = sizes.get(WORDS, 0)
    cpu = importlib.import_module("npbert_kernels.cpu")
    # At once: a row, its query, key, value and context; or the row, what its feed-forward gives, and the wide one.
    widest = max(5 * config.hidden_size, 2 * config.hidden_size + config.intermediate_size)
    activations = cpu.workspace_bytes(widest * BYTES, settings.max_seq_length)
    base = peak_memory() or 0
    rows = [
        ["memory it will take", "", ""],
        ["Python, libraries, tokenizer", megabytes(base), "measured just now"],
        ["weights", megabytes(packed), f"{'int8 and ' if int8 else ''}float32, in the order that the kernels read"],
        ["word embeddings", f"0 to {megabytes(words)}", "stay in the file; only rows in use are read"],
        [
            "activations",
            f"0 to {megabytes(activations)}",
            f"at texts of {settings.max_seq_length:,} tokens, threads: {cpu.get_num_threads()}",
        ],
        ["all", f"{megabytes(base + packed)} to {megabytes(base + packed + words + activations)}", ""],
    ]
    return table(rows, "<><")
