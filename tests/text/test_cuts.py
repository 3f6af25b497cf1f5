"""Texts that are cut off where nobody said so are told, once for a tokenizer; and long ones bring nothing down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import npbert
from npbert.text.huge import check_memory, heard

LONG = "word " * 600


def told(call: Callable[[], Any]) -> list[str]:
    """What is said in a call of texts that are cut off."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert {warning.category for warning in caught} <= {npbert.TruncationWarning}
    assert {warning.filename for warning in caught} <= {__file__}
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("pair", [None, "a", LONG])
def test_a_tokenizer_tells_once(minilm: Path, pair: str | None) -> None:
    tokenizer = npbert.AutoTokenizer.from_pretrained(minilm)
    assert not told(lambda: tokenizer(LONG, pair))
    assert not told(lambda: tokenizer(LONG, pair, truncation=True, max_length=9))
    assert not told(lambda: tokenizer(LONG, pair, truncation=True, return_overflowing_tokens=True))
    assert not told(lambda: tokenizer(LONG, pair, truncation=True, verbose=False))
    assert not told(lambda: tokenizer("word " * 510, truncation=True))  # as many as there may be
    (message,) = told(lambda: tokenizer(["a", LONG], pair and [pair, pair], truncation=True))
    assert message.endswith(
        "a text has more than 512 tokens, and what is beyond them is cut off, as in all longer ones (told once); "
        "truncation=False keeps it, max_length= says where to cut"
    )
    assert not told(lambda: tokenizer(LONG, pair, truncation=True))
    asked = npbert.AutoTokenizer.from_pretrained(minilm, model_max_length=20)
    assert not told(lambda: asked(LONG, pair, truncation=True))


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_model_of_sentences_tells_once(encoder: Path, side: str) -> None:
    model = npbert.SentenceTransformer(encoder, backend="reference")
    model.tokenizer.truncation_side = side
    most = model.max_seq_length
    assert not told(lambda: model.encode("a " * (most - 2)))
    (message,) = told(lambda: model.encode(["a", "a " * (most - 1), "a " * 999]))
    assert f"a text has more than {most} tokens" in message
    assert not told(lambda: model.encode("a " * 999))
    asked = npbert.SentenceTransformer(encoder, backend="reference")
    asked.max_seq_length = 5
    assert not told(lambda: asked.encode("a " * 999))
    asked.max_seq_length = None
    assert told(lambda: asked.encode("a " * 999))


def test_a_cross_encoder_tells_once(task_folder: Callable[..., Path]) -> None:
    folder = task_folder("BertForSequenceClassification", num_labels=1)
    model = npbert.CrossEncoder(folder, backend="reference")
    assert not told(lambda: model.predict(("a", "b " * 124)))
    (message,) = told(lambda: model.predict([("a", "b"), ("a", LONG)]))
    assert message.endswith("the model takes no more: shorter pieces of it are read whole")
    assert not told(lambda: model.rank("a", [LONG]))
    asked = npbert.CrossEncoder(folder, backend="reference", max_length=100)
    assert not told(lambda: asked.predict(("a", LONG)))


def test_a_row_that_fits_no_memory_is_refused() -> None:
    check_memory(2**20, 0.2, True)
    with pytest.raises(MemoryError, match=r"text: wanted \d+ MB of memory for the row of a text of 1099511627776 "):
        check_memory(2**40, 0.2, True)


LIMITED = """
import resource, sys
import numpy
import npbert
tokenizer = npbert.AutoTokenizer.from_pretrained(sys.argv[1])
many, long = ["word kitten" + " a b c d e" * 20] * 20_000, "word kitten " * 2**20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
assert {*map(len, tokenizer(many, truncation=True, max_length=32)["input_ids"])} == {32}
try:
    tokenizer(long)
except MemoryError as error:
    print(error)
"""


def test_where_memory_is_short_the_process_lives(minilm: Path) -> None:
    alone = {**os.environ, "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread reserves memory
    command = [sys.executable, "-c", LIMITED, str(minilm)]
    found = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("text: wanted 1")


def test_ctrl_c_is_heard_while_a_long_text_is_read() -> None:
    """Not when the library comes back, which knows nothing of signals."""
    go_on = threading.Event()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    start = time.perf_counter()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            heard(lambda: go_on.wait(20))
    finally:
        signal.signal(signal.SIGINT, before)
        go_on.set()
    assert time.perf_counter() - start < 10
    with pytest.raises(ZeroDivisionError):
        heard(lambda: 1 / 0)
    assert heard(lambda: 3) == 3
