"""A folder's tokenizer files -> a `tokenizers.Tokenizer` without truncation and padding, and its settings."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from npbert.json_file import read_json_object

TOKENIZER_FILE = "tokenizer.json"
VOCAB_FILE = "vocab.txt"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

TOKENIZER_FILES = (TOKENIZER_FILE, VOCAB_FILE, CONFIG_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE)
"""What is wanted from the hub for a tokenizer."""

BERT_CLASSES = ("BertTokenizer", "BertTokenizerFast")
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")  # tokenizer.json says it all

Side: TypeAlias = Literal["left", "right"]
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
BERT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
NO_LIMIT = int(1e30)  # what transformers writes for a tokenizer without a longest length

_INTEGERS = re.compile(rb":\s*(\d{5,10})")
_SHORTER = 10**4 - 1  # the greatest integer that _INTEGERS passes over


@dataclass(frozen=True)
class Settings:
    """What tokenizer_config.json and special_tokens_map.json say, checked, HF's names and defaults."""

    tokens: dict[str, str]  # "mask_token" -> "[MASK]", those that there are
    extra_special_tokens: list[str] = field(default_factory=list)
    model_max_length: int = NO_LIMIT
    padding_side: Side = "right"
    truncation_side: Side = "right"
    pad_token_type_id: int = 0
    model_input_names: tuple[str, ...] = ("input_ids", "token_type_ids", "attention_mask")
    clean_up_tokenization_spaces: bool = False
    config: dict[str, Any] = field(default_factory=dict)  # all of it, as it was read


@dataclass(frozen=True)
class LoadedTokenizer:
    backend: Tokenizer
    settings: Settings
    greatest_id: int | None  # no id is greater; None: not known without reading the vocabulary


@contextmanager
def as_value_error(what: str) -> Iterator[None]:
    """Turns what `tokenizers` raises into a ValueError that says what failed."""
    try:
        yield
    except BaseException as error:
        if is_foreign_error(error) or isinstance(error, ValueError | TypeError | OverflowError):
            raise ValueError(f"{what}: {error}") from None
        raise


def is_foreign_error(error: BaseException) -> bool:
    """Whether only `tokenizers` raises this: a bare Exception, or a panic, which is a BaseException."""
    return type(error) is Exception or type(error).__name__ == "PanicException"


def load_tokenizer(folder: Path, given: Mapping[str, Any]) -> LoadedTokenizer:
    """Reads tokenizer.json where there is one, else vocab.txt.

    The switches of BERT's normalizer that tokenizer_config.json names go before those of tokenizer.json.

    Args:
        folder: where the files are.
        given: goes before what tokenizer_config.json says, key by key.

    Raises:
        OSError: there is neither, or a file can't be read.
        ValueError: a file is malformed, or asks for what is not supported.
    """
    config = _read_optional(folder / CONFIG_FILE)
    kind = config.get("tokenizer_class") or BERT_CLASSES[0]
    if kind not in (*BERT_CLASSES, *GENERIC_CLASSES):
        raise ValueError(
            f"{folder / CONFIG_FILE}: tokenizer_class: wanted one of "
            f"{', '.join((*BERT_CLASSES, *GENERIC_CLASSES))}, found {kind!r}"
        )
    if "added_tokens_decoder" not in config:  # newer files repeat in it what older ones say apart
        config |= _read_optional(folder / SPECIAL_TOKENS_FILE)
    config |= given
    read = _Config(config, str(folder / CONFIG_FILE))
    file, vocab = folder / TOKENIZER_FILE, folder / VOCAB_FILE
    greatest_id: int | None = None
    if file.exists():
        data = _read_bytes(file)
        with as_value_error(f"{file}: not a valid tokenizer.json"):
            backend = Tokenizer.from_buffer(data)
        # Cheaper than to read the vocabulary: every id stands after a colon, so none exceeds all of these.
        found = max(map(int, _INTEGERS.findall(data)), default=_SHORTER)
        greatest_id = max(found, _SHORTER, backend.get_vocab_size() - 1)
        if kind in BERT_CLASSES:
            _set_normalizer(backend, read)
    elif vocab.exists() and kind in BERT_CLASSES:
        file, backend = vocab, _from_vocab(vocab, read)
    else:
        wanted = TOKENIZER_FILE if kind in GENERIC_CLASSES else f"{TOKENIZER_FILE} or {VOCAB_FILE}"
        raise FileNotFoundError(f"{folder}: wanted {wanted}, found neither tokenizer file")
    settings = _settings(read, backend, kind in BERT_CLASSES)
    if _add_tokens(backend, settings, read, folder / ADDED_TOKENS_FILE) and greatest_id is not None:
        greatest_id = None
    if kind in BERT_CLASSES and backend.post_processor is None:
        _set_template(backend, settings, file)
    unknown = getattr(backend.model, "unk_token", None)
    if isinstance(backend.model, WordPiece) and backend.model.token_to_id(str(unknown)) is None:
        raise ValueError(f"{file}: wanted the unknown token {unknown!r} in the vocabulary, found none")
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = read.flag("split_special_tokens", False)
    return LoadedTokenizer(backend, settings, greatest_id)


