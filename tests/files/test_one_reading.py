"""A load finds a model's folder once, and reads each of its files once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import npbert
from npbert.cli.main import main
from npbert.files import hub

LOADS: dict[str, Callable[[Path], Any]] = {
    "AutoConfig": npbert.AutoConfig.from_pretrained,
    "AutoTokenizer": npbert.AutoTokenizer.from_pretrained,
    "AutoModel": lambda folder: npbert.AutoModel.from_pretrained(folder, backend="reference"),
    "SentenceTransformer": lambda folder: npbert.SentenceTransformer(folder, backend="reference"),
    "pipeline": lambda folder: npbert.pipeline("feature-extraction", folder, backend="reference"),
    "embed": lambda folder: main(["embed", str(folder), "a", "--backend", "reference"]),
    "tokenize": lambda folder: main(["tokenize", str(folder), "a"]),
    "info": lambda folder: main(["info", str(folder)]),
    "validate": lambda folder: main(["validate", str(folder)]),
}

_opened: list[str] | None = None  # a hook of this kind can't be taken back


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths that are opened meanwhile."""
    global _opened
    if not hasattr(_note, "added"):
        sys.addaudithook(_note)
        _note.added = True  # type: ignore[attr-defined]
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


@pytest.mark.parametrize("name", LOADS)
def test_each_file_is_read_once(name: str, minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    real = hub._found

    def noted(name: str, *arguments: Any, **given: Any) -> hub.Folder:
        found.append(name)
        return real(name, *arguments, **given)

    monkeypatch.setattr(hub, "_found", noted)
    with opened() as paths:
        LOADS[name](minilm)
    assert len(found) == 1
    read = Counter(path for path in paths if path.startswith(f"{minilm}/"))
    assert read
    assert set(read.values()) == {1}


def test_a_folder_shares_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.json").write_text('{"a": [1]}')
    folder = hub.Folder(tmp_path)
    inner = folder.inner("a")
    values = inner.values("x.json")
    (tmp_path / "a" / "x.json").unlink()
    values["a"] = 2
    assert folder.inner(tmp_path / "a").values("x.json") == {"a": [1]} == inner.json("x.json")
    assert folder.optional_values("y.json") == {}
    with pytest.raises(FileNotFoundError):
        folder.values("y.json")
