"""What a sentence-transformers folder asks for: modules.json and the files beside it, read and checked.

Old folders, those of 5.4 and those of 6.0 name the same modules by different paths within the package. Where each
setting came from is kept, for `npbert info` and `npbert validate`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from npbert.checks import brief, listed, show
from npbert.files.hub import Folder
from npbert.files.names import CONFIG_FILE, MAX_MODULES, MODEL_FILES, MODULES_FILE, TOKENIZER_CONFIG, TOKENIZER_FILES
from npbert.models.auto import read_config
from npbert.sentence.modules import Dense, Module, Pooling, check_keys, read_module, read_pooling
from npbert.sentence.prompts import checked_prompts
from npbert.sentence.similarity import SIMILARITIES

SETTINGS_FILE = "config_sentence_transformers.json"
TRANSFORMER_FILE = "sentence_bert_config.json"
# The name depends on the age of the folder and on the family; the first that is there counts.
TRANSFORMER_FILES = (
    TRANSFORMER_FILE,
    *(
        f"sentence_{family}_config.json"
        for family in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
SENTENCE_FILES = (
    *(MODULES_FILE, SETTINGS_FILE, *TRANSFORMER_FILES, *MODEL_FILES, *TOKENIZER_FILES),
    # In old folders the transformer has a folder of its own, and other modules have one in all of them.
    *(f"*/{name}" for name in (*MODEL_FILES, *TRANSFORMER_FILES, *TOKENIZER_FILES)),
)
"""What is wanted from the hub."""

MAX_PATH = 255  # characters of a module's
OTHER_SIMILARITIES = {"cos_sim": "cosine", "dot_score": "dot", "dot_product": "dot"}
"""Names of the same functions elsewhere in sentence-transformers."""
PACKAGE = "sentence_transformers"
HOMES = tuple(f"{PACKAGE}.{home}." for home in ("models", "base.modules", "sentence_transformer.modules"))
"""Where modules are: up to 5.3, and since."""
MODULES = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
CONFIGURED = ("Pooling", "Dense", "LayerNorm")  # by a config.json in a folder of their own
CLS_BEHIND_PROMPT = (5, 5)
"""From this version on, what "cls" takes of a text whose prompt is not pooled is the first token behind the prompt."""
LOWER_BY_LETTER = (5, 4)
"""From this version on, do_lower_case lowers each letter by itself."""
TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
"""The one modality_config that is what a Transformer does without one."""
TOKENIZER_ARGUMENTS = ("tokenizer_args", "processor_kwargs")
ARGUMENTS = (*TOKENIZER_ARGUMENTS, "model_args", "config_args", "model_kwargs", "config_kwargs")
NOT_DONE = ("query_length", "document_length", "query_expansion", "processing_kwargs", "tokenizer_name_or_path")
TRANSFORMER_KEYS = (
    *("max_seq_length", "do_lower_case", "transformer_task", "module_output_name", "modality_config"),
    *(*ARGUMENTS, *NOT_DONE, "unpad_inputs", "backend", "cache_dir"),
)
# What these may say that changes no vector here.
HARMLESS_ARGUMENTS = {
    *("revision", "code_revision", "trust_remote_code", "token", "subfolder", "cache_dir", "local_files_only"),
    *("attn_implementation", "torch_dtype", "dtype", "add_pooling_layer", "use_fast", "padding_side"),
}


class SentenceFolder(NamedTuple):
    """The settings of a folder, checked."""

    transformer: str  # the folder of config.json, the weights and the tokenizer, as from this one
    max_seq_length: int
    do_lower_case: bool
    lower_whole: bool  # lower case is a whole text's, and not each letter's
    pooling: Pooling
    modules: tuple[Module, ...]  # what comes after pooling, in order
    width: int  # of the vectors, before they are truncated
    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity_fn_name: str
    truncate_dim: int | None
    saved_by: str | None  # the version of sentence-transformers that wrote the folder, where that is told
    sources: dict[str, str]  # a field's name -> the file and key that set it
    module_sources: tuple[str, ...]  # of each of `modules`


def read_sentence_folder(folder: Folder) -> SentenceFolder:
    """The settings of a folder. One without modules.json is a bare transformer: mean pooling, and no other file
    of sentence-transformers' counts, as it has it.

    Raises:
        OSError: a file that modules.json speaks of can't be read.
        ValueError: a file is malformed, or asks for what is not supported; it and the module are named.
    """
    entries = read_modules(folder)
    has_modules = folder.has(MODULES_FILE)
    if has_modules:
        _check_order(folder / MODULES_FILE, [kind for kind, _ in entries])
    sources: dict[str, str] = {}
    settings = _read_settings(folder, has_modules, sources)
    inner = entries[0][1] if entries else ""
    transformer = folder.inner(inner)
    config = read_config(transformer)

    pooling = Pooling()
    sources["pooling"] = f"no {MODULES_FILE}: sentence-transformers' default"
    modules: list[Module] = []
    module_sources: list[str] = []
    width: int = config.hidden_size
    if entries:
        pooling, key = read_pooling(folder.inner(entries[1][1]), width)
        pooling = pooling._replace(cls_behind_prompt=_version(settings["saved_by"]) >= CLS_BEHIND_PROMPT)
        sources["pooling"] = f"{Path(entries[1][1]) / CONFIG_FILE}: {key}"
        width *= len(pooling.modes)
        for index, (kind, where) in enumerate(entries[2:], 2):
            module, keys = read_module(kind, folder.inner(where), width)
            if module is not None:
                modules.append(module)
                file = Path(where) / CONFIG_FILE
                module_sources.append(f"{file}: {keys}" if keys else f"{MODULES_FILE}: module {index}")
                width = module.out_features if isinstance(module, Dense) else width

    limit, do_lower_case = read_transformer(transformer, TRANSFORMER_FILES if entries else (), sources)
    longest: int = config.max_tokens
    if limit is None or limit > longest:
        limit = longest
        sources["max_seq_length"] = "config.json: max_position_embeddings"

    return SentenceFolder(
        transformer=inner,
        max_seq_length=limit,
        do_lower_case=do_lower_case,
        lower_whole=_version(settings["saved_by"]) < LOWER_BY_LETTER,
        pooling=pooling,
        modules=tuple(modules),
        width=width,
        sources=sources,
        module_sources=tuple(module_sources),
        **settings,
    )


def read_modules(folder: Folder) -> list[tuple[str, str]]:
    """[(kind, path)] in order, each one of MODULES. Empty if there is no modules.json.

    Raises:
        OSError, ValueError: the file can't be read, is malformed, or lists a module that is not supported.
    """
    file = folder / MODULES_FILE
    if not folder.has(MODULES_FILE):
        return []
    entries = folder.json(MODULES_FILE)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{file}: wanted a list of objects, one for each module")
    if len(entries) > MAX_MODULES:
        raise ValueError(f"{file}: wanted at most {MAX_MODULES} modules, found {len(entries)}")
    modules: list[tuple[str, str]] = []
    for index, entry in enumerate(entries):
        kind, path = entry.get("type"), entry.get("path")
        if not isinstance(kind, str) or not isinstance(path, str):
            found = f"a type {show(kind)} and a path {show(path)}"
            raise ValueError(f"{file}: module {index}: wanted a type and a path that are strings, found {found}")
        if not _stays_inside(path):
            raise ValueError(f"{file}: module {index}: wanted a path within the folder, found {show(path)}")
        what = f"{file}: module {index} ({brief(path) or 'the folder itself'}) is a {brief(kind)}"
        name = kind.rpartition(".")[2]
        if kind.partition(".")[0] != PACKAGE or (name in MODULES and not _is_own(kind, name)):
            raise ValueError(f"{what}, which is none of {PACKAGE}' own and not supported: its code is not run")
        if name not in MODULES:
            raise ValueError(f"{what}, which is not supported; supported are {', '.join(MODULES)}")
        if name in CONFIGURED and PurePosixPath(path) in [PurePosixPath(other) for _, other in modules]:
            raise ValueError(f"{what}: wanted a folder of its own, found that of another module")
        modules.append((name, path))
    return modules


def _is_own(kind: str, name: str) -> bool:
    """Whether it is a module's path in the package: sentence_transformers.models.Pooling, ...models.Pooling.Pooling."""
    home = next((home for home in HOMES if kind.startswith(home)), "")
    files = kind.removeprefix(home).split(".")[:-1]
    return bool(home) and [file.replace("_", "").lower() for file in files] in ([], [name.lower()])


