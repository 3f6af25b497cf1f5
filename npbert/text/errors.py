"""What the `tokenizers` library raises, made ValueErrors: its panics derive from BaseException alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from npbert.checks import brief

MOST = 300  # characters of what the library says


@contextmanager
def as_value_error(what: str) -> Iterator[None]:
    """Turns what goes wrong with a file's content, or an argument's, into a ValueError that says what failed."""
    try:
        yield
    except BaseException as error:
        if is_foreign_error(error) or isinstance(error, ValueError | TypeError | OverflowError):
            raise ValueError(f"{what}: {said(error)}") from None
        raise


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Around every call into the library, or as a decorator: turns its own errors into ValueErrors, no others."""
    try:
        yield
    except BaseException as error:
        if is_foreign_error(error):
            raise ValueError(f"{what}: {said(error)}") from None
        raise


@contextmanager
def tokenizing(check: Callable[[], None]) -> Iterator[None]:
    """Says which text is at fault where `tokenizers` does not, and makes its panics ValueErrors."""
    with guarded("text: can't be tokenized"):
        try:
            yield
        except TypeError:
            check()
            raise


@contextmanager
def fitting(name: str) -> Iterator[None]:
    """Around a model's call with rows that a tokenizer made: an error says which tokenizer that is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name or 'tokenizer'}: wanted rows that the model takes, found others: {error}") from None


def is_foreign_error(error: BaseException) -> bool:
    """Whether only `tokenizers` raises this: a bare Exception, a panic, or a number that its integers can't hold."""
    return type(error) in (Exception, OverflowError) or type(error).__name__ == "PanicException"


def said(error: BaseException) -> str:
    """What an error says, as a message shows it: a line, not a page."""
    return brief(" ".join(str(error)[: 2 * MOST].split()), MOST)
