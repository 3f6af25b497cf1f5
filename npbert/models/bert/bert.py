"""BERT: https://arxiv.org/abs/1810.04805"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.models.architecture import POOLED_CLASSIFIER, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.load import BertKin
from npbert.models.config import LayersConfig
from npbert.models.head_models import (
    BertForPreTrainingModel,
    ForMaskedLM,
    ForMultipleChoice,
    ForNextSentencePrediction,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class BertConfig(LayersConfig):
    """The configuration of a BERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertConfig
    """

    model_type = "bert"
    architecture = BertKin(
        prefix="bert.",
        heads={
            "masked_lm": HeadNames(
                dense="cls.predictions.transform.dense",
                norm="cls.predictions.transform.LayerNorm",
                out="cls.predictions.decoder",
                bias="cls.predictions.bias",
                tied=True,
            ),
            "next_sentence": HeadNames(out="cls.seq_relationship", pooled=True),
            "sequence_classification": POOLED_CLASSIFIER,
            "multiple_choice": POOLED_CLASSIFIER,
            "token_classification": TOKEN_CLASSIFICATION,
            "question_answering": QUESTION_ANSWERING,
        },
    )

    type_vocab_size: int = 2
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False


class BertModel(BareModel):
    config_class = BertConfig


class BertForPreTraining(BertForPreTrainingModel):
    config_class = BertConfig


class BertForMaskedLM(ForMaskedLM):
    config_class = BertConfig


class BertForNextSentencePrediction(ForNextSentencePrediction):
    config_class = BertConfig


class BertForSequenceClassification(ForSequenceClassification):
    config_class = BertConfig


class BertForMultipleChoice(ForMultipleChoice):
    config_class = BertConfig


class BertForTokenClassification(ForTokenClassification):
    config_class = BertConfig


class BertForQuestionAnswering(ForQuestionAnswering):
    config_class = BertConfig
