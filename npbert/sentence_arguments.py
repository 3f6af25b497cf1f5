"""Arguments that SentenceTransformer and CrossEncoder share, checked."""

from __future__ import annotations

from typing import Any

from npbert.config_values import is_int, show


def check_no_tensor(convert_to_tensor: object) -> None:
    """Raises ValueError where a tensor is asked for."""
    if convert_to_tensor:
        raise ValueError(
            "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays; "
            "torch.from_numpy makes a tensor of one"
        )


def check_batch_size(batch_size: Any) -> None:
    """Raises ValueError unless it is a positive whole number."""
    if not is_int(batch_size) or batch_size < 1:
        raise ValueError(f"batch_size: wanted a positive whole number, found {show(batch_size)}")


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raises ValueError unless it is one of them."""
    if value not in choices:
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, found {show(value)}")
