"""What the command line takes: the verbs, and their options by group, so that no verb lacks one that has a meaning."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from npbert import __version__
from npbert.checks import show
from npbert.cli import DEMO_MODEL

Arguments: TypeAlias = dict[str, Any]  # of add_argument
Options: TypeAlias = dict[str, Arguments]

MODEL_HELP = "a folder, a hub id, or package:NAME (an installed package that carries a model)"
TEXT_LINE = 'a JSON string or an object with "text"'


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted a positive whole number, found {show(text)}")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"wanted a whole number, 0 or more, found {show(text)}")
    return int(text)


def seconds(text: str) -> float:
    """A number, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number of seconds, 0 or more, found {show(text)}")
    return value


# Groups of options, each for verbs of a kind -----------------------------------------------------------------------

ENGINE: Options = {
    "--threads": {"type": positive, "metavar": "N", "help": "threads (all that the process may use)"},
    "--device": {"metavar": "NAME", "help": "where to compute: cpu (the default), cuda or cuda:N"},
    "--backend": {
        "choices": ("cpu", "reference"),
        "default": "cpu",
        "help": "on the CPU: compiled kernels (cpu), or NumPy, slow (reference)",
    },
    "--dtype": {
        "choices": ("float32", "bfloat16", "int8", "float16"),
        "default": "float32",
        "help": "what matrices are multiplied in (float32); float16 on a GPU alone",
    },
}
LENGTH: Options = {
    "--max-length": {"type": positive, "metavar": "N", "help": "read N tokens at most (as many as the model says)"}
}
BATCH: Options = {"--batch-size": {"type": positive, "metavar": "N", "help": "texts at a time (as many as pay)"}}
SENTENCE_BATCH: Options = {
    "--batch-size": {"type": positive, "default": 32, "metavar": "N", "help": "texts at a time (32)"}
}
CUT: Options = {"--truncation": {"action": "store_true", "help": "cut off what is too long; --max-length does, too"}}
VECTOR: Options = {
    "--normalize": {"action": "store_true", "help": "vectors of length 1, even if the model does not say so"},
    "--truncate-dim": {"type": positive, "metavar": "N", "help": "keep the first N numbers of each vector"},
}
ON_ERROR: Options = {
    "--on-error": {
        "choices": ("stop", "skip"),
        "default": "stop",
        "help": "at an input that can't be answered: stop (the default), with those before answered; or skip it, name "
        "it, and end with status 1",
    }
}
OUTPUT: Options = {
    "--output": {"metavar": "FILE", "help": "FILE.jsonl: write JSON lines there, in place of standard output"},
    "--resume": {
        "action": "store_true",
        "help": "go on with a FILE that an interrupted run with the same inputs began",
    },
}
VECTORS_OUTPUT: Options = {
    "--output": {
        "metavar": "FILE",
        "help": "FILE.npy: one float32 array [texts, numbers]; FILE.jsonl: JSON lines, which is also what "
        "goes to standard output without this option",
    },
    "--resume": OUTPUT["--resume"],
}
QUERIES: Options = {
    "--queries": {"metavar": "FILE", "help": "rank for each line of FILE, in the place of QUERY; '-': standard input"},
    "--query-field": {"metavar": "NAME", "help": 'the key of a query in lines of JSON ("text")'},
    "--top-k": {"type": positive, "metavar": "N", "help": "print the N best only, and keep no more in memory"},
}


def prompt_options(of: str, what: str = "") -> Options:
    """of: what prompts stand before."""
    return {
        f"--{what}prompt-name": {"metavar": "NAME", "help": f"a prompt of the model's, put before {of}"},
        f"--{what}prompt": {"metavar": "TEXT", "help": f"a prompt put before {of}"},
    }


def input_options(line: str) -> Options:
    """line: what a line of JSON holds."""
    return {
        "--input": {
            "metavar": "FILE",
            "help": "read from FILE, or from standard input if it is '-': a text a line, or JSON lines, "
            f"{line} each; what else an object holds stands in the answer's line too",
        },
        "--json-lines": {"action": "store_true", "help": "lines are JSON; a FILE's are where its name ends in .jsonl"},
    }


def field_option(name: str, what: str, key: str) -> Options:
    """The key of what an object holds."""
    return {name: {"metavar": "NAME", "help": f'the key of {what} in lines of JSON ("{key}")'}}


FIELD = field_option("--field", "the text", "text")
TEXTS: Options = {**input_options(TEXT_LINE), **FIELD, **ON_ERROR}
"""Of a verb that answers texts."""


@dataclass(frozen=True)
class Verb:
    """A verb: what it is, what stands on its line in order, and its options."""

    summary: str
    description: str
    positionals: Options = field(default_factory=dict)
    options: tuple[Options, ...] = ()


MODEL: Options = {"model": {"metavar": "MODEL", "help": MODEL_HELP}}


