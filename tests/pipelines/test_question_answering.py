"""question-answering against what transformers 4.57 answered (see record_qa.py), and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_qa import ARCHITECTURE, LONG, RECORDED, SHORT, UNTOLD, WHERE, cases, without_cls_token
from recording import read_recorded
from tasks import assert_answer

import npbert
from npbert.pipelines.spans import best_spans

RECORD = read_recorded(RECORDED)
EXAMPLE = {"question": WHERE, "context": SHORT}


@pytest.fixture(scope="module")
def answer(task_folder: Callable[..., Path]) -> Any:
    return npbert.pipeline("question-answering", task_folder(ARCHITECTURE))


def test_all_cases_are_recorded() -> None:
    assert [case["given"] for case in RECORD] == [*cases(), UNTOLD]


@pytest.mark.parametrize("case", RECORD[:-1], ids=range(len(RECORD) - 1))
def test_answers(answer: Any, case: dict[str, Any]) -> None:
    assert_answer(answer, case["answer"], **case["given"])


def test_a_tokenizer_that_tells_of_no_cls_token(task_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Then no token has a share for there being no answer, as in 4.57."""
    folder = without_cls_token(shutil.copytree(task_folder(ARCHITECTURE), tmp_path, dirs_exist_ok=True))
    assert_answer(npbert.pipeline("question-answering", folder), RECORD[-1]["answer"], **UNTOLD)


def test_every_way_to_ask(answer: Any) -> None:
    wanted = answer(**EXAMPLE)
    assert SHORT[wanted["start"] : wanted["end"]] == wanted["answer"]
    assert answer(EXAMPLE) == answer([EXAMPLE]) == answer(WHERE, SHORT) == wanted
    other = {"question": "Who?", "context": LONG}
    both = [wanted, answer(other)]
    assert answer([EXAMPLE, other]) == list(answer(iter([EXAMPLE, other]))) == both
    assert answer([WHERE, "Who?"], [SHORT, LONG]) == both
    assert answer(question=[], context=[]) == answer([]) == []


def test_a_question_is_cut_off_where_asked(answer: Any) -> None:
    assert answer("Where is it, and why?", SHORT, max_question_len=2) == answer("Where is", SHORT)
    assert answer("Where is", SHORT, max_question_len=2) == answer("Where is", SHORT)


@given(
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2**32 - 1))),
    st.integers(1, 40),
    st.integers(1, 12),
)
def test_spans_are_the_likeliest_there_are(sized: tuple[int, int], count: int, longest: int) -> None:
    tokens, seed = sized
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(tokens, 2)).astype(np.float32)
    allowed = generator.random(tokens) < 0.7
    allowed[0] = False
    none = np.arange(tokens) == 0
    spans, nothing = best_spans(logits, allowed, none, count, longest)

    counted = np.append(0, np.flatnonzero(allowed))
    powers = np.exp(logits[counted].astype(np.float64))
    first, last = np.zeros((2, tokens))
    first[counted], last[counted] = (powers / powers.sum(axis=0)).T
    wanted = {
        (s, e): first[s] * last[e]
        for s in range(tokens)
        for e in range(s, min(tokens, s + longest))
        if allowed[s] and allowed[e]
    }
    assert abs(nothing - first[0] * last[0]) < 1e-6
    assert len(spans) == min(count, len(wanted))
    ranked = sorted(wanted.values(), reverse=True)[: len(spans)]
    np.testing.assert_allclose([span.score for span in spans], ranked, atol=1e-6)
    for span in spans:
        assert abs(span.score - wanted[span.first, span.last]) < 1e-6


QUESTION = "Why " + "and why " * 40 + "?"  # 82 tokens


@pytest.mark.parametrize(
    ("inputs", "arguments", "message"),
    [
        (EXAMPLE, {"top_k": 0}, "top_k: wanted a whole number, 1 or more, found 0"),
        (EXAMPLE, {"max_answer_len": 0}, "max_answer_len: wanted a whole number, 1 or more, found 0"),
        (EXAMPLE, {"max_seq_len": 0}, "max_seq_len: wanted a whole number, 1 or more, found 0"),
        (EXAMPLE, {"max_seq_len": 2}, "max_length: wanted at least 3|wanted at most 0 tokens"),
        (EXAMPLE, {"max_question_len": 0}, "max_question_len: wanted a whole number, 1 or more, found 0"),
        (EXAMPLE, {"doc_stride": -1}, "doc_stride: wanted a whole number, 0 or more, found -1"),
        (EXAMPLE, {"doc_stride": 65, "max_seq_len": 64}, "doc_stride: wanted no more than max_seq_len, 64, found 65"),
        (EXAMPLE, {"handle_impossible_answer": 1}, "handle_impossible_answer: wanted True or False, found 1"),
        (EXAMPLE, {"align_to_words": None, "handle_impossible_answer": "no"}, "wanted True or False, found 'no'"),
        (EXAMPLE, {"topk": 3}, "wanted arguments among .*, found 'topk'"),
        (
            {"question": QUESTION, "context": LONG},
            {},
            r"inputs\['question'\]: wanted at most 60 tokens, so that a window of 128 .*, found 82; max_question_len",
        ),
        ([EXAMPLE, {"question": QUESTION, "context": LONG}], {}, r"inputs\[1\]\['question'\]: wanted at most 60"),
        ({"question": QUESTION * 2, "context": "Berlin"}, {}, "wanted at most 60 tokens"),
        (EXAMPLE, {"max_seq_len": 300, "max_question_len": 9}, None),
        ({"question": WHERE, "context": LONG}, {"max_seq_len": 300}, "inputs: wanted 1 to 128 tokens, .* found 154"),
        ({"question": WHERE}, {}, r'inputs: wanted {"question": ..., "context": ...}, found \'question\''),
        ([EXAMPLE, WHERE], {}, r"inputs\[1\]: wanted {.*}, found str"),
        ({"question": "", "context": SHORT}, {}, r"inputs\['question'\]: wanted a text, found an empty one"),
        ({"question": WHERE, "context": ""}, {}, r"inputs\['context'\]: wanted a text, found an empty one"),
        ({"question": None, "context": SHORT}, {}, r"inputs\['question'\]: wanted a text \(str\), found None"),
        ([{"question": WHERE, "context": b""}], {}, r"inputs\[0\]\['context'\]: wanted a text \(str\), found bytes"),
    ],
)
def test_refused(answer: Any, inputs: Any, arguments: dict[str, Any], message: str | None) -> None:
    if message is None:  # a window that the model could not take is no matter where the text is short
        assert answer(inputs, **arguments)["answer"]
        return
    with pytest.raises(ValueError, match=message):
        answer(inputs, **arguments)


@pytest.mark.parametrize(
    ("inputs", "named", "message"),
    [
        ((), {}, "question: wanted with the other, found none"),
        ((), {"question": WHERE}, "context: wanted with the other, found none"),
        ((EXAMPLE,), {"context": SHORT}, "wanted question and context, or one list of examples, found more"),
        ((WHERE, SHORT, SHORT), {}, "wanted question and context, or one list of examples, found more"),
        ((), {"question": [WHERE, WHERE], "context": [SHORT]}, "context: wanted as many as questions, 2, found 1"),
    ],
)
def test_calls_refused(answer: Any, inputs: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer(*inputs, **named)
