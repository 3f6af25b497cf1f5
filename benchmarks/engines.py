"""npbert and its peers, each loaded and called the way its own documents advise for the least latency.

`prepare` turns a case into what the engine takes and is not timed; what it returns is. Each answers the last
hidden states [B, S, H] as a NumPy array. All compute in float32 and all are given the attention mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .cases import Case
from .models import Model

Run: TypeAlias = Callable[[], NDArray[np.float32]]


class Engine(Protocol):
    def prepare(self, case: Any) -> Run: ...


class Npbert:
    def __init__(self, model: Model, threads: int) -> None:
        import npbert

        npbert.set_num_threads(threads)
        self.model = npbert.BertModel.from_pretrained(model.folder, add_pooling_layer=False)

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.model(**feed).last_hidden_state


class Torch:
    def __init__(self, model: Model, threads: int) -> None:
        import torch
        from transformers import BertModel

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.model: Any = BertModel.from_pretrained(
            model.folder, add_pooling_layer=False, attn_implementation="sdpa"
        ).eval()

    def prepare(self, case: Case) -> Run:
        import torch

        feed = {name: torch.from_numpy(array) for name, array in case.feed().items()}

        def run() -> NDArray[np.float32]:
            with torch.inference_mode():
                return self.model(**feed).last_hidden_state.numpy()

        return run


class OnnxRuntime:
    def __init__(self, model: Model, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session: Any = onnxruntime.InferenceSession(str(model.onnx), options, providers=["CPUExecutionProvider"])

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.session.run(None, feed)[0]


class OpenVino:
    def __init__(self, model: Model, threads: int) -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bf16 where the CPU has it
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = openvino.Core().compile_model(model.openvino, "CPU", settings)
        self.request: Any = compiled.create_infer_request()

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.request.infer(feed)[0]


class CTranslate2:
    """Takes lists of ids and removes the padding itself. It computes the pooler too: one row a sequence."""

    def __init__(self, model: Model, threads: int) -> None:
        import ctranslate2

        self.encoder: Any = ctranslate2.Encoder(
            str(model.ctranslate2), inter_threads=1, intra_threads=threads, compute_type="float32"
        )

    def prepare(self, case: Case) -> Run:
        ids = case.feed()["input_ids"]
        texts = [row[:length].tolist() for row, length in zip(ids, case.lengths, strict=True)]
        return lambda: np.asarray(self.encoder.forward_batch(texts).last_hidden_state)


ENGINES: dict[str, Callable[[Model, int], Engine]] = {
    "npbert": Npbert,
    "torch": Torch,
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVino,
    "CTranslate2": CTranslate2,
}
PEERS_TO_BEAT = ("torch", "ONNX Runtime", "OpenVINO")
