"""Writes modernbert.json: folders of ModernBERT as transformers 4.57 saves them, with the older keys, and its outputs.

The tests make the same weights again.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from recording import write_recorded

RECORDED = Path(__file__).parent / "modernbert.json"
SIZES = {
    "vocab_size": 31,
    "hidden_size": 8,
    "intermediate_size": 6,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
}
CASES: list[dict[str, Any]] = [
    {"local_attention": 6},
    {"local_attention": 7, "global_attn_every_n_layers": 2, "global_rope_theta": 500.0, "local_rope_theta": 20.0},
    {"local_attention": 4, "local_rope_theta": None, "global_rope_theta": 300.0},
]
IDS = [[(7 * column + 3) % 31 for column in range(16)]]


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Of each name the same in every library: drawn in the names' order."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.standard_normal(shape) * 0.6 + name.endswith("norm.weight")).astype(np.float32)
        for name, shape in sorted(shapes.items())
    }


def main() -> None:
    import torch
    import transformers

    recorded = []
    for case in CASES:
        config = transformers.ModernBertConfig(**SIZES, **case, attn_implementation="eager")
        model = transformers.ModernBertModel(config).eval()
        made = weights({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
        model.load_state_dict({name: torch.from_numpy(array) for name, array in made.items()})
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            model.save_pretrained(folder)
            values = json.loads((Path(folder) / "config.json").read_text())
            states = model(torch.tensor(IDS)).last_hidden_state
        recorded.append({"given": values, "answer": states.double().numpy().round(6).tolist()})
    write_recorded(RECORDED, recorded)


if __name__ == "__main__":
    main()
