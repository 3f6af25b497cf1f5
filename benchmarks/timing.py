"""The times of one engine on one batch, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from npbert_kernels.ops import Dtype

from .cases import ALL_CASES, flops
from .models import Model


@dataclass(frozen=True)
class Timing:
    model: Model
    threads: int
    case: str
    engine: str
    dtype: Dtype
    rounds: list[list[float]]  # seconds of each call, by round
    rates: list[float]  # operations a second of one core, by round
    disturbed: int  # rounds that began while something else used the cores
    distance: float  # from another engine's output, in parts of its norm

    def record(self) -> dict[str, Any]:
        """For the JSON: median and quartiles of all calls. Of each round its median, since ratios between
        engines are formed within a round, where the machine was the same for both."""
        q1, median, q3 = np.percentile(np.concatenate(self.rounds), (25, 50, 75)) * 1e3
        of_rounds = np.array([np.median(times) for times in self.rounds])
        work = flops(self.model.sizes(), ALL_CASES[self.case].lengths)
        return {
            "model": self.model.name,
            "threads": self.threads,
            "case": self.case,
            "engine": self.engine,
            "dtype": self.dtype,
            "calls": sum(map(len, self.rounds)),
            "median_ms": float(median),
            "q1_ms": float(q1),
            "q3_ms": float(q3),
            "round_medians_ms": (of_rounds * 1e3).tolist(),
            "rates": self.rates,
            "share_of_limit": float(np.median(work / (self.threads * np.array(self.rates) * of_rounds))),
            "disturbed_rounds": self.disturbed,
            "distance": self.distance,
        }


def ratio(slower: dict[str, Any], faster: dict[str, Any]) -> float:
    """How many times longer the first one takes: the median over the rounds of the ratio within each."""
    return float(np.median(np.array(slower["round_medians_ms"]) / np.array(faster["round_medians_ms"])))
