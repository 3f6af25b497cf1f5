"""The commands that ask a pipeline, as a user meets them: lines in, JSON lines out, and what goes wrong."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tasks import NER

import npbert
from npbert.cli.main import main

TEXTS = ["Angela Merkel visited Wolfsburg.", 'Nothing, "日本" at all.']
MASKED = ["The capital is [MASK].", "[MASK] and [MASK]"]


@pytest.fixture(scope="module")
def folders(task_folder: Callable[..., Path]) -> dict[str, Path]:
    return {
        "fill-mask": task_folder("BertForMaskedLM"),
        "classify": task_folder("BertForSequenceClassification", labels=("NEGATIVE", "NEUTRAL", "POSITIVE")),
        "ner": task_folder("BertForTokenClassification", labels=tuple(NER)),
        "qa": task_folder("BertForQuestionAnswering"),
        "zero-shot": task_folder("BertForSequenceClassification", labels=("contradiction", "neutral", "entailment")),
        "tokenize": task_folder("BertForMaskedLM"),
    }


@pytest.fixture
def run(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Any]]:
    """run(verb, argument, ...) -> the JSON lines that it prints."""

    def lines(verb: str, *arguments: object) -> list[Any]:
        capsys.readouterr()
        assert main([verb, str(folders[verb]), *map(str, arguments)]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        return [json.loads(line) for line in output.out.splitlines()]

    return lines


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(line, ...) -> a file of JSON lines."""

    def written(*lines: Any) -> Path:
        path = tmp_path / "lines.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    return written


# --- what they print


def test_fill_mask(run: Callable[..., list[Any]], folders: dict[str, Path]) -> None:
    fill = npbert.pipeline("fill-mask", folders["fill-mask"])
    assert run("fill-mask", *MASKED) == [{"text": text, "answers": fill(text)} for text in MASKED]
    (line,) = run("fill-mask", MASKED[0], "--top-k", 2, "--targets", "paris,rome,oslo")
    assert line["answers"] == fill(MASKED[0], top_k=2, targets=["paris", "rome", "oslo"])
    (line,) = run("fill-mask", MASKED[0] + " so" * 300, "--truncation")
    assert len(line["answers"]) == 5


def test_classify(run: Callable[..., list[Any]], folders: dict[str, Path], write: Callable[..., Path]) -> None:
    classify = npbert.pipeline("text-classification", folders["classify"])
    assert run("classify", *TEXTS) == [
        {"text": text, **answer} for text, answer in zip(TEXTS, classify(TEXTS), strict=True)
    ]
    (line,) = run("classify", TEXTS[0], "--top-k", 2, "--function-to-apply", "none")
    assert line == {"text": TEXTS[0], "labels": classify(TEXTS[0], top_k=2, function_to_apply="none")}
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    lines = write(TEXTS[0], {"text": TEXTS[1], "id": 3}, pair, {**pair, "text_pair": None})
    found = run("classify", "--input", lines)
    assert found[2] == {**pair, **classify(pair)}
    assert found[0] == found[3] == {"text": TEXTS[0], **classify(TEXTS[:1])[0]}
    assert run("classify", TEXTS[0] * 50, "--truncation", "--batch-size", 1)[0]["label"]


def test_ner(run: Callable[..., list[Any]], folders: dict[str, Path]) -> None:
    ner = npbert.pipeline("ner", folders["ner"])
    assert run("ner", *TEXTS) == [{"text": text, "entities": ner(text)} for text in TEXTS]
    arguments = {"aggregation_strategy": "first", "ignore_labels": ["LOC", "PER"], "stride": 4}
    long = " ".join(TEXTS * 20)
    options = ["--aggregation-strategy", "first", "--ignore-labels", "LOC,PER", "--stride", 4]
    assert run("ner", long, *options) == [{"text": long, "entities": ner(long, **arguments)}]


def test_qa(run: Callable[..., list[Any]], folders: dict[str, Path], write: Callable[..., Path]) -> None:
    answer = npbert.pipeline("question-answering", folders["qa"])
    asked = [{"question": "Who?", "context": text} for text in TEXTS]
    wanted = [{"question": "Who?", **answer(example)} for example in asked]
    assert run("qa", "Who?", *TEXTS) == wanted
    assert run("qa", "--input", write(*asked)) == wanted
    assert run("qa", "Who?", "--input", write(TEXTS[0], {"context": TEXTS[1]})) == wanted
    options = ["--top-k", 3, "--max-answer-len", 2, "--max-seq-len", 20, "--doc-stride", 0, "--impossible"]
    arguments = {"top_k": 3, "max_answer_len": 2, "max_seq_len": 20, "doc_stride": 0, "handle_impossible_answer": True}
    long = " ".join(TEXTS * 3)
    assert run("qa", "Who?", long, *options) == [{"question": "Who?", "answers": answer("Who?", long, **arguments)}]
    (line,) = run("qa", "Who?", "One", "--top-k", 2, "--max-answer-len", 1)
    assert [found["answer"] for found in line["answers"]] == ["One"]  # a list, of however many


