"""A progress bar on stderr, for work that turns out to be long.

The bar itself is tqdm's, which is always there: tokenizers needs huggingface_hub, and that needs tqdm. Its
import takes longer than a short text does, so it is put off until there is a bar to draw.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

DELAY_S = 0.5  # what is over sooner needs no bar


class Progress:
    """Counts finished items and shows them. Use it in a `with` statement.

    Args:
        total: how many items there are; None where that is not known.
        description: what stands before the bar.
        unit: what one item is.
        show: True always draws the bar, False never does. None draws it where stderr is a terminal and
            the work has taken half a second.

    Raises:
        ValueError: show is something else.
    """

    def __init__(self, total: int | None, description: str, unit: str, show: bool | None = None) -> None:
        if show is not None and not isinstance(show, bool):
            raise ValueError(f"show_progress_bar: wanted True, False or None, found {show!r}")
        self._total = total
        self._description = description
        self._unit = unit
        self._done = 0
        self._delay = 0.0 if show else DELAY_S
        self._wanted = sys.stderr.isatty() if show is None else show
        self._started = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self.advance(0)
        return self

    def advance(self, items: int) -> None:
        """Counts items as finished."""
        self._done += items
        if self._bar is not None:
            self._bar.update(items)
        elif self._wanted and time.monotonic() - self._started >= self._delay and self._done != self._total:
            from tqdm import tqdm  # type: ignore[import-untyped]

            bar = tqdm(total=self._total, desc=self._description, unit=" " + self._unit, leave=False)
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
            self._bar.close()
