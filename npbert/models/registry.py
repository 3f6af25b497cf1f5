"""The architectures: a module each, imported when a model of it is."""

from __future__ import annotations

import importlib
from typing import Any

MODEL_TYPES: dict[str, tuple[str, str]] = {
    "albert": ("npbert.models.bert.albert", "Albert"),
    "bert": ("npbert.models.bert.bert", "Bert"),
    "camembert": ("npbert.models.bert.roberta", "Camembert"),
    "distilbert": ("npbert.models.bert.distilbert", "DistilBert"),
    "electra": ("npbert.models.bert.electra", "Electra"),
    "gpt2": ("npbert.models.gpt2", "GPT2"),
    "modernbert": ("npbert.models.modernbert", "ModernBert"),
    "mpnet": ("npbert.models.bert.mpnet", "MPNet"),
    "roberta": ("npbert.models.bert.roberta", "Roberta"),
    "xlm-roberta": ("npbert.models.bert.roberta", "XLMRoberta"),
}
"""model_type -> the module that has its classes, and how their names begin."""


def family_class(model_type: str, kind: str) -> Any:
    """A class of a model_type by what its name ends with: Config, Model, ForMaskedLM, ... None if it has none such."""
    module, stem = MODEL_TYPES[model_type]
    return getattr(importlib.import_module(module), stem + kind, None)
