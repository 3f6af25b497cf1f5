"""Model folders of every family with odd files, loaded and asked; answers held against what the files say."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import npbert
from torture import bases, folder64, odd_bytes, odd_json, odd_tensors
from torture.bases import STEMS
from torture.case import Plan
from torture.folder import Folder, write
from torture.folder64 import Unknown
from torture.judge import against, same_bits
from torture.kinds import Kind
from torture.tokenizers64 import Backend
from torture.tokenizers_made import Files
from torture.verdict import RIGHT, SAME, SANE, Found, asked, fault_of

IDS = np.array([[2, 5, 6, 7, 3], [3, 8, 9, 10, 4]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
TEXTS = ["the cat sat", "", "unable cats , a é", "a"]
PAIRS = [("the cat", "sat on a mat"), ("", "a"), ("é", "the the the the the the the the the the the")]
WHERE = ("text", "sentences", "inputs", "pairs", "tokens", "token_ids", "ids")  # of what is asked
TASKS = {
    "fill-mask": ("ForMaskedLM", ["the {mask} sat"]),
    "text-classification": ("ForSequenceClassification", ["the cat", ""]),
    "token-classification": ("ForTokenClassification", ["the cat sat", "a"]),
    "feature-extraction": ("Model", ["the cat"]),
    "question-answering": ("ForQuestionAnswering", [{"question": "the cat", "context": "a cat sat on the mat"}]),
    "zero-shot-classification": ("ForSequenceClassification", ["the cat"]),
}
HELD = ("README.md", "pytorch_model.bin", "onnx/model.onnx", "added_tokens.json", "vocab.txt", "adapter_config.json")
OTHER_FILES = (*HELD, "spiece.model", "merges.txt", "tokenizer.json", "model.safetensors.index.json", "modules.json")


@dataclass(frozen=True)
class Base:
    """A whole folder and what is asked of it."""

    target: str  # "config", "model", "tokenizer", "sentence", "cross", or a pipeline's task
    family: str
    kind: str
    variety: str
    files: Files

    def __str__(self) -> str:
        return " ".join(filter(None, (self.target, self.family, self.kind, self.variety)))


class FilesKind(Kind):
    name = "files"
    cpu_share: ClassVar[float] = 0.08

    def __init__(self, room: Path) -> None:
        self._path = room / "model"
        self._bases = all_bases()
        self._parsed = {str(base): _parsed(base.files) for base in self._bases}
        self._paths = {
            (base, file): odd_json.paths_of(values)
            for base, files in self._parsed.items()
            for file, values in files.items()
        }
        _warm_up(self._bases[0], self._path)
        self._unchanged: dict[tuple[str, str, str], Any] = {}

    def plan(self, dice: random.Random) -> Plan:
        base = dice.choice(self._bases)
        backend, dtype = "reference", "float32"
        if dice.random() < self.cpu_share:
            backend, dtype = "cpu", dice.choice(["float32", "float32", "bfloat16", "int8"])
        keeps = dice.random() < 0.12
        count = dice.choice([1, 1, 1, 2, 2, 3, 5])
        steps = tuple((self._kept if keeps else self._odd)(dice, base) for _ in range(count))
        return Plan(f"{base}, {backend} {dtype}", steps, (base, backend, dtype))

    def _odd(self, dice: random.Random, base: Base) -> Any:
        file = _chosen_file(dice, base)
        content = base.files.get(file, b"{}")
        way = dice.random()
        if way < 0.08:
            return odd_bytes.Become(dice.choice(OTHER_FILES), dice.choice([b"", b"{}", b"[]", odd_bytes.special(dice)]))
        if file.endswith(".safetensors"):
            values = self._parsed[str(base)][file]
            if way < 0.5:
                return odd_tensors.drawn(dice, file, [name for name in values if name != "__metadata__"])
            if way < 0.8:
                return odd_json.drawn(dice, file + odd_json.HEADER, values, self._paths[str(base), file])
        elif file.endswith(".json") and way < 0.85:
            return odd_json.drawn(dice, file, self._parsed[str(base)][file], self._paths[str(base), file])
        return odd_bytes.drawn(dice, file, content)

    def _kept(self, dice: random.Random, base: Base) -> Any:
        weights = [
            file for file in base.files if file.endswith(".safetensors") and "/" not in file and "adapter" not in file
        ]
        texts = [file for file in base.files if file.endswith(".json")]
        if base.target in ("tokenizer", "config") or dice.random() < 0.4:
            return odd_json.Restyle(dice.choice(texts), dice.choice(odd_json.STYLES))
        file = dice.choice(weights)
        entries = self._parsed[str(base)][file]
        floats = [
            name for name, entry in entries.items() if entry.get("dtype") == "F32" and not name.endswith("_scale")
        ]
        return odd_tensors.kept(dice, file, floats)

    def run(self, plan: Plan) -> str:
        base, backend, dtype = plan.given
        folder: Folder = dict(base.files)
        for step in plan.steps:
            step.apply(folder)
        write(folder, self._path)
        keeps = all(step.keeps for step in plan.steps)
        asker = _ASKERS.get(base.target, _ask_pipeline)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            answer = asker(base, folder, self._path, backend, dtype)
        for warning in warned:
            if fault := fault_of(str(warning.message), ()):
                raise Found(f"{base}: a warning: {fault}: {warning.message}", f"a warning: {fault}")
        if not keeps:
            return answer.outcome
        key = (str(base), backend, dtype)
        if key not in self._unchanged:
            write(dict(base.files), self._path)
            self._unchanged[key] = asker(base, dict(base.files), self._path, backend, dtype).value
        _check_same(str(base), answer.value, self._unchanged[key])
        return SAME


@dataclass
class Answer:
    """What came of asking, and the outcome that the files themselves bear out."""

    value: Any
    outcome: str


def all_bases() -> list[Base]:
    """Every family, kind of model and way to ask it."""
    found = []
    for family in STEMS:
        for kind in bases.KINDS:
            for variety in ("", "", "shards", "int8"):
                found.append(Base("model", family, kind, variety, bases.model_folder(family, kind, variety)))
        for variety in ("", "", "", "vocabulary", "vocabulary"):
            found += [Base("tokenizer", family, "", variety, bases.model_folder(family, "Model", variety))] * 2
        found.append(Base("config", family, "", "", bases.model_folder(family)))
        for variety in ("", "dense", "dense"):
            found += [Base("sentence", family, "", variety, bases.sentence_folder(family, variety))] * 2
        found += [Base("cross", family, "", "", bases.cross_folder(family))] * 3
        for task, (kind, _) in TASKS.items():
            variety = "entailment" if task.startswith("zero") else ""
            found.append(Base(task, family, kind, variety, bases.model_folder(family, kind, variety)))
        found.append(Base("model", family, "Model", "adapter", bases.adapter_folder(family)))
    for variety, (family, _) in bases.VARIETIES.items():
        found += [Base("model", family, "Model", variety, bases.model_folder(family, "Model", variety))] * 3
    return found


def _warm_up(base: Base, path: Path) -> None:
    """Kernels loaded and threads started, which are no leaks."""
    write(dict(base.files), path)
    npbert.AutoModel.from_pretrained(path)(IDS)


def _chosen_file(dice: random.Random, base: Base) -> str:
    """A file that what is asked reads, most often."""
    names = list(base.files)
    weights = [name for name in names if name.endswith(".safetensors")]
    index = [name for name in names if name.endswith("index.json") or name.startswith("adapter")]
    of_model = ["config.json"] * 3 + weights * 3 + index * 2
    of_tokenizer = [
        name for name in names if name.startswith(("tokenizer", "vocab", "merges", "special", "sp", "sentencep"))
    ]
    of_tokenizer += [name for name in of_tokenizer if name == "tokenizer.json"] * 4
    of_sentence = [
        name for name in names if name.startswith(("modules", "sentence_bert", "config_sent")) or "/" in name
    ]
    if base.target in ("config", "model"):
        return dice.choice(of_model if base.target == "model" else ["config.json"])
    if base.target == "tokenizer":
        return dice.choice([*of_tokenizer, "config.json"])
    return dice.choice([of_model, of_tokenizer, of_sentence or of_model][dice.choice([0, 1, 2, 2])])


def _parsed(files: Files) -> dict[str, Any]:
    """The JSON of each file that holds some; of weights their headers."""
    found = {}
    for name, content in files.items():
        if name.endswith(".json"):
            found[name] = json.loads(content)
        elif name.endswith(".safetensors"):
            found[name] = json.loads(odd_tensors.parted(content)[0])
    return found


def _ask_config(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    config = asked("AutoConfig", lambda: npbert.AutoConfig.from_pretrained(path), [str(path)])
    return Answer(asked("to_dict", config.to_dict), SANE)


def _ask_model(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    name = STEMS[base.family] + base.kind
    load = partial(getattr(npbert, name).from_pretrained, path, backend=backend, dtype=dtype)
    model = asked(f"{base.kind} loaded", load, [str(path)])
    output = asked(
        f"{base.kind} called", lambda: model(IDS, MASK, return_dict=True), ["input_ids", "attention_mask", str(path)]
    )
    found = output.last_hidden_state if base.kind == "Model" else None
    if base.kind == "ForQuestionAnswering":
        found = np.stack([output.start_logits, output.end_logits], -1)
    elif found is None:
        found = output.logits
    outcome = _judged(base.kind, found, partial(_model64, folder, base.kind), _slack(folder, dtype))
    return Answer(found, outcome)


def _slack(folder: Folder, dtype: str) -> float:
    """How much coarser the arithmetic is than float32's; by int8 where a file has some."""
    has_int8 = any(b'"I8"' in content for content in folder.values() if isinstance(content, bytes))
    return {"float32": 1.0, "bfloat16": 1e5, "int8": 5e5}["int8" if has_int8 else dtype]


