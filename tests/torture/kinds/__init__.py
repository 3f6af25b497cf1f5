"""The kinds of cases: a module each, imported by the worker that runs it alone."""

from __future__ import annotations

import importlib
import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from torture.case import Plan

KINDS = ("files", "arrays", "texts", "cli", "store", "threads", "hub", "saves")


class Kind(ABC):
    """What cases of a kind are made of and how they are run.

    Args:
        room: a folder of the worker's own, in memory, that is there for as long as the worker.
    """

    name: ClassVar[str]
    limit_s: ClassVar[float] = 20.0  # a case that takes longer hangs
    memory_mb: ClassVar[int] = 4096  # of address space; 0 for no limit
    peak_mb: ClassVar[int] = 300  # a case may take
    growth_mb: ClassVar[int] = 100  # all cases of a worker together
    slow_s: ClassVar[float] = 3.0  # of processor time: a case takes milliseconds

    @abstractmethod
    def __init__(self, room: Path) -> None: ...

    @abstractmethod
    def plan(self, dice: random.Random) -> Plan:
        """What to do, drawn from the dice alone."""

    @abstractmethod
    def run(self, plan: Plan) -> str:
        """Does it, and gives an outcome of `verdict.OUTCOMES`.

        Raises:
            Found: a fault.
            Refused: npbert refused as it should.
        """


def kind_class(name: str) -> type[Kind]:
    """The class of a kind, or one named by its module and class, as `planted.Crashing`."""
    module, _, attribute = name.rpartition(".")
    if not module:
        module, attribute = f"torture.kinds.{name}", "CASES"
    found: type[Kind] = getattr(importlib.import_module(module), attribute)
    return found
