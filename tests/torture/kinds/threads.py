"""Several things at once on the same models: threads, forks, interrupts, files rewritten; always the same bits."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import npbert
from npbert import get_num_threads, set_num_threads
from torture import bases
from torture.case import Plan
from torture.folder import write
from torture.judge import same_bits
from torture.kinds import Kind
from torture.verdict import SAME, Found, Refused, asked

ROUNDS = 6
CHILD_S = 30.0
HEARD_S = 2.0  # after Ctrl-C, on a busy machine; 0.2 on one of its own
SETS = 12
ACTORS = (
    "embed",
    "predict",
    "call",
    "encode",
    "tokenize",
    "pipeline",
    "threads",
    "load",
    "fork",
    "collect",
    "rewrite",
    "copy",
)


@dataclass(frozen=True)
class Actor:
    """Something that a thread does again and again."""

    what: str
    seed: int
    is_main: bool = False  # in the main thread

    def __str__(self) -> str:
        return f"{self.what}{' in the main thread' if self.is_main else ''} ({self.seed})"

    @property
    def mark(self) -> str:
        return self.what


@dataclass(frozen=True)
class Interrupt:
    """Ctrl-C, so long after all began."""

    after_s: float

    def __str__(self) -> str:
        return f"Ctrl-C after {self.after_s * 1000:.1f} ms"

    mark: ClassVar[str] = "Ctrl-C"


class ThreadsKind(Kind):
    name = "threads"
    slow_s: ClassVar[float] = 60.0
    limit_s: ClassVar[float] = 90.0
    memory_mb: ClassVar[int] = 0  # each thread has its own arena of address space
    peak_mb: ClassVar[int] = 600
    growth_mb: ClassVar[int] = 400

    def __init__(self, room: Path) -> None:
        self._room = room
        for name, files in {
            "bert": bases.model_folder("bert"),
            "mpnet": bases.model_folder("mpnet"),
            "sentence": bases.sentence_folder("albert", "dense"),
            "labels": bases.model_folder("roberta", "ForSequenceClassification"),
        }.items():
            write(dict(files), room / name)
        self._models = [npbert.AutoModel.from_pretrained(room / name) for name in ("bert", "mpnet")]
        self._sentences = npbert.SentenceTransformer(str(room / "sentence"))
        self._pipe = npbert.pipeline("text-classification", str(room / "labels"), truncation=True)
        self._threads = get_num_threads()
        rng = np.random.default_rng(0)
        self._ids = [
            [rng.integers(5, 20, rng.integers(1, 20)).tolist() for _ in range(count)]
            for count in rng.integers(1, 300, SETS)
        ]
        self._texts = [
            [["the cat sat", "a mat", "", "un able cats", "é"][index] for index in rng.integers(0, 5, 7)]
            for _ in range(SETS)
        ]
        set_num_threads(1)
        self._wanted = {
            (what, index): self._ask(what, index)
            for what in ("embed", "predict", "call", "encode")
            for index in range(SETS)
        }
        self._answers = [self._pipe(texts) for texts in self._texts]
        self._tokens = [self._sentences.tokenizer(texts)["input_ids"] for texts in self._texts]
        set_num_threads(self._threads)

    def plan(self, dice: random.Random) -> Plan:
        steps: list[Any] = [Actor(dice.choice(ACTORS), dice.randrange(10**6)) for _ in range(dice.choice([1, 2, 3, 4]))]
        main = dice.choice(["embed", "call", "encode", "fork", "predict", "many rows", "many texts", "many scores"])
        steps.append(Actor(main, dice.randrange(10**6), is_main=True))
        if dice.random() < 0.4:
            steps.append(Interrupt(dice.choice([0.0, 0.001, 0.005, 0.02, 0.1]) * dice.random()))
        return Plan("at once", tuple(steps), dice.randrange(10**6))

    def run(self, plan: Plan) -> str:
        failures: list[BaseException] = []
        actors = [step for step in plan.steps if isinstance(step, Actor) and not step.is_main]
        mains = [step for step in plan.steps if isinstance(step, Actor) and step.is_main]
        interrupts = [step for step in plan.steps if isinstance(step, Interrupt)]
        begin = threading.Barrier(len(actors) + 1)
        threads = [
            threading.Thread(target=self._act, args=(place, actor, begin, failures))
            for place, actor in enumerate(actors)
        ]
        for thread in threads:
            thread.start()
        begin.wait()
        try:
            self._main(mains, interrupts, failures)
        finally:
            for thread in threads:
                thread.join()
            set_num_threads(self._threads)
            for left in self._room.glob("own-*"):
                shutil.rmtree(left)
        if failures:
            raise failures[0]
        return SAME

    def _act(self, place: int, actor: Actor, begin: threading.Barrier, failures: list[BaseException]) -> None:
        begin.wait()
        try:
            dice = random.Random(actor.seed)
            for _ in range(ROUNDS):
                self._once(actor.what, dice, place)
        except BaseException as error:
            failures.append(error)

    def _main(self, mains: list[Actor], interrupts: list[Interrupt], failures: list[BaseException]) -> None:
        """The main thread's own part, which Ctrl-C may end; what it does then is right again."""
        sent: list[float] = []
        timers = [threading.Timer(each.after_s, _interrupt, (sent,)) for each in interrupts]
        try:
            for timer in timers:
                timer.start()
            for actor in mains:
                dice = random.Random(actor.seed)
                for _ in range(1 if actor.what.startswith("many") else ROUNDS):
                    self._once(actor.what, dice, 99)
            for timer in timers:  # or the signal comes while nothing is asked
                timer.join()
            time.sleep(0.001)
        except KeyboardInterrupt:
            heard = time.monotonic() - sent[0] if sent else 0.0
            if heard > HEARD_S:
                failures.append(Found(f"Ctrl-C was heard after {heard:.1f} s", "Ctrl-C was not heard"))
        except BaseException as error:
            failures.append(error)
        for timer in timers:
            with contextlib.suppress(KeyboardInterrupt):
                timer.join()
        if interrupts:
            self._once("embed", random.Random(0), 99)

    def _once(self, what: str, dice: random.Random, place: int) -> None:
        index = dice.randrange(SETS)
        if what in ("embed", "predict", "call", "encode"):
            same_bits(f"{what} beside others", self._ask(what, index), self._wanted[what, index])
        elif what == "tokenize":
            if (found := self._sentences.tokenizer(self._texts[index])["input_ids"]) != self._tokens[index]:
                raise Found(f"ids {found}, alone {self._tokens[index]}", "tokenizer beside others")
        elif what == "pipeline":
            if (found := self._pipe(self._texts[index])) != self._answers[index]:
                raise Found(f"answers {found}, alone {self._answers[index]}", "pipeline beside others")
        elif what == "threads":
            set_num_threads(dice.choice([1, 2, 3, 5, 8]))
            time.sleep(0.001)
        elif what == "collect":
            gc.collect()
        elif what == "load":
            loaded = npbert.AutoModel.from_pretrained(
                self._room / "bert", dtype=dice.choice(["float32", "float32", "bfloat16"])
            )
            loaded.embed(self._ids[index])
        elif what == "rewrite":
            self._rewrite(dice, index, self._room / f"own-{place}")
        elif what == "copy":
            self._copy(index)
        elif what == "many rows":
            self._models[index % 2].embed(self._ids[index] * 20)
        elif what == "many texts":
            self._sentences.tokenizer(self._texts[index] * 2000)
        elif what == "many scores":
            self._sentences.similarity(np.ones((3000, 60), np.float32), np.ones((3000, 60), np.float32))
        else:
            self._fork(index)

    def _ask(self, what: str, index: int) -> np.ndarray:
        model, ids = self._models[index % 2], self._ids[index]
        asks: dict[str, Callable[[], Any]] = {
            "embed": lambda: model.embed(ids, "mean", normalize=True),
            "predict": lambda: np.concatenate(model.predict(ids)),
            "call": lambda: model(np.array([(row * 20)[:20] for row in ids])).last_hidden_state,
            "encode": lambda: self._sentences.encode(self._texts[index]),
        }
        found: np.ndarray = asks[what]()
        return found

    def _rewrite(self, dice: random.Random, index: int, path: Path) -> None:
        """A model whose file changes under it: the right answer, or an error that says so; never another answer."""
        write(dict(bases.model_folder("bert")), path)
        model = npbert.AutoModel.from_pretrained(path)
        file = path / "model.safetensors"
        content = file.read_bytes()
        how = dice.choice(["in place", "cut", "replaced", "other words"])
        if how == "replaced":
            (path / "new").write_bytes(content[:-8] + bytes(8))
            os.replace(path / "new", file)
        elif how == "cut":
            os.truncate(file, len(content) // 2)
        else:
            with open(file, "r+b") as open_file:
                open_file.seek(len(content) // 2 if how == "in place" else len(content) - 8)
                open_file.write(b"\x00\x00\x80\x3f" * 2)
        try:
            found = asked("embed", lambda: model.embed(self._ids[0], "mean", normalize=True), [str(path)])
        except Refused:
            return
        same_bits(f"a file {how}", found, self._wanted["embed", 0])

    def _copy(self, index: int) -> None:
        """A copy of a model by way of pickle answers as it does, where models can be pickled."""
        import pickle

        try:
            copy = pickle.loads(pickle.dumps(self._models[0]))
        except TypeError:
            return
        same_bits("a copy", copy.embed(self._ids[0], "mean", normalize=True), self._wanted["embed", 0])

    def _fork(self, index: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that threads are running is the point
            child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                what = ("embed", "encode")[index % 2]
                same_bits("in a child", self._ask(what, index), self._wanted[what, index])
                status = 0
            except Found:
                status = 2
            finally:
                os._exit(status)
        end = time.monotonic() + CHILD_S
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise Found("a forked child does not end", "a forked child hangs")
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(ended[1])
        if code:
            raise Found(f"a forked child ends with {code}", f"a forked child ends with {code}")


def _interrupt(sent: list[float]) -> None:
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)


CASES = ThreadsKind
