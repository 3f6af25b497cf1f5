"""How a folder turns texts into vectors, as rows of a table: what, how, and the file and key that say so."""

from __future__ import annotations

from npbert.sentence_folder import SentenceFolder
from npbert.sentence_modules import ACTIVATIONS, Dense, LayerNorm, Module

NAMES = {function: name for name, function in ACTIVATIONS.items()}


def setting_rows(settings: SentenceFolder) -> list[list[str]]:
    """[what, how, source] for each setting, in the order in which a text meets them."""
    sources = settings.sources
    prompts = ", ".join(f"{name}={text!r}" for name, text in settings.prompts.items() if text)
    default = settings.default_prompt_name
    rows = [
        ["prompts", prompts or "none", sources["prompts"]],
        ["default prompt", "none" if default is None else default, sources["default_prompt_name"]],
        [
            "lower case",
            "yes, before the tokenizer" if settings.do_lower_case else "as the tokenizer does",
            sources["do_lower_case"],
        ],
        ["max length", f"{settings.max_seq_length} tokens", sources["max_seq_length"]],
        [
            "pooling",
            " + ".join(settings.pooling.modes) + ("" if settings.pooling.include_prompt else ", without the prompt"),
            sources["pooling"],
        ],
    ]
    for module, source in zip(settings.modules, settings.module_sources, strict=True):
        rows.append(["then", _describe(module), source])
    kept = min(settings.width, settings.truncate_dim or settings.width)
    rows += [
        ["vector", f"{kept} numbers", sources["truncate_dim"] if settings.truncate_dim else "width and pooling"],
        ["similarity", settings.similarity_fn_name, sources["similarity_fn_name"]],
    ]
    return rows


def _describe(module: Module) -> str:
    if isinstance(module, Dense):
        parts = [f"Dense, {module.in_features} to {module.out_features}", NAMES[module.activation]]
        parts += ["no bias"] * (not module.bias) + ["residual"] * module.use_residual
        return ", ".join(parts)
    return "LayerNorm" if isinstance(module, LayerNorm) else "Normalize: vectors of length 1"
