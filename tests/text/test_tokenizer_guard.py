"""A panic of the `tokenizers` library derives from BaseException: it becomes a ValueError wherever it is raised."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npbert.text.auto import AutoTokenizer, BertTokenizer
from npbert.text.encoding import BatchEncoding
from npbert.text.errors import as_value_error, guarded


class PanicException(BaseException):
    """What `tokenizers` raises where its code gives up."""


class Panicking:
    """In the place of something of the library's: whatever it is asked for, it gives up."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise PanicException("index out of bounds " + "x" * 10_000)

    def __len__(self) -> int:
        raise PanicException("index out of bounds")


CALLS: dict[str, Callable[[Any], Any]] = {
    "__call__": lambda t: t("a"),
    "encode_plus": lambda t: t.encode_plus("a", padding=True),
    "batch_encode_plus": lambda t: t.batch_encode_plus(["a"], truncation=True, max_length=9),
    "encode": lambda t: t.encode("a", "b"),
    "tokenize": lambda t: t.tokenize("a"),
    "encode_ids": lambda t: (t.encode_ids(["a"], max_length=9), t.encode_ids(["a"], ["b"], 9)),
    "decode": lambda t: t.decode([5]),
    "batch_decode": lambda t: t.batch_decode([[5]]),
    "id_of": lambda t: t.id_of("a"),
    "convert_tokens_to_ids": lambda t: t.convert_tokens_to_ids(["a"]),
    "convert_ids_to_tokens": lambda t: t.convert_ids_to_tokens([5]),
    "convert_tokens_to_string": lambda t: t.convert_tokens_to_string(["a"]),
    "get_vocab": lambda t: t.get_vocab(),
    "get_added_vocab": lambda t: t.get_added_vocab(),
    "num_special_tokens_to_add": lambda t: t.num_special_tokens_to_add(),
    "check_vocabulary": lambda t: t.check_vocabulary(10),
    "save_pretrained": lambda t: t.save_pretrained("unused"),
    "pad": lambda t: t.pad({"input_ids": [[5], [5, 6]]}),
    "__len__": len,
    "__getstate__": pickle.dumps,
    "__repr__": repr,
    "mask_token": lambda t: setattr(t, "mask_token", "[UNK]"),
    "mask_token_id setter": lambda t: setattr(t, "mask_token_id", 5),
    "extra_special_tokens setter": lambda t: setattr(t, "extra_special_tokens", ["[UNK]"]),
}
ROLES = {f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")}
UNTOUCHED = {*ROLES, "bos_token_id", "eos_token_id", "special_tokens_map", "all_special_tokens", "pad_token_type_id"}
UNTOUCHED |= {"extra_special_tokens", "additional_special_tokens", "backend_tokenizer"}
UNTOUCHED |= {"family", "is_fast", "from_pretrained", "gives_token_types", "limit_is_asked", "tell_of_cuts"}
"""What asks the library nothing; MiniLM's tokenizer has no first and last token of its own."""


@pytest.mark.parametrize("name", sorted({name for name in dir(BertTokenizer) if name[0] != "_"} - UNTOUCHED | {*CALLS}))
def test_no_panic_leaves_a_tokenizer(name: str, tokenizer: BertTokenizer, tmp_path: Path, monkeypatch: Any) -> None:
    """Whatever public name there is; a new method wants a line in CALLS."""
    monkeypatch.chdir(tmp_path)
    broken = copy.copy(tokenizer)
    broken._backend = Panicking()  # type: ignore[assignment]
    ask = CALLS.get(name, lambda t: getattr(t, name))
    with pytest.raises((ValueError, OSError), match=r"index out of bounds") as raised:
        ask(broken)
    assert len(str(raised.value)) < 500


METHODS = [name for name, value in vars(BatchEncoding).items() if name[0] != "_" and callable(value)]


@pytest.mark.parametrize("name", [*METHODS, "n_sequences"])
def test_no_panic_leaves_an_encoding(name: str) -> None:
    encoding = BatchEncoding((), [Panicking()])  # type: ignore[list-item]
    given = () if name in ("tokens", "sequence_ids", "word_ids") else (0, 0)
    with pytest.raises(ValueError, match=r"^row: index out of bounds"):
        getattr(encoding, name)(*given)  # to read a value is to ask for it


def test_numbers_that_no_row_has(tokenizer: BertTokenizer) -> None:
    encoding = tokenizer("a b")
    for number in (-1, 2**64):
        with pytest.raises(ValueError, match=r"^index: "):
            encoding.char_to_token(number)
    assert encoding.token_to_chars(-2) == (2, 3)


@pytest.mark.parametrize("name", ["taken_switches", "set_switches", "check_switches"])
def test_no_panic_leaves_a_load(name: str, minilm: Path, monkeypatch: Any) -> None:
    def give_up(*_: Any) -> None:
        raise PanicException("index out of bounds")

    monkeypatch.setattr(f"npbert.text.files.{name}", give_up)
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a valid tokenizer.*index out of bounds"):
        AutoTokenizer.from_pretrained(minilm)
    monkeypatch.undo()
    monkeypatch.setattr("npbert.text.tokenizer.LongTexts", give_up)
    with pytest.raises(ValueError, match=r"not a valid tokenizer: index out of bounds"):
        AutoTokenizer.from_pretrained(minilm)


def test_nothing_else_is_made_a_value_error() -> None:
    for error in (KeyboardInterrupt(), SystemExit(1), MemoryError(), OSError("x"), KeyError("x")):
        for guard in (guarded, as_value_error):
            with pytest.raises(type(error)), guard("x"):
                raise error
    with pytest.raises(TypeError), guarded("x"):
        raise TypeError
