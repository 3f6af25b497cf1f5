"""RoBERTa and its kin: BERT whose positions count a row's tokens from pad_token_id + 1.

RoBERTa: https://arxiv.org/abs/1907.11692, XLM-RoBERTa: https://arxiv.org/abs/1911.02116,
CamemBERT: https://arxiv.org/abs/1911.03894
"""

from __future__ import annotations

from dataclasses import dataclass

from npbert.config_values import check_int
from npbert.families.bert import BertConfig
from npbert.family import Family
from npbert.model import BareModel


@dataclass(frozen=True, kw_only=True)
class XLMRobertaConfig(BertConfig):
    """The configuration of an XLM-RoBERTa model: HF's keys and defaults.

    Source: https://huggingface.co/docs/transformers/model_doc/xlm-roberta#transformers.XLMRobertaConfig
    """

    model_type = "xlm-roberta"
    family = Family(prefix="roberta.", pretraining=r"lm_head\..+")

    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2

    @property
    def padding_position(self) -> int | None:
        check_int("pad_token_id", self.pad_token_id, 0, self.vocab_size - 1)
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
    """https://huggingface.co/docs/transformers/model_doc/roberta#transformers.RobertaModel"""

    config_class = RobertaConfig


class XLMRobertaModel(BareModel):
    """https://huggingface.co/docs/transformers/model_doc/xlm-roberta#transformers.XLMRobertaModel"""

    config_class = XLMRobertaConfig


class CamembertModel(BareModel):
    """https://huggingface.co/docs/transformers/model_doc/camembert#transformers.CamembertModel"""

    config_class = CamembertConfig
