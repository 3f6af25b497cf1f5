"""JSON files made odd: a key's value, a key gone, given twice, or added; and ways to write the same otherwise."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from torture.folder import Folder
from torture.verdict import one_line
from torture.weights import joined, parted

Path: TypeAlias = tuple["str | int", ...]
HEADER = "#header"  # behind the name of a safetensors file: the JSON that it begins with
_MARK = "\ue000put\ue000"

# As JSON writes them, so that what Python would not write is among them.
ODD_VALUES = (
    *(
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "2",
        "3",
        "4",
        "7",
        "8",
        "20",
        "1000",
        "0.0",
        "-0.0",
        "0.5",
        "1.0",
        "2.5",
    ),
    *("2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("-9223372036854775808", "1e30", "1e308", "1e400", "-1e400", "1e-60", "1e-400", "NaN", "Infinity", "-Infinity"),
    *("1" + "0" * 30, "1" + "0" * 60, "1" + "0" * 400, "1" + "0" * 5000, "-1" + "0" * 5000),
    *(
        '""',
        '"a"',
        '" "',
        '"1"',
        '"-1"',
        '"true"',
        '"None"',
        '"é"',
        '"\\u0000"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"a\\nb"',
    ),
    *(
        '"\\u001b[31m"',
        '"\\u202e"',
        '"../x"',
        '"/etc/passwd"',
        '"/dev/zero"',
        '"."',
        '".."',
        '"C:\\\\x"',
        '"a/b"',
        '"~"',
    ),
    *('"gelu"', '"relu"', '"silu"', '"gelu_new"', '"gelu_python"', '"gelu_10"', '"quick_gelu"', '"mish"', '"linear"'),
    *('"left"', '"right"', '"LEFT"', '"mean"', '"cls"', '"max"', '"lasttoken"', '"dot"', '"cosine"', '"cos_sim"'),
    *('"absolute"', '"relative_key"', '"relative_key_query"', '"regression"', '"float32"', '"bfloat16"', '"int8"'),
    *('"[MASK]"', '"[UNK]"', '"<s>"', '"</s>"', '"the"', '"##s"', '"▁"', '"{}"', '"{0.__class__}"', '"%s"'),
    *('"torch.nn.modules.activation.Tanh"', '"torch.nn.ReLU"', '"os.system"', '"builtins.eval"'),
    '"' + "x" * 300 + '"',
    '"' + "x" * 20_000 + '"',
    '"' + "é" * 3000 + '"',
    *("[]", "[0]", "[1]", "[-1]", "[null]", '[""]', '["a"]', "[[]]", "[1, 2]", "[0.5]", '["mean", "max"]', "[true]"),
    *("{}", '{"0": [0]}', '{"0": 1}', '{"a": "b"}', '{"a": null}', '{"": ""}', '{"content": "[X]"}', '{"content": ""}'),
    *('{"content": "[X]", "lstrip": true, "special": true}', '{"type": "Lowercase"}', '{"type": "Sequence"}'),
    "[" * 50 + "]" * 50,
    "[" * 3000 + "]" * 3000,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 500 + "1" + "}" * 500,
    "[" + ", ".join(["0"] * 2000) + "]",
    "{" + ", ".join(f'"{key}": {key}' for key in range(500)) + "}",
)
NOT_JSON = ("", "nul", "'a'", "{,}", "[1,]", "1 2", "0x10", "01", "+1", ".5", "//", "undefined", '"', "\x00")
ADDED_KEYS = (
    *("", "type", "extra", "family", "self", "__class__", "__init__", "attribute_map", "num_labels", "pruned_heads"),
    *("id2label", "label2id", "problem_type", "torch_dtype", "dtype", "quantization_config", "is_decoder", "auto_map"),
    *("add_cross_attention", "position_embedding_type", "num_hidden_groups", "inner_group_num", "embedding_size"),
    *("output_attentions", "output_hidden_states", "return_dict", "tie_word_embeddings", "pad_token_id", "chunk_size"),
    *("sentence_transformers", "sbert_ce_default_activation_function", "tokenizer_class", "summary_type", "classifier"),
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "model_max_length", "truncation"),
    *("padding_side", "truncation_side", "added_tokens_decoder", "extra_special_tokens", "additional_special_tokens"),
    *(
        "mask_token",
        "unk_token",
        "model_input_names",
        "clean_up_tokenization_spaces",
        "split_special_tokens",
        "never_split",
    ),
    *("include_prompt", "pooling_mode", "embedding_dimension", "truncate_dim", "modality_config", "query_length"),
    *("tokenizer_args", "model_args", "config_args", "max_seq_length", "transformer_task", "activation_function"),
    *("use_residual", "module_input_name", "module_output_name", "bias", "metadata", "weight_map", "__metadata__"),
    *("dropout", "byte_fallback", "fuse_unk", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"),
    *(
        "max_input_chars_per_word",
        "prepend_scheme",
        "split",
        "lstrip",
        "normalized",
        "special",
        "single_word",
        "pattern",
    ),
)


@dataclass(frozen=True)
class Put:
    """A value in the place of another, or under a key that was not there."""

    file: str
    path: Path
    value: str  # as JSON writes it, or not even that
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.file}: {_shown(self.path)} = {one_line(self.value, 80)}"

    @property
    def mark(self) -> str:
        return f"{self.file}: {_shown(self.path)}"

    def apply(self, folder: Folder) -> None:
        _edit(folder, self.file, self.path, self.value)


@dataclass(frozen=True)
class Drop:
    """A key or an item that is gone."""

    file: str
    path: Path
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.file}: without {_shown(self.path)}"

    def apply(self, folder: Folder) -> None:
        _edit(folder, self.file, self.path, None)


@dataclass(frozen=True)
class Twice:
    """A key that is given twice, the second time with another value."""

    file: str
    path: Path
    value: str
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.file}: {_shown(self.path)} twice, then {one_line(self.value, 80)}"

    def apply(self, folder: Folder) -> None:
        found = _parsed(folder, self.file)
        if found is None or (holder := _holder(found, self.path)) is None or not isinstance(holder, dict):
            return
        key = str(self.path[-1])
        holder[_MARK] = 0
        text = json.dumps(found, ensure_ascii=False)
        _put_back(folder, self.file, text.replace(f'"{_MARK}": 0', f"{json.dumps(key)}: {self.value}"))


@dataclass(frozen=True)
class Rename:
    """A key under another name."""

    file: str
    path: Path
    name: str
    keeps: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"{self.file}: {_shown(self.path)} is called {one_line(repr(self.name), 80)}"

    def apply(self, folder: Folder) -> None:
        found = _parsed(folder, self.file)
        if found is None or (holder := _holder(found, self.path)) is None or not isinstance(holder, dict):
            return
        items = [(self.name if key == self.path[-1] else key, value) for key, value in holder.items()]
        holder.clear()
        holder.update(items)
        _put_back(folder, self.file, json.dumps(found, ensure_ascii=not self.name.isprintable()))


@dataclass(frozen=True)
class Restyle:
    """The same, written otherwise."""

    file: str
    how: str
    keeps: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{self.file}: {self.how}"

    def apply(self, folder: Folder) -> None:
        found = _parsed(folder, self.file)
        if found is None:
            return
        written = {
            "indented": lambda: json.dumps(found, indent=7, ensure_ascii=False),
            "with escapes": lambda: json.dumps(found, ensure_ascii=True),
            "without spaces": lambda: json.dumps(found, separators=(",", ":"), ensure_ascii=False),
            "lines end with CR LF": lambda: json.dumps(found, indent=1, ensure_ascii=False).replace("\n", "\r\n"),
            "white space around": lambda: "\n \t\r\n" + json.dumps(found, ensure_ascii=False) + " \n\n",
        }
        _put_back(folder, self.file, written[self.how]())


STYLES = ("indented", "with escapes", "without spaces", "lines end with CR LF", "white space around")


def drawn(dice: random.Random, file: str, values: Any, paths: list[Path]) -> Put | Drop | Twice | Rename:
    """Something odd about a file that holds these values, whose paths are `paths_of` them."""
    way = dice.random()
    if way < 0.6:
        path = dice.choice(paths)
        return Put(file, path, _value(dice, values, paths))
    if way < 0.72:
        return Drop(file, dice.choice(paths[1:] or paths))
    if way < 0.88:
        holders = [path for path in paths if isinstance(_at(values, path), dict)]
        if holders:
            return Put(file, (*dice.choice(holders), dice.choice(ADDED_KEYS)), _value(dice, values, paths))
    keyed = [path for path in paths if path and isinstance(path[-1], str)]
    if not keyed:
        return Put(file, dice.choice(paths), _value(dice, values, paths))
    if way < 0.94:
        return Twice(file, dice.choice(keyed), _value(dice, values, paths))
    old = dice.choice(keyed)
    name = dice.choice(
        [str(old[-1]) + " ", str(old[-1]).upper(), str(old[-1]) + "\n", "\x1b", "x" * 5000, "é", "a.b", ""]
    )
    return Rename(file, old, name)


def _value(dice: random.Random, values: Any, paths: list[Path]) -> str:
    way = dice.random()
    if way < 0.78:
        return dice.choice(ODD_VALUES)
    if way < 0.93:
        return json.dumps(_at(values, dice.choice(paths)), ensure_ascii=False)  # what stands elsewhere in the file
    return dice.choice(NOT_JSON)


def paths_of(values: Any) -> list[Path]:
    """Of all that is inside; of long lists and tables the first few, the last and some between."""
    return list(_paths(values))


def _paths(values: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(values, dict):
        keys: list[Any] = list(values)
    elif isinstance(values, list):
        keys = list(range(len(values)))
    else:
        return
    for key in keys if len(keys) <= 60 else keys[:8] + keys[8:-2:37] + keys[-2:]:
        yield from _paths(values[key], (*path, key))


def _at(values: Any, path: Path) -> Any:
    for key in path:
        values = values[key]
    return values


def _holder(values: Any, path: Path) -> Any:
    """What holds the last key of a path; None where it is not there, or the path is that of all."""
    try:
        holder = _at(values, path[:-1])
        holder[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    return holder if path else None


def _edit(folder: Folder, file: str, path: Path, value: str | None) -> None:
    """Puts a value, or takes one away; nothing where there is no such place any more."""
    found = _parsed(folder, file)
    if found is None:
        return
    if not path:
        _put_back(folder, file, value or "")
        return
    try:
        holder = _at(found, path[:-1])
        if value is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = _MARK
    except (KeyError, IndexError, TypeError):
        return
    text = json.dumps(found, ensure_ascii=False)
    _put_back(folder, file, text if value is None else text.replace(json.dumps(_MARK, ensure_ascii=False), value))


def _parsed(folder: Folder, file: str) -> Any:
    """A copy of what a file holds; None where it holds no JSON."""
    name = file.removesuffix(HEADER)
    content = folder.get(name)
    if not isinstance(content, bytes):
        return None
    try:
        return json.loads(parted(content)[0] if file.endswith(HEADER) else content)
    except (ValueError, RecursionError):
        return None


def _put_back(folder: Folder, file: str, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    name = file.removesuffix(HEADER)
    if file.endswith(HEADER):
        content = folder[name]
        assert isinstance(content, bytes)
        data = joined(data, parted(content)[1])
    folder[name] = data


def _shown(path: Path) -> str:
    return one_line(".".join(map(str, path)), 120) or "all"
