"""`npbert classify`: labels of texts, or of pairs of texts."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import Fields, Form
from npbert.cli.models import task_pipeline, task_work


def run(given: argparse.Namespace) -> None:
    """Writes {"text", "label", "score"} for each, with --top-k {"text", "labels"}; a pair has "text_pair" too."""
    chosen = {} if given.top_k is None else {"top_k": given.top_k}

    def prepare() -> Work:
        answer = task_pipeline(
            given,
            "text-classification",
            "sequence_classification",
            function_to_apply=given.function_to_apply,
            truncation=given.truncation or given.max_length is not None,
            max_length=given.max_length,
            **chosen,
        )
        if given.top_k is None:
            return task_work(answer, ["label", "score"])
        return task_work(answer, ["labels"], lambda labels: {"labels": labels})

    answer_inputs(given, pair_form(given.field, given.pair_field), prepare, "text-classification")


def pair_form(key: str | None, pair_key: str | None) -> Form:
    """A text, or an object that has one under a key, and perhaps another under a second key."""
    name, pair_name = key or "text", pair_key or "text_pair"

    def convert(value: Any) -> tuple[Fields, Fields] | None:
        fields = dict(value) if isinstance(value, dict) else {name: value}
        if fields.get(pair_name) is None:
            fields.pop(pair_name, None)
        pair = {inner: fields[outer] for inner, outer in (("text", name), ("text_pair", pair_name)) if outer in fields}
        return (pair, fields) if "text" in pair and all(isinstance(text, str) for text in pair.values()) else None

    wanted = f'a JSON string or an object with "{name}"'
    return Form(convert, wanted, {"--field": key, "--pair-field": pair_key})
