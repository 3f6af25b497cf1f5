"""Arguments by name that other libraries take and npbert has not: those that change nothing, and an error for others.

Nothing that is given is swallowed: what is not named here is refused, as is a value that asks for something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Annotated, Any, TypedDict, get_type_hints

from npbert.checks import show


class OtherArguments(TypedDict, total=False):
    """What transformers' `from_pretrained` takes besides, and the values with which it changes nothing here."""

    # Code of a model's own, and where files come from.
    trust_remote_code: Annotated[Any, False, None]
    code_revision: Annotated[Any, None]
    force_download: Annotated[Any, False, None]
    resume_download: Any
    proxies: Annotated[Any, None]
    use_auth_token: Annotated[Any, None]
    mirror: Annotated[Any, None]
    # How weights are read: here from safetensors alone.
    low_cpu_mem_usage: Any
    use_safetensors: Annotated[Any, True, None]
    from_tf: Annotated[Any, False]
    from_flax: Annotated[Any, False]
    weights_only: Any
    state_dict: Annotated[Any, None]
    variant: Annotated[Any, None]
    ignore_mismatched_sizes: Annotated[Any, False]
    output_loading_info: Annotated[Any, False]
    return_unused_kwargs: Annotated[Any, False]
    device_map: Annotated[Any, None]
    offload_folder: Annotated[Any, None]
    quantization_config: Annotated[Any, None]
    load_in_8bit: Annotated[Any, False]
    load_in_4bit: Annotated[Any, False]
    # How attention is computed, not what.
    attn_implementation: Annotated[Any, "eager", "sdpa", None]
    # There is one tokenizer, which is the fast one.
    use_fast: Any


class KeywordError(TypeError, ValueError):
    """An argument that there is not. It is both, since Python raises one for it and checks of values the other."""


def refuse_unknown(
    caller: str,
    given: Mapping[str, Any],
    known: Sequence[str] = (),
    harmless: type = OtherArguments,
) -> None:
    """Raises KeywordError where an argument is none, or asks for what there is not.

    Args:
        caller: what was called, for messages.
        given: what was given besides the arguments that there are.
        known: the names of these, for messages.
        harmless: a TypedDict as `OtherArguments`.
    """
    for name, value in given.items():
        if name not in harmless.__annotations__:
            raise KeywordError(f"{caller}: there is no argument {show(name)}{hint(name, known)}")
        values = harmless_values(harmless)[name]
        if values and not any(value is one or _same(value, one) for one in values):
            wanted = " or ".join(map(repr, values))
            raise KeywordError(f"{caller}: {name}: wanted {wanted}, found {show(value)}: there is nothing else here")


def harmless_values(kind: type) -> dict[str, tuple[object, ...]]:
    """Name -> the values that change nothing; () for any."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}


def _same(value: object, one: object) -> bool:
    # An array is equal to nothing that `if` takes.
    return isinstance(value, str | list | dict) and value == one


def names_of(function: Callable[..., Any]) -> list[str]:
    """The names of a function's arguments."""
    return [name for name in signature(function).parameters if name != "self"]


def hint(name: str, known: Iterable[str]) -> str:
    """What ends a message about a name that is not known: the one that may be meant, if any is near."""
    from difflib import get_close_matches  # what calls right needs none

    near = get_close_matches(name, known, 1, 0.7)
    return f"; is {near[0]!r} meant?" if near else ""
