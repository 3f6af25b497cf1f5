"""Writes tokenizers.json: what transformers 4.57 makes of texts, in small folders of every class.

Two kinds of cases: every switch of tokenizer_config.json, in folders whose tokenizer.json has its step either way; and
folders of which version 5 makes something else.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from recording import write_recorded
from small_tokenizers import (
    LOWER_STEPS,
    MODELS,
    ONE_SPACE,
    QUOTES,
    bert_normalizer,
    byte_level,
    metaspace,
    roberta_processing,
    sequence,
    template,
    tokenizer_json,
    words,
    write_folder,
)

RECORDED = Path(__file__).parent / "tokenizers.json"
TEXTS = ["Hello Wörld", " É l  漢字!", "aaaaaaaa ", "go <mask> [MASK] on"]
PAIR = ("Hello", "a É")
SPECIAL = {
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "mask_token": ("[MASK]", "<mask>"),
    "unk_token": ("[UNK]", "<unk>"),
}

SWITCHES: list[dict[str, Any]] = [
    {},
    *(
        {name: value}
        for name in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
        for value in (True, False)
    ),
    {"strip_accents": None},
    *({name: value} for name in ("add_prefix_space", "trim_offsets") for value in (True, False)),
    *({name: value} for name in ("keep_accents", "remove_space") for value in (True, False)),
]


def rows(tokenizer: Any) -> list[str]:
    """The tokens of each text; of the last and the pair with offsets and token types."""
    found = [" ".join(tokenizer(text).tokens()) for text in TEXTS[:-1]]
    last = tokenizer(TEXTS[-1], return_offsets_mapping=True)
    found.append(f"{' '.join(last.tokens())} | {' '.join(f'{a}-{b}' for a, b in last['offset_mapping'])}")
    pair = tokenizer(*PAIR, return_token_type_ids=True)
    return [*found, f"{' '.join(pair.tokens())} | {' '.join(map(str, pair['token_type_ids']))}"]


def switch_cases() -> list[dict[str, Any]]:
    """Each class with its own file, as it is and the other way; generic ones and strangers with all three kinds."""
    names = [(name, name) for name in MODELS]
    generic = [("PreTrainedTokenizerFast", name) for name in ("BertTokenizer", "RobertaTokenizer", "AlbertTokenizer")]
    strangers = [("XLMRobertaTokenizer", "MPNetTokenizer"), ("RobertaTokenizer", "MPNetTokenizer")]
    strangers += [("CamembertTokenizer", "RobertaTokenizer"), ("RobertaTokenizer", "XLMRobertaTokenizer")]
    found = []
    for class_name, file in [*names, *generic, *strangers]:
        for changes in ({}, _other_way(file)):
            config = {"tokenizer_class": class_name, **_tokens(file), **_held(class_name, file, bool(changes))}
            model = {"model_type": MODELS.get(class_name, MODELS[file])}
            found.append({"file": file, "changes": changes, "config": config, "model": model})
    return found


def _other_way(file: str) -> dict[str, Any]:
    """Changes that turn the steps that a switch might set."""
    if file == "RobertaTokenizer":
        return {"pre_tokenizer": byte_level(True), "post_processor": roberta_processing(True, False)}
    if file in ("XLMRobertaTokenizer", "CamembertTokenizer", "AlbertTokenizer"):
        changes = {"pre_tokenizer": metaspace("never"), "decoder": metaspace("never")}
        return {**changes, "normalizer": sequence(QUOTES)} if file == "AlbertTokenizer" else changes
    return {"normalizer": bert_normalizer(False, False, False)}


def _tokens(file: str) -> dict[str, str]:
    content = {token["content"] for token in tokenizer_json(file)["added_tokens"]}
    choices = [("[CLS]", "<s>"), ("[SEP]", "</s>"), ("[PAD]", "<pad>"), ("[MASK]", "<mask>"), ("[UNK]", "<unk>")]
    return {
        role: next(token for token in pair if token in content) for role, pair in zip(SPECIAL, choices, strict=True)
    }


def _held(class_name: str, file: str, turned: bool) -> dict[str, Any]:
    """What the file says, where its class's default would go before a config that is silent; see `cases` for those."""
    if file in ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer") and turned:
        return {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False}
    if file == "RobertaTokenizer" and class_name != "RobertaTokenizer":
        return {"add_prefix_space": turned}
    return {}


