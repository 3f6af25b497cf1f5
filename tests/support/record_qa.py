"""Writes question_answering.json, what transformers 4.57 answers: transformers 5 has no such pipeline.

The tests make the same checkpoint again.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from minilm import minilm_folder
from recording import write_recorded
from tasks import make_folder

ARCHITECTURE = "BertForQuestionAnswering"
RECORDED = Path(__file__).parent / "question_answering.json"
SHORT = "My name is Wolfgang and I live in Berlin, unbelievably close to the Brandenburg Gate."
LONG = " ".join(
    f"{name} lives in {town}, where {name} works as a {work} and speaks with an unmistakeable accent."
    for name, town, work in zip(
        ("Clara", "Ahmed", "Yuki", "Oluwaseun", "Marie-Hélène", "Wolfgang"),
        ("Łódź", "Alexandria", "東京", "Ibadan", "Saint-Étienne", "Berlin"),
        ("physicist", "locksmith", "glassblower", "cartographer", "veterinarian", "photographer"),
        strict=True,
    )
)
WHERE = "Where does Wolfgang live?"


def cases() -> list[dict[str, Any]]:
    """Keyword arguments of a call, each of which both pipelines get."""
    example = {"question": WHERE, "context": SHORT}
    long = {"question": "Who lives in Ibadan?", "context": LONG}
    found: list[dict[str, Any]] = [
        example,
        {**example, "top_k": 5},
        {**example, "top_k": 20, "max_answer_len": 2},
        {**example, "top_k": 3, "align_to_words": False},
        {**example, "top_k": 4, "handle_impossible_answer": True},
        {**example, "max_answer_len": 1},
        {"question": WHERE, "context": "日本語の文章です。東京は大きい。", "top_k": 4},
        {"question": WHERE, "context": " "},
        {"question": WHERE, "context": " ", "handle_impossible_answer": True},
        {"question": "?", "context": "Berlin"},
        {"question": "Why " + "and why " * 40 + "?", "context": SHORT, "top_k": 2},
        {"question": [WHERE], "context": SHORT},
        {"question": [WHERE, "What is my name?"], "context": SHORT},
        {"question": [WHERE, "Who lives in Łódź?"], "context": [SHORT, LONG], "top_k": 2},
        # The same words in many windows, and in both cases of letters.
        {"question": "Who?", "context": "Berlin BERLIN berlin " * 30, "max_seq_len": 24, "doc_stride": 8, "top_k": 3},
        {"question": "Who?", "context": "A mere span. " * 4, "top_k": 6, "max_answer_len": 4},
    ]
    for length, stride, impossible, align in itertools.product((40, 64), (0, 20), (False, True), (False, True)):
        window = {"max_seq_len": length, "doc_stride": stride, "max_answer_len": 6}
        flags = {"handle_impossible_answer": impossible, "align_to_words": align}
        found.append({**long, **window, **flags, "top_k": 3})
    found.append({**long, "top_k": 10})
    return found


def without_cls_token(folder: Path) -> Path:
    """The same folder, of which no file says what the token is that stands for no answer."""
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": None}
    path.write_text(json.dumps(settings), encoding="utf-8")
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    return folder


UNTOLD: dict[str, Any] = {"question": WHERE, "context": SHORT, "top_k": 3, "handle_impossible_answer": True}
"""What is asked there."""


def main(tokenizer: Path) -> None:
    import transformers

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as made:
        folder = str(make_folder(Path(made), tokenizer, ARCHITECTURE))
        answer = transformers.pipeline("question-answering", model=folder, tokenizer=folder, device=-1)
        recorded = [{"given": given, "answer": answer(**given)} for given in cases()]
        folder = str(without_cls_token(Path(folder)))
        answer = transformers.pipeline("question-answering", model=folder, tokenizer=folder, device=-1)
        recorded.append({"given": UNTOLD, "answer": answer(**UNTOLD)})
    write_recorded(RECORDED, recorded)


if __name__ == "__main__":
    main(minilm_folder())
