"""`npbert qa`: answers to questions, out of texts."""

from __future__ import annotations

import argparse
from typing import Any

from npbert.commands.answers import write_answers
from npbert.commands.texts import read_inputs


def run(given: argparse.Namespace) -> None:
    """Prints {"question", "score", "start", "end", "answer"} for each, with --top-k {"question", "answers"}."""

    def example(value: Any) -> dict[str, str] | None:
        made = value if isinstance(value, dict) else {"context": value}
        pair = {"question": made.get("question", given.question), "context": made.get("context")}
        return pair if all(isinstance(text, str) for text in pair.values()) else None

    def line(pair: dict[str, str], answer: Any) -> dict[str, Any]:
        if given.top_k > 1:
            return {"question": pair["question"], "answers": [answer] if isinstance(answer, dict) else answer}
        return {"question": pair["question"], **answer}

    wanted = 'an object with "question" and "context"' if given.question is None else "a context"
    write_answers(
        "question-answering",
        given,
        read_inputs(given, example, wanted),
        line,
        top_k=given.top_k,
        max_answer_len=given.max_answer_len,
        max_seq_len=given.max_seq_len,
        doc_stride=given.doc_stride,
        handle_impossible_answer=given.impossible,
    )
