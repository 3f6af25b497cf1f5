"""What a folder makes of texts, as rows of a table: what, how, and the file and key that say so."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from npbert.cross_encoder_folder import CrossEncoderFolder, read_cross_encoder_folder
from npbert.json_file import read_json_object
from npbert.sentence_folder import SETTINGS_FILE, SentenceFolder, read_sentence_folder
from npbert.sentence_modules import ACTIVATIONS, Dense, LayerNorm, Module

Settings: TypeAlias = SentenceFolder | CrossEncoderFolder
NAMES = {function: name for name, function in ACTIVATIONS.items()}


def read_settings(folder: Path) -> Settings:
    """A cross-encoder's where sentence-transformers' settings say that it is one, else those for vectors.

    Raises:
        OSError, ValueError: as the readers of either.
    """
    file = folder / SETTINGS_FILE
    kind = read_json_object(file).get("model_type") if file.exists() else None
    return read_cross_encoder_folder(folder) if kind == "CrossEncoder" else read_sentence_folder(folder)


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
