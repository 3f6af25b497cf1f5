"""`npbert validate`: whether a folder can be used, and what it asks for."""

from __future__ import annotations

import argparse

from npbert.checkpoint import Checkpoint
from npbert.commands.settings import setting_rows
from npbert.commands.table import table
from npbert.config import AutoConfig
from npbert.hub import resolve
from npbert.sentence_folder import SENTENCE_FILES, read_sentence_folder
from npbert.sentence_forward import check_weights, weighted
from npbert.tokenizer import AutoTokenizer
from npbert.weights import NamedWeights, encoder_shapes


def run(given: argparse.Namespace) -> None:
    """Prints the settings and what was checked; a failure is an error that names the file."""
    folder = resolve(given.model, patterns=SENTENCE_FILES)
    settings = read_sentence_folder(folder)
    config = AutoConfig.from_pretrained(settings.transformer)
    rows = [["folder", str(folder), ""], *setting_rows(settings)]
    AutoTokenizer.from_pretrained(settings.transformer).check_vocabulary(config.vocab_size)
    rows.append(["tokenizer", "its ids are rows of the word embeddings", ""])
    with Checkpoint.open(settings.transformer) as checkpoint:
        shapes = encoder_shapes(config, pooler=False)
        NamedWeights(checkpoint, config.family.prefix, shapes)
        names = ", ".join(path.name for path in checkpoint.paths)
    rows.append(["weights", f"{len(shapes)} tensors, all there and of their shapes", names])
    for module in weighted(settings.modules):
        file = module.folder.relative_to(folder) / check_weights(module)
        rows.append(["weights", f"{len(module.weight_shapes)} tensors, all there and of their shapes", str(file)])
    print("\n".join(table(rows, "<<<")))
