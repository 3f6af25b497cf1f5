"""Calls with arrays, lists, flags and counts, plain and odd.

Answers are held against float64, against the plain call's, and against each row alone.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import npbert
from torture import bases, calls, odd_lists, text_calls
from torture.bases import STEMS
from torture.calls import Call, Loaded
from torture.case import Plan
from torture.folder import write
from torture.judge import against, same_bits
from torture.kinds import Kind
from torture.kinds.files import TASKS
from torture.odd_arrays import ANY, BAD, MAYBE, SAME, Given
from torture.odd_lists import GUISES
from torture.verdict import REFUSED_KEYWORD, RIGHT, SANE, Found, Refused, asked
from torture.verdict import SAME as AS_UNCHANGED
from torture.weights import unpacked

DTYPES = {"float32": 1.0, "bfloat16": 1e5, "int8": 5e5}
KEPT_LOADED = 30  # models: their recorded programs take memory
UNKNOWN = (
    "frobnicate",
    "input_id",
    "batchsize",
    "self",
    "trust_remote_code",
    "output_attention",
    "normalise",
    "texts_",
)


@dataclass(frozen=True)
class Keyword:
    """An argument that there is not."""

    argument: str

    def __str__(self) -> str:
        return f"an argument that there is not: {self.argument}"


class ArraysKind(Kind):
    name = "arrays"

    def __init__(self, room: Path) -> None:
        self._models = _models()
        self._loaded = lru_cache(KEPT_LOADED)(partial(_loaded, room))
        path = room / "sentence"
        write(dict(bases.sentence_folder("bert", "dense")), path)
        self._sentences = npbert.SentenceTransformer(str(path))
        self._sentences.encode(["a"])
        write(dict(bases.cross_folder("bert")), room / "cross")
        tokenizer = npbert.AutoTokenizer.from_pretrained(path)
        self._of_texts: list[tuple[Callable[..., Call], Any]] = [
            (text_calls.encode_call, self._sentences),
            (text_calls.rank_call, npbert.CrossEncoder(str(room / "cross"), backend="reference")),
            (text_calls.tokenizer_call, tokenizer),
            (text_calls.ids_call, tokenizer),
        ]
        for task in text_calls.PIPELINES:
            write(dict(bases.model_folder("bert", TASKS[task][0])), room / task)
            pipe = npbert.pipeline(task, str(room / task), backend="reference")
            self._of_texts.append((text_calls.pipeline_call, pipe))

    def plan(self, dice: random.Random) -> Plan:
        rng = np.random.default_rng(dice.getrandbits(64))
        label, call = self._call(dice, rng)
        steps: list[Any] = []
        for _ in range(dice.choice([0, 1, 1, 1, 1, 2, 3])):
            if dice.random() < 0.06:
                steps.append(Keyword(dice.choice(UNKNOWN)))
            elif step := _odd(dice, call):
                steps.append(step)
        steps = list({step.argument: step for step in steps}.values())  # one for each argument
        return Plan(f"{call.what} of {label} with {', '.join(map(_shown, call.arguments.items()))}", tuple(steps), call)

    def _call(self, dice: random.Random, rng: np.random.Generator) -> tuple[str, Call]:
        way = dice.random()
        if way < 0.1:
            return "", calls.similarity_call(rng, self._sentences)
        if way < 0.4:
            make_of_texts, taker = dice.choice(self._of_texts)
            return "", make_of_texts(rng, taker)
        model = dice.choice(self._models)
        loaded = self._loaded(model)
        if loaded.kind == "Model":
            make = dice.choice(
                [calls.padded_call, calls.lists_call, calls.embed_call, calls.embed_call, calls.table_call]
            )
        else:
            make = dice.choice([calls.padded_call, calls.padded_call, calls.lists_call])
        return " ".join(filter(None, model)), make(rng, loaded)

    def run(self, plan: Plan) -> str:
        call: Call = plan.given
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not plan.steps:
                return _plain(call)
            return _with_odd(call, plan.steps)


def _plain(call: Call) -> str:
    """The plain call: against the oracle, and each row alone."""
    found = asked(call.what, lambda: call.run(**call.arguments), ())
    outcome = SANE
    if call.truth is not None:
        truth = cache(call.truth)
        for name in truth(np.float64):
            if name in found:
                outcome = against(
                    f"{call.what}: {name}", found[name], lambda dtype, n=name: truth(dtype)[n], call.slack
                )
    if call.alone is not None:
        outcome = RIGHT if call.truth is None else outcome
        _rows_alone(call, found)
    return outcome


def _rows_alone(call: Call, found: dict[str, np.ndarray]) -> None:
    assert call.alone is not None
    rows = len(next(iter(call.arguments.values())))
    for row in range(rows):
        single = asked(call.what, partial(call.run, **call.alone(row)), ())
        for output, array in single.items():
            if output == "loss":
                continue
            whole = found.get(output if not output.startswith("row ") else f"row {row}")
            if whole is None or whole.ndim == 0 or output.startswith("tuple"):
                continue
            own = whole if output.startswith("row ") else whole[row : row + 1]
            same_bits(f"{call.what}: {output} alone and in a batch", own, array)


def _with_odd(call: Call, steps: tuple[Any, ...]) -> str:
    arguments, plain = dict(call.arguments), dict(call.arguments)
    expected, names = SAME, set()
    anyone = set(arguments)
    for step in steps:
        if isinstance(step, Keyword):
            return _unknown_keyword(call, step)
        names.add(step.argument)
        if isinstance(step, Given):
            arguments[step.argument], comes = step.value, step.expected
            plain[step.argument] = step.plain
        else:
            guise = GUISES[call.kinds[step.argument]][step.how]
            try:
                arguments[step.argument] = guise.make(arguments[step.argument])
            except (ValueError, TypeError, OverflowError):
                continue  # such an array can't be given so
            comes = guise.expected
            if guise.reshapes:
                names |= anyone
        expected = max(expected, comes, key=_SEVERITY.index)
    if expected in (ANY, MAYBE):  # what is bad in passing may be found anywhere
        names |= anyone
    try:
        found = asked(call.what, lambda: call.run(**arguments), [*names, *call.names])
    except Refused as refused:
        if expected == SAME:
            odd = "; ".join(map(str, steps))
            raise Found(
                f"{call.what}: refused, where {odd}: {refused}", f"{_bare(call)}: refused", by_steps=True
            ) from None
        raise
    if expected == BAD:
        odd = "; ".join(map(str, steps))
        raise Found(f"{call.what}: answered, where {odd}", f"{_bare(call)}: answered", by_steps=True)
    if expected == ANY:
        return SANE
    wanted = asked(call.what, lambda: call.run(**plain), ())
    if found.keys() != wanted.keys():
        raise Found(f"{call.what}: gives {[*found]}, plain {[*wanted]}", f"{_bare(call)}: other outputs", by_steps=True)
    for name, array in found.items():
        same_bits(f"{_bare(call)}: {name} beside the plain call's", array, wanted[name], by_steps=True)
    return AS_UNCHANGED


_SEVERITY = (SAME, MAYBE, ANY, BAD)


def _unknown_keyword(call: Call, step: Keyword) -> str:
    """It is refused by name, by npbert or by Python."""
    try:
        asked(call.what, lambda: call.run(**call.arguments, **{step.argument: 1}), [step.argument])
    except Refused:
        raise
    except Found as found:
        if "TypeError" in found.mark and step.argument in found.reason:
            return REFUSED_KEYWORD
        raise
    raise Found(f"{call.what}: {step.argument}=1 is swallowed", f"{_bare(call)}: a swallowed keyword")


def _odd(dice: random.Random, call: Call) -> Any:
    argument = dice.choice([*call.kinds, *call.kinds, *call.choices])
    if argument in call.kinds:
        return odd_lists.drawn(dice, argument, call.kinds[argument])
    bad, same = call.choices[argument]
    if same and dice.random() < 0.3:
        value, plain = dice.choice(same)
        return Given(argument, value, SAME, plain)
    return Given(argument, dice.choice(bad), BAD) if bad else None


def _bare(call: Call) -> str:
    """What is called, whatever the head or the function."""
    return "called" if call.what.endswith(" called") else call.what.partition("_")[0].partition(" by ")[0]


def _shown(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name} {list(value.shape)}" if isinstance(value, np.ndarray) else f"{name}={value!r}"[:60]


class Model(NamedTuple):
    """What is loaded."""

    family: str
    kind: str
    variety: str
    backend: str
    dtype: str


def _models() -> list[Model]:
    """Of every family and kind, on both backends; some in reduced precision."""
    found: list[Model] = []
    for family in STEMS:
        for kind in bases.KINDS:
            found += [Model(family, kind, "", "cpu", "float32"), Model(family, kind, "", "reference", "float32")]
        found += [Model(family, "Model", "", "cpu", dtype) for dtype in ("bfloat16", "int8")]
    for variety, (family, _) in bases.VARIETIES.items():
        found += [Model(family, "Model", variety, backend, "float32") for backend in ("cpu", "reference")]
    return found


def _loaded(room: Path, model: Model) -> Loaded:
    files = bases.model_folder(model.family, model.kind, model.variety)
    path = room / "-".join(model)
    write(dict(files), path)  # it stays, since word embeddings are mapped
    load: Callable[..., Any] = getattr(npbert, STEMS[model.family] + model.kind).from_pretrained
    made = load(path, backend=model.backend, dtype=model.dtype)
    config = json.loads(files["config.json"])
    tensors = unpacked(files["model.safetensors"])
    return Loaded(made, model.kind, config, tensors, DTYPES[model.dtype], model.backend == "cpu")


CASES = ArraysKind
