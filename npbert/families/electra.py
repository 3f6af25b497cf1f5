"""ELECTRA: BERT with embeddings of another width, and without a pooler. https://arxiv.org/abs/2003.10555"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.families.bert import BertConfig
from npbert.family import Family
from npbert.model import BareModel


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """The configuration of an ELECTRA model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/electra#transformers.ElectraConfig
    """

    model_type = "electra"
    family = Family(
        prefix="electra.",
        projection="embeddings_project",
        pooler=None,
        pretraining=r"(discriminator_predictions|generator_predictions|generator_lm_head)\..+",
    )

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str = "gelu"
    summary_last_dropout: float = 0.1


class ElectraModel(BareModel):
    """https://huggingface.co/docs/transformers/model_doc/electra#transformers.ElectraModel"""

    config_class = ElectraConfig
