"""`npbert qa`: answers to questions, out of texts."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.cli.answers import Work, answer_inputs
from npbert.cli.inputs import Fields, Form
from npbert.cli.models import task_pipeline, task_work


def run(given: argparse.Namespace) -> None:
    """Writes {"question", "score", "start", "end", "answer"} for each, with --top-k {"question", "answers"}."""

    def prepare() -> Work:
        answer = task_pipeline(
            given,
            "question-answering",
            "question_answering",
            top_k=given.top_k,
            max_answer_len=given.max_answer_len,
            max_seq_len=given.max_length,
            doc_stride=given.doc_stride,
            handle_impossible_answer=given.impossible,
        )
        if given.top_k == 1:
            return task_work(answer, ["score", "start", "end", "answer"])
        return task_work(answer, ["answers"], lambda found: {"answers": found if isinstance(found, list) else [found]})

    form = example_form(given.question, given.question_field, given.context_field)
    answer_inputs(given, form, prepare, "question-answering")


def example_form(question: str | None, question_key: str | None, context_key: str | None) -> Form:
    """An object with a question and a context; where a question is given for all, a context alone will do."""
    asked, told = question_key or "question", context_key or "context"

    def convert(value: Any) -> tuple[Fields, Fields] | None:
        given = value if isinstance(value, dict) else {told: value}
        pair = {"question": given.get(asked, question), "context": given.get(told)}
        if not all(isinstance(text, str) for text in pair.values()):
            return None
        fields = {asked: pair["question"], **given}
        return pair, {key: value for key, value in fields.items() if key != told}

    wanted = f'an object with "{asked}" and "{told}"' if question is None else "a context"
    return Form(convert, wanted, {"--question-field": question_key, "--context-field": context_key})
