"""What a pipeline's verb does: a JSON line for each answer, as answers come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

from npbert.commands.texts import progress_beside_answers, utf8_output
from npbert.pipelines import pipeline
from npbert.progress import Progress


def write_answers(
    task: str,
    given: argparse.Namespace,
    inputs: Sequence[Any],
    line: Callable[[Any, Any], dict[str, Any]],
    **arguments: Any,
) -> None:
    """Prints `line(input, answer)` for each input, in order.

    Args:
        task: the pipeline's.
        given: model, backend, dtype and batch_size.
        inputs: as the pipeline takes them.
        line: what is printed.
        arguments: the pipeline's own.
    """
    answer = pipeline(
        task,
        given.model,
        backend=given.backend,
        dtype=given.dtype,
        batch_size=given.batch_size,
        show_progress_bar=False,
        **arguments,
    )
    output = utf8_output()
    with Progress(len(inputs), task, "texts", progress_beside_answers()) as progress:
        for each, found in zip(inputs, answer(iter(inputs)), strict=True):
            print(json.dumps(line(each, found), ensure_ascii=False), file=output)
            progress.advance(1)
