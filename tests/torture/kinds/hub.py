"""Models from a hub on this machine that answers oddly, and caches in every state: it is the model, or an error."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import npbert
from torture import bases
from torture.case import Plan
from torture.hub_server import COMMIT, FAITHFUL, REPO, WAYS, Server
from torture.judge import same_bits
from torture.kinds import Kind
from torture.kinds.files import IDS, TEXTS
from torture.verdict import SAME, SANE, Found, Refused, asked, fault_of

TARGETS = ("model", "tokenizer", "sentence", "config")
STORAGE = f"models--{REPO.replace('/', '--')}"
LONGEST_SLEEP_S = 0.002
OPTIONS: dict[str, tuple[Any, ...]] = {
    "revision": ("main", COMMIT, "v1", "../x", "a/b", "", "x" * 300, 3, "a\nb"),
    "token": ("hf_x", True, False, "", "a\nb"),
    "local_files_only": (True, False),
}
STATES = (
    *(
        "the commit",
        "a link that leads nowhere",
        "a file that is cut",
        "an empty file",
        "a file as a folder",
        "marked as missing",
    ),
    *("half a download", "a lock that is a folder", "refs that say nothing", "refs that lead out", "refs as a folder"),
    *("snapshots as a file", "the storage as a file"),
)


@dataclass(frozen=True)
class Way:
    """How the server gives a file."""

    file: str
    how: str

    def __str__(self) -> str:
        return f"{self.file}: {self.how}"


@dataclass(frozen=True)
class Cached:
    """What the cache holds of a file beforehand, or of all."""

    file: str
    how: str

    def __str__(self) -> str:
        return f"cached {self.file}: {self.how}"


@dataclass(frozen=True)
class Option:
    """An argument."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}"


class HubKind(Kind):
    name = "hub"
    slow_s: ClassVar[float] = 60.0
    limit_s: ClassVar[float] = 60.0

    def __init__(self, room: Path) -> None:
        self._cache, self._server = room / "cache", Server()
        environment = {"HF_ENDPOINT": self._server.url, "HF_HUB_CACHE": str(self._cache), "HF_HOME": str(room / "home")}
        os.environ.update(
            environment | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        )
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            os.environ.pop(name, None)
        sleep = time.sleep
        time.sleep = lambda seconds: sleep(min(seconds, LONGEST_SLEEP_S))  # between tries
        self._files = {
            "sentence": bases.sentence_folder("bert", "dense"),
            "model": bases.model_folder("bert", "Model", "shards"),
            "tokenizer": bases.model_folder("roberta"),
            "config": bases.model_folder("albert"),
        }
        self._truth: dict[str, Any] = {}
        for target, files in self._files.items():
            self._served(files, {})
            self._truth[target] = _ask(target, {})

    def plan(self, dice: random.Random) -> Plan:
        target = dice.choice(TARGETS)
        names = list(self._files[target])
        steps: list[Any] = []
        for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
            way = dice.random()
            if way < 0.65:
                steps.append(Way(dice.choice(names), dice.choice(WAYS)))
            elif way < 0.9:
                steps.append(Cached(dice.choice(names), dice.choice(STATES)))
            else:
                name = dice.choice(list(OPTIONS))
                steps.append(Option(name, dice.choice(OPTIONS[name])))
        return Plan(target, tuple(steps), target)

    def run(self, plan: Plan) -> str:
        target: str = plan.given
        files = self._files[target]
        self._served(files, {step.file: step.how for step in plan.steps if isinstance(step, Way)})
        states = [step for step in plan.steps if isinstance(step, Cached)]
        for step in states:
            _prepare(self._cache / STORAGE, step, files[step.file])
        options = {step.name: step.value for step in plan.steps if isinstance(step, Option)}
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = _ask(target, options)
            except Refused:
                if not plan.steps:
                    raise Found(f"{target}: refused, where all is as it should be", "refused") from None
                raise
        for warning in warned:
            if "npbert" in warning.filename and (fault := fault_of(str(warning.message), ())):
                raise Found(f"{target}: a warning: {fault}: {warning.message}", f"a warning: {fault}")
        _check_inside(self._cache)
        if warned or any(isinstance(step, Way) and step.how not in FAITHFUL for step in plan.steps) or states:
            differs = not _equal(found, self._truth[target])
            said = any(REPO in str(warning.message) for warning in warned)
            if differs and not said and not _may_differ(plan.steps):
                raise Found(
                    f"{target}: another answer, and no word", f"{target}: another answer in silence", by_steps=True
                )
            return SANE if differs else SAME
        if isinstance(found, np.ndarray):
            same_bits(f"{target} from the hub", found, self._truth[target], by_steps=True)
        elif found != self._truth[target]:
            raise Found(f"{target}: {found!r}, not {self._truth[target]!r}", f"{target}: another answer", by_steps=True)
        return SAME

    def _served(self, files: dict[str, bytes], ways: dict[str, str]) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)
        self._server.served.files, self._server.served.ways = dict(files), ways


