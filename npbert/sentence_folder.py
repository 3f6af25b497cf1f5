"""What a sentence-transformers folder asks for: modules.json and the files beside it, read and checked.

Old folders, those of 5.4 and those of 6.0 name the same modules by different paths, so only the last part of
a module's type counts. Where each setting came from is kept, for `npbert info`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from npbert.bert import Pool
from npbert.config import AutoConfig
from npbert.file_names import MODULES_FILE
from npbert.hub import MODEL_FILES
from npbert.json_file import read_json_object, unique_keys
from npbert.model import POOLINGS
from npbert.similarity import SIMILARITIES
from npbert.tokenizer_files import CONFIG_FILE as TOKENIZER_CONFIG
from npbert.tokenizer_files import TOKENIZER_FILES

SETTINGS_FILE = "config_sentence_transformers.json"
# The name depends on the age of the folder and on the family; the first that is there counts.
TRANSFORMER_FILES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
SENTENCE_FILES = (
    *(MODULES_FILE, SETTINGS_FILE, *TRANSFORMER_FILES, *MODEL_FILES, *TOKENIZER_FILES),
    # In old folders the transformer has a folder of its own, and pooling has one in all of them.
    *("*/config.json", "*/sentence_bert_config.json", "*/model.safetensors"),
    *("*/tokenizer.json", "*/tokenizer_config.json", "*/vocab.txt"),
)
"""What is wanted from the hub."""

MODULES = ("Transformer", "Pooling", "Normalize")
# In the order in which sentence-transformers joins the vectors of several.
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class SentenceFolder:
    """The settings of a folder, checked."""

    transformer: Path  # the folder of config.json, the weights and the tokenizer
    max_seq_length: int
    do_lower_case: bool = False
    pooling: tuple[Pool, ...] = ("mean",)
    normalize: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    truncate_dim: int | None = None
    sources: dict[str, str] = field(default_factory=dict)  # a field's name -> the file and key that set it


def read_sentence_folder(folder: Path) -> SentenceFolder:
    """The settings of a folder. One without modules.json is a bare transformer: mean pooling, and no other file
    of sentence-transformers' counts, as it has it.

    Raises:
        OSError: a file that modules.json speaks of can't be read.
        ValueError: a file is malformed, or asks for what is not supported; it and the module are named.
    """
    modules = _read_modules(folder)
    sources: dict[str, str] = {}
    transformer = folder / modules[0][1] if modules else folder
    config = AutoConfig.from_pretrained(transformer)

    pooling: tuple[Pool, ...] = ("mean",)
    normalize = False
    sources["pooling"] = sources["normalize"] = f"no {MODULES_FILE}: sentence-transformers' default"
    if modules:
        path = folder / modules[1][1] / "config.json"
        pooling, key = _read_pooling(path, config.hidden_size)
        sources["pooling"] = f"{path.relative_to(folder)}: {key}"
        normalize = len(modules) > 2
        sources["normalize"] = MODULES_FILE
        for _, where in modules[2:]:
            _check_normalize(folder / where / "config.json")

    limit, do_lower_case = _read_transformer(transformer, TRANSFORMER_FILES if modules else (), sources)
    positions: int = config.max_position_embeddings
    if limit is None or limit > positions:
        limit = positions
        sources["max_seq_length"] = "config.json: max_position_embeddings"

    return SentenceFolder(
        transformer=transformer,
        max_seq_length=limit,
        do_lower_case=do_lower_case,
        pooling=pooling,
        normalize=normalize,
        sources=sources,
        **_read_settings(folder / SETTINGS_FILE, bool(modules), sources),
    )


def _read_modules(folder: Path) -> list[tuple[str, str]]:
    """[(kind, path)] in order: Transformer, Pooling, any number of Normalize. Empty if there is no file."""
    file = folder / MODULES_FILE
    if not file.exists():
        return []
    try:
        entries = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not a valid JSON file: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file}: wanted a list of objects, one for each module")

    modules: list[tuple[str, str]] = []
    for index, entry in enumerate(entries):
        kind, path = entry.get("type"), entry.get("path", "")
        if not isinstance(kind, str) or not isinstance(path, str):
            raise ValueError(f"{file}: module {index}: wanted a type and a path that are strings, found {entry!r}")
        if not _stays_inside(path):
            raise ValueError(f"{file}: module {index}: wanted a path within the folder, found {path!r}")
        kind = kind.rsplit(".", 1)[-1]
        if kind not in MODULES:
            raise ValueError(
                f"{file}: module {index} ({path or 'the folder itself'}) is a {entry['type']}, "
                f"which is not supported; supported are {', '.join(MODULES)}"
            )
        wanted = MODULES[min(index, 2)]
        if kind != wanted:
            raise ValueError(f"{file}: module {index}: wanted {wanted}, found {kind} ({entry['type']})")
        modules.append((kind, path))
    if len(modules) < 2:
        found = ", ".join(kind for kind, _ in modules) or "none"
        raise ValueError(f"{file}: wanted a Transformer and a Pooling module, found {found}")
    return modules


def _stays_inside(path: str) -> bool:
    # Windows' separators and drives are refused everywhere: a folder must mean the same on every machine.
    return not ({"..", "/"} & set(PurePosixPath(path).parts)) and not (set("\\:\0") & set(path))


def _read_pooling(file: Path, hidden_size: int) -> tuple[tuple[Pool, ...], str]:
    """The modes in the order in which their vectors are joined, and the key that named them."""
    values = read_json_object(file)
    for key in ("embedding_dimension", "word_embedding_dimension"):
        if key in values and values[key] != hidden_size:
            raise ValueError(f"{file}: {key}: wanted the model's hidden_size {hidden_size}, found {values[key]!r}")
    if values.get("include_prompt", True) is not True:
        raise ValueError(f"{file}: include_prompt: wanted true, found {values['include_prompt']!r}; not supported")

    if "pooling_mode" in values:
        key = "pooling_mode"
        named = values[key]
        modes = named if isinstance(named, list) else [named]
    else:
        flags = {flag: values[flag] for flag in POOLING_FLAGS if flag in values}
        for flag, value in flags.items():
            if not isinstance(value, bool):
                raise ValueError(f"{file}: {flag}: wanted true or false, found {value!r}")
        chosen = [flag for flag, value in flags.items() if value]
        key = ", ".join(chosen) or "no mode chosen: sentence-transformers' default"
        modes = [POOLING_FLAGS[flag] for flag in chosen] or ["mean"]
    for mode in modes:
        if not isinstance(mode, str) or mode not in POOLINGS:
            raise ValueError(f"{file}: pooling mode: supported are {', '.join(POOLINGS)}, found {mode!r}")
    if not modes or len(set(modes)) < len(modes):
        raise ValueError(f"{file}: {key}: wanted pooling modes, each once, found {modes}")
    return tuple(modes), key


def _check_normalize(file: Path) -> None:
    """Normalize may say which vectors it means; only the sentence's are normalised here."""
    if not file.exists():  # older folders have no file for it
        return
    for key, value in read_json_object(file).items():
        if key in ("module_input_name", "module_output_name") and value not in ("sentence_embedding", None):
            raise ValueError(f"{file}: {key}: wanted 'sentence_embedding', found {value!r}; not supported")


