"""Faults planted for test_torture.py: kinds of cases that crash, hang, grow, leak, swallow, or answer wrongly.

None of them touches npbert: what is tested is that the campaign sees them, says so, and goes on.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torture.case import Plan
from torture.judge import against, same_bits
from torture.kinds import Kind
from torture.verdict import SANE, Found, asked


class Planted(Kind):
    """Cases of five numbers each, of which the sevens are odd: `bad` says what comes of one."""

    name = "planted"

    def __init__(self, room: Path) -> None:
        self._room = room
        self._kept: list[Any] = []

    def plan(self, dice: random.Random) -> Plan:
        return Plan("five numbers", tuple(dice.randrange(12) for _ in range(5)))

    def run(self, plan: Plan) -> str:
        if 7 in plan.steps:
            self.bad()
        return SANE

    def bad(self) -> None:
        raise NotImplementedError


class Crashing(Planted):
    name = "planted.Crashing"

    def bad(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hanging(Planted):
    name = "planted.Hanging"
    limit_s: ClassVar[float] = 1.0

    def bad(self) -> None:
        time.sleep(60)


class Growing(Planted):
    name = "planted.Growing"
    peak_mb: ClassVar[int] = 50

    def bad(self) -> None:
        np.ones(10**7)  # 80 MB


class Leaking(Planted):
    name = "planted.Leaking"

    def bad(self) -> None:
        self._kept.append(os.open(os.devnull, os.O_RDONLY))


class Untyped(Planted):
    name = "planted.Untyped"

    def bad(self) -> None:
        asked("planted", lambda: {}["key"])


class Wordless(Planted):
    name = "planted.Wordless"

    def bad(self) -> None:
        def refuse() -> None:
            raise ValueError("something is wrong")

        asked("planted", refuse, ["input_ids"])


class Swallowing(Planted):
    name = "planted.Swallowing"

    def bad(self) -> None:
        def swallow(**given: Any) -> None:
            pass

        asked("planted", lambda: swallow(unknown=1))
        raise Found("unknown=1 is swallowed", "a swallowed keyword")


class Wrong(Planted):
    name = "planted.Wrong"

    def bad(self) -> None:
        x = np.linspace(1, 2, 7)
        against("planted", x.astype("f4") * np.float32(1 + 1e-4), lambda dtype: x.astype(dtype))


class OtherBits(Planted):
    name = "planted.OtherBits"

    def bad(self) -> None:
        x = np.ones(3, "f4")
        same_bits("planted", np.nextafter(x, np.float32(2)), x)


class Broken(Planted):
    name = "planted.Broken"

    def bad(self) -> None:
        raise ZeroDivisionError("in the campaign's own code")
