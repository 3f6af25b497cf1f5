"""Texts that the `tokenizers` library reads for seconds: Ctrl-C is heard meanwhile, and memory is looked for before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

HUGE = 2**20  # characters of which memory is looked for
CHARACTER, TOKEN, WORD_PIECE = 65, 250, 450  # bytes, somewhat fewer than were seen for any script


def heard(work: Callable[[], Answer]) -> Answer:
    """What `work` gives. In the main thread another one does it, which goes on after Ctrl-C until it is done.

    Python hears a signal in the main thread alone, and there between two of its own steps.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # a panic is no Exception
            errors.append(error)
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=run, name="npbert-text", daemon=True).start()
    done.wait()
    if errors:
        raise errors[0]
    return answers[0]


def check_memory(characters: int, tokens_in: float, is_word_piece: bool) -> None:
    """Checks that a text's row has room in memory: the library ends the process where it has none.

    Args:
        characters: how many the text has.
        tokens_in: how many tokens a character is, at the text's beginning.
        is_word_piece: whether the model is WordPiece, of whose tokens more is kept.

    Raises:
        MemoryError: there is too little.
    """
    import numpy as np  # not needed for others

    need = int(characters * (CHARACTER + tokens_in * (WORD_PIECE if is_word_piece else TOKEN)))
    try:
        np.empty(need, np.uint8)
    except MemoryError:
        raise MemoryError(
            f"text: wanted {need >> 20} MB of memory for the row of a text of {characters} characters, found less: "
            "read it in parts, or with truncation=True"
        ) from None
