"""What differs between the tokenizers of the families, as a table: names, special tokens, files, pair format."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from npbert.files.names import ALBERT_MODEL, BYTE_BPE, FAIRSEQ_MODEL, WORDPIECE

Format: TypeAlias = Literal["bert", "mpnet", "roberta", "xlm-roberta"]
"""How special tokens stand around a text and a pair, where there is no tokenizer.json to say it:

    bert          [CLS] A [SEP], [CLS] A [SEP] B [SEP]; B and what follows it are of type 1
    mpnet         <s> A </s>, <s> A </s></s> B </s>; B and what follows it are of type 1
    roberta       the same without types; offsets leave out the white space that a token begins with
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

BERT_DEFAULTS = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
ROBERTA_DEFAULTS = {"add_prefix_space": False, "trim_offsets": True}
SWITCHES = (*BERT_DEFAULTS, *ROBERTA_DEFAULTS, "keep_accents", "remove_space")
"""What tokenizer_config.json may say of how text becomes tokens."""


class TokenizerFamily(NamedTuple):
    """One line of the table. Defaults are those of transformers 4.57; the files go before them."""

    name: str  # of the class in transformers
    files: tuple[str, ...]  # what it can be made of where there is no tokenizer.json
    tokens: Mapping[str, str] = MappingProxyType({})  # role -> token, of those that the vocabulary has
    format: Format | None = None
    model_input_names: tuple[str, ...] = WITH_TYPES
    extra_special_tokens: tuple[str, ...] = ()
    mask_takes_space: bool = False  # the mask token takes the white space before it, where no file says it
    switches: tuple[str, ...] = ()  # that go before the steps of a tokenizer.json, as they did in transformers 4


GENERIC = TokenizerFamily("PreTrainedTokenizerFast", ())  # tokenizer.json says it all
BERT = TokenizerFamily("BertTokenizer", WORDPIECE, BERT_TOKENS, "bert", switches=tuple(BERT_DEFAULTS))
DISTILBERT = TokenizerFamily(
    "DistilBertTokenizer", WORDPIECE, BERT_TOKENS, "bert", WITHOUT_TYPES, switches=tuple(BERT_DEFAULTS)
)
ELECTRA = TokenizerFamily("ElectraTokenizer", WORDPIECE, BERT_TOKENS, "bert", switches=tuple(BERT_DEFAULTS))
MPNET = TokenizerFamily(
    "MPNetTokenizer",
    WORDPIECE,
    MPNET_TOKENS,
    "mpnet",
    WITHOUT_TYPES,
    mask_takes_space=True,
    switches=("do_lower_case", "strip_accents"),
)
ROBERTA = TokenizerFamily(
    "RobertaTokenizer",
    BYTE_BPE,
    ROBERTA_TOKENS,
    "roberta",
    WITHOUT_TYPES,
    mask_takes_space=True,
    switches=tuple(ROBERTA_DEFAULTS),
)
XLM_ROBERTA = TokenizerFamily(
    "XLMRobertaTokenizer", FAIRSEQ_MODEL, ROBERTA_TOKENS, "xlm-roberta", WITHOUT_TYPES, mask_takes_space=True
)
CAMEMBERT = TokenizerFamily(
    "CamembertTokenizer",
    FAIRSEQ_MODEL,
    ROBERTA_TOKENS,
    "xlm-roberta",
    WITHOUT_TYPES,
    extra_special_tokens=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    mask_takes_space=True,
)
ALBERT = TokenizerFamily("AlbertTokenizer", ALBERT_MODEL, ALBERT_TOKENS, "bert", mask_takes_space=True)

FAMILIES = {
    "bert": BERT,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "mpnet": MPNET,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
    "albert": ALBERT,
    "modernbert": GENERIC,
    "gpt2": GENERIC,
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


WITHOUT_TYPE_TABLE = ("distilbert", "gpt2", "modernbert", "mpnet")
"""Values of model_type whose models have no token types at all."""


def input_names(family: TokenizerFamily, model_config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a tokenizer's call gives where tokenizer_config.json does not say it.

    As its class does in transformers 4.57, without token types where the model of the same folder tells no two apart.

    Args:
        family: the tokenizer's.
        model_config: what the model's config.json says; {} where there is none.
    """
    types = model_config.get("type_vocab_size")
    if model_config.get("model_type") in WITHOUT_TYPE_TABLE or (isinstance(types, int) and types < 2):
        return tuple(name for name in family.model_input_names if name != "token_type_ids")
    return family.model_input_names
