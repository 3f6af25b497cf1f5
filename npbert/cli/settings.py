"""What a folder makes of texts, as rows of a table: what, how, and the file and key that say so."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from npbert.cli.heads import VERBS, headed, is_cross_encoder, named_class
from npbert.files.hub import Folder
from npbert.files.names import MODULES_FILE
from npbert.models.auto import read_config
from npbert.models.config import EncoderConfig
from npbert.models.head_models import HeadModel
from npbert.models.heads import KINDS
from npbert.models.open_weights import open_weights
from npbert.sentence.cross_encoder_folder import CrossEncoderFolder, read_cross_encoder_folder
from npbert.sentence.folder import SentenceFolder, read_sentence_folder
from npbert.sentence.modules import ACTIVATIONS, Dense, LayerNorm, Module
from npbert.sentence.names import resolve_sentences

Settings: TypeAlias = SentenceFolder | CrossEncoderFolder
SEQUENCES = "sequence_classification"
MOST_LABELS = 8  # that are shown
OF_TOKENIZER = ("lower case", "max length")
ARCHITECTURES = "config.json: architectures"
NAMES = {function: name for name, function in ACTIVATIONS.items()}


class Described(NamedTuple):
    """What stands in a model's folder besides its weights."""

    folder: Folder
    settings: Settings
    transformer: Folder  # the folder of config.json, the weights and the tokenizer
    config: EncoderConfig


def described(name: str) -> Described:
    """What a model's folder says.

    Raises:
        OSError, ValueError: as those who find it and read it.
    """
    folder = resolve_sentences(name)
    settings = read_settings(folder)
    transformer = folder.inner(settings.transformer)
    return Described(folder, settings, transformer, read_config(transformer))


def read_settings(folder: Folder) -> Settings:
    """A cross-encoder's where the folder is one, else those for vectors.

    Raises:
        OSError, ValueError: as the readers of either.
    """
    if is_cross_encoder(folder) or (not folder.has(MODULES_FILE) and _scores_pairs(folder)):
        return read_cross_encoder_folder(folder)
    return read_sentence_folder(folder)


def _scores_pairs(folder: Folder) -> bool:
    """Whether a model gives one number: it has a head for classification, with one label."""
    config = read_config(folder)
    named = named_class(config)
    if named is None or SEQUENCES not in named.kinds or config.num_labels != 1:
        return False
    with open_weights(folder, config) as checkpoint:
        return headed(config, checkpoint) is not None


def folder_rows(
    folder: Folder, settings: Settings, config: EncoderConfig, model: type[HeadModel] | None
) -> list[list[str]]:
    """As `setting_rows`, of a model with a head only what counts there, and the head and its labels."""
    rows = setting_rows(settings)
    if model and isinstance(settings, SentenceFolder) and not folder.has(MODULES_FILE):
        verbs = [verb for kind in model.kinds for verb in VERBS.get(kind, ())]
        rows = [row for row in rows if row[0] in OF_TOKENIZER]  # nobody makes vectors of its texts
        rows.append(["head", f"{model.__name__}, for {' or '.join(verbs) or 'no verb'}", ARCHITECTURES])
        if any(KINDS[kind].labelled for kind in model.kinds):
            labels = [label for _, label in sorted((config.id2label or {}).items())]
            more = f", ... ({len(labels)})" if len(labels) > MOST_LABELS else ""
            rows.append(["labels", ", ".join(labels[:MOST_LABELS]) + more, "config.json: id2label"])
    return rows


def setting_rows(settings: Settings) -> list[list[str]]:
    """[what, how, source] for each setting, in the order in which a text meets them."""
    sources, default = settings.sources, settings.default_prompt_name
    prompts = ", ".join(f"{name}={text!r}" for name, text in settings.prompts.items() if text)
    lower = "yes, before the tokenizer" if settings.do_lower_case else "as the tokenizer does"
    rows = [
        ["prompts", prompts or "none", sources["prompts"]],
        ["default prompt", "none" if default is None else default, sources["default_prompt_name"]],
        ["lower case", lower, sources["do_lower_case"]],
        ["max length", f"{settings.max_seq_length} tokens", sources["max_seq_length"]],
    ]
    if isinstance(settings, CrossEncoderFolder):
        return [*rows, ["scores", settings.activation, sources["activation"]]]
    pooling = settings.pooling
    modes = " + ".join(pooling.modes) + ("" if pooling.include_prompt else ", without the prompt")
    rows.append(["pooling", modes, sources["pooling"]])
    for module, source in zip(settings.modules, settings.module_sources, strict=True):
        rows.append(["then", _describe(module), source])
    kept = min(settings.width, settings.truncate_dim or settings.width)
    return [
        *rows,
        ["vector", f"{kept} numbers", sources["truncate_dim"] if settings.truncate_dim else "width and pooling"],
        ["similarity", settings.similarity_fn_name, sources["similarity_fn_name"]],
    ]


def _describe(module: Module) -> str:
    if isinstance(module, Dense):
        parts = [f"Dense, {module.in_features} to {module.out_features}", NAMES[module.activation]]
        parts += ["no bias"] * (not module.bias) + ["residual"] * module.use_residual
        return ", ".join(parts)
    return "LayerNorm" if isinstance(module, LayerNorm) else "Normalize: vectors of length 1"
