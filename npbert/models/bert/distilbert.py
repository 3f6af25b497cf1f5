"""DistilBERT: BERT without token types and pooler. https://arxiv.org/abs/1910.01108"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from npbert.models.architecture import QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.load import BertKin, LayerNames
from npbert.models.config import EncoderConfig
from npbert.models.head_models import (
    ForMaskedLM,
    ForMultipleChoice,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(EncoderConfig):
    """The configuration of a DistilBERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/distilbert#transformers.DistilBertConfig
    """

    model_type = "distilbert"
    architecture = BertKin(
        prefix="distilbert.",
        names=LayerNames(
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            attention_output="attention.out_lin",
            attention_norm="sa_layer_norm",
            intermediate="ffn.lin1",
            output="ffn.lin2",
            output_norm="output_layer_norm",
        ),
        layer_prefix="transformer.layer.{group}.",
        pooler=None,
        token_types=False,
        pretraining=r"vocab_(transform|layer_norm|projector)\..+",
        heads={
            "masked_lm": HeadNames(dense="vocab_transform", norm="vocab_layer_norm", out="vocab_projector", tied=True),
            "sequence_classification": HeadNames(dense="pre_classifier", activation="relu", out="classifier"),
            "multiple_choice": HeadNames(dense="pre_classifier", activation="relu", out="classifier"),
            "token_classification": TOKEN_CLASSIFICATION,
            "question_answering": QUESTION_ANSWERING,
        },
    )
    attribute_map: ClassVar[Mapping[str, str]] = {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    }

    sinusoidal_pos_embds: bool = False  # how positions were made when training began; the file has them
    max_position_embeddings: int = 512
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2

    @property
    def layer_norm_eps(self) -> float:
        """Not in the config: what transformers has in its code."""
        return 1e-12


class DistilBertModel(BareModel):
    config_class = DistilBertConfig


class DistilBertForMaskedLM(ForMaskedLM):
    config_class = DistilBertConfig


class DistilBertForSequenceClassification(ForSequenceClassification):
    config_class = DistilBertConfig


class DistilBertForMultipleChoice(ForMultipleChoice):
    config_class = DistilBertConfig


class DistilBertForTokenClassification(ForTokenClassification):
    config_class = DistilBertConfig


class DistilBertForQuestionAnswering(ForQuestionAnswering):
    config_class = DistilBertConfig
