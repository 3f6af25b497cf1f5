"""MPNet: BERT without token types, with a bias on scores by distance. https://arxiv.org/abs/2004.09297"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.checks import check_int
from npbert.models.architecture import POOLED_CLASSIFIER, QUESTION_ANSWERING, TOKEN_CLASSIFICATION, HeadNames
from npbert.models.bert.load import BertKin, LayerNames
from npbert.models.bert.relative import BUCKETS
from npbert.models.config import LayersConfig
from npbert.models.head_models import (
    ForMaskedLM,
    ForMultipleChoice,
    ForQuestionAnswering,
    ForSequenceClassification,
    ForTokenClassification,
)
from npbert.models.model import BareModel


@dataclass(frozen=True, kw_only=True)
class MPNetConfig(LayersConfig):
    """The configuration of an MPNet model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/mpnet#transformers.MPNetConfig
    """

    model_type = "mpnet"
    architecture = BertKin(
        prefix="mpnet.",
        names=LayerNames(
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            attention_output="attention.attn.o",
            attention_norm="attention.LayerNorm",
        ),
        token_types=False,
        relative_bias="encoder.relative_attention_bias.weight",
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

    vocab_size: int = 30527
    relative_attention_num_buckets: int = 32
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("relative_attention_num_buckets", self.relative_attention_num_buckets, BUCKETS, MAX_BUCKETS)

    @property
    def padding_position(self) -> int | None:
        return 1  # whatever pad_token_id says, as transformers has it


MAX_BUCKETS = 2**20


class MPNetModel(BareModel):
    config_class = MPNetConfig


class MPNetForMaskedLM(ForMaskedLM):
    config_class = MPNetConfig


class MPNetForSequenceClassification(ForSequenceClassification):
    config_class = MPNetConfig


class MPNetForMultipleChoice(ForMultipleChoice):
    config_class = MPNetConfig


class MPNetForTokenClassification(ForTokenClassification):
    config_class = MPNetConfig


class MPNetForQuestionAnswering(ForQuestionAnswering):
    config_class = MPNetConfig
