"""`npbert warmup`: the kernels compiled and stored, for the processes to come."""

from __future__ import annotations

import argparse
import time

from npbert_kernels import cpu


def run(given: argparse.Namespace) -> None:
    """Says where the kernels are. An image that is built without them is a failure."""
    started = time.perf_counter()
    path = cpu.warmup()
    if path is None:
        raise OSError("the kernels were compiled, but could not be stored")
    print(f"kernels for this machine ready after {time.perf_counter() - started:.1f} s: {path}")
