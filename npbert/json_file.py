"""Reads a JSON file, and says which file is at fault when it does not."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

MAX_BYTES = 100_000_000  # what safetensors allows a header; no honest config or index comes near it


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` that refuses a key given twice, where json would keep the last one silently."""
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} is given twice")
            seen.add(key)
    return values


def read_json(path: Path) -> Any:
    """What a UTF-8 JSON file holds.

    Raises:
        OSError: the file can't be read, or is not a regular file.
        ValueError: it is too long, or is no UTF-8, no JSON, gives a key twice, or holds a lone surrogate.
    """
    # Looked at before it is opened: opening a FIFO would wait for a writer for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path}: wanted a regular file")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: wanted at most {MAX_BYTES} bytes of JSON, found more")
    try:
        values = json.loads(data.decode("utf-8"), object_pairs_hook=unique_keys)
        if b"\\u" in data:
            json.dumps(values, ensure_ascii=False).encode()  # an escape may be half of a surrogate pair
        return values
    except RecursionError:
        raise ValueError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError among them
        raise ValueError(f"{path}: not a valid JSON file: {error}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """As `read_json`, of a file that holds one object.

    Raises:
        OSError: as `read_json`.
        ValueError: as `read_json`, or it is no object.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: wanted a JSON object, found {type(values).__name__}")
    return values
