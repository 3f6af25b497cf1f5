"""The arguments of a tokenizer's call that say how long rows become, and the columns of its answer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from npbert.checks import checked_count, is_bool, is_int, show

if TYPE_CHECKING:
    from tokenizers import Encoding

Padding: TypeAlias = Literal["longest", "max_length"]
Strategy: TypeAlias = Literal["longest_first", "only_first", "only_second"]
PADDINGS: tuple[Padding, ...] = ("longest", "max_length")
STRATEGIES: tuple[Strategy, ...] = ("longest_first", "only_first", "only_second")

UNBOUNDED = 10**20  # a model_max_length beyond this says that there is none

COLUMNS = {
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}
"""Key of the answer -> attribute of `tokenizers.Encoding`, in the order in which they are given."""


MOST_PADDING = 2**20  # tokens that a row is padded to: tokenizers ends the process where memory runs out


class Lengths(NamedTuple):
    """How long rows become. Both may be absent, and then so may be the length."""

    padding: Padding | None
    truncation: Strategy | None
    max_length: int | None
    multiple: int | None


def read_lengths(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    multiple: int | None,
    model_max_length: int,
    verbose: bool,
) -> Lengths:
    """The arguments as transformers understands them together.

    Raises:
        ValueError: one is none of what it may be, or the length is no multiple of what rows are padded to.
    """
    limit = None if max_length is None else checked_count("max_length", max_length, 0)
    step = None if multiple is None else checked_count("pad_to_multiple_of", multiple, 1)
    if is_bool(padding) and not padding and truncation is None and limit is not None:
        truncation = "longest_first"
    pad = _read_padding(padding)
    cut = _read_truncation(truncation)
    if verbose and is_bool(padding) and padding and cut is None and limit is not None:
        warnings.warn(
            "max_length has no effect with padding=True and no truncation; padding='max_length' pads to it",
            stacklevel=4,
        )
    if limit is None:
        if not is_int(model_max_length) or model_max_length < 1:
            raise ValueError(f"model_max_length: wanted a whole number, 1 or more, found {show(model_max_length)}")
        if model_max_length <= UNBOUNDED:
            limit = model_max_length if cut is not None or pad == "max_length" else None
        else:
            cut = None
            pad = None if pad == "max_length" else pad
    for name, target in (
        ("max_length", limit if pad == "max_length" else None),
        ("pad_to_multiple_of", None if pad is None else step),
    ):
        if target is not None and target > MOST_PADDING:
            raise ValueError(f"{name}: wanted at most {MOST_PADDING}, to pad to, found {target}")
    if cut is not None and pad is not None and step is not None and limit is not None and limit % step:
        raise ValueError(
            f"max_length: wanted a multiple of pad_to_multiple_of, {step}, where rows are both truncated and "
            f"padded, found {limit}"
        )
    return Lengths(pad, cut, limit, step)


def checked_room(max_length: Any, special: int) -> int:
    """How many tokens fit into max_length besides so many special ones.

    Raises:
        ValueError: not even these fit.
    """
    limit = checked_count("max_length", max_length, 0)
    if limit < special:
        raise ValueError(f"max_length: wanted at least {special}, the special tokens alone, found {limit}")
    return limit - special


def checked_side(name: str, side: str) -> str:
    """Raises ValueError for anything but "left" and "right"."""
    if not isinstance(side, str) or side not in ("left", "right"):
        raise ValueError(f"{name}: wanted 'left' or 'right', found {show(side)}")
    return side


def check_tensors(return_tensors: str | None) -> None:
    """Raises ValueError for anything but None and "np"."""
    if return_tensors is not None and not (isinstance(return_tensors, str) and return_tensors == "np"):
        found = show(return_tensors)
        hint = "; torch.from_numpy makes a tensor of an array" if found == "'pt'" else ""
        raise ValueError(f"return_tensors: wanted 'np' (NumPy arrays) or None (lists), found {found}{hint}")


def columns(rows: Sequence[Encoding], wanted: dict[str, bool], return_length: bool) -> dict[str, Any]:
    """The answer's columns, a list for each row."""
    data: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
    for key, attribute in COLUMNS.items():
        if wanted[key]:
            data[key] = [getattr(row, attribute) for row in rows]
    if return_length:
        data["length"] = [len(row) for row in rows]
    return data


def as_arrays(data: dict[str, Any]) -> dict[str, Any]:
    """The columns as int64 arrays: [B, S], offset_mapping [B, S, 2], length and the like [B].

    Raises:
        ValueError: rows differ in length.
    """
    import numpy as np  # not needed for lists

    lengths = {len(row) for row in data["input_ids"]}
    if len(lengths) > 1:
        raise ValueError(
            f"return_tensors: 'np' wants rows of one length, found {min(lengths)} to {max(lengths)} tokens; "
            "padding=True pads them, truncation=True cuts them at max_length"
        )
    shape = (len(data["input_ids"]), max(lengths, default=0))
    arrays = {}
    for key, rows in data.items():
        array = np.array(rows, dtype=np.int64)
        if key == "input_ids" or key in COLUMNS:
            array = array.reshape((*shape, 2) if key == "offset_mapping" else shape)
        arrays[key] = array
    return arrays


def _read_padding(value: bool | str) -> Padding | None:
    if is_bool(value):
        return "longest" if value else None
    if isinstance(value, str):
        if value == "do_not_pad":
            return None
        for padding in PADDINGS:
            if value == padding:
                return padding
    raise ValueError(f"padding: wanted True, False, 'longest' or 'max_length', found {show(value)}")


def _read_truncation(value: bool | str | None) -> Strategy | None:
    if value is None or is_bool(value):
        return "longest_first" if value else None
    if isinstance(value, str):
        if value == "do_not_truncate":
            return None
        for strategy in STRATEGIES:
            if value == strategy:
                return strategy
    raise ValueError(f"truncation: wanted True, False, {', '.join(map(repr, STRATEGIES))}, found {show(value)}")
