"""Arguments that several functions take, defined once: names, types, defaults and documentation.

A TypedDict names the arguments, their types, and in its docstring what they are. An `Arguments` adds their defaults. A
function that takes them says so to type checkers by `**given: Unpack[ThatDict]`; decorated with the `Arguments` it says
so to `inspect.signature` and `help` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, TypeVar

from npbert.keywords import refuse_unknown

Function = TypeVar("Function", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=type)


class Arguments:
    """A set of arguments; `+` joins two, in the order of their signature."""

    def __init__(self, kind: type, by_place: bool = False, **defaults: Any) -> None:
        """
        Args:
            kind: the TypedDict. Its docstring's lines go into those of functions, below "Args:".
            by_place: whether they may be given by their place as well.
            defaults: those that are not None.
        """
        self.types = {name: getattr(hint, "__forward_arg__", hint) for name, hint in kind.__annotations__.items()}
        self.defaults: dict[str, Any] = {**dict.fromkeys(self.types), **defaults}
        self.doc = cleandoc(kind.__doc__ or "")  # None where Python leaves docstrings out
        self.by_place = by_place

    def __add__(self, other: Arguments) -> Arguments:
        joined = object.__new__(Arguments)
        joined.types = {**self.types, **other.types}
        joined.defaults = {**self.defaults, **other.defaults}
        joined.doc = f"{self.doc}\n{other.doc}"
        joined.by_place = self.by_place
        return joined

    def __call__(self, function: Function) -> Function:
        """Makes a function's signature and documentation those of one that spells the arguments out.

        They stand in the place of its `*` and `**`. Other arguments by name, if it takes them, are `**others`.
        """
        kind = Parameter.POSITIONAL_OR_KEYWORD if self.by_place else Parameter.KEYWORD_ONLY
        open_ends = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        found = signature(function)
        spelled = [entry for entry in found.parameters.values() if entry.kind not in open_ends]
        for name, default in self.defaults.items():
            spelled.append(Parameter(name, kind, default=default, annotation=self.types[name]))
        if not self.by_place:
            spelled.append(Parameter("others", Parameter.VAR_KEYWORD, annotation="Any"))
        function.__signature__ = Signature(spelled, return_annotation=found.return_annotation)  # type: ignore[attr-defined]
        function.__doc__ = _with_arguments(function.__doc__, self.doc)
        return function

    def described(self, kind: Kind) -> Kind:
        """Puts the documentation of the arguments into that of a class whose constructor takes them."""
        kind.__doc__ = _with_arguments(kind.__doc__, self.doc)
        return kind

    def of(self, caller: str, given: Mapping[str, Any], known: Iterable[str] = ()) -> dict[str, Any]:
        """All of the arguments, with the defaults of those that are not given.

        Args:
            caller: what was called, for messages.
            given: what was given by name.
            known: names of other arguments, for messages.

        Raises:
            KeywordError: an argument is none of them, and none of `OtherArguments` that changes nothing.
        """
        own, others = self.apart(given)
        if others:
            refuse_unknown(caller, others, [*known, *self.defaults])
        return {**self.defaults, **own}

    def among(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are given."""
        return {name: value for name, value in given.items() if name in self.defaults}

    def apart(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Those that are given, and other arguments."""
        return self.among(given), {name: value for name, value in given.items() if name not in self.defaults}

    def by_name(self, method: Callable[..., Any], places: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
        """All of the arguments, with the defaults of those that are not given.

        Args:
            method: what was called.
            places, given: its arguments by place and by name.

        Raises:
            TypeError: as Python raises it where a method spells its arguments out.
        """
        named = {**self.defaults, **given}
        is_wrong = len(named) > len(self.defaults)
        if places:
            is_wrong |= len(places) > len(self.defaults)
            for name, value in zip(self.defaults, places, strict=False):
                is_wrong |= name in given
                named[name] = value
        if is_wrong:
            signature(method).bind(None, *places, **given)  # says what is wrong
        return named


def _with_arguments(doc: str | None, lines: str) -> str | None:
    """A docstring, with lines at the end of its "Args:", which is made where there is none."""
    if not doc or not lines:
        return doc
    text = cleandoc(doc)
    indented = "\n".join(f"    {line}".rstrip() for line in lines.splitlines())
    head, section, rest = text.partition("\nArgs:\n")
    if section:
        own, gap, after = rest.partition("\n\n")
        own, others, last = own.partition("\n    others:")
        return f"{head}{section}{own}\n{indented}{others}{last}{gap}{after}"
    for title in ("Returns:", "Raises:"):
        before, found, behind = text.partition(f"\n\n{title}\n")
        if found:
            return f"{before}\n\nArgs:\n{indented}{found}{behind}"
    return f"{text}\n\nArgs:\n{indented}"
