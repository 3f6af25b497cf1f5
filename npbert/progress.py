"""A progress bar on stderr, for work that turns out to be long.

The bar itself is tqdm's, which is always there: tokenizers needs huggingface_hub, and that needs tqdm. Its
import takes longer than a short text does, so it is put off until there is a bar to draw.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from npbert.checks import check_bool

DELAY_S = 0.5  # what is over sooner needs no bar


def usable(stream: Any) -> bool:
    """Whether there is such a stream: services and daemons may have none, or a closed one."""
    return stream is not None and not getattr(stream, "closed", False)


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal: one that is absent, closed or of somebody's own making is none."""
    asked = getattr(stream, "isatty", None)
    return usable(stream) and asked is not None and bool(asked())


class Progress:
    """Counts finished items and shows them. Use it in a `with` statement.

    Args:
        total: how many items there are, or a function that counts them, asked where a bar is drawn; None where that is
            not known.
        description: what stands before the bar.
        unit: what one item is.
        show: True always draws the bar, where there is a stderr, and False never does. None draws it where stderr is a
            terminal and the work has taken half a second.

    Raises:
        ValueError: show is something else.
    """

    def __init__(
        self, total: int | Callable[[], int | None] | None, description: str, unit: str, show: bool | None = None
    ) -> None:
        check_bool("show_progress_bar", show, none=True)
        self._total = total
        self._description = description
        self._unit = unit
        self._done = 0
        self._delay = 0.0 if show else DELAY_S
        self._wanted = is_terminal(sys.stderr) if show is None else bool(show) and usable(sys.stderr)
        self._started = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self.advance(0)
        return self

    def advance(self, items: int) -> None:
        """Counts items as finished."""
        self._done += items
        if not self._wanted:
            return
        try:
            if self._bar is not None:
                self._bar.update(items)
            elif time.monotonic() - self._started >= self._delay and self._done != self._total:
                self._draw()
        except (OSError, ValueError):  # stderr is lost, which is no reason to lose the work
            self._wanted = False
            if self._bar is not None:
                self._bar.disable = True

    def _draw(self) -> None:
        from tqdm import tqdm  # type: ignore[import-untyped]

        total = self._total() if callable(self._total) else self._total
        bar = tqdm(total=total, desc=self._description, unit=" " + self._unit, leave=False)
        if not bar.disable:  # by TQDM_DISABLE
            elapsed = time.monotonic() - self._started
            bar.start_t -= elapsed  # what went before the bar counts in the rate
            bar.last_print_t -= elapsed
        bar.update(self._done)
        self._bar = bar

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.close()
