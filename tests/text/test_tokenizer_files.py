"""Files of a tokenizer: read, written, stale, malformed."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strings import PIECES, random_texts
from tokenizing import EVERYTHING, assert_same, copy_files, edit_json, load_oracle

import npbert
from npbert.text.auto import AutoTokenizer, BertTokenizer

SWITCHES = [
    {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": chinese}
    for lower in (True, False)
    for accents in (None, True, False)
    for chinese in (True, False)
]


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")])
@pytest.mark.parametrize("switches", SWITCHES)
def test_switches(switches: dict[str, Any], files: tuple[str, ...], minilm: Path, tmp_path: Path) -> None:
    """vocab.txt alone, and tokenizer.json with a tokenizer_config.json that says otherwise."""
    folder = copy_files(minilm, tmp_path, *files, "config.json")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", **switches)
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    texts = [*PIECES, *random_texts(5, 500)]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    cut = {"truncation": True, "max_length": 8}
    long_texts = random_texts(6, 100, most=60)
    assert tokenizer.encode_ids(long_texts, max_length=8) == oracle(long_texts, **cut)["input_ids"]
    tokenizer.check_vocabulary(30522)


def test_vocab_txt_and_nothing_else(minilm: Path, tmp_path: Path, tokenizer: BertTokenizer) -> None:
    alone = AutoTokenizer.from_pretrained(copy_files(minilm, tmp_path, "vocab.txt"))
    texts = random_texts(7, 500)
    assert alone(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)
    assert alone.model_max_length > 10**20
    assert alone.special_tokens_map == tokenizer.special_tokens_map
    assert len(alone("a " * 600, truncation=True, padding="max_length")["input_ids"]) == 602


def test_names_of_arguments(minilm: Path, tmp_path: Path) -> None:
    """As transformers', for calls with names."""
    npbert.BertConfig().save_pretrained(save_directory=tmp_path)
    for kind in (npbert.AutoTokenizer, npbert.BertTokenizer):
        assert kind.from_pretrained(pretrained_model_name_or_path=minilm)("a")["input_ids"] == [101, 1037, 102]
    for kind in (npbert.AutoConfig, npbert.BertConfig):
        assert kind.from_pretrained(pretrained_model_name_or_path=minilm).hidden_size == 384
    for kind in (npbert.AutoModel, npbert.BertModel):
        assert kind.from_pretrained(pretrained_model_name_or_path=minilm, backend="reference").num_parameters() > 22e6
    with pytest.raises(ValueError, match="AutoModelForCausalLM: wanted a model_type that has a LMHeadModel"):
        npbert.AutoModelForCausalLM.from_pretrained(pretrained_model_name_or_path=minilm)


def test_arguments_go_before_the_files(minilm: Path) -> None:
    cased = AutoTokenizer.from_pretrained(minilm, do_lower_case=False, model_max_length=9, padding_side="left")
    assert cased.tokenize("Hello hello") == ["[UNK]", "hello"]
    assert cased.model_max_length == 9
    assert cased(["a", "a b"], padding=True)["input_ids"] == [[0, 101, 1037, 102], [101, 1037, 1038, 102]]


def test_stale_truncation_and_padding_are_switched_off(minilm: Path, tmp_path: Path) -> None:
    """MiniLM's own file says: truncate and pad to 128."""
    stale = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    assert stale["truncation"]["max_length"] == stale["padding"]["strategy"]["Fixed"] == 128
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    assert len(tokenizer("a " * 200)["input_ids"]) == 202
    assert len(tokenizer("a")["input_ids"]) == 3
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None

    folder = copy_files(minilm, tmp_path, "tokenizer.json", "tokenizer_config.json")
    padding = {**stale["padding"], "direction": "Left", "pad_type_id": 1}
    truncation = {**stale["truncation"], "direction": "Left"}
    edit_json(folder / "tokenizer.json", padding=padding, truncation=truncation)
    left, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    assert (left.padding_side, left.truncation_side) == (oracle.padding_side, oracle.truncation_side)
    assert left.padding_side == left.truncation_side == "left"
    texts = ["a b c", "a"]
    assert_same(left(texts, texts, padding=True), oracle(texts, texts, padding=True))


