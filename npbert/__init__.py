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
    from npbert.pipelines import pipeline
    from npbert.sentence_transformer import SentenceTransformer
    from npbert.tokenizer import (
        AlbertTokenizer,
        AlbertTokenizerFast,
        AutoTokenizer,
        BertTokenizer,
        BertTokenizerFast,
        CamembertTokenizer,
        CamembertTokenizerFast,
        DistilBertTokenizer,
        DistilBertTokenizerFast,
        ElectraTokenizer,
        ElectraTokenizerFast,
        MPNetTokenizer,
        MPNetTokenizerFast,
        PreTrainedTokenizerFast,
        RobertaTokenizer,
        RobertaTokenizerFast,
        XLMRobertaTokenizer,
        XLMRobertaTokenizerFast,
    )

__version__ = "0.1.0"

__all__ = [
    "AlbertConfig",
    "AlbertModel",
    "AlbertTokenizer",
    "AlbertTokenizerFast",
    "AutoConfig",
    "AutoModel",
    "AutoTokenizer",
    "BertConfig",
    "BertModel",
    "BertTokenizer",
    "BertTokenizerFast",
    "CamembertConfig",
    "CamembertModel",
    "CamembertTokenizer",
    "CamembertTokenizerFast",
    "DistilBertConfig",
    "DistilBertModel",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraConfig",
    "ElectraModel",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "MPNetConfig",
    "MPNetModel",
    "MPNetTokenizer",
    "MPNetTokenizerFast",
    "PreTrainedTokenizerFast",
    "RobertaConfig",
    "RobertaModel",
    "RobertaTokenizer",
    "RobertaTokenizerFast",
    "SentenceTransformer",
    "XLMRobertaConfig",
    "XLMRobertaModel",
    "XLMRobertaTokenizer",
    "XLMRobertaTokenizerFast",
    "__version__",
    "get_num_threads",
    "pipeline",
    "set_num_threads",
]

_MODULES = {
    "AlbertConfig": "npbert.families.albert",
    "AlbertModel": "npbert.families.albert",
    "AlbertTokenizer": "npbert.tokenizer",
    "AlbertTokenizerFast": "npbert.tokenizer",
    "AutoConfig": "npbert.config",
    "AutoModel": "npbert.auto",
    "AutoTokenizer": "npbert.tokenizer",
    "BertConfig": "npbert.families.bert",
    "BertModel": "npbert.families.bert",
    "BertTokenizer": "npbert.tokenizer",
    "BertTokenizerFast": "npbert.tokenizer",
    "CamembertConfig": "npbert.families.roberta",
    "CamembertModel": "npbert.families.roberta",
    "CamembertTokenizer": "npbert.tokenizer",
    "CamembertTokenizerFast": "npbert.tokenizer",
    "DistilBertConfig": "npbert.families.distilbert",
    "DistilBertModel": "npbert.families.distilbert",
    "DistilBertTokenizer": "npbert.tokenizer",
    "DistilBertTokenizerFast": "npbert.tokenizer",
    "ElectraConfig": "npbert.families.electra",
    "ElectraModel": "npbert.families.electra",
    "ElectraTokenizer": "npbert.tokenizer",
    "ElectraTokenizerFast": "npbert.tokenizer",
    "MPNetConfig": "npbert.families.mpnet",
    "MPNetModel": "npbert.families.mpnet",
    "MPNetTokenizer": "npbert.tokenizer",
    "MPNetTokenizerFast": "npbert.tokenizer",
    "PreTrainedTokenizerFast": "npbert.tokenizer",
    "RobertaConfig": "npbert.families.roberta",
    "RobertaModel": "npbert.families.roberta",
    "RobertaTokenizer": "npbert.tokenizer",
    "RobertaTokenizerFast": "npbert.tokenizer",
    "SentenceTransformer": "npbert.sentence_transformer",
    "XLMRobertaConfig": "npbert.families.roberta",
    "XLMRobertaModel": "npbert.families.roberta",
    "XLMRobertaTokenizer": "npbert.tokenizer",
    "XLMRobertaTokenizerFast": "npbert.tokenizer",
    "get_num_threads": "npbert_kernels.cpu",
    "pipeline": "npbert.pipelines",
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
