"""How far a campaign has come, in a small file: what was done of each kind, with which sources, and what was found."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Known:
    """A find: the first case that showed it, shrunk, and how often it was seen."""

    reason: str
    case: str
    steps: list[str] = field(default_factory=list)  # what is odd in the shrunk case, in words
    count: int = 1
    sources: str = ""  # that showed it first
    again: bool = True  # whether the case shows it by itself


@dataclass
class Done:
    """What was done of a kind."""

    next: int = 0  # the number of the first case that was not run
    seconds: float = 0.0  # of workers' time
    outcomes: dict[str, int] = field(default_factory=dict)
    by_sources: dict[str, int] = field(default_factory=dict)  # cases

    @property
    def cases(self) -> int:
        return sum(self.outcomes.values())

    def add(self, outcomes: Counter[str], seconds: float, sources: str) -> None:
        """One errand more."""
        self.seconds += seconds
        self.outcomes = dict(Counter(self.outcomes) + outcomes)
        self.by_sources[sources] = self.by_sources.get(sources, 0) + sum(outcomes.values())


@dataclass
class State:
    """All of it."""

    seed: int
    kinds: dict[str, Done] = field(default_factory=dict)
    finds: dict[str, Known] = field(default_factory=dict)  # by mark

    def of(self, kind: str) -> Done:
        return self.kinds.setdefault(kind, Done())

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=True) + "\n")
        os.replace(part, path)

    @classmethod
    def read(cls, path: Path) -> State:
        values: dict[str, Any] = json.loads(path.read_text())
        return cls(
            seed=values["seed"],
            kinds={kind: Done(**done) for kind, done in values["kinds"].items()},
            finds={mark: Known(**known) for mark, known in values["finds"].items()},
        )


def sources(root: Path) -> str:
    """The commit, and a hash of what differs from it where something does."""
    try:
        commit = _git(root, "rev-parse", "--short=10", "HEAD").decode().strip()
        changed = _git(root, "diff", "HEAD", "--", "npbert", "kernels")
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return commit + (f"+{hashlib.sha256(changed).hexdigest()[:6]}" if changed else "")


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout
