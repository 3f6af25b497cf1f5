"""A folder's tokenizer files -> a `tokenizers.Tokenizer` without truncation and padding, and its settings."""

from __future__ import annotations

import os
import re
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece

from npbert.checks import show
from npbert.files.hub import Folder
from npbert.files.names import (
    ADDED_TOKENS_FILE,
    BYTE_BPE,
    CONFIG_FILE,
    SENTENCEPIECE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG,
    TOKENIZER_FILE,
    WORDPIECE,
)
from npbert.files.regular_file import read_bounded
from npbert.text.backends import copied
from npbert.text.errors import as_value_error, guarded
from npbert.text.families import (
    BERT,
    FAMILIES,
    GENERIC,
    GENERIC_NAMES,
    ROBERTA,
    TokenizerFamily,
    family_of_class,
    input_names,
)
from npbert.text.settings import NAMES, NO_LIMIT, Settings, TokenizerConfig
from npbert.text.steps import set_special_tokens
from npbert.text.switches import check_switches, set_switches, taken_switches

MOST_BYTES = 100_000_000  # of a tokenizer.json: a million tokens, as XLM-V has them, take 60 MB

_CHARSMAP = b'"precompiled_charsmap"'
_BASE64 = re.compile(rb'\s*:\s*"(?=([A-Za-z0-9+/]{8}))([A-Za-z0-9+/]+)')  # what follows it
_INTEGERS = re.compile(rb":\s*(\d{5,10})")
_SHORTER = 10**4 - 1  # the greatest integer that _INTEGERS passes over


class LoadedTokenizer(NamedTuple):
    backend: Tokenizer
    settings: Settings
    greatest_id: int | None  # no id is greater; None: not known without reading the vocabulary


def find_family(folder: Folder) -> TokenizerFamily:
    """The family that tokenizer_config.json or the model's config.json names.

    By tokenizer_class, where either says it, else by model_type; of files alone by their names. Where there is a
    tokenizer.json, a name that is not known is that of a tokenizer of which this file says all.

    Raises:
        OSError, ValueError: a file can't be read, or names what is not supported.
    """
    for file in (TOKENIZER_CONFIG, CONFIG_FILE):
        values = folder.optional_values(file)
        name = values.get("tokenizer_class")
        if name is not None:
            family = family_of_class(name) if isinstance(name, str) else None
            if family is None and (not isinstance(name, str) or not folder.has(TOKENIZER_FILE)):
                names = ", ".join(dict.fromkeys((*(known.name for known in FAMILIES.values()), *GENERIC_NAMES)))
                wanted = f"tokenizer_class: wanted one of {names}, or a {TOKENIZER_FILE}"
                raise ValueError(f"{folder / file}: {wanted}, found {show(name)}")
            return family or GENERIC
    kind = values.get("model_type")
    if kind is not None:
        if isinstance(kind, str) and kind in FAMILIES:
            return FAMILIES[kind]
        if not isinstance(kind, str) or not folder.has(TOKENIZER_FILE):
            raise ValueError(
                f"{folder / file}: model_type: wanted one of {', '.join(FAMILIES)}, "
                f"or a tokenizer_class or a {TOKENIZER_FILE}, found {show(kind)}"
            )
        return GENERIC
    return ROBERTA if not folder.has(WORDPIECE[0]) and folder.has(BYTE_BPE[0]) else BERT


def load_tokenizer(folder: Folder, family: TokenizerFamily, given: Mapping[str, Any]) -> LoadedTokenizer:
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
    values = folder.optional_values(TOKENIZER_CONFIG)
    if "added_tokens_decoder" not in values:  # newer files repeat in it what older ones say apart
        values |= folder.optional_values(SPECIAL_TOKENS_FILE)
    config = TokenizerConfig({**values, **given}, str(folder / TOKENIZER_CONFIG), family)
    file, parts = folder / TOKENIZER_FILE, [folder / name for name in family.files]
    if folder.has(TOKENIZER_FILE):
        return _of_steps(*_read(file), config, given, str(file), folder)
    if parts and all(map(folder.has, family.files)):
        return _of_vocabulary(parts, config, given, str(parts[0]), folder)
    raise _no_files(folder, family)


