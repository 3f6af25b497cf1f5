"""`npbert quantize`: a model's folder with its matrices and word embeddings in int8."""

from __future__ import annotations

import argparse
from pathlib import Path

from npbert.auto import AutoModel
from npbert.config import AutoConfig
from npbert.families import family_class
from npbert.file_names import MODULES_FILE
from npbert.sentence_names import resolve_sentences
from npbert.sentence_transformer import SentenceTransformer
from npbert.tokenizer import AutoTokenizer


def run(given: argparse.Namespace) -> None:
    """Writes OUT and prints how large its weights are; a sentence-transformers folder stays one."""
    folder, out = resolve_sentences(given.model), Path(given.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"OUT: wanted a folder that is new or empty, found {out}")
    if (folder / MODULES_FILE).exists():
        SentenceTransformer(folder, dtype="int8").save_pretrained(out)
    else:
        config = AutoConfig.from_pretrained(folder)
        (name, *_) = config.architectures or [""]
        kind = name[name.find("For") :] if "For" in name else ""
        model = family_class(config.model_type, kind) if kind else AutoModel
        if model is None:
            raise ValueError(f"{folder}: wanted a model with a head that npbert has, found {name}")
        model.from_pretrained(folder, dtype="int8").save_pretrained(out)
        AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    size = sum(file.stat().st_size for file in out.rglob("*.safetensors"))
    print(f"{out}: {size / 1e6:.0f} MB of weights")
