"""Small whole folders of every family and kind of model, made here, from which odd ones are made."""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import families
import numpy as np

from torture import tokenizers_made
from torture.encoder64 import FAMILIES, shapes
from torture.tokenizers_made import Files, as_json, vocabulary_size
from torture.weights import SCALES, int8_of, packed

HIDDEN, HEADS, POSITIONS = 8, 2, 24
LABELS = {"ForTokenClassification": ["O", "B-PER", "I-PER"], "ForSequenceClassification": ["no", "yes"]}
ENTAILMENT = ["contradiction", "neutral", "entailment"]
KINDS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
VARIETIES = {
    "relative_key": ("bert", {"position_embedding_type": "relative_key"}),
    "relative_key_query": ("bert", {"position_embedding_type": "relative_key_query"}),
    "groups": ("albert", {"num_hidden_layers": 2, "num_hidden_groups": 2, "inner_group_num": 1}),
}
STEMS = {family: stem for family, stem in families.STEMS.items() if family in FAMILIES}  # BERT and its kin
assert set(STEMS) == set(FAMILIES)


def config_of(family: str, kind: str = "Model", labels: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """A config.json of a model of a family."""
    sizes = {"hidden_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": HEADS, "intermediate_size": 12}
    names = FAMILIES[family]
    config: dict[str, Any] = {names.keys.get(key, key): value for key, value in sizes.items()}
    config |= {"model_type": family, "architectures": [STEMS[family] + kind], "max_position_embeddings": POSITIONS}
    config |= {"vocab_size": vocabulary_size(family), names.keys.get("hidden_act", "hidden_act"): "gelu"}
    if family != "distilbert":
        config["layer_norm_eps"] = 1e-5
    if names.types:
        config["type_vocab_size"] = 1 if family in ("roberta", "xlm-roberta", "camembert") else 2
    if family in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        config |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    else:
        config["pad_token_id"] = 0
    if family in ("albert", "electra"):
        config["embedding_size"] = 4
    if family == "albert":
        config |= {"num_hidden_groups": 1, "inner_group_num": 1}
    if family == "mpnet":
        config["relative_attention_num_buckets"] = 32
    if named := labels or LABELS.get(kind):
        config["id2label"] = {str(index): label for index, label in enumerate(named)}
        config["label2id"] = {label: index for index, label in enumerate(named)}
    return config | more


def tensors_of(config: dict[str, Any], kind: str = "Model", **which: bool) -> dict[str, np.ndarray]:
    """Random weights by which tokens differ, the same for the same name."""
    made = {}
    for name, shape in shapes(config, kind, **which).items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        scale = 1.5 * shape[-1] ** -0.5 if len(shape) == 2 else 0.2
        values = rng.standard_normal(shape) * (1.0 if "embeddings." in name and len(shape) == 2 else scale)
        is_norm = len(shape) == 1 and "norm" in name.lower() and name.endswith(".weight")
        made[name] = (values + is_norm).astype("<f4")
    return made


def has_pooler(family: str, kind: str) -> bool:
    """Whether transformers writes a pooler."""
    return kind == "Model" or (kind == "ForSequenceClassification" and family in ("bert", "albert"))


@cache
def model_folder(family: str, kind: str = "Model", variety: str = "") -> Files:
    """The files of a model: config, weights, tokenizer."""
    more = VARIETIES[variety][1] if variety in VARIETIES else {}
    labels = ENTAILMENT if variety == "entailment" else ["score"] if variety == "one label" else None
    config = config_of(family, kind, labels, **more)
    tensors = tensors_of(config, kind, pooler=has_pooler(family, kind))
    made: Files = {"config.json": as_json(config)}
    if variety == "int8":
        made["model.safetensors"] = packed(_in_int8(tensors))
    elif variety == "shards":
        made |= _in_shards(tensors)
    else:
        made["model.safetensors"] = packed(tensors)
    return made | tokenizers_made.files(family, only_vocabulary=variety == "vocabulary")


def _in_int8(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if array.ndim == 2 and ("layer" in name or "word_embeddings" in name) and "distance" not in name:
            made[name], made[name + SCALES] = int8_of(array)
        else:
            made[name] = array
    return made


def _in_shards(tensors: dict[str, np.ndarray]) -> Files:
    names = list(tensors)
    half = len(names) // 2
    files = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    weight_map = {name: file for file, own in files.items() for name in own}
    total = sum(array.nbytes for array in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return {
        "model.safetensors.index.json": as_json(index),
        **{file: packed({name: tensors[name] for name in own}) for file, own in files.items()},
    }


@cache
def sentence_folder(family: str, variety: str = "") -> Files:
    """A sentence-transformers folder: mean pooling, a Dense, and vectors of length 1."""
    made = dict(model_folder(family))
    kinds = ["Transformer", "Pooling", "Dense", "Normalize"] if variety == "dense" else ["Transformer", "Pooling"]
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    modules = [
        {"idx": index, "name": str(index), "path": paths[kind], "type": f"sentence_transformers.models.{kind}"}
        for index, kind in enumerate(kinds)
    ]
    pooling = {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    pooling |= {"pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False, "include_prompt": True}
    settings = {"prompts": {"query": "the "}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    made |= {
        "modules.json": as_json(modules),
        "1_Pooling/config.json": as_json(pooling),
        "sentence_bert_config.json": as_json({"max_seq_length": 16, "do_lower_case": False}),
        "config_sentence_transformers.json": as_json({**settings, "__version__": {"sentence_transformers": "5.1.2"}}),
    }
    if variety == "dense":
        dense = {"in_features": HIDDEN, "out_features": 6, "bias": True}
        made["2_Dense/config.json"] = as_json({**dense, "activation_function": "torch.nn.modules.activation.Tanh"})
        rng = np.random.default_rng(6)
        weights = {"linear.weight": rng.standard_normal((6, HIDDEN)), "linear.bias": rng.standard_normal(6)}
        made["2_Dense/model.safetensors"] = packed({name: array.astype("<f4") for name, array in weights.items()})
    return made


@cache
def cross_folder(family: str) -> Files:
    """A cross-encoder's folder, with one label."""
    made = dict(model_folder(family, "ForSequenceClassification", "one label"))
    settings = {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None}
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    made |= {
        "modules.json": as_json(modules),
        "sentence_bert_config.json": as_json({"transformer_task": "sequence-classification"}),
        "config_sentence_transformers.json": as_json(
            {**settings, "activation_fn": "torch.nn.modules.activation.Sigmoid"}
        ),
    }
    return made


@cache
def adapter_folder(family: str) -> Files:
    """A model with a LoRA beside it."""
    made = dict(model_folder(family))
    names = FAMILIES[family]
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [names.query.rpartition(".")[2]]}
    config |= {"bias": "none", "fan_in_fan_out": False, "task_type": "FEATURE_EXTRACTION", "modules_to_save": None}
    config |= {"base_model_name_or_path": None, "inference_mode": True, "use_rslora": False, "use_dora": False}
    owner = f"base_model.model.{names.layer.format(0, 0)}{names.query}"
    rng = np.random.default_rng(4)
    weights = {f"{owner}.lora_A.weight": (0.4 * rng.standard_normal((2, HIDDEN))).astype("<f4")}
    weights[f"{owner}.lora_B.weight"] = (0.4 * rng.standard_normal((HIDDEN, 2))).astype("<f4")
    return made | {"adapter_config.json": as_json(config), "adapter_model.safetensors": packed(weights)}
