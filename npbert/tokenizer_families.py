"""What differs between the tokenizers of the families, as a table: names, special tokens, files, pair format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from npbert.file_names import ALBERT_MODEL, BYTE_BPE, FAIRSEQ_MODEL, WORDPIECE

Format: TypeAlias = Literal["bert", "roberta", "xlm-roberta"]
"""How special tokens stand around a text and a pair, where tokenizer.json does not say it:

    bert          [CLS] A [SEP], [CLS] A [SEP] B [SEP]; B and what follows it are of type 1
    roberta       <s> A </s>, <s> A </s></s> B </s>; offsets leave out the white space that a token begins with
    xlm-roberta   as roberta, offsets as they are
"""

BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
MPNET_TOKENS = {**ROBERTA_TOKENS, "unk_token": "[UNK]"}
ALBERT_TOKENS = {**BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "pad_token": "<pad>"}

WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
WITHOUT_TYPES = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class TokenizerFamily:
    """One line of the table. Defaults are those of transformers 5; the files go before them."""

    name: str  # of the class in transformers
    files: tuple[str, ...]  # what it can be made of where there is no tokenizer.json
    tokens: Mapping[str, str] = field(default_factory=dict)  # role -> token, of those that the vocabulary has
    format: Format | None = None
    model_input_names: tuple[str, ...] = WITH_TYPES
    extra_special_tokens: tuple[str, ...] = ()
    mask_takes_space: bool = False  # the mask token takes the white space before it, where no file says it


# tokenizer.json says it all, token types among it: transformers 5, unlike 4, gives them only when they are named.
GENERIC = TokenizerFamily("PreTrainedTokenizerFast", (), model_input_names=WITHOUT_TYPES)
BERT = TokenizerFamily("BertTokenizer", WORDPIECE, BERT_TOKENS, "bert")
DISTILBERT = TokenizerFamily("DistilBertTokenizer", WORDPIECE, BERT_TOKENS, "bert", WITHOUT_TYPES)
ELECTRA = TokenizerFamily("ElectraTokenizer", WORDPIECE, BERT_TOKENS, "bert")
MPNET = TokenizerFamily("MPNetTokenizer", WORDPIECE, MPNET_TOKENS, "roberta", WITHOUT_TYPES, mask_takes_space=True)
ROBERTA = TokenizerFamily("RobertaTokenizer", BYTE_BPE, ROBERTA_TOKENS, "roberta", WITHOUT_TYPES)
XLM_ROBERTA = TokenizerFamily("XLMRobertaTokenizer", FAIRSEQ_MODEL, ROBERTA_TOKENS, "xlm-roberta", WITHOUT_TYPES)
CAMEMBERT = TokenizerFamily(
    "CamembertTokenizer",
    FAIRSEQ_MODEL,
    ROBERTA_TOKENS,
    "xlm-roberta",
    WITHOUT_TYPES,
    extra_special_tokens=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    mask_takes_space=True,
)
# It has token types, and transformers 4 gave them; 5 does not unless asked, or tokenizer_config.json names them.
ALBERT = TokenizerFamily("AlbertTokenizer", ALBERT_MODEL, ALBERT_TOKENS, "bert", WITHOUT_TYPES)

FAMILIES = {
    "bert": BERT,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "mpnet": MPNET,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
    "albert": ALBERT,
}
"""config.json's model_type -> family."""

GENERIC_NAMES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""What tokenizer_config.json's tokenizer_class may say besides the names of families."""


def family_of_class(name: str) -> TokenizerFamily | None:
    """The family of a class of transformers, "RobertaTokenizer" or "RobertaTokenizerFast"; None if unknown."""
    if name in GENERIC_NAMES:
        return GENERIC
    wanted = name.removesuffix("Fast")
    return next((family for family in FAMILIES.values() if family.name == wanted), None)
