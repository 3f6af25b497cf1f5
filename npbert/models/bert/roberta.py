"""RoBERTa and its kin: BERT whose positions count a row's tokens from pad_token_id + 1.

RoBERTa: https://arxiv.org/abs/1907.11692, XLM-RoBERTa: https://arxiv.org/abs/1911.02116,
CamemBERT: https://arxiv.org/abs/1911.03894
"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.checks import check_int
from npbert.models.architecture import POOLED_CLASSIFIER, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.bert import BertConfig
from npbert.models.bert.load import BertKin
from npbert.models.head_models import (
    ForMaskedLM,
    ForMultipleChoice,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class XLMRobertaConfig(BertConfig):
    """The configuration of an XLM-RoBERTa model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/xlm-roberta#transformers.XLMRobertaConfig
    """

    model_type = "xlm-roberta"
    architecture = BertKin(
        prefix="roberta.",
        pretraining=r"lm_head\..+",
        heads={
            "masked_lm": HeadNames(
                dense="lm_head.dense",
                activation="gelu_erf",
                norm="lm_head.layer_norm",
                out="lm_head.decoder",
                bias="lm_head.bias",
                tied=True,
            ),
            "sequence_classification": HeadNames(
                dense="classifier.dense", activation="tanh", out="classifier.out_proj"
            ),
            "multiple_choice": POOLED_CLASSIFIER,
            "token_classification": TOKEN_CLASSIFICATION,
            "question_answering": QUESTION_ANSWERING,
        },
    )

    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2

    @property
    def padding_position(self) -> int | None:
        check_int("pad_token_id", self.pad_token_id, -1, self.vocab_size - 1)  # -1: positions begin at 0
        return self.pad_token_id


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(XLMRobertaConfig):
    """The configuration of a RoBERTa model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/roberta#transformers.RobertaConfig
    """

    model_type = "roberta"

    vocab_size: int = 50265


@dataclass(frozen=True, kw_only=True)
class CamembertConfig(XLMRobertaConfig):
    """The configuration of a CamemBERT model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/camembert#transformers.CamembertConfig
    """

    model_type = "camembert"


class RobertaModel(BareModel):
    config_class = RobertaConfig


class XLMRobertaModel(BareModel):
    config_class = XLMRobertaConfig


class CamembertModel(BareModel):
    config_class = CamembertConfig


class RobertaForMaskedLM(ForMaskedLM):
    config_class = RobertaConfig


class RobertaForSequenceClassification(ForSequenceClassification):
    config_class = RobertaConfig


class RobertaForMultipleChoice(ForMultipleChoice):
    config_class = RobertaConfig


class RobertaForTokenClassification(ForTokenClassification):
    config_class = RobertaConfig


class RobertaForQuestionAnswering(ForQuestionAnswering):
    config_class = RobertaConfig


class XLMRobertaForMaskedLM(ForMaskedLM):
    config_class = XLMRobertaConfig


class XLMRobertaForSequenceClassification(ForSequenceClassification):
    config_class = XLMRobertaConfig


class XLMRobertaForMultipleChoice(ForMultipleChoice):
    config_class = XLMRobertaConfig


class XLMRobertaForTokenClassification(ForTokenClassification):
    config_class = XLMRobertaConfig


class XLMRobertaForQuestionAnswering(ForQuestionAnswering):
    config_class = XLMRobertaConfig


class CamembertForMaskedLM(ForMaskedLM):
    config_class = CamembertConfig


class CamembertForSequenceClassification(ForSequenceClassification):
    config_class = CamembertConfig


class CamembertForMultipleChoice(ForMultipleChoice):
    config_class = CamembertConfig


class CamembertForTokenClassification(ForTokenClassification):
    config_class = CamembertConfig


class CamembertForQuestionAnswering(ForQuestionAnswering):
    config_class = CamembertConfig
