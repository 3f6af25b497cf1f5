"""npbert: the BERT family without a framework. NumPy arrays in, NumPy arrays out.

Names are loaded when they are first used, so that `import npbert` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npbert_kernels.cpu import get_num_threads, set_num_threads

    from npbert.auto import AutoModel
    from npbert.config import AutoConfig
    from npbert.families.albert import AlbertConfig, AlbertModel
    from npbert.families.bert import BertConfig, BertModel
    from npbert.families.distilbert import DistilBertConfig, DistilBertModel
    from npbert.families.electra import ElectraConfig, ElectraModel
    from npbert.families.mpnet import MPNetConfig, MPNetModel
    from npbert.families.roberta import (
        CamembertConfig,
        CamembertModel,
        RobertaConfig,
        RobertaModel,
        XLMRobertaConfig,
        XLMRobertaModel,
    )
    from npbert.sentence_transformer import SentenceTransformer
    from npbert.tokenizer import AutoTokenizer, BertTokenizer

__version__ = "0.1.0"

__all__ = [
    "AlbertConfig",
    "AlbertModel",
    "AutoConfig",
    "AutoModel",
    "AutoTokenizer",
    "BertConfig",
    "BertModel",
    "BertTokenizer",
    "CamembertConfig",
    "CamembertModel",
    "DistilBertConfig",
    "DistilBertModel",
    "ElectraConfig",
    "ElectraModel",
    "MPNetConfig",
    "MPNetModel",
    "RobertaConfig",
    "RobertaModel",
    "SentenceTransformer",
    "XLMRobertaConfig",
    "XLMRobertaModel",
    "__version__",
    "get_num_threads",
    "set_num_threads",
]

_MODULES = {
    "AlbertConfig": "npbert.families.albert",
    "AlbertModel": "npbert.families.albert",
    "AutoConfig": "npbert.config",
    "AutoModel": "npbert.auto",
    "AutoTokenizer": "npbert.tokenizer",
    "BertConfig": "npbert.families.bert",
    "BertModel": "npbert.families.bert",
    "BertTokenizer": "npbert.tokenizer",
    "CamembertConfig": "npbert.families.roberta",
    "CamembertModel": "npbert.families.roberta",
    "DistilBertConfig": "npbert.families.distilbert",
    "DistilBertModel": "npbert.families.distilbert",
    "ElectraConfig": "npbert.families.electra",
    "ElectraModel": "npbert.families.electra",
    "MPNetConfig": "npbert.families.mpnet",
    "MPNetModel": "npbert.families.mpnet",
    "RobertaConfig": "npbert.families.roberta",
    "RobertaModel": "npbert.families.roberta",
    "SentenceTransformer": "npbert.sentence_transformer",
    "XLMRobertaConfig": "npbert.families.roberta",
    "XLMRobertaModel": "npbert.families.roberta",
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
