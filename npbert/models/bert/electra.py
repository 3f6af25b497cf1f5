"""ELECTRA: BERT with embeddings of another width, and without a pooler. https://arxiv.org/abs/2003.10555"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.checks import wrong
from npbert.models.architecture import QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.bert import BertConfig
from npbert.models.bert.load import BertKin
from npbert.models.head_models import (
    ElectraForPreTrainingModel,
    ForMaskedLM,
    ForMultipleChoice,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """The configuration of an ELECTRA model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/electra#transformers.ElectraConfig
    """

    model_type = "electra"
    architecture = BertKin(
        prefix="electra.",
        projection="embeddings_project",
        pooler=None,
        pretraining=r"(discriminator_predictions|generator_predictions|generator_lm_head)\..+",
        heads={
            "masked_lm": HeadNames(
                dense="generator_predictions.dense",
                activation="gelu_erf",
                factorised=True,
                norm="generator_predictions.LayerNorm",
                out="generator_lm_head",
                tied=True,
            ),
            "replaced_tokens": HeadNames(
                dense="discriminator_predictions.dense", out="discriminator_predictions.dense_prediction"
            ),
            "sequence_classification": HeadNames(
                dense="classifier.dense", activation="gelu_erf", out="classifier.out_proj"
            ),
            "multiple_choice": HeadNames(
                dense="sequence_summary.summary", activation_key="summary_activation", out="classifier"
            ),
            "token_classification": TOKEN_CLASSIFICATION,
            "question_answering": QUESTION_ANSWERING,
        },
    )

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str = "gelu"
    summary_last_dropout: float = 0.1

    def check_head(self, kind: str) -> None:
        if kind != "multiple_choice":
            return
        if self.summary_type != "first":
            raise wrong("summary_type", "'first', the only one that npbert computes", self.summary_type)
        if not self.summary_use_proj:
            raise wrong(
                "summary_use_proj", "true: npbert computes the summary with its projection only", self.summary_use_proj
            )


class ElectraModel(BareModel):
    config_class = ElectraConfig


class ElectraForPreTraining(ElectraForPreTrainingModel):
    config_class = ElectraConfig


class ElectraForMaskedLM(ForMaskedLM):
    config_class = ElectraConfig


class ElectraForSequenceClassification(ForSequenceClassification):
    config_class = ElectraConfig


class ElectraForMultipleChoice(ForMultipleChoice):
    config_class = ElectraConfig


class ElectraForTokenClassification(ForTokenClassification):
    config_class = ElectraConfig


class ElectraForQuestionAnswering(ForQuestionAnswering):
    config_class = ElectraConfig
