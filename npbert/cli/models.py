"""Models as the options of a command ask for them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from npbert.cli.answers import Work
from npbert.cli.heads import load_for
from npbert.files.hub import Folder, resolve
from npbert.files.names import MODEL_FILES, TOKENIZER_FILES
from npbert.sentence.names import RERANKERS, resolve_sentences

if TYPE_CHECKING:
    from npbert.pipelines.base import Pipeline
    from npbert.sentence.cross_encoder import CrossEncoder
    from npbert.sentence.sentence_transformer import SentenceTransformer


def engine(given: argparse.Namespace) -> dict[str, Any]:
    """Where a model computes, and in what."""
    return {"device": given.device, "backend": given.backend, "dtype": given.dtype}


def sentence_model(given: argparse.Namespace, **arguments: Any) -> SentenceTransformer:
    """As model, truncate_dim, max_length and the engine's options say.

    Raises:
        OSError, ValueError: as the class; or the folder is one for another verb.
    """
    from npbert.sentence.sentence_transformer import SentenceTransformer

    def load(folder: Folder) -> SentenceTransformer:
        return SentenceTransformer(folder, truncate_dim=given.truncate_dim, **engine(given), **arguments)

    model = load_for(given, None, resolve_sentences(given.model), load)
    if given.max_length is not None:
        model.max_seq_length = given.max_length
    return model


def cross_encoder(given: argparse.Namespace) -> CrossEncoder:
    """As model, max_length and the engine's options say.

    Raises:
        OSError, ValueError: as the class; or the folder is one for another verb.
    """
    from npbert.sentence.cross_encoder import CrossEncoder

    def load(folder: Folder) -> CrossEncoder:
        return CrossEncoder(folder, max_length=given.max_length, **engine(given))

    return load_for(given, "sequence_classification", resolve_sentences(given.model, RERANKERS), load)


def task_pipeline(
    given: argparse.Namespace, task: str, kind: str, longest: int | None = None, **arguments: Any
) -> Pipeline:
    """As model, batch_size and the engine's options say.

    Args:
        task: the pipeline's.
        kind: of its head, of `heads.KINDS`.
        longest: the most tokens that are read together, where the pipeline leaves that to the tokenizer; None is the
            model's own.
        arguments: the pipeline's own.

    Raises:
        OSError, ValueError: as `pipeline`; or the folder is one for another verb.
    """
    from npbert.pipelines import pipeline
    from npbert.text.auto import AutoTokenizer

    def load(folder: Folder) -> Pipeline:
        tokenizer = None
        if longest is not None:
            tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=longest)
        options = {"batch_size": given.batch_size, "show_progress_bar": False}
        return pipeline(task, folder, tokenizer, **engine(given), **options, **arguments)

    folder = resolve(given.model, patterns=(*MODEL_FILES, *TOKENIZER_FILES))
    return load_for(given, kind, folder, load)


def task_work(answer: Pipeline, keys: list[str], line: Any = None) -> Work:
    """A pipeline's, whose answers `line(answer)` makes a dict of; None where they are dicts."""

    def compute(inputs: list[Any]) -> list[dict[str, Any]]:
        answers = list(answer(iter(inputs)))  # of a list, one alone would be unwrapped
        return answers if line is None else [line(each) for each in answers]

    return Work(compute, keys)
