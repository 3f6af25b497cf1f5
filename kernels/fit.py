"""Makes the coefficients of npbert_kernels/cpu/kernels/activation.py: `python kernels/fit.py` prints them.

Each is a minimax fit in float64 by Lawson's iteration: least squares again and again, the weight of each point grown by
its error, until all the largest errors are alike; a ratio's denominator enters linearly, divided by its last value
(Sanathanan and Koerner). Coefficients stand from the highest power to the constant, as Horner's scheme takes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


def points(low: float, high: float, n: int = 4000) -> Reals:
    """Chebyshev's."""
    return low + (high - low) * 0.5 * (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n))


def ratio(t: Reals, y: Reals, weight: Reals, p: int, q: int, rounds: int = 500) -> tuple[float, Reals, Reals]:
    """P(t) / Q(t) nearest to y, of degrees p and q, Q(0) = 1: the largest weighted error, and both polynomials."""
    scale = t.max()
    s, below, lawson = t / scale, np.ones_like(t), np.ones_like(t)
    best, found = math.inf, np.zeros(p + q + 1)
    for _ in range(rounds):
        w = weight * np.sqrt(lawson) / np.abs(below)
        columns = [np.vander(s, p + 1, increasing=True), -y[:, None] * np.vander(s, q + 1, increasing=True)[:, 1:]]
        solution = np.linalg.lstsq(np.hstack(columns) * w[:, None], y * w, rcond=None)[0]
        below = np.polyval(np.r_[1, solution[p + 1 :]][::-1], s)
        error = np.abs(np.polyval(solution[p::-1], s) / below - y) * weight
        if error.max() < best:
            best, found = float(error.max()), solution
        lawson = lawson * (error / error.max()) ** 0.7 + 1e-30
        lawson /= lawson.sum()
    over = found[: p + 1] / scale ** np.arange(p + 1)
    under = np.r_[1, found[p + 1 :]] / scale ** np.arange(q + 1)
    return best, over[::-1], under[::-1]


def show(name: str, error: float, *polynomials: Reals) -> None:
    print(f"{name}: largest error {error:.1e}")
    for coefficients in polynomials:
        print("   ", ", ".join(f"{np.float32(c):.9g}" for c in coefficients))


def of_root(function: Callable[[float], float], t: Reals) -> Reals:
    """function(x) / x at t = x^2."""
    return np.array([function(math.sqrt(v)) / math.sqrt(v) for v in t])


def main() -> None:
    t = points(1e-12, 5.5**2)
    gelu = of_root(lambda x: 0.5 * math.erf(x / math.sqrt(2)), t)
    show("gelu_erf, p and q", *ratio(t, gelu, t + 0.05, 5, 5))

    t = points(1e-12, 9.0**2)
    tanh = of_root(math.tanh, t)
    show("tanh, p and q", *ratio(t, tanh, 1 / tanh, 4, 4))

    f = points(-0.5, 0.5, 4000)  # an even number of points: none is 0
    power = np.expm1(f * math.log(2)) / f
    error, coefficients, _ = ratio(f, power, np.abs(f) / np.exp2(f), 5, 0)
    show("2 ** f, after the constant 1", error, coefficients)


if __name__ == "__main__":
    main()
