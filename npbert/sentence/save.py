"""Folders of sentence-transformers, written so that all of its versions read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from npbert.files.json_file import read_json_object
from npbert.files.names import CONFIG_FILE, MODULES_FILE, SINGLE_WEIGHTS
from npbert.files.staging import write_text
from npbert.sentence.cross_encoder_folder import CrossEncoderFolder
from npbert.sentence.folder import SETTINGS_FILE, TRANSFORMER_FILE, SentenceFolder
from npbert.sentence.modules import ACTIVATIONS, POOLING_FLAGS, Dense, LayerNorm, Module, Pooling, torch_path

CLASSES = "sentence_transformers.models."  # where every version finds them, or looks them up
NAMES = {function: name for name, function in ACTIVATIONS.items()}


def save_sentence_settings(settings: SentenceFolder, hidden_size: int, folder: Path) -> None:
    """Writes all that `read_sentence_folder` reads into a folder that has the encoder and the tokenizer.

    Args:
        settings: what is written.
        hidden_size: of the encoder.
        folder: is there, and no module of the model's own lies in it.

    Raises:
        OSError: a file can't be written, or the weights of a module can't be read any more.
    """
    _write(
        folder / TRANSFORMER_FILE,
        {"max_seq_length": settings.max_seq_length, "do_lower_case": settings.do_lower_case},
    )
    _write(
        folder / SETTINGS_FILE,
        {
            "model_type": "SentenceTransformer",
            **({"__version__": {"sentence_transformers": settings.saved_by}} if settings.saved_by else {}),
            "prompts": settings.prompts,
            "default_prompt_name": settings.default_prompt_name,
            "similarity_fn_name": settings.similarity_fn_name,
            **({} if settings.truncate_dim is None else {"truncate_dim": settings.truncate_dim}),
        },
    )
    configs = [("Transformer", None), ("Pooling", _pooling(settings.pooling, hidden_size))]
    configs += [(type(module).__name__, _config(module)) for module in settings.modules]
    entries = []
    for index, (kind, config) in enumerate(configs):
        name = f"{index}_{kind}" if index else ""
        entries.append({"idx": index, "name": str(index), "path": name, "type": CLASSES + kind})
        if config is not None:
            (folder / name).mkdir(exist_ok=True)
            _write(folder / name / "config.json", config)
            if index > 1:
                module = settings.modules[index - 2]
                if isinstance(module, Dense | LayerNorm):
                    # As they stand: what was checked when they were read names the tensors as sentence-transformers.
                    shutil.copyfile(module.folder / SINGLE_WEIGHTS, folder / name / SINGLE_WEIGHTS)
    _write(folder / MODULES_FILE, entries)


def save_cross_encoder_settings(settings: CrossEncoderFolder, folder: Path) -> None:
    """Writes all that `read_cross_encoder_folder` reads into a folder that has the classifier and the tokenizer.

    Raises:
        OSError: a file can't be written.
    """
    path = torch_path(settings.activation)
    file = folder / CONFIG_FILE  # where versions from 4 to 5.3 look for it
    _write(file, {**read_json_object(file), "sentence_transformers": {"activation_fn": path}})
    _write(folder / TRANSFORMER_FILE, {"transformer_task": "sequence-classification"})
    _write(
        folder / SETTINGS_FILE,
        {
            "model_type": "CrossEncoder",
            "prompts": settings.prompts,
            "default_prompt_name": settings.default_prompt_name,
            "activation_fn": path,
        },
    )
    _write(folder / MODULES_FILE, [{"idx": 0, "name": "0", "path": "", "type": CLASSES + "Transformer"}])


def _pooling(pooling: Pooling, hidden_size: int) -> dict[str, Any]:
    """The flags, which all versions read; where these can't tell the order, the names, which those from 5.4 on do."""
    modes = pooling.modes
    flags = {flag: mode in modes for flag, mode in POOLING_FLAGS.items()}
    config = {
        "word_embedding_dimension": hidden_size,
        **flags,
        "include_prompt": pooling.include_prompt,
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


def _write(file: Path, values: Any) -> None:
    write_text(file, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
