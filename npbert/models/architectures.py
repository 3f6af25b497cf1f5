"""The class that a folder was saved by, as config.json's `architectures` has it: told where another is asked for."""

from __future__ import annotations

import sys
from typing import Any

from npbert.checks import brief
from npbert.models.config import EncoderConfig

PIPELINES = {
    "ForMaskedLM": "fill-mask",
    "ForQuestionAnswering": "question-answering",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
}
"""What a class's name ends with -> the pipeline that it is for."""


def hint(config: EncoderConfig, wanted: str) -> str:
    """What to add to the error of a class whose weights the folder lacks, or nothing."""
    saved = _saved_by(config, wanted)
    if saved is None:
        return ""
    kind = _kind(config, saved)
    if not kind.startswith("For") or _sibling(config, kind) is None:
        return f"; config.json names {brief(saved)}"
    task = f", for the pipeline {PIPELINES[kind]}" if kind in PIPELINES else ""
    return f"; config.json names {saved}: AutoModel{kind} loads it{task}"


def mistaken(config: EncoderConfig, wanted: type[Any]) -> str | None:
    """The class that a folder was saved by, where its head is another, whose tensors have this one's names."""
    saved = _saved_by(config, wanted.__name__)
    other = None if saved is None else _sibling(config, _kind(config, saved))
    kinds, others = (set(getattr(model, "kinds", ())) for model in (wanted, other))
    if other is None or not kinds or not others or kinds & others:
        return None
    return saved if set(wanted.head_shapes(config)) & set(other.head_shapes(config)) else None


def _saved_by(config: EncoderConfig, wanted: str) -> str | None:
    return None if not config.architectures or wanted in config.architectures else config.architectures[0]


def _stem(config: EncoderConfig) -> str:
    """How the names of a family's classes begin, that of its config among them."""
    return type(config).__name__.removesuffix("Config")


def _kind(config: EncoderConfig, name: str) -> str:
    """What a class's name ends with, behind the family's."""
    stem = _stem(config)
    return name.removeprefix(stem) if name.startswith(stem) else ""


def _sibling(config: EncoderConfig, kind: str) -> Any:
    """The class that stands beside the config's, in the module of their family; None if there is none."""
    return getattr(sys.modules[type(config).__module__], _stem(config) + kind, None)
