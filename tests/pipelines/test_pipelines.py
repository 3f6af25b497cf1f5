"""What all pipelines have in common: how they are made, what goes in and out and when, and what is refused."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import NER

import npbert
from npbert.pipelines import ALIASES, TASKS
from npbert.pipelines.base import BLOCK, TOKENS
from npbert.text.inputs import TextError

ARCHITECTURES = {
    "feature-extraction": ("BertModel", {}),
    "fill-mask": ("BertForMaskedLM", {}),
    "question-answering": ("BertForQuestionAnswering", {}),
    "text-classification": ("BertForSequenceClassification", {"labels": ("NEGATIVE", "NEUTRAL", "POSITIVE")}),
    "token-classification": ("BertForTokenClassification", {"labels": tuple(NER)}),
    "zero-shot-classification": (
        "BertForSequenceClassification",
        {"labels": ("contradiction", "neutral", "entailment")},
    ),
}
LENGTHS = (1, 75, 3, 50, 7, 60, 2, 34, 70, 5)  # words


@pytest.fixture(scope="module")
def folder(task_folder: Callable[..., Path]) -> Callable[[str], Path]:
    return lambda task: task_folder(ARCHITECTURES[task][0], **ARCHITECTURES[task][1])


@pytest.fixture(scope="module")
def make(folder: Callable[[str], Path]) -> Callable[..., Any]:
    def made(task: str, **arguments: Any) -> Any:
        if task == "zero-shot-classification":
            arguments = {"candidate_labels": ["sport", "politics"], **arguments}
        return npbert.pipeline(task, folder(task), **arguments)

    return made


def inputs_of(task: str, count: int) -> list[Any]:
    """Different inputs of different lengths."""
    words = ["the", "unbelievably", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "in", "Berlin"]
    texts = [
        " ".join(itertools.islice(itertools.cycle(words[i % 11 :]), LENGTHS[i % len(LENGTHS)])) for i in range(count)
    ]
    if task == "fill-mask":
        return [f"{text} [MASK]." for text in texts]
    if task == "question-answering":
        return [{"question": "Where is the fox?", "context": text} for text in texts]
    return texts


# --- how they are made


def test_every_task_has_its_class(make: Callable[..., Any]) -> None:
    assert {*ARCHITECTURES} == {*TASKS}
    for task in TASKS:
        assert make(task).task == task
        assert type(make(task)) is getattr(npbert, TASKS[task])


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(folder: Callable[[str], Path], alias: str) -> None:
    assert npbert.pipeline(alias, folder(ALIASES[alias])).task == ALIASES[alias]


@pytest.mark.parametrize("task", ["translation", "", None, 3, ["ner"]])
def test_an_unknown_task_is_told_those_that_there_are(task: Any) -> None:
    with pytest.raises(ValueError, match="task: wanted one of feature-extraction, fill-mask, ner, question-answering"):
        npbert.pipeline(task, "model")


def test_a_model_must_be_named() -> None:
    message = r"model: wanted a folder, a hub id or package:NAME, .*: pipeline\('ner', model=...\)"
    with pytest.raises(ValueError, match=message):
        npbert.pipeline("ner")


def test_a_model_and_a_tokenizer_may_be_objects(folder: Callable[[str], Path], make: Callable[..., Any]) -> None:
    first = make("fill-mask")
    second = npbert.pipeline("fill-mask", first.model, first.tokenizer)
    assert second("[MASK]!") == npbert.pipeline("fill-mask", first.model, folder("fill-mask"))("[MASK]!")
    third = npbert.FillMaskPipeline(model=first.model, tokenizer=first.tokenizer, top_k=2)
    assert third("[MASK]!") == first("[MASK]!", top_k=2)
    with pytest.raises(ValueError, match="tokenizer: wanted one, or its folder, since the model is given as an object"):
        npbert.pipeline("fill-mask", first.model)
    with pytest.raises(ValueError, match="device: wanted none, since the model is loaded already, found 'cpu'"):
        npbert.pipeline("fill-mask", first.model, first.tokenizer, device="cpu")


@pytest.mark.parametrize("device", ["cpu", -1])
def test_devices(folder: Callable[[str], Path], device: Any) -> None:
    assert npbert.pipeline("fill-mask", folder("fill-mask"), device=device)("[MASK]!")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (True, "wanted a name or a number, found True"),
        (1.5, "wanted a name or a number, found 1.5"),
        ("abacus", "wanted None or 'cpu', 'cuda' or 'cuda:N', found 'abacus'"),
    ],
)
def test_devices_refused(folder: Callable[[str], Path], device: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^device: {message}$"):
        npbert.pipeline("fill-mask", folder("fill-mask"), device=device)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_of_another_kind_is_refused(make: Callable[..., Any], task: str) -> None:
    other = make("question-answering" if task != "question-answering" else "fill-mask")
    for model in (object(), other.model):
        with pytest.raises(ValueError, match=f"model: wanted one that AutoModel.* loads, found {type(model).__name__}"):
            npbert.pipeline(task, model, other.tokenizer)


def test_a_folder_without_the_head_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"classifier\.weight"):
        npbert.pipeline("ner", folder("feature-extraction"))


def test_a_vocabulary_that_the_model_lacks_is_refused(task_folder: Callable[..., Path], minilm: Path) -> None:
    small = task_folder("BertForMaskedLM", vocab_size=1000)
    with pytest.raises(ValueError, match="wanted ids below 1000, the model's vocab_size, found 30521"):
        npbert.pipeline("fill-mask", small, minilm)


@pytest.mark.parametrize("task", TASKS)
def test_unknown_arguments_are_refused(make: Callable[..., Any], task: str) -> None:
    with pytest.raises(ValueError, match=f"{task}: wanted arguments among .*, found 'colour'"):
        make(task, colour="red")
    with pytest.raises(ValueError, match=f"{task}: wanted arguments among .*, found 'colour'"):
        make(task)(inputs_of(task, 1)[0], colour="red")


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "8"])
def test_batch_sizes_refused(make: Callable[..., Any], size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size: wanted a whole number, 1 or more"):
        make("token-classification", batch_size=size)
    with pytest.raises(ValueError, match="batch_size: wanted a whole number, 1 or more"):
        make("token-classification")("a text", batch_size=size)


@pytest.mark.parametrize("show", [1, "no", float("nan"), []])
def test_progress_bars_refused(make: Callable[..., Any], show: Any) -> None:
    with pytest.raises(ValueError, match="show_progress_bar: wanted True, False or None, found"):
        make("token-classification")(["a text"], show_progress_bar=show)


# --- what goes in and out, and when


@pytest.mark.parametrize("task", TASKS)
def test_a_text_gets_the_same_answer_whatever_stands_around_it(make: Callable[..., Any], task: str) -> None:
    answer = make(task)
    inputs = inputs_of(task, 30)
    alone = list(answer(iter(inputs), batch_size=1))
    assert answer(inputs) == alone
    assert answer(tuple(inputs), batch_size=7) == alone
    assert list(answer(iter(inputs))) == alone
    assert json.loads(json.dumps(alone)) == alone


@pytest.mark.parametrize("task", TASKS)
def test_nothing_in_nothing_out(make: Callable[..., Any], task: str) -> None:
    assert make(task)([]) == []
    assert list(make(task)(iter([]))) == []


def test_a_stream_is_answered_as_it_comes(make: Callable[..., Any]) -> None:
    read = 0

    def stream() -> Iterator[str]:
        nonlocal read
        for text in itertools.cycle(inputs_of("text-classification", 9)):
            read += 1
            yield text

    classify = make("text-classification")
    for size in (1, 5):
        read = 0
        answers = classify(stream(), batch_size=size)
        assert read == 0
        for count in range(1, 12):
            next(answers)
            assert read == -(-count // size) * size
    read = 0
    next(classify(stream()))
    assert read == BLOCK
    assert [*itertools.islice(classify(text for text in ["a", "b"]), 9)] == classify(["a", "b"])


def test_texts_of_an_array(make: Callable[..., Any]) -> None:
    (answer,) = make("zero-shot-classification")(np.array(["a text"]))
    assert type(answer["sequence"]) is str


def test_any_iterable_is_a_stream(make: Callable[..., Any]) -> None:
    classify = make("text-classification")
    answers = classify(iter({"a": 1, "b": 2}))
    assert not isinstance(answers, list)
    assert list(answers) == classify(["a", "b"])


def test_rows_go_through_the_model_by_a_budget_of_tokens(make: Callable[..., Any]) -> None:
    classify = make("text-classification")
    seen = []
    outputs = classify._outputs

    def spy(rows: Any) -> Any:
        seen.append([len(row.ids) for row in rows])
        return outputs(rows)

    classify._outputs = spy
    texts = inputs_of("text-classification", BLOCK)
    lengths = [len(ids) for ids in classify.tokenizer(texts)["input_ids"]]
    assert TOKENS < sum(lengths) < 2 * TOKENS
    classify(texts)
    assert [length for group in seen for length in group] == lengths  # none is moved
    assert len(seen) == 2
    assert all(sum(group) <= TOKENS for group in seen)
    seen.clear()
    classify(texts, batch_size=10)
    assert [len(group) for group in seen] == [10] * 6 + [4]


def test_a_progress_bar(make: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    classify = make("text-classification")
    capsys.readouterr()
    classify(["a", "b"], batch_size=1)
    assert capsys.readouterr().err == ""  # it is no terminal
    classify(["a", "b", "c"], batch_size=1, show_progress_bar=True)
    bar = capsys.readouterr().err
    assert "text-classification:" in bar
    assert "0/3" in bar
    list(classify(iter(["a", "b", "c"]), batch_size=1, show_progress_bar=True))
    assert "0 texts [" in capsys.readouterr().err  # nobody knows of how many
    make("text-classification", show_progress_bar=True)(["a", "b"])
    assert "0/2" in capsys.readouterr().err


def test_a_progress_bar_can_be_switched_off_for_all() -> None:
    code = "from npbert.progress import Progress\nwith Progress(2, 'work', 'texts', True) as bar: bar.advance(1)"
    env = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=env)
    assert done.stderr == ""


@pytest.mark.parametrize("show", [False, True])
def test_interrupted(make: Callable[..., Any], capsys: pytest.CaptureFixture[str], show: bool) -> None:
    """Ctrl-C while a stream is read, or in the model: the bar goes, and the next call is right."""
    classify = make("text-classification")
    texts = inputs_of("text-classification", 20)
    wanted = classify(texts)

    def stream() -> Iterator[str]:
        yield from texts
        raise KeyboardInterrupt

    found: list[Any] = []
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        found.extend(classify(stream(), batch_size=4, show_progress_bar=show))
    assert found == wanted
    assert classify(texts) == wanted
    predict = classify.model.predict

    def interrupted(*arguments: Any) -> Any:
        predict(*arguments)
        raise KeyboardInterrupt

    classify.model.predict = interrupted
    with pytest.raises(KeyboardInterrupt):
        classify(texts, batch_size=4, show_progress_bar=show)
    del classify.model.predict
    assert classify(texts) == wanted
    bar = capsys.readouterr().err
    assert bar.count("text-classification:") > 1 if show else bar == ""
    assert bar.rstrip(" ").endswith("\r") or not show  # nothing of it stays


# --- what is no input


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("bad", [None, b"bytes", 3, 1.5], ids=str)
def test_what_is_no_text_is_named(make: Callable[..., Any], task: str, bad: Any) -> None:
    answer = make(task)
    found = "None" if bad is None else type(bad).__name__
    good = inputs_of(task, 2)
    for inputs, where in ((bad, "inputs"), ([*good, bad], r"inputs\[2\]")):
        with pytest.raises(TextError, match=f"{where}: wanted .*, found {found}"):
            answer(inputs)
    answers = answer(iter([*good, bad]), batch_size=1)
    assert [next(answers), next(answers)] == [
        answer(item) if task != "text-classification" else answer([item])[0] for item in good
    ]
    with pytest.raises(TextError, match=rf"inputs\[2\]: wanted .*, found {found}"):
        next(answers)


@pytest.mark.parametrize("task", TASKS)
def test_half_a_character_is_named(make: Callable[..., Any], task: str) -> None:
    half = "a [MASK] \ud800"
    bad = {"question": "who?", "context": half} if task == "question-answering" else half
    where = r"inputs\[1\]\['context'\]" if task == "question-answering" else r"inputs\[1\]"
    with pytest.raises(TextError, match=f"{where}: wanted valid Unicode, found a lone surrogate"):
        make(task)([inputs_of(task, 1)[0], bad])


def test_a_list_is_checked_before_any_of_it_is_answered(make: Callable[..., Any]) -> None:
    classify = make("text-classification")

    def never(rows: Any) -> Any:
        raise AssertionError

    classify.predict = never
    with pytest.raises(TextError, match=rf"inputs\[{BLOCK * 2}\]: wanted a text"):
        classify([*inputs_of("text-classification", BLOCK * 2), None])


def test_little_is_imported(folder: Callable[[str], Path]) -> None:
    code = (
        f"import sys, npbert; npbert.pipeline('ner', {str(folder('token-classification'))!r})('a text');"
        "print(sorted({'torch', 'transformers', 'scipy', 'tqdm', 'huggingface_hub', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"
