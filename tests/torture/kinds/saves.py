"""Models, tokenizers and whole folders saved and loaded again: the same answers, or an error and nothing by halves."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import npbert
from torture import bases
from torture.bases import STEMS
from torture.case import Plan
from torture.folder import clear, write
from torture.judge import same_bits
from torture.kinds import Kind
from torture.kinds.files import IDS, MASK, PAIRS, TEXTS
from torture.verdict import SAME, SANE, Found, Refused, asked

WHOLE = 2**40  # bytes that a file may have


@dataclass(frozen=True)
class Change:
    """Something done to what is loaded, before it is saved."""

    what: str
    value: Any

    def __str__(self) -> str:
        return f"{self.what} = {self.value!r}"

    @property
    def mark(self) -> str:
        return self.what


@dataclass(frozen=True)
class There:
    """What stands where it is saved to."""

    how: str

    def __str__(self) -> str:
        return f"there is {self.how}"


CHANGES: dict[str, tuple[Any, ...]] = {
    "prune_heads": ({0: [0]}, {0: [1]}, {0: []}),
    "max_seq_length": (4, 8, 16),
    "prompts": ({"query": "the "}, {"a": "a cat ", "b": ""}, {"é": "\n"}),
    "default_prompt_name": ("query",),
    "similarity_fn_name": ("dot", "euclidean", "manhattan", "cosine"),
    "truncate_dim": (1, 3),
    "padding_side": ("left", "right"),
    "truncation_side": ("left", "right"),
    "model_max_length": (5, 9),
    "include_prompt": (True, False),
}
PLACES = (
    "a folder",
    "a file",
    "an older model",
    "a folder in the place of the weights",
    "a link to nowhere",
    "no room",
    "little room",
)


class SavesKind(Kind):
    name = "saves"
    limit_s: ClassVar[float] = 30.0

    def __init__(self, room: Path) -> None:
        self._source, self._target = room / "source", room / "target"
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is an OSError
        write(dict(bases.model_folder("bert")), self._source)
        npbert.AutoModel.from_pretrained(self._source)(IDS)

    def plan(self, dice: random.Random) -> Plan:
        kind = dice.choice(["model", "model", "tokenizer", "sentence", "sentence", "cross"])
        family = dice.choice(list(STEMS))
        head = dice.choice(bases.KINDS)
        variety = dice.choice(["", "", "int8", "shards", "vocabulary"]) if kind in ("model", "tokenizer") else ""
        dtype = dice.choice(["float32", "float32", "bfloat16", "int8"])
        steps: list[Any] = []
        for _ in range(dice.choice([0, 1, 1, 2, 3])):
            name = dice.choice(list(CHANGES))
            steps.append(Change(name, dice.choice(CHANGES[name])))
        if dice.random() < 0.4:
            steps.append(There(dice.choice(PLACES)))
        files = {
            "model": partial(bases.model_folder, family, head, variety),
            "tokenizer": partial(bases.model_folder, family, "Model", variety),
            "sentence": partial(bases.sentence_folder, family, dice.choice(["", "dense"])),
            "cross": partial(bases.cross_folder, family),
        }[kind]()
        return Plan(
            f"{kind} of {family}, {head}, {variety}, {dtype}", tuple(steps), (kind, STEMS[family] + head, dtype, files)
        )

    def run(self, plan: Plan) -> str:
        kind, name, dtype, files = plan.given
        write(dict(files), self._source)
        clear(self._target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load = _loader(kind, name, dtype)
            loaded = asked(f"{kind} loaded", lambda: load(self._source), [str(self._source)])
            for step in plan.steps:
                if isinstance(step, Change):
                    _apply(kind, loaded, step)
            wanted = _answers(kind, loaded)
            places = [step.how for step in plan.steps if isinstance(step, There)]
            limit = _prepare(self._target, places)
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, WHOLE))
                asked(f"{kind} saved", lambda: loaded.save_pretrained(self._target), [str(self._target)])
            except Refused:
                self._check_left(places)
                if not places:
                    raise Found(f"{plan.what}: can't be saved", f"{kind}: can't be saved", by_steps=True) from None
                raise
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (WHOLE, WHOLE))
            self._check_left(places)
            again = asked(f"{kind} loaded again", lambda: load(self._target), [str(self._target)])
            for what, found in _answers(kind, again).items():
                if isinstance(found, np.ndarray):
                    same_bits(f"{kind}: {what} after it was saved", found, wanted[what], by_steps=True)
                elif found != wanted[what]:
                    said = f"{kind}: {what}: {found!r}, before it was saved {wanted[what]!r}"
                    raise Found(said, f"{kind}: {what} after it was saved", by_steps=True)
        return SANE if places else SAME

    def _check_left(self, places: list[str]) -> None:
        """No part of a file is left, and what was there before is whole."""
        if not self._target.is_dir():
            return
        known = {"config.json", "model.safetensors", "inside"}
        odd = [
            path.name
            for path in self._target.rglob("*")
            if path.name.startswith((".", "tmp")) or path.suffix in (".part", ".partial")
        ]
        odd += [path.name for path in self._target.glob("model.safetensors.*") if path.name not in known]
        if odd:
            raise Found(f"left {odd}", "parts of files are left", by_steps=True)
        for path in self._target.rglob("*.json"):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except OSError:
                continue  # a link to nowhere was there before
            except ValueError:
                raise Found(f"half of {path.name} is left", "half a file is left", by_steps=True) from None


def _loader(kind: str, name: str, dtype: str) -> Callable[[Path], Any]:
    if kind == "model":
        return lambda path: getattr(npbert, name).from_pretrained(path, dtype=dtype)
    if kind == "tokenizer":
        return lambda path: npbert.AutoTokenizer.from_pretrained(path)
    made = npbert.SentenceTransformer if kind == "sentence" else npbert.CrossEncoder
    return lambda path: made(str(path), dtype=dtype)


TAKERS: dict[str, tuple[str, ...]] = {
    "prune_heads": ("model", "sentence", "cross"),
    "include_prompt": ("sentence",),
    **dict.fromkeys(("padding_side", "truncation_side", "model_max_length"), ("tokenizer",)),
    **dict.fromkeys(("max_seq_length", "prompts", "default_prompt_name"), ("sentence", "cross")),
    **dict.fromkeys(("similarity_fn_name", "truncate_dim"), ("sentence",)),
}


def _apply(kind: str, loaded: Any, step: Change) -> None:
    """Does what can be done to such a thing; what is refused stays as it was."""
    if kind not in TAKERS[step.what] or (step.what == "default_prompt_name" and step.value not in loaded.prompts):
        return
    try:
        if step.what == "prune_heads":
            (loaded if kind == "model" else loaded.model).prune_heads(step.value)
        elif step.what == "include_prompt":
            loaded.set_pooling_include_prompt(step.value)
        else:
            setattr(loaded, step.what, dict(step.value) if isinstance(step.value, dict) else step.value)
    except ValueError:
        return


def _answers(kind: str, loaded: Any) -> dict[str, Any]:
    """All that is to stay the same."""
    if kind == "model":
        output = asked("model called", lambda: loaded(IDS, MASK, output_attentions=True), ["input_ids"])
        return {name: value for name, value in output.items() if isinstance(value, np.ndarray)}
    if kind == "tokenizer":
        found = asked("tokenizer called", lambda: loaded(TEXTS, truncation=True), ["text"])
        pairs = asked(
            "tokenizer called", lambda: loaded([a for a, _ in PAIRS], [b for _, b in PAIRS], padding=True), ["text"]
        )
        sides = (loaded.padding_side, loaded.truncation_side, loaded.model_max_length, loaded.special_tokens_map)
        return {"ids": dict(found), "pairs": dict(pairs), "settings": sides, "vocabulary": loaded.get_vocab()}
    if kind == "cross":
        scores = asked("predict", lambda: loaded.predict(PAIRS), ["inputs"])
        return {
            "scores": np.asarray(scores),
            "settings": (loaded.max_length, loaded.prompts, loaded.default_prompt_name),
        }
    prompts = {name: prompt for name, prompt in loaded.prompts.items() if prompt}  # it adds empty ones
    vectors = asked("encode", lambda: loaded.encode(TEXTS), ["sentences", "prompt_name"])
    queries = asked(
        "encode", lambda: loaded.encode(TEXTS, prompt_name=max(prompts, default=None)), ["sentences", "prompt_name"]
    )
    settings = (loaded.max_seq_length, prompts, loaded.default_prompt_name, loaded.similarity_fn_name)
    return {"vectors": vectors, "queries": queries, "settings": (*settings, loaded.get_embedding_dimension())}


def _prepare(target: Path, places: list[str]) -> int:
    """What stands there beforehand; how large a file may become."""
    limit = WHOLE
    for how in places:
        if how == "a folder":
            target.mkdir()
        elif how == "a file":
            target.write_bytes(b"a file")
        elif how == "an older model":
            write(dict(bases.sentence_folder("distilbert")), target)
        elif how == "a folder in the place of the weights":
            target.mkdir()
            (target / "model.safetensors").mkdir()
            (target / "model.safetensors" / "inside").write_bytes(b"")
        elif how == "a link to nowhere":
            target.mkdir()
            for name in ("config.json", "tokenizer.json", "modules.json"):
                os.symlink("nowhere/at/all", target / name)
        else:
            limit = 100 if how == "no room" else 4000
    return limit


CASES = SavesKind