def _check_order(file: Path, kinds: list[str]) -> None:
    """Transformer, Pooling, and then any of the others."""
    for index, kind in enumerate(kinds):
        wanted = MODULES[index : index + 1] if index < 2 else MODULES[2:]
        if kind not in wanted:
            raise ValueError(f"{file}: module {index}: wanted {' or '.join(wanted)}, found {kind}")
    if len(kinds) < 2:
        raise ValueError(f"{file}: wanted a Transformer and a Pooling module, found {', '.join(kinds) or 'none'}")


def _stays_inside(path: str) -> bool:
    # Windows' separators and drives are refused everywhere: a folder must mean the same on every machine.
    parts = PurePosixPath(path).parts
    fits = len(path) <= MAX_PATH and path.isprintable()
    return fits and not ({"..", "/"} & set(parts)) and not (set("\\:") & set(path))


def read_transformer(
    folder: Folder,
    names: tuple[str, ...],
    sources: dict[str, str],
    task: str = "feature-extraction",
    output: str = "token_embeddings",
) -> tuple[int | None, bool]:
    """max_seq_length, None where no file gives one, and do_lower_case.

    Args:
        folder: the transformer's.
        names: of the file that says so, newest first; none in a bare transformer's folder.
        sources: gets where the two come from.
        task, output: what the file must say, if it says it, of what the transformer is for.

    Raises:
        OSError, ValueError: a file can't be read, or has values that are wrong or not supported.
    """
    limit: int | None = None
    lower = False
    sources["do_lower_case"] = "not set"
    name = next((name for name in names if folder.has(name)), None)
    if name is not None:
        file, values = folder / name, folder.values(name)
        _check_supported(file, values, {"transformer_task": task, "module_output_name": output})
        for key in TOKENIZER_ARGUMENTS:  # go before max_seq_length, as sentence-transformers has it
            arguments = values.get(key) or {}
            if limit is None and arguments.get("model_max_length") is not None:
                limit = _whole_number(file, f"{key}: model_max_length", arguments["model_max_length"])
                sources["max_seq_length"] = f"{file.name}: {key}: model_max_length"
        given = values.get("max_seq_length")
        if limit is None and given is not None:
            limit = _whole_number(file, "max_seq_length", given)
            sources["max_seq_length"] = f"{file.name}: max_seq_length"
        given = values.get("do_lower_case", False)
        if given not in (True, False, None):
            raise ValueError(f"{file}: do_lower_case: wanted true or false, found {show(given)}")
        lower = bool(given)
        if "do_lower_case" in values:
            sources["do_lower_case"] = f"{file.name}: do_lower_case"
    if limit is None:
        given = folder.optional_values(TOKENIZER_CONFIG).get("model_max_length")
        if given is not None:
            limit = _whole_number(folder / TOKENIZER_CONFIG, "model_max_length", given)
            sources["max_seq_length"] = f"{TOKENIZER_CONFIG}: model_max_length"
    return limit, lower


