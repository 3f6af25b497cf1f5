"""`npbert validate`: whether a folder can be used, and what it asks for."""

from __future__ import annotations

import argparse

from npbert.cli.heads import headed, named_class
from npbert.cli.settings import ARCHITECTURES, described, folder_rows
from npbert.cli.streams import show
from npbert.cli.table import table
from npbert.files.names import MODULES_FILE
from npbert.models.open_weights import open_weights
from npbert.models.registry import family_class
from npbert.sentence.cross_encoder_folder import CrossEncoderFolder
from npbert.sentence.folder import SentenceFolder
from npbert.sentence.tail import check_weights, weighted
from npbert.text.auto import AutoTokenizer

WHOLE = "all there and of their shapes"


def run(given: argparse.Namespace) -> None:
    """Prints the settings and what was checked; a failure is an error that names the file."""
    folder, settings, transformer, config = described(given.model)
    with open_weights(transformer, config) as checkpoint:
        found = headed(config, checkpoint)
        rows = [["folder", str(folder), ""], *folder_rows(folder, settings, config, found)]
        named = named_class(config)
        if found is None and named is not None and not folder.has(MODULES_FILE):
            rows.append(["head", f"none: {named.__name__}'s is not in the file", ARCHITECTURES])
        AutoTokenizer.from_pretrained(transformer).check_vocabulary(config.vocab_size)
        rows.append(["tokenizer", "its ids are rows of the word embeddings", ""])
        kind = "ForSequenceClassification" if isinstance(settings, CrossEncoderFolder) else "Model"
        model = found or family_class(config.model_type, kind)
        shapes = model.named_weights(config, checkpoint, pooler=model.uses_pooler()).shapes
        files = ", ".join(path.name for path in checkpoint.paths)
    head = model.head_shapes(config)
    rows.append(["weights", f"{len(shapes) - len(head)} tensors, {WHOLE}", files])
    if head:
        names = ", ".join(f"{name} {list(shape)}" for name, shape in head.items())
        rows.append(["head's weights", f"{len(head)} tensors, {WHOLE}: {names}", files])
    for module in weighted(settings.modules) if isinstance(settings, SentenceFolder) else []:
        file = module.folder.relative_to(folder.path) / check_weights(module)
        rows.append(["weights", f"{len(module.weight_shapes)} tensors, {WHOLE}", str(file)])
    show("\n".join(table(rows, "<<<")))
