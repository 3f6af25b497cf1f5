"""A tokenizer among threads and processes; what it imports."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strings import random_texts
from tokenizing import EVERYTHING

from npbert.text.auto import AutoTokenizer, BertTokenizer


def test_a_call_changes_nothing_that_another_thread_sees(tokenizer: BertTokenizer, tokenizer_oracle: Any) -> None:
    """Calls with all kinds of truncation and padding at once; setting them on one object would fail."""
    texts = random_texts(9, 40)
    kinds: list[dict[str, Any]] = [
        {},
        {"padding": True},
        {"padding": "max_length", "max_length": 64, "truncation": True},
        {"truncation": True, "max_length": 9, "return_overflowing_tokens": True, "stride": 2},
        {"padding": True, "pad_to_multiple_of": 8, "padding_side": "left"},
        {"truncation": True, "max_length": 5},
    ]
    wanted = [dict(tokenizer_oracle(texts, **kind)) for kind in kinds]
    before = tokenizer.backend_tokenizer.to_str()
    failures: list[Any] = []
    start = threading.Barrier(len(kinds))

    def work(kind: int) -> None:
        try:
            start.wait()
            for _ in range(40):
                assert dict(tokenizer(texts, **kinds[kind])) == wanted[kind]
                tokenizer.encode_ids(texts, max_length=7)
        except BaseException as error:
            failures.append((kind, error))

    threads = [threading.Thread(target=work, args=(kind,)) for kind in range(len(kinds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert tokenizer.backend_tokenizer.to_str() == before


def test_a_tokenizer_can_be_sent_to_another_process(tokenizer: BertTokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    texts = random_texts(10, 50, most=40)
    assert again(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)
    assert again.encode_ids(texts, max_length=8) == tokenizer.encode_ids(texts, max_length=8)


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "albert"])
def test_tokenizers_of_other_families_too(kind: str, tokenizer_folder: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(kind), split_special_tokens=True)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert type(again) is type(tokenizer)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    texts = [*random_texts(11, 200), f"a {tokenizer.mask_token} b"]
    assert again(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)


def test_the_import_is_light(minilm: Path) -> None:
    """A tokenizer is loaded and used for lists without NumPy, a downloader or a framework."""
    code = (
        "import sys\n"
        "from npbert.text.auto import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "assert tokenizer('hello')['input_ids'] == [101, 7592, 102]\n"
        "tokenizer.check_vocabulary(30522)\n"
        "heavy = {'numpy', 'numba', 'torch', 'transformers', 'huggingface_hub', 'safetensors', 'tqdm'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(minilm)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
