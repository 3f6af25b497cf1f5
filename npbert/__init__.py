"""npbert: the BERT family without a framework. NumPy arrays in, NumPy arrays out.

Names are loaded when they are first used, so that `import npbert` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npbert_kernels.cpu import get_num_threads, set_num_threads

    from npbert.config import AutoConfig, BertConfig
    from npbert.model import AutoModel, BertModel
    from npbert.sentence_transformer import SentenceTransformer
    from npbert.tokenizer import AutoTokenizer, BertTokenizer

__version__ = "0.1.0"

__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoTokenizer",
    "BertConfig",
    "BertModel",
    "BertTokenizer",
    "SentenceTransformer",
    "__version__",
    "get_num_threads",
    "set_num_threads",
]

_MODULES = {
    "AutoConfig": "npbert.config",
    "AutoModel": "npbert.model",
    "AutoTokenizer": "npbert.tokenizer",
    "BertConfig": "npbert.config",
    "BertModel": "npbert.model",
    "BertTokenizer": "npbert.tokenizer",
    "SentenceTransformer": "npbert.sentence_transformer",
    "get_num_threads": "npbert_kernels.cpu",
    "set_num_threads": "npbert_kernels.cpu",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # not asked for again
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
