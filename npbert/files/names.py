"""The names of a model's files, as Hugging Face, sentence-transformers and peft give them."""

CONFIG_FILE = "config.json"
SINGLE_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODEL_FILES = (CONFIG_FILE, SINGLE_WEIGHTS, INDEX)
"""What a model is loaded from; the index names the shards. Pickled weights are never asked for."""
MODULES_FILE = "modules.json"
TOKENIZER_FILE = "tokenizer.json"
WORDPIECE = ("vocab.txt",)
BYTE_BPE = ("vocab.json", "merges.txt")
FAIRSEQ_MODEL = ("sentencepiece.bpe.model",)  # of XLM-RoBERTa and CamemBERT
ALBERT_MODEL = ("spiece.model",)
SENTENCEPIECE = (FAIRSEQ_MODEL, ALBERT_MODEL)
VOCABULARIES = (*WORDPIECE, *BYTE_BPE, *FAIRSEQ_MODEL, *ALBERT_MODEL)
"""What a tokenizer is made of where there is no tokenizer.json."""
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
TOKENIZER_FILES = (
    TOKENIZER_FILE,
    *VOCABULARIES,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_FILE,
    ADDED_TOKENS_FILE,
    CONFIG_FILE,
)
"""What is wanted from the hub for a tokenizer; the model's config says which family it is of."""
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

MAX_MODULES = 16  # that modules.json may list: each is asked of the hub by itself


def is_inside(name: str) -> bool:
    """Whether a relative path stays in the folder that it starts from, on any system."""
    parts = name.split("/")
    return name.isprintable() and not set(name) & set('\\:*?"<>|') and not {"", ".", ".."} & set(parts)
