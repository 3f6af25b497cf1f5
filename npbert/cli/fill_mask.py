"""`npbert fill-mask`: the words that a text leaves out."""

from __future__ import annotations

import argparse

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import text_form
from npbert.cli.models import task_pipeline, task_work


def run(given: argparse.Namespace) -> None:
    """Writes {"text", "answers"} for each text; with several masks answers has a list for each."""

    def prepare() -> Work:
        answer = task_pipeline(
            given,
            "fill-mask",
            "masked_lm",
            top_k=given.top_k,
            targets=given.targets.split(",") if given.targets is not None else None,
            tokenizer_kwargs={
                "truncation": given.truncation or given.max_length is not None,
                "max_length": given.max_length,
            },
        )
        return task_work(answer, ["answers"], lambda answers: {"answers": answers})

    answer_inputs(given, text_form(given.field), prepare, "fill-mask")