def _read_transformer(folder: Path, names: tuple[str, ...], sources: dict[str, str]) -> tuple[int | None, bool]:
    """max_seq_length, None where no file gives one, and do_lower_case."""
    limit: int | None = None
    lower = False
    sources["do_lower_case"] = "not set"
    file = next((folder / name for name in names if (folder / name).exists()), None)
    if file is not None:
        values = read_json_object(file)
        _refuse_other_values(
            file, values, {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
        )
        given = values.get("max_seq_length")
        if given is not None:
            limit = _whole_number(file, "max_seq_length", given)
            sources["max_seq_length"] = f"{file.name}: max_seq_length"
        given = values.get("do_lower_case", False)
        if not isinstance(given, bool):
            raise ValueError(f"{file}: do_lower_case: wanted true or false, found {given!r}")
        lower = given
        if "do_lower_case" in values:
            sources["do_lower_case"] = f"{file.name}: do_lower_case"
    file = folder / TOKENIZER_CONFIG
    if limit is None and file.exists():
        given = read_json_object(file).get("model_max_length")
        if given is not None:
            limit = _whole_number(file, "model_max_length", given)
            sources["max_seq_length"] = f"{TOKENIZER_CONFIG}: model_max_length"
    return limit, lower


def _refuse_other_values(file: Path, values: dict[str, Any], wanted: dict[str, str]) -> None:
    for key, value in wanted.items():
        if values.get(key, value) != value:
            raise ValueError(f"{file}: {key}: wanted {value!r}, found {values[key]!r}; not supported")
    for key in ("query_length", "document_length", "query_expansion"):
        if values.get(key):
            raise ValueError(f"{file}: {key}: wanted none, found {values[key]!r}; not supported")


def _whole_number(file: Path, key: str, value: object) -> int:
    # "No limit" is written as 1e30 and then some.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 1:
        raise ValueError(f"{file}: {key}: wanted a positive whole number, found {value!r}")
    return int(min(value, 2**31))


def _read_settings(file: Path, counts: bool, sources: dict[str, str]) -> dict[str, Any]:
    """The fields of SentenceFolder that config_sentence_transformers.json sets."""
    values = read_json_object(file) if counts and file.exists() else {}
    settings: dict[str, Any] = {}

    prompts = values.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, (str, type(None))) for text in prompts.values()):
        raise ValueError(f"{file}: prompts: wanted names and texts, found {prompts!r}")
    settings["prompts"] = {name: text or "" for name, text in prompts.items()}

    default = values.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise ValueError(f"{file}: default_prompt_name: wanted one of {sorted(prompts)}, found {default!r}")
    settings["default_prompt_name"] = default

    name = values.get("similarity_fn_name")
    if name is not None and name not in SIMILARITIES:
        raise ValueError(f"{file}: similarity_fn_name: wanted one of {', '.join(SIMILARITIES)}, found {name!r}")
    settings["similarity_fn_name"] = name or "cosine"

    dim = values.get("truncate_dim")
    settings["truncate_dim"] = None if dim is None else _whole_number(file, "truncate_dim", dim)
    for key in settings:
        sources[key] = f"{file.name}: {key}" if values.get(key) is not None else "not set"
    return settings