def make_tokenizer(
    caller: str, family: TokenizerFamily, sources: Mapping[str, Any], given: Mapping[str, Any]
) -> LoadedTokenizer:
    """A tokenizer of what a constructor was given: tokenizer_object, tokenizer_file, or a vocabulary of the family's.

    Args:
        caller: the constructor, for messages.
        family: what it is made as.
        sources: vocab or vocab_file, merges or merges_file, tokenizer_file, tokenizer_object; None for what is not.
        given: what tokenizer_config.json would say.

    Raises:
        OSError: a file can't be read.
        ValueError: there is not what is wanted, a file is malformed, or asks for what is not supported.
    """
    present = {name: source for name, source in sources.items() if source is not None}
    for name, source in present.items():
        if isinstance(source, str | os.PathLike) and Path(source).is_dir():
            raise IsADirectoryError(
                f"{caller}: {name}: wanted a file, found the folder {source}, which {caller}.from_pretrained reads"
            )
    config = TokenizerConfig(dict(given), caller, family)
    if list(present) == ["tokenizer_object"]:
        backend = present["tokenizer_object"]
        if not isinstance(backend, Tokenizer):
            raise ValueError(f"{caller}: tokenizer_object: wanted a tokenizers.Tokenizer, found {show(backend)}")
        with guarded(f"{caller}: tokenizer_object"):
            backend = copied(backend)
        return _of_steps(backend, None, config, given, caller)
    if list(present) == ["tokenizer_file"]:
        file = Path(present["tokenizer_file"])
        return _of_steps(*_read(file), config, given, str(file))
    parts = [name for file in family.files for name in _PART_NAMES[file] if name in present]
    if parts and len(parts) == len(present) == len(family.files):
        where = present[parts[0]]
        where = os.fspath(where) if isinstance(where, str | os.PathLike) else caller
        return _of_vocabulary([present[name] for name in parts], config, given, where)
    own = " and ".join(" or ".join(_PART_NAMES[file]) for file in family.files)
    wanted = " or ".join(filter(None, ("tokenizer_file", "tokenizer_object", own)))
    raise ValueError(
        f"{caller}: wanted {wanted}, found {' and '.join(present) or 'none'}; {caller}.from_pretrained reads a folder"
    )


_PART_NAMES = {
    **dict.fromkeys((files[0] for files in (WORDPIECE, BYTE_BPE, *SENTENCEPIECE)), ("vocab", "vocab_file")),
    BYTE_BPE[1]: ("merges", "merges_file"),
}
"""What a constructor calls a file of a family's own."""


