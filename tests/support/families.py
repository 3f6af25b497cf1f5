"""A small config of each family and variety, sizes no multiples of a tile: (model_type, HF's own keys)."""

from __future__ import annotations

from typing import Any

from npbert.models.registry import MODEL_TYPES

DECODERS = ("gpt2",)
STEMS = {model_type: stem for model_type, (_, stem) in MODEL_TYPES.items() if model_type not in DECODERS}
"""model_type -> how the names of its classes begin, of encoders."""

COMMON = {
    "vocab_size": 61,
    "hidden_size": 42,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
}
TYPES = {"type_vocab_size": 2}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {**COMMON, **TYPES}),
    "bert, relative_key": ("bert", {**COMMON, **TYPES, "position_embedding_type": "relative_key"}),
    "bert, relative_key_query": ("bert", {**COMMON, **TYPES, "position_embedding_type": "relative_key_query"}),
    "distilbert": (
        "distilbert",
        {"vocab_size": 61, "dim": 42, "n_layers": 3, "n_heads": 3, "hidden_dim": 50, "max_position_embeddings": 40},
    ),
    "roberta": ("roberta", {**COMMON, "type_vocab_size": 1}),
    "roberta, relative_key": ("roberta", {**COMMON, **TYPES, "position_embedding_type": "relative_key"}),
    "xlm-roberta": ("xlm-roberta", {**COMMON, **TYPES, "layer_norm_eps": 1e-5}),
    "camembert": ("camembert", {**COMMON, **TYPES, "pad_token_id": 3}),
    "albert": ("albert", {**COMMON, **TYPES, "embedding_size": 26}),
    "albert, groups": (
        "albert",
        {**COMMON, **TYPES, "embedding_size": 42, "num_hidden_groups": 2, "inner_group_num": 2},
    ),
    "albert, relative_key_query": (
        "albert",
        {**COMMON, **TYPES, "embedding_size": 26, "position_embedding_type": "relative_key_query"},
    ),
    "electra": ("electra", {**COMMON, **TYPES, "embedding_size": 26}),
    "electra, not factorised": ("electra", {**COMMON, **TYPES, "embedding_size": 42}),
    "mpnet": ("mpnet", COMMON),
    "modernbert": (
        "modernbert",
        {
            **COMMON,
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
            "local_attention": 9,
        },
    ),
    "gpt2": (
        "gpt2",
        {
            **{name: size for name, size in COMMON.items() if name != "intermediate_size"},
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
            "n_inner": 50,
            "use_cache": False,
        },
    ),
}
RELATIVE = [name for name in FAMILIES if "relative" in name or name == "mpnet"]
ROTARY = ("modernbert",)
ON_THE_CPU_ALONE = (*ROTARY, *DECODERS)