def _ask(target: str, options: dict[str, Any]) -> Any:
    """What a model of the hub answers."""
    names = (REPO, "models--", "revision", "token", "local_files_only")
    asks: dict[str, Callable[[], Any]] = {
        "model": lambda: npbert.AutoModel.from_pretrained(REPO, backend="reference", **options)(IDS).last_hidden_state,
        "tokenizer": lambda: dict(npbert.AutoTokenizer.from_pretrained(REPO, **options)(TEXTS)),
        "sentence": lambda: npbert.SentenceTransformer(REPO, backend="reference", **options).encode(TEXTS),
        "config": lambda: npbert.AutoConfig.from_pretrained(REPO, **options).to_dict(),
    }
    return asked(f"{target} from the hub", asks[target], names)


def _may_differ(steps: tuple[Any, ...]) -> bool:
    """Where files are what the hub says that they are, though not what they were."""
    ways = [step.how for step in steps if isinstance(step, Way)]
    caches = [step.how for step in steps if isinstance(step, Cached)]
    return "404" in ways or any(how in ("a file that is cut", "an empty file", "marked as missing") for how in caches)


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, np.ndarray):
        return bool(np.array_equal(found, wanted))
    return bool(found == wanted)


def _prepare(storage: Path, step: Cached, content: bytes) -> None:
    """The cache as something left it."""
    snapshot, blobs = storage / "snapshots" / COMMIT, storage / "blobs"
    refs = storage / "refs" / "main"
    file = snapshot / step.file
    digest = hashlib.sha256(content).hexdigest()
    try:
        if step.how == "the storage as a file":
            storage.parent.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(b"")
            return
        for folder in (file.parent, blobs, refs.parent):
            folder.mkdir(parents=True, exist_ok=True)
        refs.write_text(COMMIT)
        if step.how == "a link that leads nowhere":
            file.symlink_to(blobs / digest)
        elif step.how == "a file that is cut":
            file.write_bytes(content[: len(content) // 2])
        elif step.how == "an empty file":
            file.write_bytes(b"")
        elif step.how == "a file as a folder":
            file.mkdir()
        elif step.how == "marked as missing":
            missing = storage / ".no_exist" / COMMIT / step.file
            missing.parent.mkdir(parents=True, exist_ok=True)
            missing.write_bytes(b"")
        elif step.how == "half a download":
            (blobs / f"{digest}.incomplete").write_bytes(content[: len(content) // 2])
        elif step.how == "a lock that is a folder":
            (storage.parent / ".locks" / STORAGE / f"{digest}.lock").mkdir(parents=True, exist_ok=True)
        elif step.how == "refs that say nothing":
            refs.write_bytes(b"\xff\xfe\n")
        elif step.how == "refs that lead out":
            refs.write_text("../../../../etc")
        elif step.how == "refs as a folder":
            refs.unlink()
            refs.mkdir()
        elif step.how == "snapshots as a file":
            shutil.rmtree(storage / "snapshots")
            (storage / "snapshots").write_bytes(b"")
    except OSError:
        return  # another state is in its way


def _check_inside(cache: Path) -> None:
    """Nothing is written beside the model's own storage."""
    if not cache.is_dir():
        return
    allowed = {STORAGE, ".locks", "CACHEDIR.TAG", "version.txt"}
    if odd := [path.name for path in cache.iterdir() if path.name not in allowed]:
        raise Found(f"the cache holds {odd}", "written beside the storage")


CASES = HubKind
