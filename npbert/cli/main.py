"""The command line: `npbert VERB ...`. Exit status 0, 2 misuse, 1 a failure told in one line, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

from npbert.cli import MisuseError
from npbert.cli.interrupts import heard
from npbert.cli.streams import drop_output, flush_output, prepared, say
from npbert.cli.verbs import command_parser
from npbert.cli.wording import in_options

INTERRUPTED = 130  # as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status.

    arguments: where None the process's own, which Ctrl-C may then end from within a library's call.
    """
    given = argparse.Namespace(kept=None, unfinished=None)

    def end() -> NoReturn:
        _clean(given)
        _say_interrupted(given)
        os._exit(INTERRUPTED)

    with prepared():
        try:
            with heard(end) if arguments is None else nullcontext():
                given = command_parser().parse_args(arguments, given)
                _run(given)
        except MisuseError as error:
            given.parser.error(str(error))
        except BrokenPipeError:
            drop_output()  # whoever read it has seen enough
        except KeyboardInterrupt:
            drop_output()
            _say_interrupted(given)
            return INTERRUPTED
        except (OSError, ValueError, MemoryError, RuntimeError) as error:
            flush_output()
            say(f"npbert: error: {_told(error)}{_kept(given)}")
            return 1
        finally:
            _clean(given)
    return 0


def _run(given: argparse.Namespace) -> None:
    told: set[str] = set()

    def show_warning(message: Warning | str, *_: object) -> None:
        text = in_options(str(message))
        if text not in told:  # two calls may come upon the same
            told.add(text)
            say(f"npbert: warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = show_warning  # type: ignore[assignment]
        command = importlib.import_module(f"npbert.cli.{given.verb.replace('-', '_')}")
        if getattr(given, "threads", None) is not None:
            from npbert_kernels.cpu import set_num_threads

            set_num_threads(given.threads)
        command.run(given)


def _clean(given: argparse.Namespace) -> None:
    """Removes what a command has begun and nobody can use."""
    if given.unfinished is not None:
        import shutil

        shutil.rmtree(given.unfinished, ignore_errors=True)


def _say_interrupted(given: argparse.Namespace) -> None:
    say(f"npbert: interrupted{_kept(given)}")


def _kept(given: argparse.Namespace) -> str:
    """What is said of a file that a command has begun and can go on with."""
    return "" if given.kept is None else f"; {given.kept} keeps what is done, and --resume goes on from there"


def _told(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
