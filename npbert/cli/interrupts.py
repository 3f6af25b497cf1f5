"""Ctrl-C, wherever the process is: Python hears it between two of its own steps, and a library's can take seconds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GRACE_S = 0.08  # in which Python should have come to the signal's handler; less than anybody waits for
OVER = 0  # in the place of a signal's number: there is nothing more to wait for


@contextmanager
def heard(end: Callable[[], object]) -> Iterator[None]:
    """Within it, Ctrl-C raises KeyboardInterrupt, and where it can't be raised soon, `end` is called in a thread.

    Nothing changes where Ctrl-C is ignored, as in a shell's background jobs, or means something else already. For
    processes of one's own: where the machine is so busy that Python comes to nothing, `end` is called as well.
    """
    mine = threading.current_thread() is threading.main_thread() and os.name == "posix"
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    raised = threading.Event()

    def handle(number: int, frame: Any) -> None:
        raised.set()
        raise KeyboardInterrupt

    # The system's handler, which waits for nothing, writes the signal's number into the pipe.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def watch() -> None:
        while OVER not in (numbers := os.read(reader, 64)):
            if signal.SIGINT in numbers and not raised.wait(GRACE_S):
                end()

    watcher = threading.Thread(target=watch, name="npbert-interrupts", daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, handle)
    watcher.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(before)
        os.write(writer, bytes([OVER]))
        watcher.join()
        os.close(writer)
        os.close(reader)
