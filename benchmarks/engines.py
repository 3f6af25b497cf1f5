"""npbert and its peers, each loaded and called the way its own documents advise for the least latency.

`prepare` turns a case into what the engine takes and is not timed; what it returns is. Each answers the last
hidden states [B, S, H] as a float32 NumPy array, and all are given the attention mask. In reduced precision each
computes in the way that it has for it: what stays in float32 is its own choice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from npbert_kernels.ops import Dtype
from numpy.typing import NDArray

from .cases import Case
from .models import Model

Run: TypeAlias = Callable[[], NDArray[np.float32]]


class Engine(Protocol):
    def prepare(self, case: Any) -> Run: ...


class Npbert:
    def __init__(self, model: Model, threads: int, dtype: Dtype = "float32") -> None:
        import npbert

        npbert.set_num_threads(threads)
        self.model = npbert.BertModel.from_pretrained(model.folder, add_pooling_layer=False, dtype=dtype)

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.model(**feed).last_hidden_state


class Torch:
    def __init__(self, model: Model, threads: int, dtype: str = "float32") -> None:
        import torch
        from transformers import BertModel

        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)  # once a process
        self.model: Any = BertModel.from_pretrained(
            model.folder, add_pooling_layer=False, attn_implementation="sdpa", dtype=getattr(torch, dtype)
        ).eval()

    def prepare(self, case: Case) -> Run:
        import torch

        feed = {name: torch.from_numpy(array) for name, array in case.feed().items()}

        def run() -> NDArray[np.float32]:
            with torch.inference_mode():
                return self.model(**feed).last_hidden_state.float().numpy()

        return run


class OnnxRuntime:
    def __init__(self, model: Model, threads: int, dtype: Dtype = "float32") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path = str(model.onnx(dtype))
        self.session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.session.run(None, feed)[0]


class OpenVino:
    def __init__(self, model: Model, threads: int, dtype: Dtype = "float32") -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            # f32 must be asked for where the CPU has bf16; what NNCF left unquantised stays f32
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = openvino.Core().compile_model(model.openvino(dtype), "CPU", settings)
        self.request: Any = compiled.create_infer_request()

    def prepare(self, case: Case) -> Run:
        feed = case.feed()
        return lambda: self.request.infer(feed)[0]


class CTranslate2:
    """Takes lists of ids and removes the padding itself. It computes the pooler too: one row a sequence."""

    def __init__(self, model: Model, threads: int, dtype: str = "float32") -> None:
        import ctranslate2

        self.encoder: Any = ctranslate2.Encoder(
            str(model.ctranslate2), inter_threads=1, intra_threads=threads, compute_type=dtype
        )

    def prepare(self, case: Case) -> Run:
        ids = case.feed()["input_ids"]
        texts = [row[:length].tolist() for row, length in zip(ids, case.lengths, strict=True)]
        return lambda: np.asarray(self.encoder.forward_batch(texts).last_hidden_state, np.float32)


OWN = ("npbert", "npbert, float32")
"""npbert, and in the tables of reduced precision its own float32."""

ENGINES: dict[Dtype, dict[str, Callable[[Model, int], Engine]]] = {
    "float32": {
        "npbert": Npbert,
        "torch": Torch,
        "ONNX Runtime": OnnxRuntime,
        "OpenVINO": OpenVino,
        "CTranslate2": CTranslate2,
    },
    "bfloat16": {
        "npbert": partial(Npbert, dtype="bfloat16"),
        "torch": partial(Torch, dtype="bfloat16"),
        "OpenVINO": partial(OpenVino, dtype="bfloat16"),
        "npbert, float32": Npbert,
    },
    "int8": {
        "npbert": partial(Npbert, dtype="int8"),
        "ONNX Runtime": partial(OnnxRuntime, dtype="int8"),
        "OpenVINO": partial(OpenVino, dtype="int8"),
        "CTranslate2": partial(CTranslate2, dtype="int8"),
        "npbert, float32": Npbert,
    },
}
REDUCED: tuple[Dtype, ...] = ("bfloat16", "int8")
PEERS_TO_BEAT = ("torch", "ONNX Runtime", "OpenVINO")


def library(engine: str) -> str:
    """Whose it is: what stands before a comma says how it is called."""
    return engine.partition(",")[0]