def test_added_tokens(minilm: Path, tmp_path: Path) -> None:
    """Those that tokenizer_config.json, special_tokens_map.json and added_tokens.json name, with vocab.txt."""
    folder = copy_files(minilm, tmp_path, "vocab.txt", "config.json")
    edit_json(folder / "added_tokens.json", **{"<b>": 30523, "<a>": 30522, "Mixed Case": 30524})
    edit_json(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True)
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    edit_json(folder / "special_tokens_map.json", mask_token=mask, additional_special_tokens=["<x>"])
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), load_oracle(folder)
    assert tokenizer.get_added_vocab() == oracle.get_added_vocab()
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == ["<x>"]
    texts = ["<a><b> <x>", "mixed case MIXED case Mixed Case", "go  [MASK] on", "a<x>b"]
    assert_same(tokenizer(texts, **EVERYTHING), oracle(texts, **EVERYTHING))
    row = tokenizer("<a> hello <x>")["input_ids"]
    assert tokenizer.decode(row, skip_special_tokens=True) == oracle.decode(row, skip_special_tokens=True)
    assert len(tokenizer) == 30526
    assert tokenizer.vocab_size == 30522
    with pytest.raises(ValueError, match=r"wanted ids below 30522, .*found 30525, '<x>'"):
        tokenizer.check_vocabulary(30522)

    decoder = {"30522": {**mask, "content": "<new>", "special": False}}
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder=decoder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a <new>")["input_ids"] == [101, 1037, 30522, 102]


@pytest.mark.parametrize("start", ["tokenizer.json", "vocab.txt"])
def test_saved_and_loaded_again(start: str, minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path / "from", start, "config.json")
    edit_json(folder / "tokenizer_config.json", do_lower_case=False, model_max_length=77, custom={"a": 1})
    edit_json(folder / "special_tokens_map.json", additional_special_tokens=["<x>"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    target = tmp_path / "deep" / "to"
    files = tokenizer.save_pretrained(target)
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert sorted(Path(file).name for file in files) == sorted(p.name for p in target.iterdir()) == names
    texts = random_texts(8, 300)
    wanted = tokenizer(texts, **EVERYTHING)
    for _ in range(2):
        again = AutoTokenizer.from_pretrained(target)
        assert again(texts, **EVERYTHING) == wanted
        assert again.model_max_length == 77
        assert again.extra_special_tokens == ["<x>"]
        (target / "tokenizer.json").unlink(missing_ok=True)  # the second time from vocab.txt
    tokenizer.save_pretrained(target)
    assert json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))["custom"] == {"a": 1}
    shutil.copyfile(minilm / "config.json", target / "config.json")
    assert_same(wanted, load_oracle(target)(texts, **EVERYTHING))
    blocked = tmp_path / "file"
    blocked.write_text("x", encoding="utf-8")
    with pytest.raises(FileExistsError, match=re.escape(str(blocked))):
        tokenizer.save_pretrained(blocked)


