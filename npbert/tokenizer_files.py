"""A folder's tokenizer files -> a `tokenizers.Tokenizer` without truncation and padding, and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece

from npbert.file_names import CONFIG_FILE as MODEL_CONFIG_FILE
from npbert.json_file import read_json_object
from npbert.tokenizer_config import NAMES, NO_LIMIT, Settings, TokenizerConfig
from npbert.tokenizer_errors import as_value_error
from npbert.tokenizer_families import (
    BERT,
    BERT_DEFAULTS,
    BYTE_BPE,
    FAMILIES,
    GENERIC_NAMES,
    ROBERTA,
    ROBERTA_DEFAULTS,
    WORDPIECE,
    TokenizerFamily,
    family_of_class,
    input_names,
)
from npbert.tokenizer_pipeline import check_regular, from_vocabulary, set_special_tokens
from npbert.tokenizer_switches import set_switches, taken_switches, tell_useless

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

TOKENIZER_FILES = (
    TOKENIZER_FILE,
    *WORDPIECE,
    *BYTE_BPE,
    CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    ADDED_TOKENS_FILE,
    MODEL_CONFIG_FILE,
)
"""What is wanted from the hub for a tokenizer; the model's config says which family it is of."""

_INTEGERS = re.compile(rb":\s*(\d{5,10})")
_SHORTER = 10**4 - 1  # the greatest integer that _INTEGERS passes over


@dataclass(frozen=True)
class LoadedTokenizer:
    backend: Tokenizer
    settings: Settings
    greatest_id: int | None  # no id is greater; None: not known without reading the vocabulary


def find_family(folder: Path) -> TokenizerFamily:
    """The family that tokenizer_config.json or the model's config.json names.

    By tokenizer_class, where either says it, else by model_type; of files alone by their names.

    Raises:
        OSError, ValueError: a file can't be read, or names what is not supported.
    """
    model_config = _read_optional(folder / MODEL_CONFIG_FILE)
    for file, values in ((CONFIG_FILE, _read_optional(folder / CONFIG_FILE)), (MODEL_CONFIG_FILE, model_config)):
        name = values.get("tokenizer_class")
        if name is not None:
            family = family_of_class(name) if isinstance(name, str) else None
            if family is None:
                names = ", ".join((*(known.name for known in FAMILIES.values()), *GENERIC_NAMES))
                raise ValueError(f"{folder / file}: tokenizer_class: wanted one of {names}, found {name!r}")
            return family
    kind = model_config.get("model_type")
    if kind is not None:
        if not isinstance(kind, str) or kind not in FAMILIES:
            raise ValueError(
                f"{folder / MODEL_CONFIG_FILE}: model_type: wanted one of {', '.join(FAMILIES)}, "
                f"or a tokenizer_class, found {kind!r}"
            )
        return FAMILIES[kind]
    return ROBERTA if not (folder / WORDPIECE[0]).exists() and (folder / BYTE_BPE[0]).exists() else BERT


def load_tokenizer(folder: Path, family: TokenizerFamily, given: Mapping[str, Any]) -> LoadedTokenizer:
    """Reads tokenizer.json where there is one, else the family's own files.

    tokenizer.json decides. Those of its steps that had a switch in transformers 4 are set by what tokenizer_config.json
    says of them.

    Args:
        folder: where the files are.
        family: what they are read as.
        given: goes before what tokenizer_config.json says, key by key.

    Raises:
        OSError: there is neither, or a file can't be read.
        ValueError: a file is malformed, or asks for what is not supported.
    """
    values = _read_optional(folder / CONFIG_FILE)
    if "added_tokens_decoder" not in values:  # newer files repeat in it what older ones say apart
        values |= _read_optional(folder / SPECIAL_TOKENS_FILE)
    config = TokenizerConfig({**values, **given}, str(folder / CONFIG_FILE), family)
    file = folder / TOKENIZER_FILE
    greatest_id: int | None = None
    if file.exists():
        check_regular(file)
        data = file.read_bytes()
        with as_value_error(f"{file}: not a valid tokenizer.json"):
            backend = Tokenizer.from_buffer(data)
        # Cheaper than to read the vocabulary: every id stands after a colon, so none exceeds all of these;
        # or ids are places in a list.
        found = max(map(int, _INTEGERS.findall(data)), default=_SHORTER)
        greatest_id = max(found, _SHORTER, backend.get_vocab_size() - 1)
        taken = taken_switches(backend, family)
        set_switches(backend, config, taken)
    elif family.files and all((folder / name).exists() for name in family.files):
        file = folder / family.files[0]
        backend = from_vocabulary(folder, config)
        taken = {*BERT_DEFAULTS} if family.files == WORDPIECE else {*ROBERTA_DEFAULTS}
    else:
        raise _no_files(folder, family)
    tell_useless(given, taken, file)
    settings = _settings(config, backend, folder)
    if _add_tokens(backend, settings, config, folder / ADDED_TOKENS_FILE):
        greatest_id = None
    if file.name != TOKENIZER_FILE:
        set_special_tokens(backend, config, settings.tokens, file)
    unknown = getattr(backend.model, "unk_token", None)
    if isinstance(backend.model, WordPiece) and backend.model.token_to_id(str(unknown)) is None:
        raise ValueError(f"{file}: wanted the unknown token {unknown!r} in the vocabulary, found none")
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = config.flag("split_special_tokens", False)
    return LoadedTokenizer(backend, settings, greatest_id)