def test_zero_shot(run: Callable[..., list[Any]], folders: dict[str, Path]) -> None:
    classify = npbert.pipeline("zero-shot-classification", folders["zero-shot"])
    assert run("zero-shot", *TEXTS, "--labels", "sport, politics") == classify(TEXTS, "sport,politics")
    options = ["--labels", "sport,politics", "--multi-label", "--hypothesis-template", "Is it {}?"]
    wanted = classify(TEXTS, ["sport", "politics"], multi_label=True, hypothesis_template="Is it {}?")
    assert run("zero-shot", *TEXTS, *options) == wanted


def test_tokenize(run: Callable[..., list[Any]], folders: dict[str, Path]) -> None:
    tokenizer = npbert.AutoTokenizer.from_pretrained(folders["tokenize"])
    assert run("tokenize", *TEXTS, "") == [
        {"text": text, "tokens": tokenizer(text).tokens(), "input_ids": tokenizer(text)["input_ids"]}
        for text in [*TEXTS, ""]
    ]
    (line,) = run("tokenize", TEXTS[0], "--no-special-tokens", "--max-length", 3)
    assert line["tokens"] == ["angela", "mer", "##kel"]


def test_lines_of_standard_input(run: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))

    give(b"one\ntwo\n")
    assert [line["text"] for line in run("classify")] == ["one", "two"]
    give(b'{"text": "one"}\n"two"\n')
    assert [line["text"] for line in run("classify", "--json-lines", "--input", "-")] == ["one", "two"]
    give(b"")
    assert run("ner") == []


# --- what goes wrong


@pytest.mark.parametrize("to_terminal", [True, False])
def test_a_bar_never_stands_among_answers(
    to_terminal: bool,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("npbert.progress.DELAY_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: to_terminal)
    assert main(["classify", str(folders["classify"]), *TEXTS]) == 0
    assert ("text-classification" in capsys.readouterr().err) != to_terminal


@pytest.mark.parametrize("verb", ["fill-mask", "classify", "ner", "qa", "zero-shot", "tokenize"])
def test_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: npbert {verb} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fill-mask"], "the following arguments are required: MODEL"),
        (["fill-mask", "m", "a", "--top-k", "0"], "--top-k: wanted a positive whole number, found '0'"),
        (["classify", "m", "a", "--function-to-apply", "tanh"], "invalid choice: 'tanh'"),
        (["classify", "m", "a", "--input", "x"], "texts are given as arguments and with --input"),
        (["ner", "m", "a", "--aggregation-strategy", "mean"], "invalid choice: 'mean'"),
        (["ner", "m", "a", "--stride", "-1"], "--stride: wanted a whole number, 0 or more, found '-1'"),
        (["zero-shot", "m", "a"], "the following arguments are required: --labels"),
        (["tokenize", "m", "a", "--max-length", "none"], "--max-length: wanted a positive whole number, found 'none'"),
    ],
)
def test_misuse(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("fill-mask", ["no mask"], "argument 1: wanted at least one mask token, [MASK], found none"),
        ("fill-mask", ["[MASK]", "--top-k", "40000"], "top_k: wanted 1 to 30522, the size of the vocabulary"),
        ("classify", ["so " * 200], "argument 1: wanted 1 to 128 tokens"),
        ("ner", ["a", "--stride", "2"], "stride: wanted with an aggregation_strategy other than 'none'"),
        ("qa", ["Who?", ""], "argument 1: context: wanted a text, found an empty one"),
        ("zero-shot", ["a", "--labels", ","], "candidate_labels: wanted at least one label, found ','"),
    ],
)
def test_a_failure_is_told_in_one_line(
    folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    verb: str,
    arguments: list[str],
    message: str,
) -> None:
    assert main([verb, str(folders[verb]), *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = [line for line in output.err.splitlines() if "Loading" not in line and "Writing" not in line]
    assert line.startswith(f"npbert: error: {message}")


@pytest.mark.parametrize(
    ("verb", "line", "message"),
    [
        (
            "classify",
            {"text": "a", "text_pair": 3},
            'line 1: wanted a JSON string or an object with "text", found {"te',
        ),
        ("qa", {"question": "Who?"}, 'line 1: wanted an object with "question" and "context", found {"question"'),
        ("qa", "Who?", 'line 1: wanted an object with "question" and "context", found "Who?"'),
        ("ner", 3, 'line 1: wanted a JSON string or an object with "text", found 3'),
    ],
)
def test_lines_refused(
    folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    write: Callable[..., Path],
    verb: str,
    line: Any,
    message: str,
) -> None:
    path = write(line)
    capsys.readouterr()
    assert main([verb, str(folders[verb]), "--input", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"npbert: error: {path}: {message}")
