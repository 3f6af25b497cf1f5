"""What of npbert takes texts, with arguments that are right: encoders of sentences and pairs, tokenizers, pipelines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from torture.calls import STRICT_FLAG, Call, Outputs
from torture.odd_arrays import NOT_COUNTS, NOT_FLAGS, NOT_NAMES

TEXTS = ("the cat sat on a mat", "", "a", "un able cats", "é, b . d", "the the the the the the the the the the")
NO_NAMES = tuple(name for name in NOT_NAMES if name is not None)
NO_COUNTS = tuple(count for count in NOT_COUNTS if count is not None)
NO_FLAGS_OR_NONE = tuple(flag for flag in NOT_FLAGS if not isinstance(flag, str | int))
NAMES = ("text", "texts", "sentences", "inputs", "pairs", "documents", "query", "max_length", "stride")
Choices = Mapping[str, tuple[tuple[Any, ...], tuple[tuple[Any, Any], ...]]]


def encode_call(rng: np.random.Generator, model: Any) -> Call:
    """A SentenceTransformer's `encode`: what its arguments may be, and that batches do not matter."""
    texts = _texts(rng)
    width = model.get_embedding_dimension()
    given = {"sentences": texts} | _some(
        rng,
        {
            "batch_size": int(rng.integers(1, 7)),
            "normalize_embeddings": bool(rng.random() < 0.5),
            "truncate_dim": int(rng.integers(1, width + 1)),
            "output_value": "sentence_embedding",
            "convert_to_numpy": bool(rng.random() < 0.5),
            "show_progress_bar": False,
            "prompt": "a ",
            "prompt_name": "query",
            "precision": "float32",
        },
    )
    if "prompt" in given:
        given.pop("prompt_name", None)

    def run(**arguments: Any) -> Outputs:
        found = model.encode(**arguments)
        return {"vectors": np.stack(found) if isinstance(found, list) and found else np.asarray(found)}

    def alone(row: int) -> dict[str, Any]:
        return {**given, "sentences": [texts[row]]}

    size = given.get("batch_size", 1)
    choices: Choices = {
        "batch_size": ((0, *NOT_COUNTS[:-2]), ((np.int64(size), size),)),
        "normalize_embeddings": STRICT_FLAG,
        "convert_to_numpy": STRICT_FLAG,
        "truncate_dim": ((0, *NO_COUNTS[:-2]), ()),
        "output_value": (NO_NAMES, ()),
        "precision": (NOT_NAMES, ()),
        "prompt": ((3, b"a", ["a"], {}, object, 1.5, "\ud800"), ()),
        "prompt_name": (NO_NAMES, ()),
        "show_progress_bar": (("yes", 3, [], object, 1.5), ()),
    }
    return Call("encode", run, given, {"sentences": "texts"}, _of(choices, given), None, alone, names=NAMES)


def rank_call(rng: np.random.Generator, model: Any) -> Call:
    """A CrossEncoder's `rank`."""
    texts = _texts(rng)
    some = {"top_k": int(rng.integers(1, 7)), "return_documents": True, "batch_size": int(rng.integers(1, 7))}
    given = {"documents": texts, "query": "the cat"} | _some(rng, some)

    def run(**arguments: Any) -> Outputs:
        ranked = model.rank(**arguments)
        return {key: np.array([each[key] for each in ranked]) for key in ("corpus_id", "score")}

    def scores(dtype: Any) -> Outputs:
        alone = [model.rank("the cat", [text])[0]["score"] for text in texts]
        order = np.argsort(-np.array(alone), kind="stable")[: given.get("top_k")]
        return {"corpus_id": order, "score": np.array(alone)[order]}

    choices: Choices = {
        "query": ((3, None, b"a", ["a"], {}, object, "\ud800"), ((np.str_("the cat"), "the cat"),)),
        "top_k": ((0, *NO_COUNTS[:-2]), ()),
        "return_documents": STRICT_FLAG,
        "batch_size": ((0, *NOT_COUNTS[:-2]), ()),
    }
    return Call("rank", run, given, {"documents": "texts"}, _of(choices, given), scores, names=NAMES)


