"""`npbert tokenize`: the tokens of texts."""

from __future__ import annotations

import argparse
import json

from npbert.commands.texts import read_texts, utf8_output
from npbert.tokenizer import AutoTokenizer

BLOCK = 512  # texts between two writes


def run(given: argparse.Namespace) -> None:
    """Prints {"text", "tokens", "input_ids"} for each text."""
    texts = read_texts(given)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    output = utf8_output()
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        encoding = tokenizer(
            block,
            add_special_tokens=not given.no_special_tokens,
            truncation=given.max_length is not None,
            max_length=given.max_length,
        )
        for text, row in zip(block, encoding.encodings, strict=True):
            line = {"text": text, "tokens": row.tokens, "input_ids": row.ids}
            print(json.dumps(line, ensure_ascii=False), file=output)
