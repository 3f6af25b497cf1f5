"""The tokenizers by the names that transformers gives them, and AutoTokenizer, which picks one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from npbert.files.hub import HUB, resolve
from npbert.files.names import TOKENIZER_FILES
from npbert.text import families as families
from npbert.text.arguments import TokenizerArguments, checked_settings
from npbert.text.encoding import BatchEncoding
from npbert.text.files import find_family
from npbert.text.inputs import TextError
from npbert.text.tokenizer import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "TOKENIZER_FILES",
    "AlbertTokenizer",
    "AlbertTokenizerFast",
    "AutoTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "BertTokenizerFast",
    "CamembertTokenizer",
    "CamembertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    "MPNetTokenizer",
    "MPNetTokenizerFast",
    "PreTrainedTokenizerFast",
    "RobertaTokenizer",
    "RobertaTokenizerFast",
    "TextError",
    "XLMRobertaTokenizer",
    "XLMRobertaTokenizerFast",
]


class BertTokenizer(PreTrainedTokenizerFast):
    """BERT's: WordPiece, from tokenizer.json, or vocab.txt."""

    family = families.BERT


class DistilBertTokenizer(PreTrainedTokenizerFast):
    """DistilBERT's: WordPiece, from tokenizer.json, or vocab.txt."""

    family = families.DISTILBERT


class ElectraTokenizer(PreTrainedTokenizerFast):
    """ELECTRA's: WordPiece, from tokenizer.json, or vocab.txt."""

    family = families.ELECTRA


class MPNetTokenizer(PreTrainedTokenizerFast):
    """MPNet's: WordPiece, from tokenizer.json, or vocab.txt."""

    family = families.MPNET


class RobertaTokenizer(PreTrainedTokenizerFast):
    """RoBERTa's: BPE of bytes, from tokenizer.json, or vocab.json and merges.txt."""

    family = families.ROBERTA


class XLMRobertaTokenizer(PreTrainedTokenizerFast):
    """XLM-RoBERTa's: SentencePiece, from tokenizer.json."""

    family = families.XLM_ROBERTA


class CamembertTokenizer(PreTrainedTokenizerFast):
    """CamemBERT's: SentencePiece, from tokenizer.json."""

    family = families.CAMEMBERT


class AlbertTokenizer(PreTrainedTokenizerFast):
    """ALBERT's: SentencePiece, from tokenizer.json."""

    family = families.ALBERT


# The older names.
BertTokenizerFast = BertTokenizer
DistilBertTokenizerFast = DistilBertTokenizer
ElectraTokenizerFast = ElectraTokenizer
MPNetTokenizerFast = MPNetTokenizer
RobertaTokenizerFast = RobertaTokenizer
XLMRobertaTokenizerFast = XLMRobertaTokenizer
CamembertTokenizerFast = CamembertTokenizer
AlbertTokenizerFast = AlbertTokenizer

_CLASSES: dict[str, type[PreTrainedTokenizerFast]] = {
    tokenizer.family.name: tokenizer
    for tokenizer in (
        PreTrainedTokenizerFast,
        BertTokenizer,
        DistilBertTokenizer,
        ElectraTokenizer,
        MPNetTokenizer,
        RobertaTokenizer,
        XLMRobertaTokenizer,
        CamembertTokenizer,
        AlbertTokenizer,
    )
}


class AutoTokenizer:
    """Finds a model's tokenizer. `AutoTokenizer.from_pretrained` is all there is to it."""

    def __init__(self, *places: Any, **given: Any) -> None:
        raise TypeError("AutoTokenizer: wanted AutoTokenizer.from_pretrained(name), found a call")

    @staticmethod
    @HUB
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str],
        **given: Unpack[TokenizerArguments],
    ) -> PreTrainedTokenizerFast:
        """The tokenizer of the class that tokenizer_config.json or config.json names, else of its model_type.

        Arguments and errors are those of `PreTrainedTokenizerFast.from_pretrained`; besides:

        Raises:
            ValueError: the class or model type is not supported; those that are, are listed.
        """
        hub, settings = HUB.apart(given)
        checked: Any = checked_settings("AutoTokenizer.from_pretrained", settings, AutoTokenizer.from_pretrained)
        folder = resolve(pretrained_model_name_or_path, patterns=TOKENIZER_FILES, **hub)
        return _CLASSES[find_family(folder).name].from_pretrained(folder, **checked)
