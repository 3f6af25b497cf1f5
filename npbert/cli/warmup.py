"""`npbert warmup`: the kernels compiled and stored, for the processes to come."""

from __future__ import annotations

import argparse
import time

from npbert_kernels import cpu

from npbert.cli.streams import show


def run(given: argparse.Namespace) -> None:
    """Says where the kernels are. An image that is built without them is a failure."""
    started = time.perf_counter()
    try:
        path = cpu.warmup()
    except OSError as error:
        raise OSError(f"the next process would compile the kernels again: {error}") from error
    show(f"kernels for this machine ready after {time.perf_counter() - started:.1f} s: {path}")
