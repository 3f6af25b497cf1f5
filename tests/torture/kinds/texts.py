"""Odd texts through tokenizers and pipelines: against transformers, the `tokenizers` library, and themselves."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from minilm import minilm_folder
from tokenizer_folders import make_folder
from tokenizing import arguments as drawn_arguments
from tokenizing import load_oracle

import npbert
from torture import bases, odd_texts
from torture.case import Plan
from torture.cutting import put_together
from torture.folder import write
from torture.judge import same_bits
from torture.kinds import Kind
from torture.odd_texts import joined
from torture.tokenizers64 import Backend
from torture.verdict import RIGHT, SAME, SANE, Found, Refused, asked

LIVE = ("bert", "distilbert", "electra", "mpnet", "roberta")  # transformers 5 answers as 4.57 did
BY_FILE = ("bert", "roberta", "xlm-roberta", "camembert", "albert")  # have a tokenizer.json
SHAPES = ("one", "pair", "batch", "pairs", "tuples")
LIVE_CHARS = 2000
TASKS = {
    "text-classification": ("bert", "ForSequenceClassification"),
    "token-classification": ("bert", "ForTokenClassification"),
    "question-answering": ("bert", "ForQuestionAnswering"),
    "fill-mask": ("roberta", "ForMaskedLM"),
    "feature-extraction": ("albert", "Model"),
}
NAMES = (
    "text",
    "texts",
    "pairs",
    "max_length",
    "stride",
    "padding",
    "truncation",
    "return_tensors",
    "inputs",
    "sentences",
)
DEFAULTS: dict[str, Any] = {
    "add_special_tokens": True, "padding": False, "truncation": None, "max_length": None, "stride": 0,
    "pad_to_multiple_of": None, "padding_side": None, "return_tensors": None, "return_token_type_ids": None,
    "return_attention_mask": None, "return_overflowing_tokens": False, "return_special_tokens_mask": False,
    "return_offsets_mapping": False, "return_length": False,
}  # fmt: skip


@dataclass(frozen=True)
class Argument:
    """One of a call's that is not its default."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}"


@dataclass(frozen=True)
class Question:
    """What is asked of the texts."""

    how: str  # "call", "cut", "decode", "sentences", or a pipeline's task
    family: str
    shape: str
    words: bool
    slots: int
    side: str  # of truncation


