"""Which head a folder has, and the verb that is for it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from npbert.files.checkpoint import Checkpoint
from npbert.files.hub import Folder
from npbert.files.names import MODULES_FILE
from npbert.models.auto import read_config
from npbert.models.config import EncoderConfig
from npbert.models.head_models import HeadModel
from npbert.models.open_weights import open_weights
from npbert.models.registry import family_class
from npbert.models.weights import canonical_name
from npbert.sentence.folder import SETTINGS_FILE

Loaded = TypeVar("Loaded")

VERBS = {
    "masked_lm": ("fill-mask",),
    "token_classification": ("ner",),
    "sequence_classification": ("classify", "zero-shot", "rerank"),
    "question_answering": ("qa",),
}
"""What a head is for -> the verbs for it."""

WANTED = {
    None: "that makes vectors of sentences",
    "masked_lm": "with a head for masked words",
    "token_classification": "with a head for token classification",
    "sequence_classification": "with a head for sequence classification",
    "question_answering": "with a head for question answering",
}
"""What a verb wants -> how that is said."""


def named_class(config: EncoderConfig) -> type[HeadModel] | None:
    """The class with a head that config.json names, if npbert has it."""
    name = (config.architectures or [""])[0]
    found: type[HeadModel] | None = family_class(config.model_type, name[name.find("For") :]) if "For" in name else None
    return found


def headed(config: EncoderConfig, checkpoint: Checkpoint) -> type[HeadModel] | None:
    """The class that config.json names, if the file has its head: many name one and leave it out."""
    model = named_class(config)
    if model is None:
        return None
    names = {canonical_name(stored, config.architecture.prefix) for stored in checkpoint}
    names |= {name for name, others in model.head_aliases(config).items() if not names.isdisjoint(others)}
    return model if model.head_shapes(config).keys() <= names else None


def is_cross_encoder(folder: Folder) -> bool:
    """Whether sentence-transformers' settings say so."""
    return folder.optional_values(SETTINGS_FILE).get("model_type") == "CrossEncoder"


def load_for(given: argparse.Namespace, kind: str | None, folder: Folder, load: Callable[[Folder], Loaded]) -> Loaded:
    """What `load` gives of a model's folder.

    Args:
        given: verb and model.
        kind: of the head that it wants, of `heads.KINDS`; None for sentences, which want none.

    Raises:
        ValueError: as `load`; or the folder is one for another verb, which is named.
        OSError: as `load`.
    """
    # Two heads may have tensors of the same names and shapes, and mean something else by them.
    if kind is not None and _names_another(folder, kind):
        _refuse_other(given, kind, folder)
    try:
        return load(folder)
    except ValueError:
        _refuse_other(given, kind, folder)
        raise


def _names_another(folder: Folder, kind: str) -> bool:
    with suppress(OSError, ValueError):  # `load` says more
        named = named_class(read_config(folder))
        return named is not None and kind not in named.kinds
    return False


def _refuse_other(given: argparse.Namespace, kind: str | None, folder: Folder) -> None:
    """Raises ValueError where a folder is well, and for another verb."""
    found = None
    with suppress(OSError, ValueError):
        found = _other_use(folder, kind)
    if found is not None:
        what, verbs = found
        other = f"npbert {' or '.join(verbs)}" if verbs else "no verb"
        wanted = f"npbert {given.verb} wants a model {WANTED[kind]}"
        raise ValueError(f"{given.model}: {wanted}, found {what}: {other} is for that")


def _other_use(folder: Folder, kind: str | None) -> tuple[str, Sequence[str]] | None:
    """What a folder has in the place of a head of the kind, and the verbs for it."""
    cross = is_cross_encoder(folder)
    if kind is None:
        return ("a cross-encoder", ("rerank",)) if cross else None
    if folder.has(MODULES_FILE) and not cross:
        return "one that makes vectors of sentences", ("embed", "similarity")
    config = read_config(folder)
    with open_weights(folder, config) as checkpoint:
        model = headed(config, checkpoint)
    if model is None or kind in model.kinds:
        return None
    return model.__name__, [verb for other in model.kinds for verb in VERBS.get(other, ())]
