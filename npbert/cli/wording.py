"""What the library says of an argument, said of the option that gives it."""

from __future__ import annotations

# How the library says what an option does.
OPTIONS = {
    'tokenizer_kwargs={"truncation": True}': "--truncation",
    "truncation=True": "--truncation",
    "max_seq_length can": "--max-length can",
    "max_length can": "--max-length can",
    "max_length says": "--max-length says",
    "max_seq_len says": "--max-length says",
    "stride= reads": "--stride, with an --aggregation-strategy, reads",
}


def in_options(said: str) -> str:
    """A message of the library's as the command line says it."""
    for argument, option in OPTIONS.items():
        said = said.replace(argument, option)
    return said
