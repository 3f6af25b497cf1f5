"""The names of a model's files, as Hugging Face, sentence-transformers and peft give them."""

CONFIG_FILE = "config.json"
SINGLE_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODEL_FILES = (CONFIG_FILE, SINGLE_WEIGHTS, INDEX)
"""What a model is loaded from; the index names the shards. Pickled weights are never asked for."""
MODULES_FILE = "modules.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

MAX_MODULES = 16  # that modules.json may list: each is asked of the hub by itself
