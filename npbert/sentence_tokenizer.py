"""The tokenizer of a sentence-transformers folder."""

from __future__ import annotations

from pathlib import Path

from npbert.tokenizer import AutoTokenizer, PreTrainedTokenizerFast
from npbert.tokenizer_errors import guarded


def read_tokenizer(folder: Path, do_lower_case: bool) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, with lower case put before what it does itself, if asked for.

    Raises:
        OSError, ValueError: as AutoTokenizer.from_pretrained.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if do_lower_case:
        from tokenizers.normalizers import Lowercase, Sequence

        # Its own lower case would take the accents off as well.
        backend = tokenizer.backend_tokenizer
        with guarded(f"{folder}: not a valid tokenizer"):
            backend.normalizer = Sequence([Lowercase(), *([backend.normalizer] if backend.normalizer else [])])
    return tokenizer
