"""The standard streams of a process, any of which may be closed or absent."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from npbert.progress import is_terminal, usable


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Within it, what is closed stays closed to whoever writes or reads, and takes nothing that is meant for another.

    A file that is opened gets the lowest number that is free: without standard output it could be a model's, and what
    a library prints would go into it. And Python prints to standard output what is for a standard error that is None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if usable(sys.stderr):
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def standard_input() -> Any:
    """Standard input, as bytes.

    Raises:
        OSError: there is none.
    """
    if not usable(sys.stdin) or not hasattr(sys.stdin, "buffer"):
        raise OSError("standard input: closed, and no texts are given: name some, or use --input FILE")
    return sys.stdin.buffer


def standard_output() -> TextIO:
    """Standard output, in UTF-8 whatever the locale says.

    Raises:
        OSError: there is none.
    """
    if not usable(sys.stdout):
        raise OSError("standard output: closed, so there is nowhere to write to")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def show(text: str) -> None:
    """Writes lines to standard output, at once.

    Raises:
        OSError: they can't be written.
    """
    output = standard_output()
    output.write(text + "\n")
    output.flush()


def say(text: str) -> None:
    """Writes a line about the work to standard error, if anybody can read it.

    What is quoted is on one line, and nothing that a terminal would obey.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def bar_beside_answers() -> bool | None:
    """Whether to show a bar: not among answers on a terminal, which are progress enough; else as `Progress` decides."""
    return False if is_terminal(sys.stdout) else None


def flush_output() -> None:
    """Writes what is left to standard output, or lets go of it where that fails.

    Python flushes once more at exit, and complains where it could not.
    """
    try:
        if usable(sys.stdout):
            sys.stdout.flush()
    except OSError:
        drop_output()


def drop_output() -> None:
    """Lets go of what is left for standard output: whoever reads may not take it, and Ctrl-C waits for nobody."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
