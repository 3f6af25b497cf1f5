"""The tokenizer of a sentence-transformers folder."""

from __future__ import annotations

from npbert.files.hub import Folder
from npbert.text.auto import AutoTokenizer, PreTrainedTokenizerFast
from npbert.text.errors import guarded

_CASED, _PASSED_OVER = r"[\p{Lu}\p{Ll}\p{Lt}]", r"[\p{M}'’.·:]"
FINAL_SIGMA = f"(?<={_CASED}|{_CASED}{_PASSED_OVER}|{_CASED}{_PASSED_OVER}{{2}})Σ(?!{_PASSED_OVER}*{_CASED})"
"""The capital letter where `str.lower` gives it the form that it has at the end of a word."""


def read_tokenizer(folder: Folder, do_lower_case: bool, whole: bool = False) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, with lower case put before what it does itself, if asked for.

    Args:
        folder: where its files are.
        do_lower_case: whether it is.
        whole: lower case is that of a whole text, as `str.lower` has it, and not that of each letter by itself.

    Raises:
        OSError, ValueError: as AutoTokenizer.from_pretrained.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if do_lower_case:
        from tokenizers import Regex
        from tokenizers.normalizers import Lowercase, Replace, Sequence

        # Its own lower case would take the accents off as well.
        backend = tokenizer.backend_tokenizer
        with guarded(f"{folder}: not a valid tokenizer"):
            sigma = [Replace(Regex(FINAL_SIGMA), "ς")] if whole else []
            own = [backend.normalizer] if backend.normalizer else []
            backend.normalizer = Sequence([*sigma, Lowercase(), *own])
    return tokenizer
