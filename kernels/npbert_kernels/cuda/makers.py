"""The kernels by name: what makes each. Names and what they are made with are the keys of compiled code."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from .tiles import Key

MAKERS = {
    "gemm_half": ("gemm", "make_half"),
    "gemm_single": ("gemm", "make_single"),
    "attention_tensor": ("attention", "make_tensor"),
    "attention_simple": ("attention", "make_simple"),
    "layer_norm": ("layernorm", "make_layer_norm"),
    "normalize": ("layernorm", "make_normalize"),
    "embed": ("embeddings", "make_embed"),
    "pool": ("pooling", "make_pool"),
    "take": ("pooling", "make_take"),
    "place": ("pooling", "make_place"),
}


def make(key: Key) -> Callable[..., None]:
    module, name = MAKERS[key[0]]
    maker = getattr(importlib.import_module(f"npbert_kernels.cuda.kernels.{module}"), name)
    kernel: Callable[..., None] = maker(*key[1:])
    return kernel
