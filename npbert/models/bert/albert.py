"""ALBERT: BERT with factorised embeddings, whose layers share weights. https://arxiv.org/abs/1909.11942"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.models.architecture import POOLED_CLASSIFIER, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.load import BertKin, LayerNames
from npbert.models.config import LayersConfig
from npbert.models.head_models import (
    AlbertForPreTrainingModel,
    ForMaskedLM,
    ForMultipleChoice,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(LayersConfig):
    """The configuration of an ALBERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/albert#transformers.AlbertConfig
    """

    model_type = "albert"
    architecture = BertKin(
        prefix="albert.",
        names=LayerNames(
            query="attention.query",
            key="attention.key",
            value="attention.value",
            attention_output="attention.dense",
            attention_norm="attention.LayerNorm",
            intermediate="ffn",
            output="ffn_output",
            output_norm="full_layer_layer_norm",
            relative_key="attention.distance_embedding.weight",
        ),
        layer_prefix="encoder.albert_layer_groups.{group}.albert_layers.{inner}.",
        projection="encoder.embedding_hidden_mapping_in",
        always_projected=True,
        pooler="pooler",
        relative_scaled=False,
        pretraining=r"(predictions|sop_classifier)\..+",
        heads={
            "masked_lm": HeadNames(
                dense="predictions.dense",
                factorised=True,
                norm="predictions.LayerNorm",
                out="predictions.decoder",
                bias="predictions.bias",
                tied=True,
            ),
            "sentence_order": HeadNames(out="sop_classifier.classifier", pooled=True),
            "sequence_classification": POOLED_CLASSIFIER,
            "multiple_choice": POOLED_CLASSIFIER,
            "token_classification": TOKEN_CLASSIFICATION,
            "question_answering": QUESTION_ANSWERING,
        },
    )

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    type_vocab_size: int = 2
    classifier_dropout_prob: float = 0.1
    position_embedding_type: str = "absolute"
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3


class AlbertModel(BareModel):
    config_class = AlbertConfig


class AlbertForPreTraining(AlbertForPreTrainingModel):
    config_class = AlbertConfig


class AlbertForMaskedLM(ForMaskedLM):
    config_class = AlbertConfig


class AlbertForSequenceClassification(ForSequenceClassification):
    config_class = AlbertConfig


class AlbertForMultipleChoice(ForMultipleChoice):
    config_class = AlbertConfig


class AlbertForTokenClassification(ForTokenClassification):
    config_class = AlbertConfig


class AlbertForQuestionAnswering(ForQuestionAnswering):
    config_class = AlbertConfig
