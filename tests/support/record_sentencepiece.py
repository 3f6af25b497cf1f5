"""Writes sentencepiece.json: pieces that sentencepiece is trained to, what it makes of texts by them, and what
transformers 4.57 makes of folders that hold such a model alone. The tests write the same models again.
"""

from __future__ import annotations

import io
import json
import tempfile
import unicodedata
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recording import write_recorded
from sentencepiece_models import (
    CONTROL,
    FAMILIES,
    NORMAL,
    RECORDED,
    TEXTS,
    UNKNOWN,
    VARIANTS,
    Piece,
    family_pieces,
    model_bytes,
)
from strings import WORDS, random_texts

FOLDERS = {
    "xlm-roberta": ("XLMRobertaTokenizer", "sentencepiece.bpe.model"),
    "camembert": ("CamembertTokenizer", "sentencepiece.bpe.model"),
    "albert": ("AlbertTokenizer", "spiece.model"),
}
SPECIAL = ["a{mask}b {mask} c", "{cls} text {sep}", "<unk> text"]


def trained(**settings: Any) -> list[Piece]:
    import sentencepiece

    texts = [
        unicodedata.normalize("NFKC", text).replace("\n", " ") for text in [WORDS, *TEXTS, *random_texts(101, 800)]
    ]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.replace("\0", "").replace("\n", " ") for text in texts),
        model_writer=model,
        character_coverage=0.98,
        normalization_rule_name="identity",
        max_sentencepiece_length=8,
        minloglevel=2,
        **settings,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def kind(index: int) -> int:
        return UNKNOWN if read.is_unknown(index) else CONTROL if read.is_control(index) else NORMAL

    return [(read.id_to_piece(index), read.get_score(index), kind(index)) for index in range(len(read))]


def ids(rows: list[list[int]]) -> list[str]:
    return [" ".join(map(str, row)) for row in rows]


def main() -> None:
    import sentencepiece
    import transformers

    transformers.logging.set_verbosity_error()
    pieces = {"unigram": trained(vocab_size=400), "bpe": trained(vocab_size=300, model_type="bpe")}
    written = {name: [f"{text}\t{score!r}\t{kind}" for text, score, kind in rows] for name, rows in pieces.items()}
    cases: list[dict[str, Any]] = [{"sentencepiece": version("sentencepiece"), "pieces": written}]
    for name, variant in VARIANTS.items():
        data = model_bytes(variant, pieces[variant.pieces])
        model = sentencepiece.SentencePieceProcessor(model_proto=data)
        rows = [model.encode(text) for text in TEXTS]
        cases.append({"variant": name, "ids": ids(rows), "texts": [model.decode(row) for row in rows]})
    for kind, (name, file) in FOLDERS.items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / file).write_bytes(model_bytes(FAMILIES[kind], family_pieces(kind, pieces["unigram"])))
            (folder / "config.json").write_text(json.dumps({"model_type": kind}))
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
            for fast in (False, True):
                tokenizer = transformers.AutoTokenizer.from_pretrained(made, use_fast=fast)
                roles = {"mask": tokenizer.mask_token, "cls": tokenizer.cls_token, "sep": tokenizer.sep_token}
                texts = [*TEXTS, *(text.format(**roles) for text in SPECIAL)]
                rows = tokenizer(texts)["input_ids"]
                cases.append(
                    {
                        "folder": kind,
                        "fast": fast,
                        "given": texts[len(TEXTS) :],
                        "ids": ids(rows),
                        "pair": dict(tokenizer("a b", "c")),
                        "special": tokenizer.special_tokens_map,
                        "length": len(tokenizer),
                    }
                )
    write_recorded(RECORDED, cases)


if __name__ == "__main__":
    main()