def cases() -> dict[str, dict[str, Any]]:
    """Name -> folder, as small_tokenizers.write_folder takes it."""
    names = ("BertTokenizer", "XLMRobertaTokenizer", "AlbertTokenizer")
    bert, xlm, albert = (tokenizer_json(name) for name in names)
    unlucky = {"a": -8.673053741455078, "aa": -7.15423583984375, "aaa": -9.383970260620117}  # float32s, as files have
    scores = [*xlm["model"]["vocab"][:6], *([token, score] for token, score in unlucky.items())]

    def twice_ended(end: str, values: dict[str, Any]) -> dict[str, Any]:
        return template(f"A:0 {end}:0 {end}:0", f"A:0 {end}:0 B:1 {end}:1", values)

    charsmap = xlm["normalizer"]["normalizers"][0]
    digits = {"type": "Digits", "individual_digits": True}
    dots = {"type": "Replace", "pattern": {"String": "!"}, "content": "."}
    return {
        "silent about capitals": _case("BertTokenizer", {"normalizer": bert_normalizer(False, None, True)}),
        "silent about accents": _case("BertTokenizer", {"normalizer": bert_normalizer(True, False, True)}),
        "silent about Chinese": _case("BertTokenizer", {"normalizer": bert_normalizer(True, None, False)}),
        "BERT, normalizer": _case("BertTokenizer", {"normalizer": sequence([dots, bert["normalizer"]])}),
        "BERT, splitting": _case("BertTokenizer", {"pre_tokenizer": {"type": "WhitespaceSplit"}}),
        "BERT, longest word": _case("BertTokenizer", {"model.max_input_chars_per_word": 4}),
        "BERT, prefix": _case("BertTokenizer", {"model.continuing_subword_prefix": ""}),
        "BERT, template": _case("BertTokenizer", {"post_processor": twice_ended("[SEP]", bert)}),
        "BERT, no template": _case("BertTokenizer", {"post_processor": None}),
        "RoBERTa, no template": _case("RobertaTokenizer", {"post_processor": None}),
        "RoBERTa, other ends": _case(
            "RobertaTokenizer", {"post_processor": {**roberta_processing(False, True), "sep": ["<unk>", 3]}}
        ),
        "RoBERTa, splitting": _case(
            "RobertaTokenizer",
            {"pre_tokenizer": words([digits, byte_level(True)])},
        ),
        "RoBERTa, silent about spaces": _case("RobertaTokenizer", {"pre_tokenizer": byte_level(True)}),
        "MPNet, Chinese": _case("MPNetTokenizer", tokenize_chinese_chars=False),
        "XLM-R, left-over": _case("XLMRobertaTokenizer", add_prefix_space=False),
        "CamemBERT, left-over": _case("CamembertTokenizer", add_prefix_space=False),
        "ALBERT, left-over": _case("AlbertTokenizer", add_prefix_space=False),
        "ALBERT, capitals": _case("AlbertTokenizer", {"normalizer": sequence(QUOTES)}),
        "ALBERT, accents": _case("AlbertTokenizer", {"normalizer": sequence(LOWER_STEPS)}, keep_accents=True),
        "XLM-R, template": _case("XLMRobertaTokenizer", {"post_processor": twice_ended("</s>", xlm)}),
        "ALBERT, template": _case("AlbertTokenizer", {"post_processor": twice_ended("[SEP]", albert)}),
        "XLM-R, white space": _case(
            "XLMRobertaTokenizer",
            {
                "normalizer": sequence([charsmap, ONE_SPACE]),
                "pre_tokenizer": metaspace("always"),
            },
        ),
        "XLM-R, scores": _case("XLMRobertaTokenizer", {"model.vocab": scores}),
        "RoBERTa, vocabulary": _case("RobertaTokenizer", {}, vocabulary=True),
        "MPNet, vocabulary": _case("MPNetTokenizer", {}, vocabulary=True),
        "generic, silent about spaces": _case(
            "PreTrainedTokenizerFast", {"pre_tokenizer": byte_level(True)}, file="RobertaTokenizer"
        ),
    }


def _case(
    class_name: str,
    changes: dict[str, Any] | None = None,
    file: str | None = None,
    vocabulary: bool = False,
    **config: Any,
) -> dict[str, Any]:
    name = file or class_name
    given = {"file": name, "changes": changes or {}, "model": {"model_type": MODELS[name]}}
    given["config"] = {"tokenizer_class": class_name, **_tokens(name), **config}
    return {**given, "vocabulary": True} if vocabulary else given


def main() -> None:
    import transformers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    recorded: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)

        def load(given: dict[str, Any]) -> Any:
            return transformers.AutoTokenizer.from_pretrained(str(write_folder(folder, given)))

        for given in switch_cases():
            tokenizers = [load({**given, "config": {**given["config"], **switch}}) for switch in SWITCHES]
            answers = [rows(tokenizer) for tokenizer in tokenizers]
            distinct = [answer for index, answer in enumerate(answers) if answer not in answers[:index]]
            places = " ".join(str(distinct.index(answer)) for answer in answers)
            names = " ".join(tokenizers[0].model_input_names)
            recorded.append({"given": given, "answer": {"names": names, "rows": distinct, "by_switch": places}})
        for name, given in cases().items():
            recorded.append({"given": {"name": name, **given}, "answer": rows(load(given))})
            for file in folder.iterdir():
                file.unlink()
    write_recorded(RECORDED, recorded)


if __name__ == "__main__":
    main()
