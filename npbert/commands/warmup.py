"""`npbert warmup`: the kernels compiled and stored, for the processes to come."""

from __future__ import annotations

import argparse
import sys
import time


def run(given: argparse.Namespace) -> None:
    """Says where the kernels are, or that they could not be kept."""
    from npbert_kernels import cpu

    started = time.perf_counter()
    path = cpu.warmup()
    seconds = time.perf_counter() - started
    if path is None:
        print("npbert: warning: the kernels were compiled, but could not be stored", file=sys.stderr)
    else:
        print(f"kernels for this machine ready after {seconds:.1f} s: {path}")
