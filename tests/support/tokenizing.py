"""What tests of tokenizers share: the oracle, arguments and texts for it, comparing, files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strings import random_text

from npbert.text.auto import BatchEncoding

EVERYTHING = {
    "return_token_type_ids": True,
    "return_attention_mask": True,
    "return_special_tokens_mask": True,
    "return_offsets_mapping": True,
    "return_length": True,
}


def load_oracle(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def load_as_version_4(folder: Path, **settings: Any) -> Any:
    """The same, with token types where 4.57 gives them by default: docs/versions.md."""
    import transformers

    oracle = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, **settings)
    if type(oracle).__name__ in ("AlbertTokenizer", "TokenizersBackend"):
        oracle.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return oracle


def assert_same(found: BatchEncoding, wanted: Any) -> None:
    assert list(found) == list(wanted)
    for key in wanted:
        if isinstance(wanted[key], np.ndarray):
            assert found[key].dtype == np.int64
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
        else:
            assert found[key] == wanted[key], key


def copy_files(source: Path, target: Path, *names: str) -> Path:
    target.mkdir(exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)
    return target


def edit_json(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")


def arguments(dice: random.Random) -> dict[str, Any]:
    """Any arguments that transformers does not refuse for themselves."""
    return {
        "add_special_tokens": dice.random() < 0.8,
        "padding": dice.choice([False, True, "longest", "max_length"]),
        "truncation": dice.choice([None, False, True, "longest_first", "only_first", "only_second"]),
        "max_length": dice.choice([None, 3, 7, 8, 12, 16, 33]),
        "stride": dice.choice([0, 0, 0, 1, 2]),
        "pad_to_multiple_of": dice.choice([None, None, None, 1, 3, 8]),
        "padding_side": dice.choice([None, "left", "right"]),
        "return_tensors": dice.choice([None, None, "np"]),
        "return_token_type_ids": dice.choice([None, True, False]),
        "return_attention_mask": dice.choice([None, True, False]),
        "return_overflowing_tokens": dice.random() < 0.4,
        "return_special_tokens_mask": dice.random() < 0.3,
        "return_offsets_mapping": dice.random() < 0.3,
        "return_length": dice.random() < 0.3,
        "verbose": False,
    }


def inputs(dice: random.Random, words: bool) -> tuple[Any, ...]:
    def one() -> Any:
        text = random_text(dice, dice.choice([0, 1, 3, 6, 40]))
        return text.split(" ") if words else text

    count = dice.randint(1, 4)
    shape = dice.choice(["one", "pair", "batch", "pairs", "tuples"])
    if shape == "one":
        return (one(),)
    if shape == "pair":
        return (one(), one())
    if shape == "batch":
        return ([one() for _ in range(count)],)
    if shape == "pairs":
        return ([one() for _ in range(count)], [one() for _ in range(count)])
    return ([(one(), one()) for _ in range(count)],)


def assert_same_with_all_arguments(
    tokenizer: Any, oracle: Any, count: int, words: bool = False, truncation_side: str = "right"
) -> None:
    """What transformers answers is answered the same; what it refuses is refused with a ValueError."""
    dice = random.Random(f"{words} {truncation_side}")
    special = tokenizer.num_special_tokens_to_add(pair=True)
    compared = 0
    for _ in range(count):
        texts, given = inputs(dice, words), {**arguments(dice), "is_split_into_words": words}
        given["max_length"] = given["max_length"] and max(given["max_length"], special)  # less is refused here
        try:
            wanted = oracle(*texts, **given)
        except BaseException:
            if given["stride"] and not given["return_overflowing_tokens"]:
                continue  # here it is not asked for, where nothing repeats anything
            # A bare Exception or a panic; or rows of several lengths where an array is wanted.
            with pytest.raises(ValueError, match=r"."):
                tokenizer(*texts, **given)
            continue
        if given["return_tensors"] and any(a.dtype == object or a.size == 0 for a in wanted.values()):
            continue  # transformers makes arrays of lists of rows of several lengths
        if given["stride"] and given["stride"] >= (given["max_length"] or 512) - special:
            continue  # here a stride that does not fit is refused, there only when it comes to cutting
        assert_same(tokenizer(*texts, **given), wanted)
        compared += 1
    assert compared > count / 2
