"""The families of encoders: a module each, imported when a model of the family is."""

from __future__ import annotations

import importlib
from typing import Any

MODEL_TYPES: dict[str, tuple[str, str]] = {
    "albert": ("albert", "Albert"),
    "bert": ("bert", "Bert"),
    "camembert": ("roberta", "Camembert"),
    "distilbert": ("distilbert", "DistilBert"),
    "electra": ("electra", "Electra"),
    "mpnet": ("mpnet", "MPNet"),
    "roberta": ("roberta", "Roberta"),
    "xlm-roberta": ("roberta", "XLMRoberta"),
}
"""model_type -> the family's module here, and how its classes' names begin."""


def family_class(model_type: str, kind: str) -> Any:
    """A family's class by what its name ends with: Config, Model, ForMaskedLM, ... None if it has none such."""
    module, stem = MODEL_TYPES[model_type]
    return getattr(importlib.import_module(f"{__name__}.{module}"), stem + kind, None)
