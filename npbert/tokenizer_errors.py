"""What the `tokenizers` library raises, made ValueErrors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_value_error(what: str) -> Iterator[None]:
    """Turns what `tokenizers` raises into a ValueError that says what failed."""
    try:
        yield
    except BaseException as error:
        if is_foreign_error(error) or isinstance(error, ValueError | TypeError | OverflowError):
            raise ValueError(f"{what}: {error}") from None
        raise


def is_foreign_error(error: BaseException) -> bool:
    """Whether only `tokenizers` raises this: a bare Exception, or a panic, which is a BaseException."""
    return type(error) is Exception or type(error).__name__ == "PanicException"