def texts(name: str = "TEXT", what: str = "a text") -> Options:
    """Any number of texts."""
    return {"texts": {"metavar": name, "nargs": "*", "help": what}}


VERBS: dict[str, Verb] = {
    "embed": Verb(
        "turn texts into vectors",
        "Turns texts into vectors, one for each, as they come. The texts are the arguments, or the lines of a file or "
        "of standard input; an empty line is an empty text, so the vectors count as the lines do.",
        {**MODEL, **texts()},
        (TEXTS, VECTORS_OUTPUT, SENTENCE_BATCH, LENGTH, VECTOR, prompt_options("each text"), ENGINE),
    ),
    "similarity": Verb(
        "rank texts by how near they are to one",
        "Ranks texts by how similar they are to QUERY, and prints a JSON line for each, the most similar first.",
        {**MODEL, "query": {"metavar": "QUERY", "nargs": "?", "help": "the text that the others are compared with"}}
        | texts(),
        (
            TEXTS,
            QUERIES,
            {
                "--vectors": {
                    "metavar": "FILE",
                    "help": "FILE.npy: vectors of the texts, as embed --output makes them; the texts may be left out",
                },
                "--similarity-fn-name": {
                    "choices": ("cosine", "dot", "euclidean", "manhattan"),
                    "help": "how near is measured (as the model says)",
                },
            },
            SENTENCE_BATCH,
            LENGTH,
            VECTOR,
            prompt_options("QUERY"),
            prompt_options("each text", "text-"),
            ENGINE,
        ),
    ),
    "rerank": Verb(
        "rank documents by how well they answer a query",
        "Ranks documents by how well a cross-encoder thinks that they answer QUERY, and prints a JSON line for each, "
        "the best first.",
        {**MODEL, "query": {"metavar": "QUERY", "nargs": "?", "help": "what the documents are to answer"}}
        | texts("DOC", "a document"),
        (TEXTS, QUERIES, SENTENCE_BATCH, LENGTH, prompt_options("QUERY"), ENGINE),
    ),
    "fill-mask": Verb(
        "find the words that a text leaves out",
        "Prints the likeliest words in the place of each mask token ([MASK] or <mask>, as the model has it).",
        {**MODEL, **texts()},
        (
            TEXTS,
            OUTPUT,
            {
                "--top-k": {"type": positive, "default": 5, "metavar": "N", "help": "words for each mask (5)"},
                "--targets": {"metavar": "WORDS", "help": "choose among these alone, with commas between them"},
            },
            CUT,
            LENGTH,
            BATCH,
            ENGINE,
        ),
    ),
    "classify": Verb(
        "label texts, or pairs of texts",
        "Prints the likeliest label of each text, its sentiment for example. Pairs of texts come as JSON lines.",
        {**MODEL, **texts()},
        (
            input_options('a JSON string or an object with "text", and "text_pair" if it is a pair,'),
            FIELD,
            field_option("--pair-field", "the second text of a pair", "text_pair"),
            ON_ERROR,
            OUTPUT,
            {
                "--top-k": {"type": positive, "metavar": "N", "help": "print a list of the N likeliest labels"},
                "--function-to-apply": {
                    "choices": ("none", "sigmoid", "softmax"),
                    "help": "how scores are made (as the model's config says)",
                },
            },
            CUT,
            LENGTH,
            BATCH,
            ENGINE,
        ),
    ),
    "ner": Verb(
        "find names, or label tokens in other ways",
        "Prints the entities of each text, and where they stand in it.",
        {**MODEL, **texts()},
        (
            TEXTS,
            OUTPUT,
            {
                "--aggregation-strategy": {
                    "choices": ("none", "simple", "first", "average", "max"),
                    "default": "none",
                    "help": "none: each token by itself (the default); the others join tokens to entities",
                },
                "--ignore-labels": {
                    "metavar": "LABELS",
                    "default": "O",
                    "help": "leave these out, with commas between (O)",
                },
                "--stride": {
                    "type": count,
                    "metavar": "N",
                    "help": "read long texts in windows that share N tokens; without it, they are cut off",
                },
            },
            LENGTH,
            BATCH,
            ENGINE,
        ),
    ),
    "qa": Verb(
        "find answers in texts",
        "Prints the span of each CONTEXT that answers QUESTION. Where the questions differ, both come as JSON lines.",
        {
            **MODEL,
            "question": {"metavar": "QUESTION", "nargs": "?", "help": "the question"},
            **texts("CONTEXT", "a text that may hold the answer"),
        },
        (
            input_options('an object with "question" and "context"'),
            field_option("--question-field", "the question", "question"),
            field_option("--context-field", "the context", "context"),
            ON_ERROR,
            OUTPUT,
            {
                "--top-k": {
                    "type": positive,
                    "default": 1,
                    "metavar": "N",
                    "help": "print a list of the N likeliest answers",
                },
                "--max-answer-len": {
                    "type": positive,
                    "default": 15,
                    "metavar": "N",
                    "help": "tokens of an answer (15)",
                },
                "--max-length": {
                    "type": positive,
                    "metavar": "N",
                    "names": ("--max-seq-len",),
                    "help": "tokens of a window in which a context is read (384, or the model's)",
                },
                "--doc-stride": {
                    "type": count,
                    "metavar": "N",
                    "help": "tokens that windows share (128, or half a window)",
                },
                "--impossible": {"action": "store_true", "help": 'let "" be an answer: that the text has none'},
            },
            BATCH,
            ENGINE,
        ),
    ),
    "zero-shot": Verb(
        "label texts with labels of your own",
        "Prints LABELS for each text, the one that fits best first. The model is one of entailment (NLI).",
        {**MODEL, **texts()},
        (
            TEXTS,
            OUTPUT,
            {
                "--labels": {"metavar": "LABELS", "required": True, "help": "with commas between them"},
                "--hypothesis-template": {
                    "metavar": "TEXT",
                    "default": "This example is {}.",
                    "help": 'what is held against each text, with {} for a label ("This example is {}.")',
                },
                "--multi-label": {"action": "store_true", "help": "score each label by itself: several may fit"},
            },
            LENGTH,
            BATCH,
            ENGINE,
        ),
    ),
    "tokenize": Verb(
        "show the tokens of texts",
        "Prints the tokens of each text, and their ids.",
        {**MODEL, **texts()},
        (
            TEXTS,
            OUTPUT,
            {"--max-length": {"type": positive, "metavar": "N", "help": "cut texts off after N tokens"}},
            {"--no-special-tokens": {"action": "store_true", "help": "leave [CLS], [SEP] and the like out"}},
        ),
    ),
    "info": Verb(
        "say what a model is and what it takes",
        "Prints a model's architecture, its parameters by part, how texts become vectors and which file says "
        "so, and the memory it will take. Only the headers of the weights are read.",
        MODEL,
    ),
    "validate": Verb(
        "check a model's files, and say what they ask for",
        "Checks the settings, the tokenizer and the headers of the weights of a folder, and prints what it is: "
        "prompts, length, pooling and what comes after it, or the head and its labels, each with the file and the key "
        "that say so.",
        MODEL,
    ),
    "quantize": Verb(
        "write a model with its matrices and word embeddings in int8",
        "Writes a folder that loads as MODEL does and computes with int8 matrices and words; heads stay float32. It "
        "has its name when it is whole.",
        {**MODEL, "out": {"metavar": "OUT", "help": "a folder, new or empty"}},
    ),
    "demo": Verb(
        "see it work on a few sentences",
        "Embeds a few sentences and shows the nearest neighbours.",
        {"model": {"metavar": "MODEL", "nargs": "?", "default": DEMO_MODEL, "help": f"{MODEL_HELP} ({DEMO_MODEL})"}},
        (ENGINE,),
    ),
    "bench": Verb(
        "time a model on this machine",
        "Times a model, tokenizer left out, on random tokens: batches of 1x16, 1x128, 8x128, and 32 texts "
        "of 6 to 55 tokens. Compares with nothing; benchmarks/ in the sources does.",
        MODEL,
        (
            {
                "--seconds": {
                    "type": seconds,
                    "default": 2.0,
                    "metavar": "S",
                    "help": "spend about S on each batch (2)",
                }
            },
            ENGINE,
        ),
    ),
    "warmup": Verb(
        "compile and store the kernels",
        "Compiles the kernels for this machine's processor, or for NPBERT_ISA, and stores them, so that the next "
        "process starts at once; if the owner of the Python environment does, those of all its users. For container "
        "images.",
    ),
}


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


def command_parser() -> argparse.ArgumentParser:
    """The parser of all verbs. What it gives has the verb, and its parser."""
    parser = argparse.ArgumentParser(
        prog="npbert",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28),
        description="BERT models without a framework: texts in, vectors and answers out.",
        epilog=EPILOG,
    )
    parser.add_argument("-V", "--version", action="version", version=f"npbert {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=VerbParser)
    for name, verb in VERBS.items():
        added = verbs.add_parser(name, help=verb.summary, description=verb.description)
        # What a run leaves behind when it ends before its time: a file to go on with, and a folder to remove.
        added.set_defaults(parser=added, kept=None, unfinished=None)
        for group in (verb.positionals, *verb.options):
            for option, arguments in group.items():
                _add(added.add_argument, option, arguments)
    return parser


def _add(add: Callable[..., Any], name: str, arguments: Arguments) -> None:
    others = {key: value for key, value in arguments.items() if key != "names"}
    add(name, *arguments.get("names", ()), **others)
