"""The command line: `npbert VERB ...`. Exit status 0, 2 misuse, 1 a failure told in one line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from npbert.commands import DEMO_MODEL, MisuseError

MODEL_HELP = "a folder, a hub id, or package:NAME (an installed package that carries a model)"
INPUT_HELP = (
    "read the texts from FILE, or from standard input if it is '-': one a line, "
    'or where FILE ends in .jsonl a JSON string or an object with "text" a line'
)


class VerbParser(argparse.ArgumentParser):
    """A verb's arguments, with options between the texts: argparse has that at the top level only."""

    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's; parse_known_intermixed_args calls back here for each of its two passes."""
        if self._mixing:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        command = importlib.import_module(f"npbert.commands.{given.verb}")
        _apply_threads(given)
        command.run(given)
        sys.stdout.flush()
    except MisuseError as error:
        given.parser.error(str(error))
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough
    except KeyboardInterrupt:
        print("npbert: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, MemoryError, RuntimeError) as error:
        _drop_output()
        print(f"npbert: error: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="npbert",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28),
        description="BERT models without a framework: texts in, vectors out.",
        epilog="'npbert VERB --help' tells more about each.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=VerbParser)

    embed = _verb(
        verbs,
        "embed",
        "turn texts into vectors",
        "Turns texts into vectors, one for each. The texts are the arguments, or the lines of a file or of "
        "standard input; an empty line is an empty text, so the vectors count as the lines do.",
    )
    embed.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    embed.add_argument("texts", metavar="TEXT", nargs="*", help="a text")
    embed.add_argument("--input", metavar="FILE", help=INPUT_HELP)
    embed.add_argument(
        "--output",
        metavar="FILE",
        help="FILE.npy: one float32 array [texts, numbers]; FILE.jsonl: JSON lines, which is also what "
        "goes to standard output without this option",
    )
    embed.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="texts at a time (32)")
    embed.add_argument(
        "--normalize", action="store_true", help="vectors of length 1, even if the model does not say so"
    )
    embed.add_argument("--truncate-dim", type=_positive, metavar="N", help="keep the first N numbers of each vector")
    embed.add_argument("--prompt-name", metavar="NAME", help="a prompt of the model's, put before each text")
    embed.add_argument("--prompt", metavar="TEXT", help="a prompt put before each text")
    _engine_options(embed)

    similarity = _verb(
        verbs,
        "similarity",
        "rank texts by how near they are to one",
        "Ranks texts by how similar they are to QUERY, and prints a JSON line for each, the most similar first.",
    )
    similarity.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    similarity.add_argument("query", metavar="QUERY", help="the text that the others are compared with")
    similarity.add_argument("texts", metavar="TEXT", nargs="*", help="a text")
    similarity.add_argument("--input", metavar="FILE", help=INPUT_HELP)
    similarity.add_argument("--top-k", type=_positive, metavar="N", help="print the N most similar only")
    _engine_options(similarity)

    info = _verb(
        verbs,
        "info",
        "say what a model is and what it takes",
        "Prints a model's architecture, its parameters by part, how texts become vectors and which file says "
        "so, and the memory it will take. Only the headers of the weights are read.",
    )
    info.add_argument("model", metavar="MODEL", help=MODEL_HELP)

    demo = _verb(
        verbs,
        "demo",
        "see it work on a few sentences",
        "Embeds a few sentences and shows the nearest neighbours.",
    )
    demo.add_argument("model", metavar="MODEL", nargs="?", default=DEMO_MODEL, help=f"{MODEL_HELP} ({DEMO_MODEL})")
    _engine_options(demo)

    bench = _verb(
        verbs,
        "bench",
        "time a model on this machine",
        "Times a model, tokenizer left out, on random tokens: batches of 1x16, 1x128, 8x128, and 32 texts "
        "of 6 to 55 tokens. Compares with nothing; benchmarks/ in the sources does.",
    )
    bench.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    bench.add_argument("--seconds", type=float, default=2.0, metavar="S", help="spend about S on each batch (2)")
    _engine_options(bench)

    _verb(
        verbs,
        "warmup",
        "compile and store the kernels",
        "Compiles the kernels for this machine's processor and stores them, so that the next process starts "
        "at once. For container images.",
    )
    return parser


def _verb(verbs: argparse._SubParsersAction[VerbParser], name: str, summary: str, description: str) -> VerbParser:
    parser = verbs.add_parser(name, help=summary, description=description)
    parser.set_defaults(parser=parser)
    return parser


def _engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_positive, metavar="N", help="threads (all that the process may use)")
    parser.add_argument(
        "--backend",
        choices=("cpu", "reference"),
        default="cpu",
        help="cpu: compiled kernels; reference: NumPy, slow",
    )


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted a positive whole number, found {text!r}")
    return value


def _apply_threads(given: argparse.Namespace) -> None:
    if getattr(given, "threads", None) is not None:
        from npbert import set_num_threads

        set_num_threads(given.threads)


def _drop_output() -> None:
    # Python flushes standard output once more at exit, and complains where it could not.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"npbert: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
