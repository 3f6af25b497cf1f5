"""The names of a model's files, as Hugging Face and sentence-transformers give them."""

CONFIG_FILE = "config.json"
SINGLE_WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODULES_FILE = "modules.json"
