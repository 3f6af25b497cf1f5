"""The first run ever on a machine: every kernel is compiled and stored before the first vector."""

from __future__ import annotations

import os
import tempfile

from .startup import seconds_of


def seconds_with_empty_store(command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as empty:
        return seconds_of(command, {**os.environ, "NPBERT_KERNEL_CACHE": empty})
