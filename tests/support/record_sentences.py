"""Writes sentences.json: what sentence-transformers 5.1 makes of texts whose prompt is not pooled, by all poolings.

The tests make the same folders again.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from minilm import minilm_folder
from recording import write_recorded
from tasks import make_folder

RECORDED = Path(__file__).parent / "sentences.json"
TEXTS = ["A fox jumps.", "over"]
PROMPTS = ["query: ", "Represent the sentence: "]
MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
KEPT = 6  # numbers of each way's vector


def make_sentences(folder: Path, tokenizer: Path, modes: list[str], saved_by: str | None = "5.1.2") -> Path:
    """A folder as sentence-transformers 5.1 writes it, or one that does not say what wrote it."""
    make_folder(folder, tokenizer, "BertModel")
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    flags = {flag: mode in modes for mode, flag in MODES.items()}
    types = [("", "Transformer"), ("1_Pooling", "Pooling")]
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(types)
        ],
        "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, **flags, "include_prompt": False},
    }
    if saved_by:
        files["config_sentence_transformers.json"] = {"__version__": {"sentence_transformers": saved_by}}
    (folder / "1_Pooling").mkdir()
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    return folder


def cases() -> list[list[str]]:
    """Each way alone, and two at once. (With "max", 5.1 writes -1e9 into the very row that "cls" is to give.)"""
    return [*([mode] for mode in MODES), ["cls", "mean"]]


def first_numbers(vectors: Any, modes: list[str]) -> list[list[float]]:
    """Of each text, the first few numbers of each way's vector."""
    parts = vectors.reshape(len(vectors), len(modes), -1)[:, :, :KEPT].reshape(len(vectors), -1)
    return [[round(float(number), 6) for number in row] for row in parts]


def main(tokenizer: Path) -> None:
    import sentence_transformers

    warnings.simplefilter("ignore")
    recorded = []
    for modes in cases():
        with tempfile.TemporaryDirectory() as made:
            folder = make_sentences(Path(made), tokenizer, modes)
            model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
            for prompt in PROMPTS:
                vectors = model.encode(TEXTS, prompt=prompt)
                recorded.append({"modes": modes, "prompt": prompt, "vectors": first_numbers(vectors, modes)})
    write_recorded(RECORDED, recorded)


if __name__ == "__main__":
    main(minilm_folder())