def tokenizer_call(rng: np.random.Generator, tokenizer: Any) -> Call:
    """A tokenizer's call: what comes is compared, column by column."""
    given = {"text": _texts(rng)} | _some(
        rng,
        {
            "padding": [True, "longest", "max_length", False][rng.integers(4)],
            "truncation": [True, "longest_first", "only_first", False][rng.integers(4)],
            "max_length": int(rng.integers(4, 12)),
            "stride": int(rng.integers(0, 2)),
            "pad_to_multiple_of": 1,
            "add_special_tokens": bool(rng.random() < 0.8),
            "return_tensors": None,
            "return_offsets_mapping": True,
            "return_overflowing_tokens": True,
            "return_special_tokens_mask": True,
            "return_token_type_ids": True,
            "return_length": True,
        },
    )

    def run(**arguments: Any) -> Outputs:
        found = tokenizer(**arguments)
        return {key: np.asarray(json.dumps(np.asarray(rows, object).tolist())) for key, rows in found.items()}

    choices: Choices = {
        "padding": ((1.5, "yes", b"longest", [], {}, object, "LONGEST"), ()),
        "truncation": ((1.5, "yes", b"only_first", [], {}, object), ((None, None), ("do_not_truncate", False))),
        "max_length": (NO_COUNTS[:-2], ((np.int64(given.get("max_length", 5)), given.get("max_length", 5)),)),
        "stride": ((*NO_COUNTS[:-2],), ()),
        "pad_to_multiple_of": ((0, *NO_COUNTS[:-2]), ((None, None),)),
        "return_tensors": (("pt", "tf", "NP", 3, b"np", [], object), ()),
        **dict.fromkeys(("return_token_type_ids",), (NO_FLAGS_OR_NONE, ((None, None),))),
    }
    flags = ("add_special_tokens", "return_offsets_mapping", "return_overflowing_tokens", "return_length")
    choices = {**choices, **dict.fromkeys((*flags, "return_special_tokens_mask"), STRICT_FLAG)}
    return Call("a tokenizer", run, given, {"text": "texts of a tokenizer"}, _of(choices, given), names=NAMES)


def ids_call(rng: np.random.Generator, tokenizer: Any) -> Call:
    """A tokenizer's `decode` and `convert_ids_to_tokens`."""
    ids = rng.integers(0, 20, rng.integers(1, 9))
    given = {"token_ids": ids} | _some(rng, {"skip_special_tokens": True, "clean_up_tokenization_spaces": False})
    choices: Choices = {
        "skip_special_tokens": STRICT_FLAG,
        "clean_up_tokenization_spaces": (NO_FLAGS_OR_NONE, ((None, None),)),
    }

    def run(**arguments: Any) -> Outputs:
        return {"text": np.asarray(tokenizer.decode(**arguments))}

    return Call("decode", run, given, {"token_ids": "ids of a vocabulary"}, _of(choices, given), names=("ids",))


PIPELINES: dict[str, dict[str, tuple[Any, tuple[Any, ...], tuple[tuple[Any, Any], ...]]]] = {
    "text-classification": {
        "top_k": (1, (0, *NO_COUNTS[:-2][:4], 1.5, b"3", [3], object), ()),
        "function_to_apply": ("softmax", (3, "hard", b"none", [], object), (("SoftMax", "softmax"),)),
        "truncation": (True, (1.5, "yes", [], object), ()),
        "batch_size": (2, (0, -1, 1.5, "3", [3], object), ()),
    },
    "token-classification": {
        "aggregation_strategy": ("simple", (3, "hard", b"none", [], object), (("SIMPLE", "simple"),)),
        "ignore_labels": (["O"], (3, "O", [3], object, {"O": 1}), ((("O",), ["O"]),)),
        "batch_size": (2, (0, -1, 1.5, "3", [3], object), ()),
    },
    "question-answering": {
        "top_k": (1, (0, -1, 1.5, "3", object, True), ()),
        "max_answer_len": (3, (0, -1, 1.5, "3", object, True), ()),
        "max_seq_len": (16, (-1, 1.5, "3", object, True), ()),
        "doc_stride": (2, (-1, 1.5, "3", object), ()),
        "handle_impossible_answer": (True, NOT_FLAGS[:8], ()),
    },
    "fill-mask": {
        "top_k": (2, (0, -1, 1.5, "3", object, True), ()),
        "targets": (["the"], (3, [3], [], [None], object, b"the"), (("the", ["the"]),)),
    },
}


def pipeline_call(rng: np.random.Generator, pipe: Any) -> Call:
    """A pipeline, asked with a list of inputs, whose answers are compared as JSON."""
    texts = [text or "a" for text in [*_texts(rng), "a mat"]]  # a list of one is answered as its item is
    if pipe.task == "fill-mask":
        texts = [f"{text} {pipe.tokenizer.mask_token}" for text in texts]
    if pipe.task == "question-answering":
        texts = [{"question": "the cat", "context": text} for text in texts]
    known = PIPELINES[pipe.task]
    given: dict[str, Any] = {"inputs": texts} | _some(rng, {name: plain for name, (plain, _, _) in known.items()})

    def run(inputs: Any, **arguments: Any) -> Outputs:
        found = pipe(inputs, **arguments)
        return {"answers": np.asarray(json.dumps(found if isinstance(found, list | dict) else list(found)))}

    choices = {name: (bad, same) for name, (_, bad, same) in known.items() if name in given}
    kind = "inputs" if pipe.task == "question-answering" else "texts of a pipeline"
    return Call(f"pipeline {pipe.task}", run, given, {"inputs": kind}, choices, names=(*NAMES, "inputs", "mask"))


def _texts(rng: np.random.Generator) -> list[str]:
    return [str(text) for text in rng.permutation(TEXTS)[: rng.integers(1, 6)]]


def _some(rng: np.random.Generator, drawn: dict[str, Any]) -> dict[str, Any]:
    """A quarter of the arguments."""
    return {name: value for name, value in drawn.items() if rng.random() < 0.25}


def _of(choices: Choices, given: Mapping[str, Any]) -> Choices:
    return {name: values for name, values in choices.items() if name in given}
