"""A tokenizer.json with a Unigram model, its scores read exactly.

`tokenizers` reads a score as a whole number divided by a power of ten, which rounds twice: one in ten is off in its
last bit. Where two ways to split a word have the same sum, as in a run of one character, that bit decides.
transformers reads the file with Python, which rounds once; so does this.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import Unigram

from npbert.json_file import unique_keys

_MATCHING = ("single_word", "lstrip", "rstrip", "normalized", "special")


def read_unigram(data: bytes) -> Tokenizer | None:
    """The tokenizer that a tokenizer.json describes, or None where its model is another.

    Raises:
        ValueError, TypeError: it is malformed.
    """
    if b'"Unigram"' not in data:
        return None
    try:
        values = json.loads(data, object_pairs_hook=unique_keys)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    model = values.get("model") if isinstance(values, dict) else None
    if not isinstance(model, dict) or model.get("type") != "Unigram":
        return None
    vocabulary, added = model.get("vocab"), values.get("added_tokens") or []
    if not isinstance(vocabulary, list) or not all(isinstance(pair, list) for pair in vocabulary):
        raise ValueError("model.vocab: wanted a list of tokens and scores")
    if not isinstance(added, list):
        raise ValueError("added_tokens: wanted a list")
    # All but the vocabulary, which is put in its place as Python has read it.
    small = {**model, "vocab": vocabulary[:1], "unk_id": 0 if vocabulary else None}
    backend = Tokenizer.from_str(json.dumps({**values, "model": small, "added_tokens": []}))
    backend.model = Unigram(
        [tuple(pair) for pair in vocabulary], model.get("unk_id"), bool(model.get("byte_fallback", False))
    )
    backend.add_tokens([_added_token(token) for token in added])
    return backend


def copied(backend: Tokenizer) -> Tokenizer:
    """A tokenizer that shares nothing with the one that it is a copy of, nor its state."""
    return read_backend(*written_backend(backend))


def written_backend(backend: Tokenizer) -> tuple[str, bool]:
    """A tokenizer as text; its own state is the same, but would not be read with all scores exact."""
    return backend.to_str(), backend.encode_special_tokens


def read_backend(text: str, encode_special_tokens: bool) -> Tokenizer:
    """What `written_backend` wrote."""
    backend = read_unigram(text.encode())
    backend = Tokenizer.from_str(text) if backend is None else backend
    backend.encode_special_tokens = encode_special_tokens
    return backend


def _added_token(token: Any) -> AddedToken:
    if not isinstance(token, dict) or not isinstance(token.get("content"), str):
        raise ValueError(f"added_tokens: wanted a token, found {token!r}")
    return AddedToken(token["content"], **{key: token[key] for key in _MATCHING if key in token})
