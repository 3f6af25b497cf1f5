"""Texts in, answers out: `pipeline(task, model)`, with transformers' names, arguments and shapes of answer.

Each task is a module of its own, imported when it is asked for.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from npbert.checks import as_count, show
from npbert.files.hub import resolve
from npbert.files.names import MODEL_FILES, TOKENIZER_FILES
from npbert.keywords import OtherArguments, refuse_unknown
from npbert.signatures import Arguments

if TYPE_CHECKING:
    from npbert_kernels.ops import Dtype

    from npbert.pipelines.base import Pipeline
    from npbert.text.tokenizer import PreTrainedTokenizerFast

__all__ = ["ALIASES", "TASKS", "pipeline"]

TASKS = {
    "feature-extraction": "FeatureExtractionPipeline",
    "fill-mask": "FillMaskPipeline",
    "question-answering": "QuestionAnsweringPipeline",
    "text-classification": "TextClassificationPipeline",
    "token-classification": "TokenClassificationPipeline",
    "zero-shot-classification": "ZeroShotClassificationPipeline",
}
"""task -> its class, in the module of the task's name."""

ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


def pipeline(
    task: str,
    model: str | os.PathLike[str] | Any = None,
    tokenizer: str | os.PathLike[str] | PreTrainedTokenizerFast | None = None,
    *,
    device: str | int | None = None,
    batch_size: int | None = None,
    show_progress_bar: bool | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    backend: str = "cpu",
    dtype: Dtype | None = None,
    **arguments: Any,
) -> Pipeline:
    """A model with its tokenizer, made into a function from texts to answers.

    Args:
        task: feature-extraction, fill-mask, question-answering, text-classification (or sentiment-analysis),
            token-classification (or ner), zero-shot-classification.
        model: a folder, a hub id, `package:NAME`, or a model object of the task's kind.
        tokenizer: a folder, a hub id, or a tokenizer; where None, the one in the model's folder.
        device: as the model's `from_pretrained` takes it; a number as transformers means it, -1 the CPU.
        batch_size: how many texts are read at once at most; None reads so many that packing them pays.
        show_progress_bar: True or False; None shows one where stderr is a terminal and the work is long.
        subfolder: of the model's folder, where the files are.
        revision, token, cache_dir, local_files_only: as huggingface_hub takes them; hub ids only.
        backend: "cpu" (compiled kernels) or "reference" (NumPy: slow, needs no compiler).
        dtype: "float32" (as None), "bfloat16" or "int8", as the model's `from_pretrained` takes it.
        arguments: the task's own, for all calls that do not give them; its class says which there are. What changes
            nothing here, of what transformers' loading takes, is taken, too.

    Raises:
        ValueError: the task is unknown, no model is named, the model has no head for the task, or an argument
            is out of its set.
        OSError: a file can't be found or read.

    Follows transformers.pipeline: https://huggingface.co/docs/transformers/main_classes/pipelines
    """
    name = ALIASES.get(task, task) if isinstance(task, str) else None
    if name not in TASKS:
        raise ValueError(f"task: wanted one of {', '.join(sorted([*TASKS, *ALIASES]))}, found {show(task)}")
    module = importlib.import_module(f"npbert.pipelines.{name.replace('-', '_')}")
    kind: type[Pipeline] = getattr(module, TASKS[name])
    if model is None:
        raise ValueError(
            f"model: wanted a folder, a hub id or package:NAME, found none, and npbert chooses none by itself: "
            f"pipeline({task!r}, model=...) with a model that was trained for the task"
        )
    others, arguments = Arguments(OtherArguments).apart(arguments)
    refuse_unknown("pipeline", others)
    arguments = kind.checked_arguments(arguments, pipeline)  # before a model is loaded
    hub: dict[str, Any] = {
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    if isinstance(model, str | os.PathLike):
        placed: dict[str, Any] = {} if device is None else {"device": _device(device)}
        placed |= {} if dtype is None else {"dtype": dtype}
        patterns = MODEL_FILES if tokenizer is not None else (*MODEL_FILES, *TOKENIZER_FILES)
        folder = resolve(model, subfolder=subfolder, patterns=patterns, **hub)
        loaded = kind.load_model(folder, backend=backend, **placed)
        tokenizer = folder if tokenizer is None else tokenizer
    else:
        for key, value in (("device", device), ("dtype", dtype), ("subfolder", subfolder)):
            if value is not None:
                raise ValueError(f"{key}: wanted none, since the model is loaded already, found {show(value)}")
        loaded = kind.checked_model(model)
    if tokenizer is None:
        raise ValueError("tokenizer: wanted one, or its folder, since the model is given as an object; found none")
    if isinstance(tokenizer, str | os.PathLike):
        from npbert.text.auto import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer, **hub)
    return kind(loaded, tokenizer, batch_size=batch_size, show_progress_bar=show_progress_bar, **arguments)


def _device(device: str | int) -> str:
    if isinstance(device, str):
        return device
    index = as_count(device)
    if index is None:
        raise ValueError(f"device: wanted a name or a number, found {show(device)}")
    return "cpu" if index < 0 else f"cuda:{index}"