def _check_supported(file: Path, values: dict[str, Any], wanted: dict[str, str]) -> None:
    for key, value in wanted.items():
        if values.get(key, value) != value:
            raise ValueError(f"{file}: {key}: wanted {value!r}, found {show(values[key])}; not supported")
    check_keys(file, values, TRANSFORMER_KEYS)
    config = values.get("modality_config")
    if config is not None and wanted["transformer_task"] == "feature-extraction" and config != TEXT_ONLY:
        raise ValueError(f"{file}: modality_config: wanted {TEXT_ONLY}, found {show(config)}; not supported")
    for key in NOT_DONE:
        if values.get(key):
            raise ValueError(f"{file}: {key}: wanted none, found {show(values[key])}; not supported")
    for key in ARGUMENTS:
        arguments = values.get(key) or {}
        if not isinstance(arguments, Mapping):
            raise ValueError(f"{file}: {key}: wanted an object, found {show(arguments)}")
        allowed = HARMLESS_ARGUMENTS | (
            {"model_max_length"} if key in ("tokenizer_args", "processor_kwargs") else set()
        )
        if others := sorted(set(arguments) - allowed):
            raise ValueError(f"{file}: {key}: not supported: {listed(others)}")


def _whole_number(file: Path, key: str, value: object) -> int:
    # "No limit" is written as 1e30 and then some.
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else min(value, 2**31)
    if number is None or not number >= 1 or number != int(number):  # a NaN is not at least 1
        raise ValueError(f"{file}: {key}: wanted a positive whole number, found {show(value)}")
    return int(number)