class _Config:
    """Values of tokenizer_config.json, each checked where it is read."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values = values
        self._where = where

    def wrong(self, key: str, wanted: str) -> ValueError:
        return ValueError(f"{self._where}: {key}: wanted {wanted}, found {self.values[key]!r}")

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def optional_flag(self, key: str, default: bool | None) -> bool | None:
        return None if self.values.get(key, default) is None else self.flag(key, bool(default))

    def length(self, key: str, default: int) -> int:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise self.wrong(key, "a positive whole number")
        return NO_LIMIT if value > NO_LIMIT else int(value)

    def side(self, key: str, default: Side) -> Side:
        value = self.values.get(key, default)
        if value not in get_args(Side):
            raise self.wrong(key, "'left' or 'right'")
        side: Side = value
        return side

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.values.get(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(value)

    def token(self, key: str) -> AddedToken | None:
        value = self.values.get(key)
        return None if value is None else self.as_token(key, value)

    def extra_tokens(self) -> list[AddedToken]:
        for key in ("extra_special_tokens", "additional_special_tokens"):  # newer and older name
            value = self.values.get(key)
            if value:
                if not isinstance(value, list | tuple | dict):
                    raise self.wrong(key, "a list of tokens")
                tokens = value.values() if isinstance(value, dict) else value
                return [self.as_token(key, token) for token in tokens]
        return []

    def as_token(self, key: str, value: Any) -> AddedToken:
        """A special token: a string, or an object with how it matches."""
        if isinstance(value, str) and value:
            return AddedToken(value, special=True, normalized=False)
        if isinstance(value, dict) and isinstance(value.get("content"), str) and value["content"]:
            how = {name: value.get(name, False) for name in ("single_word", "lstrip", "rstrip")}
            special = value.get("special", True)
            how |= {"special": special, "normalized": value.get("normalized", not special)}
            if all(isinstance(item, bool) for item in how.values()):
                return AddedToken(value["content"], **how)
        raise ValueError(f"{self._where}: {key}: wanted a token, found {value!r}")


def _settings(read: _Config, backend: Tokenizer, is_bert: bool) -> Settings:
    # What tokenizer.json was last used with; only its sides outlive the load.
    truncation, padding = backend.truncation or {}, backend.padding or {}
    tokens: dict[str, str] = {}
    for name in NAMES:
        token = read.token(name)
        if token is not None:
            tokens[name] = token.content
        elif (
            is_bert
            and name not in read.values
            and name in BERT_TOKENS
            and backend.token_to_id(BERT_TOKENS[name]) is not None
        ):
            tokens[name] = BERT_TOKENS[name]
    if "pad_token" not in tokens and "pad_token" not in read.values and padding:
        tokens["pad_token"] = str(padding["pad_token"])
    return Settings(
        tokens=tokens,
        extra_special_tokens=[token.content for token in read.extra_tokens()],
        model_max_length=read.length("model_max_length", NO_LIMIT),
        padding_side=read.side("padding_side", str(padding.get("direction", "right")).lower()),  # type: ignore[arg-type]
        truncation_side=read.side("truncation_side", str(truncation.get("direction", "right")).lower()),  # type: ignore[arg-type]
        pad_token_type_id=int(padding.get("pad_type_id", 0)),
        model_input_names=read.texts("model_input_names", Settings.model_input_names),
        clean_up_tokenization_spaces=bool(read.optional_flag("clean_up_tokenization_spaces", False)),
        config=read.values,
    )


def _set_normalizer(backend: Tokenizer, read: _Config) -> None:
    normalizer = backend.normalizer
    if not isinstance(normalizer, BertNormalizer):
        return
    lowercase = read.flag("do_lower_case", normalizer.lowercase)
    accents = read.optional_flag("strip_accents", normalizer.strip_accents)
    chinese = read.flag("tokenize_chinese_chars", normalizer.handle_chinese_chars)
    now = (normalizer.lowercase, normalizer.strip_accents, normalizer.handle_chinese_chars)
    if now != (lowercase, accents, chinese):
        backend.normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=chinese,
            strip_accents=accents,
            lowercase=lowercase,
        )


def _from_vocab(path: Path, read: _Config) -> Tokenizer:
    _check_regular(path)
    unknown = read.token("unk_token")
    with as_value_error(f"{path}: not a valid vocabulary"):
        model = WordPiece.from_file(str(path), unk_token=unknown.content if unknown else "[UNK]")
        backend = Tokenizer(model)
    if backend.get_vocab_size() == 0:
        raise ValueError(f"{path}: wanted a token on each line, found none")
    backend.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=read.flag("tokenize_chinese_chars", True),
        strip_accents=read.optional_flag("strip_accents", None),
        lowercase=read.flag("do_lower_case", True),
    )
    backend.pre_tokenizer = BertPreTokenizer()
    backend.decoder = WordPieceDecoder(prefix="##")
    return backend


def _add_tokens(backend: Tokenizer, settings: Settings, read: _Config, added_file: Path) -> bool:
    """Adds the tokens that the files name and the tokenizer does not know yet, in the order of their ids."""
    special = {*settings.tokens.values(), *settings.extra_special_tokens}
    wanted: dict[int, AddedToken] = {}
    decoder = read.values.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        raise read.wrong("added_tokens_decoder", "an object")
    for index, token in decoder.items():
        if not index.isdecimal() or not isinstance(token, dict):
            raise read.wrong("added_tokens_decoder", "an object of ids and tokens")
        wanted[int(index)] = read.as_token(f"added_tokens_decoder.{index}", {"special": False, **token})
    if "added_tokens_decoder" not in read.values:
        for content, index in _read_optional(added_file).items():
            if isinstance(index, bool) or not isinstance(index, int):
                raise ValueError(f"{added_file}: {content!r}: wanted an id, found {index!r}")
            is_special = content in special
            wanted[index] = AddedToken(content, special=is_special, normalized=not is_special)
    tokens = [token for _, token in sorted(wanted.items())]
    for name in settings.tokens:
        token = read.token(name)
        tokens.append(token if token is not None else read.as_token(name, settings.tokens[name]))
    tokens += read.extra_tokens()

    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    missing: list[AddedToken] = []
    for token in tokens:
        if token.content in known:
            continue
        known.add(token.content)
        token.special = token.special or token.content in special
        missing.append(token)
    if missing:
        backend.add_tokens(missing)
    return bool(missing)


def _set_template(backend: Tokenizer, settings: Settings, file: Path) -> None:
    """[CLS] A [SEP] and [CLS] A [SEP] B [SEP]."""
    ids = {}
    for name in ("cls_token", "sep_token"):
        token = settings.tokens.get(name)
        index = None if token is None else backend.token_to_id(token)
        if token is None or index is None:
            raise ValueError(f"{file}: wanted {name} {BERT_TOKENS[name]!r} in the vocabulary, found none")
        ids[token] = index
    cls, sep = settings.tokens["cls_token"], settings.tokens["sep_token"]
    parts = [(cls, 0), ("$A", 0), (sep, 0), ("$B", 1), (sep, 1)]
    with as_value_error(f"{file}: {cls!r} and {sep!r} make no template"):
        backend.post_processor = TemplateProcessing(
            single=[f"{token}:{kind}" for token, kind in parts[:3]],
            pair=[f"{token}:{kind}" for token, kind in parts],
            special_tokens=list(ids.items()),
        )


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.exists() else {}


def _read_bytes(path: Path) -> bytes:
    _check_regular(path)
    return path.read_bytes()


def _check_regular(path: Path) -> None:
    # Looked at before it is opened: opening a FIFO would wait for a writer for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path}: wanted a regular file")
