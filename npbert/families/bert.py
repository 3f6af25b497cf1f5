"""BERT: https://arxiv.org/abs/1810.04805"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.config import LayersConfig
from npbert.family import Family
from npbert.model import BareModel


@dataclass(frozen=True, kw_only=True)
class BertConfig(LayersConfig):
    """The configuration of a BERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertConfig
    """

    model_type = "bert"
    family = Family(prefix="bert.")

    type_vocab_size: int = 2
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False


class BertModel(BareModel):
    """https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertModel"""

    config_class = BertConfig
