"""`npbert fill-mask`: the words that a text leaves out."""

from __future__ import annotations

import argparse

from npbert.commands.answers import write_answers
from npbert.commands.texts import read_texts


def run(given: argparse.Namespace) -> None:
    """Prints {"text", "answers"} for each text; with several masks answers has a list for each."""
    write_answers(
        "fill-mask",
        given,
        read_texts(given),
        lambda text, answers: {"text": text, "answers": answers},
        top_k=given.top_k,
        targets=given.targets.split(",") if given.targets is not None else None,
        tokenizer_kwargs={"truncation": given.truncation},
    )
