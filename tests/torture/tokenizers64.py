"""What a folder's tokenizer.json says of texts, by the `tokenizers` library alone: the oracle of every family's ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import Unigram


class Backend:
    """A tokenizer.json, read as transformers reads it: a Unigram's scores by Python, which rounds them once."""

    def __init__(self, content: bytes) -> None:
        values = json.loads(content)
        model = values["model"]
        if model["type"] == "Unigram":
            small = {**values, "model": {**model, "vocab": model["vocab"][:1], "unk_id": 0}, "added_tokens": []}
            self._tokenizer = Tokenizer.from_str(json.dumps(small))
            pairs = [tuple(pair) for pair in model["vocab"]]
            self._tokenizer.model = Unigram(pairs, model["unk_id"], model.get("byte_fallback", False))
            flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
            added = [
                AddedToken(token["content"], **{name: token[name] for name in flags})
                for token in values["added_tokens"]
            ]
            self._tokenizer.add_tokens(added)
        else:
            self._tokenizer = Tokenizer.from_str(json.dumps(values))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def rows(self, texts: Sequence[str], *, special: bool = True) -> list[Any]:
        """Encodings of texts, not cut, with the special tokens around them or without."""
        rows: list[Any] = self._tokenizer.encode_batch(texts, add_special_tokens=special)
        return rows

    def has_added(self, tokens: Iterable[str]) -> bool:
        """Whether these are all found in a text before it is split."""
        return {*tokens} <= {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}

    def decode(self, ids: list[int], skip_special: bool) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special)
        return text
