"""`npbert tokenize`: the tokens of texts."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import text_form
from npbert.text.auto import AutoTokenizer


def run(given: argparse.Namespace) -> None:
    """Writes {"text", "tokens", "input_ids"} for each text."""

    def prepare() -> Work:
        tokenizer = AutoTokenizer.from_pretrained(given.model)

        def compute(texts: list[str]) -> list[dict[str, Any]]:
            encoding = tokenizer(
                texts,
                add_special_tokens=not given.no_special_tokens,
                truncation=given.max_length is not None,
                max_length=given.max_length,
            )
            return [{"tokens": row.tokens, "input_ids": row.ids} for row in encoding.encodings]

        compute([""])  # checks the arguments
        return Work(compute, ["tokens", "input_ids"])

    answer_inputs(given, text_form(given.field), prepare, "Tokenizing")
