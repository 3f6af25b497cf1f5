"""What may come of a case, and what is held against an error."""

from __future__ import annotations

import traceback
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from npbert.text.inputs import TextError

MOST_CHARACTERS = 1000  # of a message: a screen
RIGHT = "right: as the oracle"
SAME = "right: as unchanged"
SANE = "answered, looked over"
REFUSED_VALUE = "refused: ValueError"
REFUSED_FILE = "refused: OSError"
REFUSED_TEXT = "refused: TextError"
REFUSED_KEYWORD = "refused: TypeError of a keyword"
REFUSED_USE = "refused: exit status 2"
REFUSED_LINE = "refused: exit status 1"
FIND = "find"
OUTCOMES = (
    *(RIGHT, SAME, SANE),
    *(REFUSED_VALUE, REFUSED_FILE, REFUSED_TEXT, REFUSED_KEYWORD, REFUSED_USE, REFUSED_LINE),
    FIND,
)

Answer = TypeVar("Answer")


class Found(Exception):  # noqa: N818 (it is the aim)
    """A fault.

    Args:
        reason: one line.
        mark: what finds of the same cause have in common.
        by_steps: whether the odd things that are left once it is shrunk tell causes apart as well.
    """

    def __init__(self, reason: str, mark: str, *, by_steps: bool = False) -> None:
        super().__init__(reason)
        self.reason = one_line(reason)
        self.mark = one_line(mark)
        self.by_steps = by_steps


class Refused(Exception):  # noqa: N818
    """An error as it should be. `outcome` is one of OUTCOMES."""

    def __init__(self, outcome: str, error: BaseException) -> None:
        super().__init__(str(error))
        self.outcome = outcome
        self.error = error


def asked(what: str, call: Callable[[], Answer], names: Sequence[str] = ()) -> Answer:
    """What a call into npbert answers.

    Args:
        what: says what was called, for finds.
        call: the call.
        names: files or arguments, one of which an error has to name; none where nothing was odd.

    Raises:
        Refused: it raised what it may.
        Found: it raised what it may not.
    """
    try:
        return call()
    except (Found, Refused, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise judged(what, error, names) from None


def judged(what: str, error: BaseException, names: Sequence[str]) -> Refused | Found:
    """What is to be said of an error that npbert raised."""
    place = innermost(error)
    kind = type(error).__name__
    said = f"{what}: {kind} from {place}: {error}"
    if isinstance(error, TextError):
        outcome = REFUSED_TEXT
    elif isinstance(error, ValueError):
        outcome = REFUSED_VALUE
    elif isinstance(error, OSError):
        outcome = REFUSED_FILE
    else:
        return Found(said, f"{kind} from {place}")
    if isinstance(error, UnicodeError):  # Python's own: says which byte, and not where that stands
        return Found(said, f"{kind} from {place}")
    if fault := fault_of(str(error), names):
        return Found(f"{what}: {kind} from {place}: {fault}: {error}", f"{fault} from {place}")
    return Refused(outcome, error)


def fault_of(message: str, names: Sequence[str]) -> str | None:
    """What is wrong with a message, or None. It names one of `names`, unless there are none."""
    if not message.strip():
        return "an error without a word"
    if "\n" in message or "\r" in message:
        return "a message of several lines"
    if len(message) > MOST_CHARACTERS:
        return "a message beyond 1000 characters"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in message):
        return "a message with control characters"
    if names and not any(name in message for name in names):
        return "a message that names no file or argument"
    return None


def innermost(error: BaseException) -> str:
    """The deepest function of npbert that an error came through: file:function."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        parts = frame.filename.replace("\\", "/").split("/")
        if "npbert" in parts or "npbert_kernels" in parts:
            return f"{parts[-1]}:{frame.name}"
    return "elsewhere"


def one_line(text: Any, most: int = 400) -> str:
    """A text for a line of a report."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text)[: 2 * most])
    return shown if len(shown) <= most else shown[: most - 3] + "..."
