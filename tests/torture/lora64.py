"""What a LoRA beside a model's weights makes of them, in float64, by peft's formula: W + (alpha / r) B A."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from torture.encoder64 import Array

PLAIN = {"peft_type": "LORA", "bias": "none"}
OF_ANOTHER_KIND = ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "use_rslora", "layer_replication")


def merged(weights: Mapping[str, Array], adapter: Mapping[str, Array], config: Mapping[str, Any]) -> dict[str, Array]:
    """The weights with the plain LoRA of linear layers; raises ValueError for any other adapter."""
    if any(config.get(key, value) != value for key, value in PLAIN.items()) or any(map(config.get, OF_ANOTHER_KIND)):
        raise ValueError("another adapter")
    result = dict(weights)
    for name in adapter:
        module, found, half = name.removeprefix("base_model.model.").rpartition(".lora_A.")
        if not found or half != "weight":
            if ".lora_B.weight" not in name:
                raise ValueError("another adapter")
            continue
        a, b = (adapter[name].astype(np.float64), adapter[name.replace("lora_A", "lora_B")].astype(np.float64))
        (owner,) = (stored for stored in weights if f".{stored}".endswith(f".{module}.weight"))
        result[owner] = weights[owner].astype(np.float64) + config["lora_alpha"] / config["r"] * (b @ a)
    return result
