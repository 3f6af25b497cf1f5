"""Small checkpoints with heads, for pipelines: a real vocabulary, and weights that make answers differ."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

MAX_LENGTH = 128
SIZES = {
    "vocab_size": 30522,  # MiniLM's vocabulary, which is BERT's
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": MAX_LENGTH,
    "layer_norm_eps": 1e-12,
}
TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
HEADS = ("classifier", "qa_outputs", "predictions", "lm_head.dense", "vocab_transform", "summary")
QUERIES = ("query", "q_lin", "attn.q")
SHORT = {
    "text-classification": ("BertForSequenceClassification", ["Not bad.", "A longer one, and worse."]),
    "token-classification": ("BertForTokenClassification", "Angela visited Wolfsburg."),
    "question-answering": (
        "BertForQuestionAnswering",
        {"question": "Where?", "context": "In Wolfsburg, said she."},
    ),
}
"""Heads and inputs that are quick on the simulated GPU."""
NER = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "LOC"]


def make_folder(folder: Path, tokenizer: Path, architecture: str, seed: int = 0, **config: Any) -> Path:
    """A model folder by transformers, whichever version, with the tokenizer of another folder.

    The weights come from a generator that NumPy promises never to change.
    """
    import torch
    import transformers

    given = {**SIZES, **config}
    if labels := given.pop("labels", None):
        given["id2label"] = dict(enumerate(labels))
        given["label2id"] = {label: index for index, label in enumerate(labels)}
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(**given))
    generator = np.random.RandomState(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = generator.standard_normal(parameter.shape) * _scale(name, parameter.shape)
            parameter.copy_(torch.from_numpy(values + (name.endswith("LayerNorm.weight"))))
    model.save_pretrained(folder)
    for file in TOKENIZER_FILES:
        if (tokenizer / file).exists():
            shutil.copyfile(tokenizer / file, folder / file)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "model_max_length": MAX_LENGTH}), encoding="utf-8")
    return folder


def _scale(name: str, shape: tuple[int, ...]) -> float:
    if "LayerNorm" in name or len(shape) == 1:
        return 0.1
    if "embeddings." in name:
        return 1.0
    sharp = any(part in name for part in (*HEADS, *QUERIES))  # else all tokens see, and say, nearly the same
    return (4.0 if sharp else 1.5) / math.sqrt(shape[-1])


# Of a score, or of its size where that is above 1. The models are sharp: over 150 pairs torch's float32 logits are 4e-6
# (root mean square), at most 2.2e-5, from float64, npbert's 3e-6 and 1.4e-5; two such errors of unlike sign add up.
CLOSE = 3e-5
SHAKEN = 1e-4  # far more than those errors


def assert_as_oracle(own: Any, oracle: Any, *inputs: Any, **arguments: Any) -> None:
    """Two pipelines give the same answer to a call."""
    assert_answer(own, oracle(*inputs, **arguments), *inputs, **arguments)


def assert_answer(own: Any, wanted: Any, *inputs: Any, **arguments: Any) -> None:
    """A pipeline gives this answer to a call, and another CPU's last bits would not make it another one.

    Random models have near ties between labels, words, spans and orders. Logits that are off by SHAKEN decide them all
    alike, or the case is not one to compare by: then another seed or text is wanted.
    """
    assert_same_answer(own(*inputs, **arguments), wanted)
    model, given = own.model, own.model.predict
    dice = np.random.RandomState(0)
    model.predict = lambda *rows: [
        logits + np.float32(SHAKEN) * dice.choice((-1, 1), logits.shape).astype(np.float32) for logits in given(*rows)
    ]
    try:
        assert_same_answer(own(*inputs, **arguments), wanted, "shaken", 10 * SHAKEN)
    finally:
        del model.predict


def assert_same_answer(found: Any, wanted: Any, where: str = "answer", close: float = CLOSE) -> None:
    """Key for key, in the same order, scores to `close`; what is found is made of plain Python values."""
    if isinstance(wanted, dict):
        assert type(found) is dict, f"{where}: {found!r}"
        assert list(found) == list(wanted), where
        for key, value in wanted.items():
            assert_same_answer(found[key], value, f"{where}[{key!r}]", close)
    elif isinstance(wanted, list | tuple):
        assert type(found) is list, f"{where}: {found!r}"
        assert len(found) == len(wanted), f"{where}: {found!r}, not {wanted!r}"
        for index, (own, other) in enumerate(zip(found, wanted, strict=True)):
            assert_same_answer(own, other, f"{where}[{index}]", close)
    elif isinstance(wanted, float | np.floating):
        assert type(found) is float, f"{where}: {found!r}"
        assert abs(found - float(wanted)) <= close * max(1.0, abs(float(wanted))), (
            f"{where}: {found!r}, not {float(wanted)!r}"
        )
    else:
        assert type(found) is type(wanted), f"{where}: {found!r}, not {wanted!r}"
        assert found == wanted, f"{where}: {found!r}, not {wanted!r}"
