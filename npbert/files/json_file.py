"""Reads a JSON file, and says which file is at fault when it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from npbert.checks import brief
from npbert.files.regular_file import check_whole, read_bounded

MAX_BYTES = 2**25  # a label for each of a million classes is more than any model has, and takes this much
MAX_DEPTH = 64  # no honest file comes near it; what goes through values later may count on it
MAX_DIGITS = 100  # of a whole number: far beyond any size, and within a float's range


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` that refuses a key given twice, where json would keep the last one silently."""
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key '{brief(key)}' is given twice")
            seen.add(key)
    return values


def read_json(path: Path) -> Any:
    """What a UTF-8 JSON file holds.

    Raises:
        OSError: the file can't be read, or is not a regular file.
        ValueError: it is too long, or is no UTF-8, no JSON, gives a key twice, or holds a lone surrogate, a number of
            more than 100 digits, or arrays and objects more than 64 deep.
    """
    data = read_bounded(path, MAX_BYTES)
    check_whole(path, data)
    try:
        values = json.loads(data.decode("utf-8"), object_pairs_hook=unique_keys, parse_int=_whole_number)
        if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
            _check_depth(values)
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
    return checked_object(path, read_json(path))


def checked_object(path: Path, values: Any) -> dict[str, Any]:
    """What a file holds, if that is an object. Raises ValueError otherwise."""
    if not isinstance(values, dict):
        raise ValueError(f"{path}: wanted a JSON object, found {type(values).__name__}")
    return values


def _whole_number(digits: str) -> int:
    # Beyond a float's range comparisons and conversions fail, and more digits take time as their square.
    if (count := len(digits.lstrip("-"))) > MAX_DIGITS:
        raise ValueError(f"a whole number of {count} digits, wanted at most {MAX_DIGITS}")
    return int(digits)


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError("the JSON is nested too deeply")
