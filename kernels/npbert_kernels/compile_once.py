"""Kernels from the store, or compiled by one process and stored, with a word on standard error about what is done."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from . import object_store, store_lock
from .object_store import ObjectCode, Place

T = TypeVar("T")
ONCE = "once on this machine"


@dataclass(frozen=True)
class Kernels(Generic[T]):
    """Machine code that is made once.

    Args:
        name: of its file in the store.
        what: the kernels, as a user knows them.
        takes: how long it takes to compile them.
        make: compiles.
        load: makes them ready to call. Raises ValueError where the code is not what its name says.
    """

    name: str
    what: str
    takes: str
    make: Callable[[], ObjectCode]
    load: Callable[[ObjectCode], T]

    def loaded(self) -> T:
        """From the store, or else compiled, which another process may be doing just now."""
        found, reasons = self._stored(object_store.places())
        if found is not None:
            return found[1]
        try:
            place = object_store.place_to_write()
            place.prepare()
        except OSError as why:
            for reason in reasons:
                if not reason.endswith(str(why)):
                    say(reason)
            return self.load(self._made(f"for this process alone: {_place_hint(why)}"))
        with store_lock.alone(place.folder, self._say_wait):
            found, reasons = self._stored(object_store.places())
            if found is not None:
                return found[1]
            for reason in reasons:
                say(reason)
            kernels = self._made(ONCE)
            try:
                place.write(self.name, kernels)
            except OSError as why:
                say(f"the next process compiles again: {_place_hint(why)}")
        return self.load(kernels)

    def warmed(self, place: Place) -> pathlib.Path:
        """The file in that place, compiled if need be, out of which the next process will load them.

        Raises:
            OSError: why none will.
        """
        if self._stored([place])[0] is None:
            place.prepare()
            with store_lock.alone(place.folder, self._say_wait):
                here, reasons = self._stored([place])
                if here is None:
                    for reason in reasons:
                        say(reason)
                    elsewhere, _ = self._stored(object_store.places())
                    place.write(self.name, elsewhere[0] if elsewhere else self._made(ONCE))
            self.load(place.read(self.name))
        return place.folder / self.name

    def _stored(self, places: Sequence[Place]) -> tuple[tuple[ObjectCode, T] | None, list[str]]:
        """The first that can be loaded, and why others before it can't."""
        reasons: list[str] = []
        for place in places:
            try:
                kernels = place.read(self.name)
                return (kernels, self.load(kernels)), reasons
            except FileNotFoundError:
                continue
            except OSError as why:
                reasons.append(f"stored kernels are not used: {why}")
            except ValueError as why:
                reasons.append(f"stored kernels are not used: {place.folder / self.name}: {why}")
        return None, reasons

    def _made(self, how_often: str) -> ObjectCode:
        say(f"compiling {self.what} ({self.takes}; {how_often}) ...")
        return self.make()

    def _say_wait(self) -> None:
        say(f"waiting for another process that compiles {self.what} ...")


@functools.cache
def say(line: str) -> None:
    """Once a process, and only where somebody may hear it."""
    with contextlib.suppress(OSError, ValueError):  # standard error is closed
        if sys.stderr is not None:
            sys.stderr.write(f"npbert: {line}\n")
            sys.stderr.flush()


def _place_hint(why: OSError) -> str:
    return f"{why}; NPBERT_KERNEL_CACHE names another folder"
