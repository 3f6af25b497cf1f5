"""Kernels from the store, or compiled by one process and stored, with a word on standard error about what is done."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from . import object_store, store_lock
from .object_store import ObjectCode, Place

T = TypeVar("T")
ONCE = "once on this machine"


class Kernels(Generic[T]):
    """Machine code that is made once.

    Args:
        name: of its file in the store.
        what: the kernels, as a user knows them.
        takes: how long it takes to compile them, where it is long enough to say so.
        make: compiles.
        load: makes them ready to call. Raises ValueError where the code is not what its name says.
    """

    def __init__(
        self, name: str, what: str, takes: str, make: Callable[[], ObjectCode], load: Callable[[ObjectCode], T]
    ) -> None:
        self.name, self.what, self.takes, self.make, self.load = name, what, takes, make, load

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
            kernels, seconds = self._made(f"for this process alone: {_hint(why)}")
            self._say_made(seconds)
            return self.load(kernels)
        with store_lock.alone(place.folder, self._say_wait):
            found, reasons = self._stored(object_store.places())
            if found is not None:
                return found[1]
            for reason in reasons:
                say(reason)
            kernels, seconds = self._made(ONCE)
            try:
                place.write(self.name, kernels)
                self._say_made(seconds)
            except OSError as why:
                say(f"compiled {self.what}{seconds}; the next process compiles them again: {_hint(why)}")
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
                    kernels, seconds = (elsewhere[0], "") if elsewhere else self._made(ONCE)
                    self._say_made(seconds)
                    place.write(self.name, kernels)
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

    def _made(self, how_often: str) -> tuple[ObjectCode, str]:
        """Compiled kernels, and how long that took, where it is long enough to say so."""
        how = f"{self.takes}; {how_often}" if self.takes else how_often
        say(f"compiling {self.what} ({how}) ...")
        started = time.perf_counter()
        kernels = self.make()
        return kernels, f" in {time.perf_counter() - started:.0f} s" if self.takes else ""

    def _say_made(self, seconds: str) -> None:
        if seconds:
            say(f"compiled {self.what}{seconds}")

    def _say_wait(self) -> None:
        say(f"waiting for another process that compiles {self.what} ...")


@functools.cache
def say(line: str) -> None:
    """Once a process, and only where somebody may hear it."""
    with contextlib.suppress(OSError, ValueError):  # standard error is closed
        if sys.stderr is not None:
            sys.stderr.write(f"npbert: {line}\n")
            sys.stderr.flush()


def _hint(why: OSError) -> str:
    return f"{why}; NPBERT_KERNEL_CACHE names another folder"
