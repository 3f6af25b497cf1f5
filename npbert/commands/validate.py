"""`npbert validate`: whether a folder can be used, and what it asks for."""

from __future__ import annotations

import argparse

from npbert.commands.settings import read_settings, setting_rows
from npbert.commands.table import table
from npbert.config import AutoConfig
from npbert.families import family_class
from npbert.lora import open_weights
from npbert.sentence_folder import SentenceFolder
from npbert.sentence_forward import check_weights, weighted
from npbert.sentence_names import resolve_sentences
from npbert.tokenizer import AutoTokenizer

WHOLE = "tensors, all there and of their shapes"


def run(given: argparse.Namespace) -> None:
    """Prints the settings and what was checked; a failure is an error that names the file."""
    folder = resolve_sentences(given.model)
    settings = read_settings(folder)
    config = AutoConfig.from_pretrained(settings.transformer)
    rows = [["folder", str(folder), ""], *setting_rows(settings)]
    AutoTokenizer.from_pretrained(settings.transformer).check_vocabulary(config.vocab_size)
    rows.append(["tokenizer", "its ids are rows of the word embeddings", ""])
    modules = weighted(settings.modules) if isinstance(settings, SentenceFolder) else []
    kind = "Model" if isinstance(settings, SentenceFolder) else "ForSequenceClassification"
    model = family_class(config.model_type, kind)
    with open_weights(settings.transformer, config) as checkpoint:
        shapes = model.named_weights(config, checkpoint, pooler=model.uses_pooler()).shapes
        rows.append(["weights", f"{len(shapes)} {WHOLE}", ", ".join(path.name for path in checkpoint.paths)])
    for module in modules:
        file = module.folder.relative_to(folder) / check_weights(module)
        rows.append(["weights", f"{len(module.weight_shapes)} {WHOLE}", str(file)])
    print("\n".join(table(rows, "<<<")))
