"""A worker as seen from outside: started, watched, and started again when it dies or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from torture.case import Case
from torture.kinds import kind_class
from torture.ledger import MOST, Ledger
from torture.verdict import FIND, one_line

START_S = 180.0  # with transformers and kernels to load, on a busy machine
LOOK_S = 0.5
FRAME = re.compile(r'File "[^"]*/(?:npbert|npbert_kernels)/(?:[\w/]*/)?(\w+\.py)", line \d+ in (\w+)')


@dataclass
class Find:
    """What a case showed."""

    case: str
    reason: str
    mark: str
    by_steps: bool = False


@dataclass
class Steps:
    """What a case does, in words."""

    what: str
    steps: list[str]
    marks: list[str]  # of each step: what those of one cause have in common


@dataclass
class Report:
    """What came of an errand."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)


class Crew:
    """Runs errands of one kind in a worker. Used in a `with` statement, which ends it.

    Args:
        kind: the kind's name.
        kept: a folder for what takes long to make, which later workers find there; None is the worker's own.
    """

    def __init__(self, kind: str, kept: Path | None = None) -> None:
        self.kind, self._kept = kind, kept
        self._limit_s = kind_class(kind).limit_s
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self._room = Path(tempfile.mkdtemp(prefix="torture-", dir=shared))
        self._ledger = Ledger(self._room / "ledger")
        self._process: subprocess.Popen[bytes] | None = None
        self._down: IO[str] | None = None
        self._up: int = -1
        self._rest = b""

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self._room, ignore_errors=True)

    def start(self) -> None:
        """Starts the worker; else the first errand does.

        Raises:
            RuntimeError: it does not start.
        """
        if self._process is None and (died := self._start()):
            raise RuntimeError(f"{self.kind}: the worker does not start: {died.reason}")

    def run(self, seed: int, begin: int, end: int, kept: tuple[int, ...] | None = None) -> Report:
        """Cases begin to end - 1, `ledger.MOST` at most; those behind one that kills the worker run in the next."""
        assert end - begin <= MOST
        report = Report()
        while begin < end:
            self._ledger.clear()
            died = self._errand(seed, begin, end, kept, report)
            report.outcomes += self._ledger.outcomes()
            if died is None:
                break
            place = self._ledger.under_way()
            if place is None:
                raise RuntimeError(f"{self.kind}: the worker does not start: {died.reason}")
            died.case = str(Case(self.kind, seed, begin + place, kept))
            report.finds.append(died)
            report.outcomes[FIND] += 1
            begin += place + 1
        return report

    def steps(self, case: Case) -> Steps:
        """What a whole case asks, and what is odd in it."""
        self.start()
        self._send(seed=case.seed, begin=case.number, end=case.number + 1, describe=True)
        return Steps(**(self._read(START_S) or {"what": "", "steps": [], "marks": []}))

    def _errand(self, seed: int, begin: int, end: int, kept: tuple[int, ...] | None, report: Report) -> Find | None:
        """Asks for cases; what became of the worker, if it died."""
        if self._process is None and (died := self._start()):
            return died
        self._send(seed=seed, begin=begin, end=end, kept=kept)
        seen, since = self._ledger.under_way(), time.monotonic()
        while True:
            answer = self._read(LOOK_S)
            if answer is None:
                now = self._ledger.under_way()
                if now != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > self._limit_s:
                    return self._hung(f"no end after {self._limit_s:g} s")
            elif not answer:
                return self._died()
            elif "done" in answer:
                return None
            else:
                report.finds.append(Find(**answer))

    def _start(self) -> Find | None:
        down, self._down_end = os.pipe()
        self._up, up = os.pipe()
        for old in self._room.iterdir():
            if old.name != "ledger":
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "OPENBLAS_NUM_THREADS": "1",
            "RAYON_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TORTURE_KEPT": str(self._kept or self._room),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        with open(self._room / "stderr", "ab") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "torture.worker", self.kind, str(self._room), str(down), str(up)],
                pass_fds=(down, up),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=environment,
                start_new_session=True,
            )
        os.close(down)
        os.close(up)
        self._down = os.fdopen(self._down_end, "w", encoding="utf-8")
        self._rest = b""
        answer = self._read(START_S)
        if answer is None:
            return self._hung(f"no start after {START_S:g} s")
        return None if answer else self._died()

    def _send(self, **errand: Any) -> None:
        assert self._down is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(errand), file=self._down, flush=True)

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """The next answer; None if there is none in time, an empty one where the worker has died."""
        while b"\n" not in self._rest:
            if not select.select([self._up], [], [], seconds)[0]:
                return None
            if not (data := os.read(self._up, 65536)):
                return {}
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _hung(self, what: str) -> Find:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)  # it prints where it is
        time.sleep(0.5)
        place = self._place()
        self._end()
        return Find("", one_line(f"a hang: {what}, in {place}"), f"{self.kind}: a hang in {place}")

    def _died(self) -> Find:
        assert self._process is not None
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        place = self._place()
        printed = (self._room / "stderr").read_text(errors="replace").strip().splitlines()
        last = next((line for line in printed if line and not line.startswith("  File")), "")
        self._end()
        return Find("", one_line(f"a crash: {how} in {place}: {last}"), f"{self.kind}: a crash: {how} in {place}")

    def _place(self) -> str:
        """npbert's innermost function in what faulthandler printed last."""
        printed = (self._room / "stderr").read_text(errors="replace")[-100_000:]
        found = FRAME.search(printed, max(printed.rfind("most recent call first"), 0))
        return f"{found[1]}:{found[2]}" if found else "elsewhere"

    def _end(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and whatever its cases have started
        self._process.wait()
        if self._down is not None:
            with contextlib.suppress(OSError):
                self._down.close()
        os.close(self._up)
        self._process = None