def _read_settings(folder: Folder, counts: bool, sources: dict[str, str]) -> dict[str, Any]:
    """The fields of SentenceFolder that config_sentence_transformers.json sets."""
    file, values = folder / SETTINGS_FILE, folder.optional_values(SETTINGS_FILE) if counts else {}
    kind = values.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ValueError(f"{file}: model_type: wanted 'SentenceTransformer', found {show(kind)}")
    settings: dict[str, Any] = read_prompts(file, values, sources)

    name = values.get("similarity_fn_name") or "cosine"
    wanted = f"{file}: similarity_fn_name: wanted one of {', '.join(SIMILARITIES)}, found {show(name)}"
    if not isinstance(name, str):
        raise ValueError(wanted)
    name = OTHER_SIMILARITIES.get(name, name)
    if name not in SIMILARITIES:  # no vector depends on it
        warnings.warn(f"{wanted}: cosine is used, as in sentence-transformers 6", stacklevel=4)
        name = "cosine"
    settings["similarity_fn_name"] = name

    versions = values.get("__version__")
    saved_by = versions.get("sentence_transformers") if isinstance(versions, Mapping) else None
    settings["saved_by"] = saved_by if isinstance(saved_by, str) else None

    dim = values.get("truncate_dim")
    settings["truncate_dim"] = None if dim is None else _whole_number(file, "truncate_dim", dim)
    for key in ("similarity_fn_name", "truncate_dim"):
        sources[key] = _source(file, values, key)
    return settings


def _version(text: str | None) -> tuple[int, int]:
    """(5, 1) of 5.1.2; (0, 0) where it is none."""
    found = re.match(r"(\d{1,9})\.(\d{1,9})", text or "")
    return (int(found[1]), int(found[2])) if found else (0, 0)


def read_prompts(file: Path, values: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """prompts and default_prompt_name; `sources` gets where they come from.

    Whether there is a prompt of that name is asked when those that the caller gives are known.

    Raises:
        ValueError: they are no prompts, or the default is no name.
    """
    prompts = checked_prompts(f"{file}: prompts", values.get("prompts") or {})
    default = values.get("default_prompt_name")
    if not isinstance(default, str | None):
        wanted = f"one of {show(sorted(prompts))}"
        raise ValueError(f"{file}: default_prompt_name: wanted {wanted}, found {show(default)}")
    for key in ("prompts", "default_prompt_name"):
        sources[key] = _source(file, values, key)
    return {"prompts": prompts, "default_prompt_name": default}


def _source(file: Path, values: dict[str, Any], key: str) -> str:
    return f"{file.name}: {key}" if values.get(key) is not None else "not set"
