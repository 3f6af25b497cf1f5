"""Arguments by name that other libraries take and npbert has not: those that change nothing, and an error for others.

Nothing that is given is swallowed: what is not named here is refused, as is a value that asks for something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

from npbert.checks import show

ANY: tuple[object, ...] = ()  # whatever it says

LOADING: dict[str, tuple[object, ...]] = {
    # Code of a model's own, and where files come from.
    "trust_remote_code": (False, None),
    "code_revision": (None,),
    "force_download": (False, None),
    "resume_download": ANY,
    "proxies": (None,),
    "use_auth_token": (None,),
    "mirror": (None,),
    # How weights are read: here they are mapped, from safetensors alone.
    "low_cpu_mem_usage": ANY,
    "use_safetensors": (True, None),
    "from_tf": (False,),
    "from_flax": (False,),
    "weights_only": ANY,
    "state_dict": (None,),
    "variant": (None,),
    "ignore_mismatched_sizes": (False,),
    "output_loading_info": (False,),
    "return_unused_kwargs": (False,),
    "device_map": (None,),
    "offload_folder": (None,),
    "quantization_config": (None,),
    "load_in_8bit": (False,),
    "load_in_4bit": (False,),
    # How attention is computed, not what.
    "attn_implementation": ("eager", "sdpa", None),
    # There is one tokenizer, which is the fast one.
    "use_fast": ANY,
}
"""Name of an argument of `from_pretrained` -> the values that change nothing here."""


class KeywordError(TypeError, ValueError):
    """An argument that there is not. It is both, since Python raises one for it and checks of values the other."""


def refuse_unknown(
    caller: str,
    given: Mapping[str, Any],
    known: Sequence[str] = (),
    harmless: Mapping[str, tuple[object, ...]] = LOADING,
) -> None:
    """Raises KeywordError where an argument is none, or asks for what there is not.

    Args:
        caller: what was called, for messages.
        given: what was given besides the arguments that there are.
        known: the names of these, for messages.
        harmless: other names, and the values with which they change nothing.
    """
    for name, value in given.items():
        if name not in harmless:
            raise KeywordError(f"{caller}: there is no argument {show(name)}{hint(name, known)}")
        values = harmless[name]
        if values and not any(
            value is one or (isinstance(value, str | list | dict) and value == one) for one in values
        ):
            wanted = " or ".join(map(repr, values))
            raise KeywordError(f"{caller}: {name}: wanted {wanted}, found {show(value)}: there is nothing else here")


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