def write_tokenizer(minilm: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    values = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    change(values)
    (folder / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_ids_beyond_the_embedding_table(minilm: Path, tmp_path: Path, tokenizer: BertTokenizer) -> None:
    tokenizer.check_vocabulary(30522)
    with pytest.raises(ValueError, match=r"wanted ids below 30521, the model's vocab_size, found 30521, '##～'"):
        tokenizer.check_vocabulary(30521)
    with pytest.raises(ValueError, match=r"wanted ids below 10, "):
        tokenizer.check_vocabulary(10)

    write_tokenizer(minilm, tmp_path, lambda v: v["model"]["vocab"].update(hello=99_999))
    with pytest.raises(ValueError, match=r"wanted ids below 30522, .*found 99999, 'hello'"):
        AutoTokenizer.from_pretrained(tmp_path).check_vocabulary(30522)

    # A token that only looks like an id, in the file: no reason to refuse.
    write_tokenizer(minilm, tmp_path, lambda v: v["model"]["vocab"].update({":99999": 7592}))
    AutoTokenizer.from_pretrained(tmp_path).check_vocabulary(30522)

    def other_cls(values: dict[str, Any]) -> None:
        values["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [40_000]

    write_tokenizer(minilm, tmp_path, other_cls)
    with pytest.raises(ValueError, match=r"wanted special tokens with ids of the vocabulary, found 40000"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_a_small_vocabulary(tmp_path: Path) -> None:
    """Fewer than 10,000 tokens: no id has five digits."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "saved")
    for loaded in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "saved")):
        assert loaded("ab abc")["input_ids"] == [2, 5, 6, 1, 3]
        loaded.check_vocabulary(7)
        with pytest.raises(ValueError, match=r"wanted ids below 6, .*found 6, '##b'"):
            loaded.check_vocabulary(6)
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    without = AutoTokenizer.from_pretrained(tmp_path)
    assert without.pad_token is without.pad_token_id is without.mask_token is None
    with pytest.raises(ValueError, match=r"^padding: wanted False, since this tokenizer has no pad_token"):
        without("a", padding=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}}), "not a valid tokenizer"),
        (lambda v: v.update(normalizer={"type": "Nonsense"}), "not a valid tokenizer"),
        (lambda v: v.pop("model"), "not a valid tokenizer"),
        (lambda v: v["model"]["vocab"].update(x=-1), "not a valid tokenizer"),
        (lambda v: v["model"]["vocab"].update(x=2**32), "not a valid tokenizer"),
        (lambda v: v["model"].update(unk_token="[NONE]"), r"wanted the unknown token '\[NONE\]'"),
        (lambda v: v["post_processor"].update(special_tokens={}), "not a valid tokenizer|can't encode"),
    ],
)
def test_a_bad_tokenizer_json(
    change: Callable[[dict[str, Any]], None], message: str, minilm: Path, tmp_path: Path
) -> None:
    write_tokenizer(minilm, tmp_path, change)
    with pytest.raises(ValueError, match=message) as raised:
        AutoTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("tokenizer.json", b"{", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("tokenizer.json", b"[" * 100_000, ValueError, "tokenizer.json: not a valid tokenizer.json"),
        ("vocab.txt", b"", ValueError, "vocab.txt: wanted a token on each line, found none"),
        ("vocab.txt", b"\xff\xfe\n", ValueError, "vocab.txt: not a valid vocabulary"),
        ("vocab.txt", b"a\nb\n", ValueError, r"vocab.txt: wanted cls_token '\[CLS\]' in the vocabulary"),
        ("vocab.txt", b"[CLS]\n[SEP]\n", ValueError, r"wanted the unknown token '\[UNK\]' in the vocabulary"),
        ("other.txt", b"", FileNotFoundError, "wanted tokenizer.json or vocab.txt, found neither"),
    ],
)
def test_bad_files(name: str, data: bytes, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=message):
        AutoTokenizer.from_pretrained(tmp_path)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(OSError, match=r"tokenizer.json: wanted a regular file"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"nowhere"):
        AutoTokenizer.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case: wanted true or false, found 'yes'"),
        ({"strip_accents": 1}, "strip_accents: wanted true or false, found 1"),
        ({"model_max_length": 0}, "model_max_length: wanted a positive whole number, found 0"),
        ({"model_max_length": float("nan")}, "model_max_length: wanted a positive whole number, found nan"),
        ({"padding_side": "top"}, "padding_side: wanted 'left' or 'right', found 'top'"),
        ({"model_input_names": "ids"}, "model_input_names: wanted a list of strings, found 'ids'"),
        ({"mask_token": 5}, "mask_token: wanted a token, found 5"),
        ({"mask_token": {"content": "<m>", "lstrip": "no"}}, "mask_token: wanted a token, found"),
        ({"mask_token": "\ud800"}, "not a valid JSON file: .* surrogates not allowed"),
        ({"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder: wanted an object of ids and tokens"),
        ({"added_tokens_decoder": {"1" * 5000: {}}}, "added_tokens_decoder: wanted an object of ids and tokens"),
        ({"additional_special_tokens": 3}, "additional_special_tokens: wanted a list of tokens, found 3"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class: wanted one of Bert.* or a tokenizer.json, found 'T5Tok"),
        ({"tokenizer_class": 5}, "tokenizer_class: wanted one of BertTokenizer.*found 5"),
        ({"split_special_tokens": 2}, "split_special_tokens: wanted true or false, found 2"),
    ],
)
def test_a_bad_tokenizer_config(config: dict[str, Any], message: str, minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "vocab.txt")
    edit_json(folder / "tokenizer_config.json", **config)
    with pytest.raises(ValueError, match=f"tokenizer_config.json: {message}"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"mask_token": "\ud800"}, "mask_token"),
        ({"cls_token": {"content": "a\ud800"}}, "cls_token"),
        ({"extra_special_tokens": ["<x>", "\udfff"]}, "extra_special_tokens"),
    ],
)
def test_tokens_that_are_no_text(given: dict[str, Any], name: str, minilm: Path) -> None:
    with pytest.raises(
        ValueError, match=f"tokenizer_config.json: {name}: wanted valid Unicode, found a lone surrogate"
    ):
        AutoTokenizer.from_pretrained(minilm, **given)


def test_longest_length_that_stands_for_none(minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "vocab.txt")
    for value in (1e30, int(1e30), float("inf"), None):
        edit_json(folder / "tokenizer_config.json", model_max_length=value)
        assert AutoTokenizer.from_pretrained(folder).model_max_length == int(1e30)


def test_a_tokenizer_class_without_a_model_of_its_own(minilm: Path, tmp_path: Path) -> None:
    folder = copy_files(minilm, tmp_path, "tokenizer.json")
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("Hello") == ["hello"]  # tokenizer.json says it all
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted tokenizer.json, found"):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", ["T5Tokenizer", "DebertaV2TokenizerFast", "custom.Tokenizer"])
def test_a_class_that_is_not_known(name: str, minilm: Path, tmp_path: Path, tokenizer: BertTokenizer) -> None:
    """tokenizer.json says all, as for a class without a model of its own."""
    folder = copy_files(minilm, tmp_path, "tokenizer.json")
    edit_json(folder / "tokenizer_config.json", tokenizer_class=name, mask_token="[MASK]")
    loaded = AutoTokenizer.from_pretrained(folder)
    texts = random_texts(13, 100)
    assert type(loaded) is npbert.PreTrainedTokenizerFast
    assert loaded(texts, **EVERYTHING) == tokenizer(texts, **EVERYTHING)
    assert loaded.mask_token_id == 103
    (folder / "tokenizer_config.json").unlink()
    for config in ({"tokenizer_class": name}, {"model_type": "longformer"}):
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        assert type(AutoTokenizer.from_pretrained(folder)) is npbert.PreTrainedTokenizerFast
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ValueError, match=r"config\.json: model_type: wanted one of .* or a tokenizer\.json, found 'long"
    ):
        AutoTokenizer.from_pretrained(folder)


def test_a_file_that_is_not_asked_is_not_read(minilm: Path, tmp_path: Path) -> None:
    """tokenizer_config.json says all that the model's config.json could."""
    folder = copy_files(minilm, tmp_path, "tokenizer.json")
    says = {"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids"], "do_lower_case": None}
    edit_json(folder / "tokenizer_config.json", **says)
    (folder / "config.json").write_text("{")
    assert AutoTokenizer.from_pretrained(folder).tokenize("Hello") == ["hello"]


FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json")


@pytest.mark.parametrize("name", [*FILES, "config.json"])
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a device", "a link that leads nowhere", "too long"])
def test_a_file_that_is_none(kind: str, name: str, minilm: Path, tmp_path: Path, monkeypatch: Any) -> None:
    copy_files(minilm, tmp_path, *({"vocab.txt"} if name == "vocab.txt" else {"tokenizer.json", "vocab.txt"}))
    (tmp_path / name).unlink(missing_ok=True)
    error: type[Exception] = OSError
    message = "wanted a regular file"
    if kind == "a pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "a folder":
        (tmp_path / name).mkdir()
    elif kind == "a device":
        (tmp_path / name).symlink_to("/dev/zero")
    elif kind == "a link that leads nowhere":
        (tmp_path / name).symlink_to("nowhere")
        message = kind
    else:
        (tmp_path / name).write_bytes(b" " * 2000)
        error, message = ValueError, "wanted at most 1000 bytes"
        for module in ("text.files.MOST_BYTES", "text.from_vocabulary.MOST_BYTES", "files.json_file.MAX_BYTES"):
            monkeypatch.setattr(f"npbert.{module}", 1000)
        if name not in ("tokenizer.json", "vocab.txt"):
            (tmp_path / "tokenizer.json").unlink()
            (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n")
    with pytest.raises(error, match=f"{name}: {message}"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_auto_tokenizer_is_no_class_of_its_own() -> None:
    with pytest.raises(TypeError, match=r"from_pretrained"):
        AutoTokenizer()
