"""The store of compiled kernels in every state, and several processes at it: each computes the right bits or says why.

The compiler is replaced by one that gives what was compiled before, after a moment or not at all.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from npbert_kernels.cpu import isa, library, objects
from npbert_kernels.object_store import ObjectCode

import npbert
from torture import bases
from torture.case import Plan
from torture.folder import write
from torture.kinds import Kind
from torture.verdict import SAME, SANE, Found, fault_of, innermost

CHILD_S = 15.0
NOBODY = 65534
HEADERS = (
    b"{}",
    b"[]",
    b"null",
    b'{"symbol": 3, "digest": 4}',
    b"[" * 100_000,
    b'{"symbol": "a", "digest": "b"}',
    b"\xff",
)


@dataclass(frozen=True)
class State:
    """Something about the store."""

    how: str

    def __str__(self) -> str:
        return self.how


@dataclass(frozen=True)
class Compiler:
    """What compiling comes to."""

    how: str

    def __str__(self) -> str:
        return f"the compiler {self.how}"


def _resize(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def _flip(content: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]


def _headed(content: bytes, dice: random.Random) -> bytes:
    return dice.choice(HEADERS) + content[content.index(b"\n") :]


CONTENTS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "the object is whole": lambda content, dice: content,
    "the object is cut": _resize,
    "the object has a bit that is wrong": _flip,
    "the object is empty": lambda content, dice: b"",
    "the object has another header": _headed,
    "the object has more behind it": lambda content, dice: content + b"\x00" * 100,
}
IN_PLACE = (
    "a folder",
    "a folder that is not empty",
    "a pipe",
    "a link to nowhere",
    "a link to itself",
    "/dev/zero",
    "a huge file",
)
FOLDERS = (
    *(
        "the folder is missing",
        "the folder and its parents are missing",
        "the folder is a file",
        "the folder is a link to nowhere",
    ),
    *(
        "the folder can't be written",
        "everybody may write to the folder",
        "the folder holds parts",
        "locks are folders",
    ),
    *(
        "the folder is somebody else's",
        "the object is somebody else's",
        "everybody may write to the object",
        "the object can't be read",
    ),
)
COMPILERS = ("fails", "is slow", "gives no object")
UNHEALED = (
    *(
        "the folder is a file",
        "the folder is a link to nowhere",
        "the folder can't be written",
        "everybody may write to the folder",
    ),
    *("the folder is somebody else's", "a folder that is not empty", "locks are folders"),
)


class StoreKind(Kind):
    name = "store"
    slow_s: ClassVar[float] = 60.0
    limit_s: ClassVar[float] = 90.0
    memory_mb: ClassVar[int] = 0

    def __init__(self, room: Path) -> None:
        self._folder, self._log = room / "parent" / "store", room / "log"
        library.entry()
        self._name = objects.name(isa.selected())
        kept = Path(os.environ["NPBERT_KERNEL_CACHE"], self._name)
        self._object = kept.read_bytes()
        write(dict(bases.model_folder("bert")), room / "model")
        self._model_folder = room / "model"
        self._ids = [[5, 6, 7], [8], [9, 10, 11, 12]]
        self._wanted = npbert.AutoModel.from_pretrained(self._model_folder).embed(self._ids)

    def plan(self, dice: random.Random) -> Plan:
        steps: list[Any] = []
        for _ in range(dice.choice([0, 1, 1, 2])):
            way = dice.random()
            states = (
                [*CONTENTS]
                if way < 0.4
                else [f"{what} in the object's place" for what in IN_PLACE]
                if way < 0.65
                else [*FOLDERS]
            )
            steps.append(State(dice.choice(states)))
        if dice.random() < 0.2:
            steps.append(Compiler(dice.choice(COMPILERS)))
        return Plan(
            f"{(count := dice.choice([1, 1, 2, 4]))} processes at once", tuple(steps), (count, dice.randrange(10**6))
        )

    def run(self, plan: Plan) -> str:
        count, seed = plan.given
        states = [step.how for step in plan.steps if isinstance(step, State)]
        compilers = [step.how for step in plan.steps if isinstance(step, Compiler)]
        self._prepare(states, random.Random(seed))
        self._log.write_bytes(b"")
        answers = self._together(count, compilers)
        compiled = len(self._log.read_bytes())
        for answer in answers:
            self._check(answer, compilers)
        if states == ["the object is whole"] and compiled:
            raise Found(f"compiled {compiled} times, though the store is whole", "compiled for nothing")
        if compiled > count:
            raise Found(f"{count} processes compiled {compiled} times", "compiled more than once a process")
        if compilers or any(state.partition(" in the object's")[0] in UNHEALED for state in states):
            return SANE
        self._log.write_bytes(b"")
        self._check(self._together(1, [])[0], [])
        if self._log.read_bytes():
            raise Found(f"compiled again after {states}", "the store does not heal", by_steps=True)
        return SAME

    def _prepare(self, states: list[str], dice: random.Random) -> None:
        folder, path = self._folder, self._folder / self._name
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        for state in states:
            if state in CONTENTS and folder.is_dir() and (path.is_file() or not os.path.lexists(path)):
                path.write_bytes(CONTENTS[state](self._object, dice))
                path.chmod(0o600)
            elif state.endswith("in the object's place") and folder.is_dir():
                _clear(path)
                _in_place(state.partition(" in the")[0], path)
            elif state.startswith(("the folder", "locks", "everybody", "the object")):
                self._prepare_folder(state, folder, path)

    def _prepare_folder(self, state: str, folder: Path, path: Path) -> None:
        if state.startswith(("the folder is missing", "the folder and")):
            shutil.rmtree(folder if "is missing" in state else folder.parent, ignore_errors=True)
        elif state in ("the folder is a file", "the folder is a link to nowhere"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(exist_ok=True)
            folder.write_bytes(b"") if state.endswith("file") else folder.symlink_to("nowhere")
        elif folder.is_dir() and not folder.is_symlink():
            if state == "the folder can't be written":
                folder.chmod(0o500)
            elif state == "everybody may write to the folder":
                folder.chmod(0o777)
            elif state == "the folder holds parts":
                for index in range(5):
                    (folder / f".part-{index}").write_bytes(b"x" * 100)
            elif state == "locks are folders":
                (folder / f"{self._name}.lock").mkdir(exist_ok=True)
            elif state == "the folder is somebody else's":
                os.chown(folder, NOBODY, NOBODY)
            elif path.is_file():
                if state == "the object is somebody else's":
                    os.chown(path, NOBODY, NOBODY)
                else:
                    path.chmod(0o666 if state.startswith("everybody") else 0)

    def _together(self, count: int, compilers: list[str]) -> list[dict[str, Any]]:
        """What each of so many processes says, as it loads kernels and computes."""
        children = [self._child(compilers) for _ in range(count)]
        answers, end = [], time.monotonic() + CHILD_S
        for child, pipe in children:
            data = b""
            while select.select([pipe], [], [], max(end - time.monotonic(), 0))[0] and (more := os.read(pipe, 65536)):
                data += more
            os.close(pipe)
            os.kill(child, signal.SIGKILL)  # it has said all, or hangs
            os.waitpid(child, 0)
            answers.append(json.loads(data) if data else {"error": "a process that hangs or dies", "kind": "death"})
        return answers

    def _child(self, compilers: list[str]) -> tuple[int, int]:
        reading, writing = os.pipe()
        printed = self._log.with_name(f"printed{writing}")
        if child := os.fork():
            os.close(writing)
            return child, reading
        try:
            with open(printed, "w+b") as err:
                os.dup2(err.fileno(), 2)
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (the process ends with it)
                answer = self._answer(compilers)
                sys.stderr.flush()
                err.seek(0)
                answer["printed"] = err.read().decode(errors="replace")
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)

    def _answer(self, compilers: list[str]) -> dict[str, Any]:
        """In a child: what comes of loading kernels."""
        os.environ["NPBERT_KERNEL_CACHE"] = str(self._folder)
        library._loaded = None

        def compiled(isa: object) -> ObjectCode:
            with open(self._log, "ab") as log:
                log.write(b".")
            if "is slow" in compilers:
                time.sleep(0.2)
            if "fails" in compilers:
                raise RuntimeError("the kernels could not be compiled for a test: the reason")
            if "gives no object" in compilers:
                return ObjectCode("symbol", b"no object code")
            return ObjectCode.from_bytes(self._object)

        library.compiled = compiled
        try:
            model = npbert.AutoModel.from_pretrained(self._model_folder)
            return {"vectors": np.asarray(model.embed(self._ids)).tobytes().hex()}
        except BaseException as error:
            return {
                "error": f"{type(error).__name__}: {error}",
                "kind": type(error).__name__,
                "place": innermost(error),
            }

    def _check(self, answer: dict[str, Any], compilers: list[str]) -> None:
        if answer.get("kind") == "death":
            raise Found(answer["error"], "a process hangs or dies", by_steps=True)
        lines = answer["printed"].splitlines()
        for line in lines:
            if fault := fault_of(line, ()):
                raise Found(f"says {line!r}: {fault}", f"a notice: {fault}")
        if len(lines) > 4:
            raise Found(f"says {lines}", "many notices")
        if "error" not in answer:
            if answer["vectors"] != self._wanted.tobytes().hex():
                raise Found("other vectors", "other vectors", by_steps=True)
            return
        usual = ("RuntimeError", "OSError", "ValueError")
        if (
            {"fails", "gives no object"} & set(compilers)
            and answer["kind"] in usual
            and not fault_of(answer["error"], ())
        ):
            return
        raise Found(
            f"{answer['error']} from {answer['place']}", f"{answer['kind']} from {answer['place']}", by_steps=True
        )


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _in_place(what: str, path: Path) -> None:
    if what.startswith("a folder"):
        path.mkdir()
        if what != "a folder":
            (path / "inside").write_bytes(b"")
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a huge file":
        with open(path, "wb") as file:
            file.truncate(2**36)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    else:
        path.symlink_to({"a link to nowhere": "nowhere", "a link to itself": path.name}.get(what, what))


CASES = StoreKind