def _model64(folder: Folder, kind: str, dtype: Any) -> np.ndarray:
    encoder = folder64.encoder_of(folder, dtype=dtype)
    try:
        last = encoder.states(IDS, MASK)[-1]
        found = last if kind == "Model" else encoder.logits(last, kind)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise Unknown(f"{type(error).__name__}: {error}") from None
    return found * MASK[..., None] if found.ndim == 3 else found


def _judged(what: str, found: np.ndarray, oracle: Callable[[Any], np.ndarray], slack: float = 1.0) -> str:
    try:
        return against(what, found, oracle, slack)
    except Unknown:
        return SANE


def _ask_tokenizer(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    tokenizer = asked("AutoTokenizer", lambda: npbert.AutoTokenizer.from_pretrained(path), [str(path)])
    where = (*WHERE, "text_pair", str(path))

    def call(what: str, of: Callable[[], Any]) -> Any:
        return asked(f"tokenizer: {what}", of, where)

    batch = call("a batch", lambda: tokenizer(TEXTS, return_offsets_mapping=True))
    ids = batch["input_ids"]
    most = max(call("get_vocab", tokenizer.get_vocab).values(), default=-1)
    for text, row, offsets in zip(TEXTS, ids, batch["offset_mapping"], strict=True):
        if any(not 0 <= index <= most for index in row):
            raise Found(f"tokenizer: ids {row} beyond the vocabulary's {most}", "tokenizer: ids beyond the vocabulary")
        if any(not 0 <= begin <= end <= len(text) for begin, end in offsets):
            raise Found(f"tokenizer: offsets {offsets} of {text!r}", "tokenizer: offsets out of the text")
        if (alone := call("a text", partial(tokenizer, text))["input_ids"]) != row:
            raise Found(f"tokenizer: {text!r} alone is {alone}, in a batch {row}", "tokenizer: alone and in a batch")
    outcome = _as_the_file_says(base, folder, ids, tokenizer.all_special_tokens)
    if (fast := call("encode_ids", lambda: tokenizer.encode_ids(TEXTS))) != ids:
        raise Found(f"tokenizer: encode_ids gives {fast}, a call {ids}", "tokenizer: encode_ids and a call")
    cut = call("truncation", lambda: tokenizer(TEXTS, truncation=True, max_length=6))["input_ids"]
    if any(len(row) > 6 for row in cut):
        raise Found(f"tokenizer: {cut} with max_length=6", "tokenizer: max_length")
    pairs = call("pairs", lambda: tokenizer([a for a, _ in PAIRS], [b for _, b in PAIRS]))
    decoded = [call("decode", partial(tokenizer.decode, row)) for row in ids]
    tokens = [call("tokens", partial(tokenizer.convert_ids_to_tokens, row)) for row in ids]
    known = [[token for token in row if token is not None] for row in tokens]
    strings = [call("convert_tokens_to_string", partial(tokenizer.convert_tokens_to_string, row)) for row in known]
    special = call("special", lambda: tokenizer.all_special_ids)
    return Answer([ids, cut, dict(pairs), decoded, tokens, strings, special], outcome)


def _as_the_file_says(base: Base, folder: Folder, ids: list[list[int]], special: list[str]) -> str:
    """Whether ids are those of tokenizer.json alone, where that says all: of sentencepiece's families."""
    others = any(folder.get(name) != content for name, content in base.files.items() if name != "tokenizer.json")
    if others or base.family not in ("xlm-roberta", "camembert", "albert") or len(folder) != len(base.files):
        return SANE
    try:
        backend = Backend(folder["tokenizer.json"])
        if not backend.has_added(special):
            return SANE
        wanted = [row.ids for row in backend.rows(TEXTS)]
    except BaseException:  # panics are no Exceptions
        return SANE
    if ids != wanted:
        said = f"tokenizer: {ids}, where tokenizer.json says {wanted}"
        raise Found(said, "tokenizer: ids that tokenizer.json does not give", by_steps=True)
    return RIGHT


def _ask_sentence(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    load = partial(npbert.SentenceTransformer, str(path), backend=backend, dtype=dtype)
    model = asked("SentenceTransformer", load, [str(path)])
    found = asked("encode", lambda: model.encode(TEXTS), [*WHERE, str(path)])
    rows = model.tokenizer.encode_ids(
        [text.lower() for text in TEXTS] if model.settings.do_lower_case else TEXTS, max_length=model.max_seq_length
    )

    def truth(dtype: Any) -> np.ndarray:
        return np.stack(folder64.vectors(folder, rows, dtype))[:, : found.shape[1]]

    if len({kind for kind in (*model.settings.sources,) if "prompt" in kind}) and model.default_prompt_name:
        return Answer(found, SANE)
    return Answer(found, _judged("encode", found, truth, _slack(folder, dtype)))


def _ask_cross(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    load = partial(npbert.CrossEncoder, str(path), backend=backend, dtype=dtype)
    model = asked("CrossEncoder", load, [str(path)])
    found = asked("predict", lambda: model.predict(PAIRS), [*WHERE, str(path)])
    return Answer(found, SANE)


def _ask_pipeline(base: Base, folder: Folder, path: Path, backend: str, dtype: str) -> Answer:
    load = partial(npbert.pipeline, base.target, str(path), backend=backend, dtype=dtype)
    pipe = asked(f"pipeline {base.target}", load, ["model: ", str(path)])
    inputs = TASKS[base.target][1]
    if base.target == "fill-mask":
        inputs = [inputs[0].format(mask=pipe.tokenizer.mask_token)]
    more = {"candidate_labels": ["cat", "the mat"]} if base.target.startswith("zero") else {}
    return Answer(asked(f"{base.target} asked", lambda: pipe(inputs, **more), [*WHERE, str(path), "mask"]), SANE)


_ASKERS: dict[str, Callable[..., Answer]] = {
    "config": _ask_config,
    "model": _ask_model,
    "tokenizer": _ask_tokenizer,
    "sentence": _ask_sentence,
    "cross": _ask_cross,
}


def _check_same(what: str, found: Any, wanted: Any) -> None:
    """Raises Found where an answer differs from that of the unchanged folder."""
    if isinstance(found, np.ndarray):
        same_bits(f"{what.partition(' ')[0]}: a change that keeps the answer", found, wanted)
    elif found != wanted:
        place = _difference(found, wanted)
        raise Found(
            f"{what}: a change that keeps the answer: {place}", f"{what.partition(' ')[0]}: a kept answer differs"
        )


def _difference(found: Any, wanted: Any, path: str = "") -> str:
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        key = next(key for key in found if found[key] != wanted[key])
        return _difference(found[key], wanted[key], f"{path}.{key}")
    if isinstance(found, Sequence) and not isinstance(found, str) and len(found) == len(wanted):
        index = next(index for index, item in enumerate(found) if item != wanted[index])
        return _difference(found[index], wanted[index], f"{path}[{index}]")
    return f"{path}: {found!r}, not {wanted!r}"


CASES = FilesKind
