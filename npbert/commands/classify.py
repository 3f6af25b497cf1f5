"""`npbert classify`: labels of texts, or of pairs of texts."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.commands.answers import write_answers
from npbert.commands.texts import read_inputs


def run(given: argparse.Namespace) -> None:
    """Prints {"text", "label", "score"} for each, with --top-k {"text", "labels"}; a pair has "text_pair" too."""
    chosen = {} if given.top_k is None else {"top_k": given.top_k}
    write_answers(
        "text-classification",
        given,
        read_inputs(given, _pair, 'a JSON string or an object with "text"'),
        lambda pair, answer: {**pair, **(answer if isinstance(answer, dict) else {"labels": answer})},
        function_to_apply=given.function_to_apply,
        truncation=given.truncation,
        **chosen,
    )


def _pair(value: Any) -> dict[str, str] | None:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    if value.get("text_pair") is None:
        return {"text": value["text"]}
    return {"text": value["text"], "text_pair": value["text_pair"]} if isinstance(value["text_pair"], str) else None
