"""Question answering: the span of a text that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from npbert_kernels.ops import Floats

from npbert.checks import check_bool, checked_count
from npbert.pipelines.arguments import checked_top_k
from npbert.pipelines.base import Pipeline, Row, read_text
from npbert.pipelines.spans import best_spans
from npbert.sequences import as_list, described
from npbert.text.inputs import TextError

if TYPE_CHECKING:
    from tokenizers import Encoding

MAX_SEQ_LEN = 384  # where the tokenizer says no less
DOC_STRIDE = 128  # where half of max_seq_len is no less


@dataclass(frozen=True)
class QuestionAnsweringArguments:
    """Arguments of question answering.

    Args:
        top_k: how many answers at most.
        doc_stride: how many tokens the windows share in which a long context is read; None is 128, or half of
            max_seq_len where that is less.
        max_answer_len: how many tokens an answer has at most.
        max_seq_len: how many tokens a window has, the question's and special ones included; None is 384, or what
            tokenizer and model take where that is less.
        max_question_len: cut the question off after so many tokens; None doesn't. (transformers says 64, and
            does nothing about it where the tokenizer is a fast one.)
        handle_impossible_answer: let "" be an answer, at the score that the model gives to there being none.
        align_to_words: widen an answer to whole words.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        checked_top_k(self.top_k)
        checked_count("max_answer_len", self.max_answer_len, 1)
        check_bool("handle_impossible_answer", self.handle_impossible_answer)
        check_bool("align_to_words", self.align_to_words)
        for name, least in (("doc_stride", 0), ("max_seq_len", 1), ("max_question_len", 1)):
            if (value := getattr(self, name)) is not None:
                checked_count(name, value, least)

    def window(self, longest: int) -> tuple[int, int]:
        """max_seq_len and doc_stride as they hold."""
        length = min(longest, MAX_SEQ_LEN) if self.max_seq_len is None else self.max_seq_len
        stride = min(length // 2, DOC_STRIDE) if self.doc_stride is None else self.doc_stride
        return length, stride


@dataclass(frozen=True)
class Example:
    """A question, and the text that answers it."""

    where: str
    question: str
    context: str


class QuestionAnsweringPipeline(Pipeline):
    """A question with a context gives {"score", "start", "end", "answer"}; with top_k over 1, a list of the likeliest
    answers, unless there is only one. `context[start:end]` is the answer. A list gives a list; a list of one gives
    what its item alone does.

    Takes question= and context= (texts; several questions with one context; or two lists), the two in this order,
    {"question", "context"}, a list of these, or an iterator of them.

    A long context is read in windows that overlap. Answers with the same text add up.

    Follows transformers 4.57's QuestionAnsweringPipeline, the last one.
    """

    task = "question-answering"
    model_kind = "AutoModelForQuestionAnswering"
    arguments_type = QuestionAnsweringArguments
    too_long_hint = "max_seq_len says how long a window is"

    def __call__(self, *inputs: Any, question: Any = None, context: Any = None, **arguments: Any) -> Any:
        """The answer to a question, or the answers to several; errors are those of `Pipeline`."""
        return super().__call__(_examples(inputs, question, context), **arguments)

    def prepare(self, arguments: QuestionAnsweringArguments) -> QuestionAnsweringArguments:
        length, stride = arguments.window(self.longest)
        if stride > length:
            raise ValueError(f"doc_stride: wanted no more than max_seq_len, {length}, found {stride}")
        return arguments

    def shaped(self, answer: Any, inputs: Any, arguments: QuestionAnsweringArguments) -> Any:
        return answer[0] if isinstance(inputs, list) and len(inputs) == 1 else answer

    def read(self, item: Any, where: str, arguments: QuestionAnsweringArguments) -> Example:
        if not isinstance(item, Mapping) or {*item} != {"question", "context"}:
            found = ", ".join(map(repr, item)) if isinstance(item, Mapping) else described(item)
            raise TextError(f'{where}: wanted {{"question": ..., "context": ...}}, found {found}')
        for key in ("question", "context"):
            if not read_text(item[key], f"{where}[{key!r}]").text:
                raise ValueError(f"{where}[{key!r}]: wanted a text, found an empty one")
        return Example(where, item["question"], item["context"])

    def encode(self, items: Sequence[Example], arguments: QuestionAnsweringArguments) -> list[list[Row]]:
        length, stride = arguments.window(self.longest)
        encoding = self.tokenizer(
            self._questions(items, arguments.max_question_len, length, stride),
            [item.context for item in items],
            truncation="only_second",
            max_length=length,
            stride=stride,
            return_overflowing_tokens=True,
        )
        rows: list[list[Row]] = [[] for _ in items]
        for sample, row in zip(encoding["overflow_to_sample_mapping"], encoding.encodings, strict=True):
            rows[sample].append(self.row(row))
        return rows

    def answer(
        self, item: Example, rows: list[Row], outputs: list[Floats], arguments: QuestionAnsweringArguments
    ) -> Any:
        # Some spans become one answer when they are widened to whole words.
        count = arguments.top_k * 2 + 10 if arguments.align_to_words else arguments.top_k
        answers: dict[str, dict[str, Any]] = {}
        nothing = 1.0
        for row, logits in zip(rows, outputs, strict=True):
            allowed = np.array([sequence == 1 for sequence in row.encoding.sequence_ids])
            none = np.array([token == self.tokenizer.cls_token_id for token in row.ids])
            spans, score = best_spans(logits, allowed, none, count, arguments.max_answer_len)
            nothing = min(nothing, score)
            for span in spans:
                start, end = _characters(row.encoding, span.first, span.last, arguments.align_to_words)
                text = item.context[start:end]
                answer = answers.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
                answer["score"] += span.score
        found = list(answers.values())
        if arguments.handle_impossible_answer or not found:
            score = nothing if arguments.handle_impossible_answer else 0.0
            found.append({"score": score, "start": 0, "end": 0, "answer": ""})
        best = sorted(found, key=lambda answer: -answer["score"])[: arguments.top_k]
        return best[0] if len(best) == 1 else best

    def _questions(self, items: Sequence[Example], longest: int | None, length: int, stride: int) -> list[str]:
        """The questions, cut off after `longest` tokens.

        Raises:
            ValueError: one leaves its context no room in a window.
        """
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        most = length - special - stride - 1  # a window takes the context further by one token at least
        questions = []
        rows = self.tokenizer([item.question for item in items], add_special_tokens=False).encodings
        for item, row in zip(items, rows, strict=True):
            count = len(row) if longest is None else min(longest, len(row))
            questions.append(item.question if count == len(row) else item.question[: row.offsets[count - 1][1]])
            if count > most and count + self._tokens(item.context) + special > length:
                raise ValueError(
                    f"{item.where}['question']: wanted at most {max(0, most)} tokens, so that a window of {length} "
                    f"(max_seq_len) holds it, {special} special ones and {stride + 1} of the context (doc_stride and "
                    f"one more), found {count}; max_question_len cuts it off"
                )
        return questions

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _characters(encoding: Encoding, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """Where tokens, or the words that they are of, stand in the context."""
    start, end = encoding.offsets[first][0], encoding.offsets[last][1]
    if align_to_words:
        words = encoding.token_to_word(first), encoding.token_to_word(last)
        if words[0] is not None and words[1] is not None:
            spans = encoding.word_to_chars(words[0], 1), encoding.word_to_chars(words[1], 1)
            if spans[0] is not None and spans[1] is not None:
                start, end = spans[0][0], spans[1][1]
    return start, end


def _examples(inputs: tuple[Any, ...], question: Any, context: Any) -> Any:
    """The inputs of a call as one example, a list of them, or an iterator."""
    if len(inputs) == 2:
        question, context = inputs
    elif len(inputs) == 1 and question is None and context is None:
        return inputs[0]
    elif inputs:
        raise ValueError("wanted question and context, or one list of examples, found more")
    if question is None or context is None:
        missing = "question" if question is None else "context"
        raise ValueError(f"{missing}: wanted with the other, found none")
    if (questions := as_list(question)) is not None:
        contexts = as_list(context)
        if contexts is None:
            contexts = [context] * len(questions)
        if len(contexts) != len(questions):
            raise ValueError(f"context: wanted as many as questions, {len(questions)}, found {len(contexts)}")
        return [{"question": one, "context": other} for one, other in zip(questions, contexts, strict=True)]
    return {"question": question, "context": context}
