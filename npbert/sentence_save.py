"""Folders of sentence-transformers, written so that all of its versions read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npbert.config_values import show
from npbert.cross_encoder_folder import SCORES
from npbert.file_names import CONFIG_FILE, MODULES_FILE, SINGLE_WEIGHTS
from npbert.json_file import read_json_object
from npbert.sentence_folder import SETTINGS_FILE, TRANSFORMER_FILE
from npbert.sentence_modules import ACTIVATIONS, POOLING_FLAGS, Dense, LayerNorm, Module, torch_path

if TYPE_CHECKING:
    from npbert.cross_encoder import CrossEncoder
    from npbert.sentence_transformer import SentenceTransformer

CLASSES = "sentence_transformers.models."  # where every version finds them, or looks them up
NAMES = {function: name for name, function in ACTIVATIONS.items()}


def save_folder(model: SentenceTransformer, folder: Path) -> None:
    """Writes the encoder, the tokenizer, and all that `read_sentence_folder` reads.

    Raises:
        OSError: a file can't be written, or the weights of a module can't be read any more.
    """
    settings = model.settings
    folder.mkdir(parents=True, exist_ok=True)
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    _write(
        folder / TRANSFORMER_FILE,
        {"max_seq_length": model.max_seq_length, "do_lower_case": settings.do_lower_case},
    )
    _write(
        folder / SETTINGS_FILE,
        {
            "model_type": "SentenceTransformer",
            **({"__version__": {"sentence_transformers": settings.saved_by}} if settings.saved_by else {}),
            "prompts": model.prompts,
            "default_prompt_name": model.default_prompt_name,
            "similarity_fn_name": model.similarity_fn_name,
            **({} if model.truncate_dim is None else {"truncate_dim": model.truncate_dim}),
        },
    )
    configs = [("Transformer", None), ("Pooling", _pooling(model))]
    configs += [(type(module).__name__, _config(module)) for module in settings.modules]
    entries = []
    for index, (kind, config) in enumerate(configs):
        name = f"{index}_{kind}" if index else ""
        entries.append({"idx": index, "name": str(index), "path": name, "type": CLASSES + kind})
        if config is not None:
            (folder / name).mkdir(exist_ok=True)
            _write(folder / name / "config.json", config)
            if index > 1:
                _copy_weights(settings.modules[index - 2], folder / name)
    _write(folder / MODULES_FILE, entries)


def save_cross_encoder(model: CrossEncoder, folder: Path) -> None:
    """Writes the classifier, the tokenizer, and all that `read_cross_encoder_folder` reads.

    Raises:
        OSError: a file can't be written.
        ValueError: the function that makes scores has no name that a file can hold.
    """
    names = [name for name, function in SCORES.items() if function is model.activation_fn]
    if not names:
        wanted = f"one of {', '.join(SCORES)}, which a file can name"
        raise ValueError(f"activation_fn: wanted {wanted}, found {show(model.activation_fn)}")
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    path = torch_path(names[0])
    file = folder / CONFIG_FILE  # where versions from 4 to 5.3 look for it
    _write(file, {**read_json_object(file), "sentence_transformers": {"activation_fn": path}})
    _write(folder / TRANSFORMER_FILE, {"transformer_task": "sequence-classification"})
    _write(
        folder / SETTINGS_FILE,
        {
            "model_type": "CrossEncoder",
            "prompts": model.prompts,
            "default_prompt_name": model.default_prompt_name,
            "activation_fn": path,
        },
    )
    _write(folder / MODULES_FILE, [{"idx": 0, "name": "0", "path": "", "type": CLASSES + "Transformer"}])


def _pooling(model: SentenceTransformer) -> dict[str, Any]:
    """The flags, which all versions read; where these can't tell the order, the names, which those from 5.4 on do."""
    modes = model.settings.pooling.modes
    flags = {flag: mode in modes for flag, mode in POOLING_FLAGS.items()}
    config = {
        "word_embedding_dimension": model.model.config.hidden_size,
        **flags,
        "include_prompt": model.include_prompt,
    }
    in_order = tuple(mode for mode in POOLING_FLAGS.values() if mode in modes)
    return config if modes == in_order else {**config, "pooling_mode": list(modes)}


def _config(module: Module) -> dict[str, Any]:
    if isinstance(module, LayerNorm):
        return {"dimension": module.dimension}
    if isinstance(module, Dense):
        config = {
            "in_features": module.in_features,
            "out_features": module.out_features,
            "bias": module.bias,
            "activation_function": torch_path(NAMES[module.activation]),
        }
        return {**config, "use_residual": True} if module.use_residual else config
    return {}


def _copy_weights(module: Module, target: Path) -> None:
    """As they stand: what was checked when they were read names the tensors as sentence-transformers does."""
    if isinstance(module, Dense | LayerNorm) and module.folder.resolve() != target.resolve():
        shutil.copyfile(module.folder / SINGLE_WEIGHTS, target / SINGLE_WEIGHTS)


def _write(file: Path, values: Any) -> None:
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
