"""The pipelines that are timed: what each engine makes of a list of texts, tokenizer included.

Peers are called in both ways that they have: text after text, which computes nothing on padding, and all in one
padded batch. The models are random and of DistilBERT's size, 6 layers of 768; their vocabulary is BERT's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import TextCase
from .engines import Engine, Run
from .models import Model

TASKS = {"sentiment": "text-classification", "NER": "token-classification", "fill-mask": "fill-mask"}
"""The model's name -> the pipeline's."""

ARGUMENTS: dict[str, dict[str, Any]] = {"sentiment": {}, "NER": {"ignore_labels": []}, "fill-mask": {}}
TASK_CASES = {"sentiment": ("32 mixed", "32 equal"), "NER": ("32 mixed",), "fill-mask": ("32 mixed",)}
TOP_K = 5  # fill-mask's


def texts_of(model: Model, case: TextCase) -> list[str]:
    """The texts; of fill-mask the last word is left out."""
    texts = case.texts((model.folder / "vocab.txt").read_text(encoding="utf-8").split("\n"))
    if model.name != "fill-mask":
        return texts
    return [f"{text.rpartition(' ')[0]} [MASK]" for text in texts]


def scores(answers: Any) -> NDArray[np.float32]:
    """All scores of a pipeline's answers, in order: what is compared between engines."""
    found = [answer if isinstance(answer, list) else [answer] for answer in answers]
    return np.array([one["score"] for answer in found for one in answer], np.float32)


class NpbertTask:
    def __init__(self, model: Model, threads: int) -> None:
        import npbert

        npbert.set_num_threads(threads)
        self.model = model
        self.answer = npbert.pipeline(TASKS[model.name], model.folder, **ARGUMENTS[model.name])

    def prepare(self, case: TextCase) -> Run:
        texts = texts_of(self.model, case)
        return lambda: scores(self.answer(texts))


class TransformersTask:
    batched = False

    def __init__(self, model: Model, threads: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.model = model
        folder = str(model.folder)
        self.answer: Any = transformers.pipeline(
            TASKS[model.name], model=folder, tokenizer=folder, device=-1, **ARGUMENTS[model.name]
        )

    def prepare(self, case: TextCase) -> Run:
        texts = texts_of(self.model, case)
        size = len(texts) if self.batched else 1
        return lambda: scores(self.answer(texts, batch_size=size))


class TransformersBatches(TransformersTask):
    batched = True


class OnnxRuntimeTask:
    """`tokenizers`, ONNX Runtime and NumPy by hand: no more than what the scores take."""

    batched = False

    def __init__(self, model: Model, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.model = model
        self.session: Any = onnxruntime.InferenceSession(str(model.onnx()), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.enable_padding()  # to the longest of a batch

    def prepare(self, case: TextCase) -> Run:
        texts = texts_of(self.model, case)
        size = len(texts) if self.batched else 1
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        return lambda: np.concatenate([self.run(batch) for batch in batches])

    def run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = self.tokenizer.encode_batch(texts)
        ids, mask, types, special = (
            np.array([getattr(row, name) for row in rows])
            for name in ("ids", "attention_mask", "type_ids", "special_tokens_mask")
        )
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        logits = self.session.run(None, feed)[0]
        if self.model.name == "NER":
            logits = logits[special == 0]  # [tokens, labels]
        elif self.model.name == "fill-mask":
            logits = logits[ids == self.tokenizer.token_to_id("[MASK]")]  # [texts, V]
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
        if self.model.name != "fill-mask":
            return shares.max(axis=-1)
        best: NDArray[np.float32] = np.sort(np.partition(shares, -TOP_K, axis=-1)[:, -TOP_K:], axis=-1)[:, ::-1]
        return best.reshape(-1)


class OnnxRuntimeBatches(OnnxRuntimeTask):
    batched = True


TASK_ENGINES: dict[str, Callable[[Model, int], Engine]] = {
    "npbert": NpbertTask,
    "torch": TransformersTask,
    "torch, batched": TransformersBatches,
    "ONNX Runtime": OnnxRuntimeTask,
    "ONNX Runtime, batched": OnnxRuntimeBatches,
}