def _no_files(folder: Path, family: TokenizerFamily) -> FileNotFoundError:
    models = sorted(path.name for path in folder.glob("*.model"))
    if models:
        return FileNotFoundError(
            f"{folder}: wanted {TOKENIZER_FILE}, found {models[0]} alone, which is not read here; "
            f"transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder), with sentencepiece "
            f"installed, makes the one of the other"
        )
    present = [name for name in family.files if (folder / name).exists()]
    wanted = " or ".join(filter(None, (TOKENIZER_FILE, " and ".join(family.files))))
    found = f"{present[0]} alone" if present else "neither" if family.files else "none"
    return FileNotFoundError(f"{folder}: a {family.name}: wanted {wanted}, found {found}")


def _settings(config: TokenizerConfig, backend: Tokenizer, folder: Path) -> Settings:
    # What tokenizer.json was last used with; only its sides outlive the load.
    truncation, padding = backend.truncation or {}, backend.padding or {}
    tokens: dict[str, str] = {}
    for name in NAMES:
        token, default = config.token(name), config.default_token(name)
        if token is not None:
            tokens[name] = token.content
        elif default is not None and backend.token_to_id(default.content) is not None:
            tokens[name] = default.content
    if "pad_token" not in tokens and "pad_token" not in config.values and padding:
        tokens["pad_token"] = str(padding["pad_token"])
    names: tuple[str, ...] = ()
    if "model_input_names" not in config.values:
        names = input_names(config.family, _read_optional(folder / MODEL_CONFIG_FILE))
    extra = [token.content for token in config.extra_tokens()]
    if not extra:
        extra = [token for token in config.family.extra_special_tokens if backend.token_to_id(token) is not None]
    return Settings(
        tokens=tokens,
        extra_special_tokens=extra,
        model_max_length=config.length("model_max_length", NO_LIMIT),
        padding_side=config.side("padding_side", str(padding.get("direction", "right")).lower()),  # type: ignore[arg-type]
        truncation_side=config.side("truncation_side", str(truncation.get("direction", "right")).lower()),  # type: ignore[arg-type]
        model_input_names=config.texts("model_input_names", names),
        clean_up_tokenization_spaces=bool(config.optional_flag("clean_up_tokenization_spaces", False)),
        config=config.values,
    )


def _add_tokens(backend: Tokenizer, settings: Settings, config: TokenizerConfig, added_file: Path) -> bool:
    """Adds the tokens that the files name and the tokenizer does not know yet, in the order of their ids.

    Those of added_tokens_decoder go before what tokenizer.json says of the same.
    """
    special = {*settings.tokens.values(), *settings.extra_special_tokens}
    known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
    wanted = config.added_tokens()
    tokens = [] if wanted is None else [token for _, token in sorted(wanted.items())]
    new = [token for token in tokens if repr(known.get(token.content)) != repr(token)]
    if wanted is None:
        new += [token for token in _from_added_file(added_file, special) if token.content not in known]
    seen = {*known, *(token.content for token in new)}
    named = [config.token(name) or config.default_token(name) for name in settings.tokens] + [*config.extra_tokens()]
    matching = {token.content: token for token in named if token is not None}
    for content in (*settings.tokens.values(), *settings.extra_special_tokens):
        if content not in seen:
            seen.add(content)
            new.append(matching.get(content) or AddedToken(content, special=True, normalized=False))
    for token in new:
        token.special = token.special or token.content in special
    if new:
        backend.add_tokens(new)
    return bool(new)


def _from_added_file(path: Path, special: set[str]) -> list[AddedToken]:
    """Those of added_tokens.json, in the order of their ids."""
    wanted: dict[int, AddedToken] = {}
    for content, index in _read_optional(path).items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise ValueError(f"{path}: {content!r}: wanted an id, found {index!r}")
        is_special = content in special
        wanted[index] = AddedToken(content, special=is_special, normalized=not is_special)
    return [token for _, token in sorted(wanted.items())]


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.exists() else {}