def _read(file: Path) -> tuple[Tokenizer, int]:
    """What a tokenizer.json describes, and a number that no id exceeds."""
    data = read_bounded(file, MOST_BYTES)
    end = 0
    while (end := data.find(_CHARSMAP, end) + 1) > 0:  # a fourth of the time that a search by pattern takes
        if charsmap := _BASE64.match(data, end + len(_CHARSMAP) - 1):
            from npbert.text.sentencepiece_file import check_charsmap

            check_charsmap(f"{file}: precompiled_charsmap", a2b_base64(charsmap[1]), len(charsmap[2]) * 3 // 4)
    with as_value_error(f"{file}: not a valid {TOKENIZER_FILE}"):
        backend = Tokenizer.from_buffer(data)
    # Cheaper than to read the vocabulary: every id stands after a colon, so none exceeds all of these;
    # or ids are places in a list.
    found = max(map(int, _INTEGERS.findall(data)), default=_SHORTER)
    return backend, max(found, _SHORTER, backend.get_vocab_size() - 1)


def _of_steps(
    backend: Tokenizer,
    greatest_id: int | None,
    config: TokenizerConfig,
    given: Mapping[str, Any],
    where: str,
    folder: Folder | None = None,
) -> LoadedTokenizer:
    """Of a tokenizer that has all its steps; `where` stands in messages."""
    with guarded(f"{where}: not a valid tokenizer"):
        set_switches(backend, config, taken_switches(backend, config.family))
        settings = _settings(config, backend, folder)
        added = _add_tokens(backend, settings, config, folder)
        return _finished(backend, settings, None if added else greatest_id, config, given, where)


def _of_vocabulary(
    parts: Sequence[Any], config: TokenizerConfig, given: Mapping[str, Any], where: str, folder: Folder | None = None
) -> LoadedTokenizer:
    """Of a family's vocabulary; `where` stands in messages."""
    from npbert.text.from_vocabulary import from_vocabulary  # most folders have a tokenizer.json

    with guarded(f"{where}: not a valid tokenizer"):
        backend = from_vocabulary(parts, config)
        settings = _settings(config, backend, folder)
        _add_tokens(backend, settings, config, folder)
        set_special_tokens(backend, config, settings.tokens, where)
        return _finished(backend, settings, None, config, given, where)


def _finished(
    backend: Tokenizer,
    settings: Settings,
    greatest_id: int | None,
    config: TokenizerConfig,
    given: Mapping[str, Any],
    where: str,
) -> LoadedTokenizer:
    check_switches(backend, given)
    unknown = getattr(backend.model, "unk_token", None)
    if isinstance(backend.model, WordPiece) and backend.model.token_to_id(str(unknown)) is None:
        raise ValueError(f"{where}: wanted the unknown token {show(unknown)} in the vocabulary, found none")
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = config.flag("split_special_tokens", False)
    return LoadedTokenizer(backend, settings, greatest_id)


def _no_files(folder: Folder, family: TokenizerFamily) -> FileNotFoundError:
    models = sorted(path.name for path in folder.path.glob("*.model"))
    present = [name for name in family.files if folder.has(name)]
    wanted = " or ".join(filter(None, (TOKENIZER_FILE, " and ".join(family.files))))
    found = f"{(present or models)[0]} alone" if present or models else "neither" if family.files else "none"
    return FileNotFoundError(f"{folder}: a {family.name}: wanted {wanted}, found {found}")


def _settings(config: TokenizerConfig, backend: Tokenizer, folder: Folder | None) -> Settings:
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
        model_config = {} if folder is None else folder.optional_values(CONFIG_FILE)
        names = input_names(config.family, model_config)
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


def _add_tokens(backend: Tokenizer, settings: Settings, config: TokenizerConfig, folder: Folder | None) -> bool:
    """Adds the tokens that the files name and the tokenizer does not know yet, in the order of their ids.

    Those of added_tokens_decoder go before what tokenizer.json says of the same.
    """
    special = {*settings.tokens.values(), *settings.extra_special_tokens}
    known = {token.content: token for token in backend.get_added_tokens_decoder().values()}
    wanted = config.added_tokens()
    tokens = [] if wanted is None else [token for _, token in sorted(wanted.items())]
    new = [token for token in tokens if repr(known.get(token.content)) != repr(token)]
    if wanted is None and folder is not None:
        added = _from_added_file(folder, special)
        new += [token for token in added if token.content not in known]
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


def _from_added_file(folder: Folder, special: set[str]) -> list[AddedToken]:
    """Those of added_tokens.json, in the order of their ids."""
    wanted: dict[int, AddedToken] = {}
    for content, index in folder.optional_values(ADDED_TOKENS_FILE).items():
        if isinstance(index, bool) or not isinstance(index, int):
            raise ValueError(f"{folder / ADDED_TOKENS_FILE}: {show(content)}: wanted an id, found {show(index)}")
        is_special = content in special
        wanted[index] = AddedToken(content, special=is_special, normalized=not is_special)
    return [token for _, token in sorted(wanted.items())]
