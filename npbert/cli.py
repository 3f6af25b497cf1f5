"""The command line: `npbert VERB ...`. Exit status 0, 2 misuse, 1 a failure told in one line, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from npbert import __version__
from npbert.commands import DEMO_MODEL, MisuseError

MODEL_HELP = "a folder, a hub id, or package:NAME (an installed package that carries a model)"
TEXT_LINE = 'a JSON string or an object with "text"'
EPILOG = """\
'npbert VERB --help' tells more about each.

environment variables:
  NPBERT_KERNEL_CACHE   the folder of compiled kernels (npbert/kernels in the user's
                        cache folder, and share/npbert/kernels in the environment)
  NPBERT_ISA            the instruction set: avx512bf16, avx512vnni, avx512, avx2vnni,
                        avx2, dotprod, baseline (the fastest that the processor has)
  NPBERT_NUM_THREADS    threads (all that the process may use)

Downloads are huggingface_hub's: HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE;
SENTENCE_TRANSFORMERS_HOME is a cache of its own, TRANSFORMERS_CACHE is looked into.
"""


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
    try:
        given = _parser().parse_args(arguments)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        command = importlib.import_module(f"npbert.commands.{given.verb.replace('-', '_')}")
        _apply_threads(given)
        command.run(given)
        sys.stdout.flush()
    except MisuseError as error:
        given.parser.error(str(error))
    except BrokenPipeError:
        _drop_output()  # whoever read it has seen enough
    except KeyboardInterrupt:
        _drop_output()
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
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28),
        description="BERT models without a framework: texts in, vectors and answers out.",
        epilog=EPILOG,
    )
    parser.add_argument("-V", "--version", action="version", version=f"npbert {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=VerbParser)

    embed = _texts_verb(
        verbs,
        "embed",
        "turn texts into vectors",
        "Turns texts into vectors, one for each. The texts are the arguments, or the lines of a file or of "
        "standard input; an empty line is an empty text, so the vectors count as the lines do.",
    )
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
    _input_options(similarity, TEXT_LINE)
    similarity.add_argument("--top-k", type=_positive, metavar="N", help="print the N most similar only")
    _engine_options(similarity)

    rerank = _verb(
        verbs,
        "rerank",
        "rank documents by how well they answer a query",
        "Ranks documents by how well a cross-encoder thinks that they answer QUERY, and prints a JSON line for each, "
        "the best first.",
    )
    rerank.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    rerank.add_argument("query", metavar="QUERY", help="what the documents are to answer")
    rerank.add_argument("texts", metavar="DOC", nargs="*", help="a document")
    _input_options(rerank, TEXT_LINE)
    rerank.add_argument("--top-k", type=_positive, metavar="N", help="print the N best only")
    rerank.add_argument("--max-length", type=_positive, metavar="N", help="read N tokens of query and document at most")
    rerank.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="documents at a time (32)")
    _engine_options(rerank)

    _task_verbs(verbs)

    info = _verb(
        verbs,
        "info",
        "say what a model is and what it takes",
        "Prints a model's architecture, its parameters by part, how texts become vectors and which file says "
        "so, and the memory it will take. Only the headers of the weights are read.",
    )
    info.add_argument("model", metavar="MODEL", help=MODEL_HELP)

    validate = _verb(
        verbs,
        "validate",
        "check a model's files, and say what they ask for",
        "Checks the settings, the tokenizer and the headers of the weights of a sentence-transformers folder, and "
        "prints prompts, length, pooling and what comes after it, each with the file and the key that say so.",
    )
    validate.add_argument("model", metavar="MODEL", help=MODEL_HELP)

    quantize = _verb(
        verbs,
        "quantize",
        "write a model with its matrices and word embeddings in int8",
        "Writes a folder that loads as MODEL does and computes with int8 matrices and words; heads stay float32.",
    )
    quantize.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    quantize.add_argument("out", metavar="OUT", help="a folder, new or empty")

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
    bench.add_argument("--seconds", type=_seconds, default=2.0, metavar="S", help="spend about S on each batch (2)")
    _engine_options(bench)

    _verb(
        verbs,
        "warmup",
        "compile and store the kernels",
        "Compiles the kernels for this machine's processor, or for NPBERT_ISA, and stores them, so that the next "
        "process starts at once; if the owner of the Python environment does, those of all its users. For container "
        "images.",
    )
    return parser


def _task_verbs(verbs: argparse._SubParsersAction[VerbParser]) -> None:
    """A verb for each pipeline, and one for the tokenizer."""
    fill_mask = _texts_verb(
        verbs,
        "fill-mask",
        "find the words that a text leaves out",
        "Prints the likeliest words in the place of each mask token ([MASK] or <mask>, as the model has it).",
    )
    fill_mask.add_argument("--top-k", type=_positive, default=5, metavar="N", help="words for each mask (5)")
    fill_mask.add_argument("--targets", metavar="WORDS", help="choose among these alone, with commas between them")
    _truncation_option(fill_mask)
    _task_options(fill_mask)

    classify = _texts_verb(
        verbs,
        "classify",
        "label texts, or pairs of texts",
        "Prints the likeliest label of each text, its sentiment for example. Pairs of texts come as JSON lines.",
        'a JSON string or an object with "text", and "text_pair" if it is a pair,',
    )
    classify.add_argument("--top-k", type=_positive, metavar="N", help="print a list of the N likeliest labels")
    classify.add_argument(
        "--function-to-apply",
        choices=("none", "sigmoid", "softmax"),
        help="how scores are made (as the model's config says)",
    )
    _truncation_option(classify)
    _task_options(classify)

    ner = _texts_verb(
        verbs,
        "ner",
        "find names, or label tokens in other ways",
        "Prints the entities of each text, and where they stand in it.",
    )
    ner.add_argument(
        "--aggregation-strategy",
        choices=("none", "simple", "first", "average", "max"),
        default="none",
        help="none: each token by itself (the default); the others join tokens to entities",
    )
    ner.add_argument("--ignore-labels", metavar="LABELS", default="O", help="leave these out, with commas between (O)")
    ner.add_argument("--stride", type=_count, metavar="N", help="read long texts in windows that share N tokens")
    _task_options(ner)

    qa = _verb(
        verbs,
        "qa",
        "find answers in texts",
        "Prints the span of each CONTEXT that answers QUESTION. Where the questions differ, both come as JSON lines.",
    )
    qa.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    qa.add_argument("question", metavar="QUESTION", nargs="?", help="the question")
    qa.add_argument("texts", metavar="CONTEXT", nargs="*", help="a text that may hold the answer")
    _input_options(qa, 'an object with "question" and "context"')
    qa.add_argument("--top-k", type=_positive, default=1, metavar="N", help="print a list of the N likeliest answers")
    qa.add_argument("--max-answer-len", type=_positive, default=15, metavar="N", help="tokens of an answer (15)")
    qa.add_argument("--max-seq-len", type=_positive, metavar="N", help="tokens of a window (384, or the model's)")
    qa.add_argument("--doc-stride", type=_count, metavar="N", help="tokens that windows share (128, or half a window)")
    qa.add_argument("--impossible", action="store_true", help='let "" be an answer: that the text has none')
    _task_options(qa)

    zero_shot = _texts_verb(
        verbs,
        "zero-shot",
        "label texts with labels of your own",
        "Prints LABELS for each text, the one that fits best first. The model is one of entailment (NLI).",
    )
    zero_shot.add_argument("--labels", metavar="LABELS", required=True, help="with commas between them")
    zero_shot.add_argument(
        "--hypothesis-template",
        metavar="TEXT",
        default="This example is {}.",
        help='what is held against each text, with {} for a label ("This example is {}.")',
    )
    zero_shot.add_argument("--multi-label", action="store_true", help="score each label by itself: several may fit")
    _task_options(zero_shot)

    tokenize = _texts_verb(
        verbs,
        "tokenize",
        "show the tokens of texts",
        "Prints the tokens of each text, and their ids.",
    )
    tokenize.add_argument("--max-length", type=_positive, metavar="N", help="cut texts off after N tokens")
    tokenize.add_argument("--no-special-tokens", action="store_true", help="leave [CLS], [SEP] and the like out")


def _texts_verb(
    verbs: argparse._SubParsersAction[VerbParser], name: str, summary: str, description: str, line: str = TEXT_LINE
) -> VerbParser:
    """A verb for a model and texts, which are arguments or lines."""
    parser = _verb(verbs, name, summary, description)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="a text")
    _input_options(parser, line)
    return parser


def _task_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="texts at a time (as many as pay)")
    _engine_options(parser)


def _truncation_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--truncation", action="store_true", help="cut off what is too long for the model")


def _input_options(parser: argparse.ArgumentParser, line: str) -> None:
    parser.add_argument(
        "--input",
        metavar="FILE",
        help=f"read from FILE, or from standard input if it is '-': a text a line, or JSON lines, {line} each",
    )
    parser.add_argument(
        "--json-lines", action="store_true", help="lines are JSON; a FILE's are where its name ends in .jsonl"
    )


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
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "int8"),
        default="float32",
        help="what matrices are multiplied in (float32)",
    )


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted a positive whole number, found {text!r}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number of seconds, 0 or more, found {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"wanted a whole number, 0 or more, found {text!r}")
    return int(text)


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