class TextsKind(Kind):
    name = "texts"
    limit_s: ClassVar[float] = 40.0
    peak_mb: ClassVar[int] = 500
    slow_s: ClassVar[float] = 8.0  # long texts, and the oracles' own time with it
    growth_mb: ClassVar[int] = 1500  # what the library took for a long pair stays with the process

    def __init__(self, room: Path) -> None:
        kept, minilm = Path(os.environ.get("TORTURE_KEPT", room)), minilm_folder()
        self._tokenizers, self._live, self._files = {}, {}, {}
        for family in bases.STEMS:
            folder = _made_once(family, minilm, kept / f"tokenizer-{family}")
            self._tokenizers[family] = npbert.AutoTokenizer.from_pretrained(folder)
            if family in LIVE:
                self._live[family] = load_oracle(folder)
            if family in BY_FILE:
                self._files[family] = Backend((folder / "tokenizer.json").read_bytes())
        self._pipelines = {}
        for task, (family, kind) in TASKS.items():
            path = room / task
            write(dict(bases.model_folder(family, kind)), path)
            self._pipelines[task] = npbert.pipeline(
                task, str(path), **({"truncation": True} if "class" in task[:9] else {})
            )
        write(dict(bases.sentence_folder("mpnet", "dense")), room / "sentence")
        self._sentences = npbert.SentenceTransformer(str(room / "sentence"))
        self._sentences.encode(["a"])

    def plan(self, dice: random.Random) -> Plan:
        how = dice.choice(["call"] * 6 + ["cut", "cut", "decode", "sentences", *TASKS])
        family = dice.choice(list(bases.STEMS))
        shape, words = dice.choice(SHAPES), dice.random() < 0.2
        slots = {"one": 1, "pair": 2, "batch": dice.randint(1, 4)}.get(shape, 2 * dice.randint(1, 3))
        if how in ("sentences", *TASKS):
            slots = dice.choice([1, 2, 3, 5])
        steps: list[Any] = [piece for slot in range(slots) for piece in odd_texts.pieces(dice, slot, 12)]
        given = drawn_arguments(dice)
        if how == "call":
            steps += [Argument(name, given[name]) for name in DEFAULTS if given[name] != DEFAULTS[name]]
        elif how == "cut":
            steps.append(Argument("max_length", dice.choice([2, 3, 4, 5, 8, 16, 33, 100])))
        side = dice.choice(["right", "right", "right", "left"])
        question = Question(how, family, shape, words, slots, side)
        said = f"{how} of {family}, {shape}{', words' if words else ''}, cut from the {side}"
        return Plan(said if how in ("call", "cut", "decode") else how, tuple(steps), question)

    def run(self, plan: Plan) -> str:
        question: Question = plan.given
        texts = joined(plan.steps, question.slots)
        given = {step.name: step.value for step in plan.steps if isinstance(step, Argument)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if question.how == "call":
                return self._call(question, texts, given)
            if question.how == "cut":
                return self._cut(question, texts, given.get("max_length", 5))
            if question.how == "decode":
                return self._decode(question, texts)
            if question.how == "sentences":
                return self._encode(texts)
            return _pipeline(question.how, self._pipelines[question.how], texts)

    def _call(self, question: Question, texts: list[str], given: dict[str, Any]) -> str:
        """A call with any arguments."""
        tokenizer = self._tokenizers[question.family]
        tokenizer.truncation_side = question.side
        inputs = _shaped(question, texts)
        special = tokenizer.num_special_tokens_to_add(pair=True)
        arguments = {**DEFAULTS, **given, "is_split_into_words": question.words, "verbose": False}
        if arguments["max_length"] is not None:
            arguments["max_length"] = max(arguments["max_length"], special)  # less is refused here
        live = self._live.get(question.family)
        if max(map(len, texts)) > LIVE_CHARS and question.shape in ("pair", "pairs", "tuples"):
            live = None  # its memory grows with the square
        wanted, failed = None, live is None
        if live is not None:
            live.truncation_side = question.side
            try:
                wanted = live(*inputs, **arguments)
            except BaseException:
                failed = True
        try:
            found = asked(f"{question.family} tokenizer called", lambda: tokenizer(*inputs, **arguments), NAMES)
        except Refused:
            paired = question.shape in ("pair", "pairs", "tuples") and any(texts[1::2])
            around = tokenizer.num_special_tokens_to_add(pair=paired) if arguments["add_special_tokens"] else 0
            room = (arguments["max_length"] or 512) - around
            unfit = arguments["stride"] >= room > 0 or "\ud800" in str(inputs) or _has_surrogate(texts)
            if not failed and not unfit and not _is_odd(wanted):
                raise Found(f"{question.family}: refused, where transformers answers", "tokenizer: refused") from None
            raise
        _check_offsets(question, found, texts, arguments)
        if failed or _is_odd(wanted):
            return SANE
        _check_columns(question.family, found, wanted)
        return RIGHT

    def _cut(self, question: Question, texts: list[str], length: int) -> str:
        """What is cut equals what is not cut, cut afterwards; by the file's own pipeline where there is one."""
        tokenizer = self._tokenizers[question.family]
        tokenizer.truncation_side = question.side
        pairs = question.shape in ("pair", "pairs", "tuples")
        firsts, seconds = (texts[0::2], texts[1::2]) if pairs else (texts, None)
        length = max(length, tokenizer.num_special_tokens_to_add(pair=pairs))
        name = f"{question.family} encode_ids"
        if seconds is None:
            ids = asked(name, lambda: tokenizer.encode_ids(firsts, max_length=length), NAMES)
        else:
            ids, types = asked(name, lambda: tokenizer.encode_ids(firsts, seconds, length), NAMES)
        called = asked(
            f"{question.family} tokenizer called",
            lambda: tokenizer(firsts, seconds, truncation=True, max_length=length, return_token_type_ids=True),
            NAMES,
        )
        if called["input_ids"] != ids:
            place = next(index for index, row in enumerate(ids) if row != called["input_ids"][index])
            said = f"{name}: {ids[place]}, where a call gives {called['input_ids'][place]}"
            raise Found(said, f"{question.family}: encode_ids and a call")
        if seconds is not None and called["token_type_ids"] != types:
            raise Found(f"{name}: other token types than a call's", f"{question.family}: token types of encode_ids")
        whole = self._whole(question.family, texts)
        around = _around(tokenizer, pairs)
        for place, own in enumerate(ids):
            rows = (whole[2 * place], whole[2 * place + 1]) if pairs else (whole[place], [])
            wanted = put_together(rows, around, length, question.side)
            if own != wanted:
                said = f"{name}: {own[:40]}, where the whole, cut, is {wanted[:40]}"
                raise Found(said, f"{question.family}: cut otherwise")
        return RIGHT if question.family in self._files else SAME

    def _whole(self, family: str, texts: list[str]) -> list[list[int]]:
        """Each text's ids, not cut and without special tokens: by tokenizer.json where there is one."""
        if family in self._files:
            return [row.ids for row in self._files[family].rows(texts, special=False)]
        ids: list[list[int]] = self._tokenizers[family](texts, add_special_tokens=False)["input_ids"]
        return ids

    def _decode(self, question: Question, texts: list[str]) -> str:
        """Ids back to text: as the library decodes them, and as transformers does."""
        tokenizer = self._tokenizers[question.family]
        tokenizer.truncation_side = "right"
        rows = asked("encode_ids", lambda: tokenizer.encode_ids(texts), NAMES)
        outcome = SANE
        for skip in (False, True):
            found = asked("batch_decode", partial(tokenizer.batch_decode, rows, skip_special_tokens=skip), ("ids",))
            alone = [
                asked("decode", partial(tokenizer.decode, row, skip_special_tokens=skip), ("ids",)) for row in rows
            ]
            if found != alone and len(rows) > 1:
                raise Found(f"batch_decode {found}, decode {alone}", f"{question.family}: batch_decode and decode")
            if question.family in self._files and not tokenizer.clean_up_tokenization_spaces:
                wanted = [self._files[question.family].decode(row, skip) for row in rows]
                if alone != wanted:
                    raise Found(f"decode {alone}, tokenizers {wanted}", f"{question.family}: decode")
                outcome = RIGHT
        for row in rows:
            tokens = asked("convert_ids_to_tokens", partial(tokenizer.convert_ids_to_tokens, row), ("ids",))
            back = asked("convert_tokens_to_ids", partial(tokenizer.convert_tokens_to_ids, tokens), ("tokens",))
            if back != row:
                raise Found(f"ids {row}, tokens {tokens}, ids {back}", f"{question.family}: ids, tokens, ids")
        return outcome

    def _encode(self, texts: list[str]) -> str:
        """Vectors in a batch are those alone, in any order."""
        found = asked("encode", lambda: self._sentences.encode(texts), NAMES)
        for place, text in enumerate(texts):
            same_bits("encode: alone and in a batch", found[place], self._sentences.encode([text])[0])
        backwards = self._sentences.encode(texts[::-1], batch_size=2)[::-1]
        same_bits("encode: backwards", backwards, found)
        if not np.isfinite(found).all():
            raise Found(f"encode: not finite: {texts!r}", "encode: not finite")
        return SAME


def _made_once(family: str, minilm: Path, folder: Path) -> Path:
    """A family's tokenizer, which takes seconds to train."""
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as part:
            make_folder(family, minilm, Path(part) / family)
            with contextlib.suppress(OSError):  # another worker was quicker
                os.rename(Path(part) / family, folder)
    return folder


def _around(tokenizer: Any, pairs: bool) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before, between and behind texts."""
    row = tokenizer("a", "a" if pairs else None).encodings[0]
    places = [place for place, text in enumerate(row.sequence_ids) if text is not None]
    second = next((place for place in places if row.sequence_ids[place] == 1), places[-1] + 1)
    last_of_first = max(place for place in places if row.sequence_ids[place] == 0)
    between = row.ids[last_of_first + 1 : second] if pairs else []
    return row.ids[: places[0]], between, row.ids[places[-1] + 1 :]


def _shaped(question: Question, texts: list[str]) -> tuple[Any, ...]:
    """The texts as a call takes them."""
    given: list[Any] = [text.split(" ") for text in texts] if question.words else list(texts)
    if question.shape == "one":
        return (given[0],)
    if question.shape == "pair":
        return (given[0], given[1])
    if question.shape == "batch":
        return (given,)
    if question.shape == "pairs":
        return (given[0::2], given[1::2])
    return (list(zip(given[0::2], given[1::2], strict=True)),)


def _has_surrogate(texts: Sequence[str]) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for text in texts for character in text)


def _is_odd(wanted: Any) -> bool:
    """transformers makes arrays of lists of rows of several lengths, or of nothing."""
    return any(isinstance(array, np.ndarray) and (array.dtype == object or not array.size) for array in wanted.values())


def _check_columns(family: str, found: Any, wanted: Any) -> None:
    """Raises Found where an answer is not transformers'."""
    if list(found) != list(wanted):
        raise Found(f"{family}: columns {list(found)}, transformers {list(wanted)}", f"{family}: columns")
    for key in wanted:
        if isinstance(wanted[key], np.ndarray):
            same = found[key].dtype == np.int64 and np.array_equal(found[key], wanted[key])
        else:
            same = found[key] == wanted[key]
        if not same:
            raise Found(f"{family}: {key}: {found[key]!r}, transformers {wanted[key]!r}", f"{family}: {key}")


def _check_offsets(question: Question, found: Any, texts: list[str], arguments: dict[str, Any]) -> None:
    """Offsets lie within their text, and begin in order."""
    if not arguments["return_offsets_mapping"] or question.words or arguments["return_overflowing_tokens"]:
        return
    for place, row in enumerate(found.encodings):
        pair = question.shape in ("pair", "pairs", "tuples")
        own = texts[2 * place : 2 * place + 2] if pair else texts[place : place + 1]
        last = [0, 0]
        for (begin, end), side in zip(row.offsets, row.sequence_ids, strict=True):
            if side is None:
                continue
            if not 0 <= begin <= end <= len(own[side]) or begin < last[side]:
                raise Found(f"{question.family}: offsets {row.offsets} of {own!r}", f"{question.family}: offsets")
            last[side] = begin


def _pipeline(task: str, pipe: Any, texts: list[str]) -> str:
    """Answers of a batch are those of each alone, and say what they promise."""
    inputs: list[Any] = texts
    if task == "fill-mask":
        inputs = [text.replace("<mask>", "") + " <mask>" for text in texts]
    if task == "question-answering":
        inputs = [{"question": texts[0] or "a", "context": text or "the"} for text in texts]
    alone = []
    for item in inputs:
        try:
            alone.append(asked(task, partial(pipe, item), NAMES))
        except Refused as refused:
            alone.append(refused)
    try:
        found = asked(task, lambda: pipe(list(inputs)), NAMES)
    except Refused as refused:
        if not any(isinstance(each, Refused) for each in alone):
            raise Found(
                f"{task}: a batch is refused, each alone answered: {refused}", f"{task}: batch refused"
            ) from None
        raise
    if any(isinstance(each, Refused) for each in alone):
        raise Found(f"{task}: a batch is answered, one alone refused", f"{task}: batch answered")
    listed = found if isinstance(found, list) and len(inputs) > 1 else [found]
    if len(inputs) > 1 and any(_plain(own) != _plain(each) for own, each in zip(listed, alone, strict=True)):
        raise Found(f"{task}: batch {found!r}, alone {alone!r}", f"{task}: alone and in a batch")
    checks: dict[str, Callable[[Any, Any], bool]] = {
        "question-answering": lambda item, answer: item["context"][answer["start"] : answer["end"]] == answer["answer"],
        "token-classification": lambda item, answer: all(
            0 <= each["start"] <= each["end"] <= len(item) for each in answer
        ),
    }
    if task in checks and not all(checks[task](item, answer) for item, answer in zip(inputs, alone, strict=True)):
        raise Found(f"{task}: {alone!r} of {inputs!r}", f"{task}: places in the text")
    return SAME


def _plain(answer: Any) -> Any:
    """A list of one answer is that answer, as several tasks have it."""
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else answer


CASES = TextsKind
