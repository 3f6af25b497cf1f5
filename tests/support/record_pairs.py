"""Writes pairs.json: what transformers 4.57 and sentence-transformers 5.1 say of pairs of texts.

Of models whose two texts are told apart by token types that version 5 leaves out, and of one whose tokenizer version 5
changes by a switch that nothing was trained with.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

from recording import write_recorded
from small_tokenizers import write_folder
from tasks import make_folder

RECORDED = Path(__file__).parent / "pairs.json"
SIZES = {"vocab_size": 150, "max_position_embeddings": 132}
NLI = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
TEXTS = ["hello world", "a low wall!", "Hello Wörld, all is well.", "é"]
PAIRS = [(first, second) for first in TEXTS for second in TEXTS[::-1]]
LABELS = ["wood", "a hill", "hello"]
FAMILIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "Albert": (
        "AlbertTokenizer",
        {"tokenizer_class": "AlbertTokenizer"},
        {"embedding_size": 16, "num_hidden_groups": 1, "hidden_act": "gelu_new"},
    ),
    "Bert": (
        "BertTokenizer",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
        },
        {},
    ),
    "XLMRoberta": (
        "XLMRobertaTokenizer",
        {"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": False},
        {"type_vocab_size": 1, "pad_token_id": 1},
    ),
}
"""Name of the architectures -> class whose tokenizer.json it is, tokenizer_config.json, config."""


def make(folder: Path, family: str, head: str, labels: tuple[str, ...] = (), **config: Any) -> Path:
    """A model folder of a family with a head; `config` goes into tokenizer_config.json."""
    file, tokenizer_config, sizes = FAMILIES[family]
    given = {"file": file, "config": {**tokenizer_config, **config}, "model": {}}
    tokenizer = write_folder(folder / "tokenizer", given)
    more: dict[str, Any] = {"labels": labels} if labels else {}
    return make_folder(folder / "model", tokenizer, f"{family}For{head}", **SIZES, **sizes, **more)


def main() -> None:
    import sentence_transformers
    import torch
    import transformers

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    recorded: list[dict[str, Any]] = []
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            reranker = make(folder / "reranker", family, "SequenceClassification", ("SCORE",))
            model = sentence_transformers.CrossEncoder(str(reranker), device="cpu")
            scores = model.predict(PAIRS, activation_fn=torch.nn.Identity(), show_progress_bar=False)
            answers: dict[str, Any] = {"rerank": [float(score) for score in scores]}

            classifier = str(make(folder / "classifier", family, "SequenceClassification", NLI))
            classify = transformers.pipeline("text-classification", classifier, device=-1)
            answers["classify"] = [classify({"text": a, "text_pair": b}, top_k=None) for a, b in PAIRS[:4]]
            zero_shot = transformers.pipeline("zero-shot-classification", classifier, device=-1)
            answers["zero-shot"] = zero_shot(TEXTS, LABELS)

            answerer = str(make(folder / "answerer", family, "QuestionAnswering"))
            ask = transformers.pipeline("question-answering", answerer, device=-1)
            answers["ask"] = [ask(question=a, context=TEXTS[2], top_k=2) for a in TEXTS]
            recorded += [{"given": {"family": family, "task": task}, "answer": answers[task]} for task in answers]
    write_recorded(RECORDED, recorded)


if __name__ == "__main__":
    main()
