"""Every argument of every public call, given what it is not: one error, in one line, that names it, or an answer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES
from npbert_kernels.ops import Backend

from npbert import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    CrossEncoder,
    SentenceTransformer,
    pipeline,
)
from npbert.arrays import as_array
from npbert.checks import as_count, check_bool, checked_count, checked_number

IDS = [[2, 5, 6, 3]]


class Odd:
    """Nothing that anybody could want."""


def odd_values() -> dict[str, Any]:
    lists = [], [1, 2], [[1, 2]], [None], ["a"], [["a", "b"]], {}, {"a": 1}, {1, 2}
    plain = None, 3, 0, -1, 1.5, 10**30, float("nan"), float("inf"), 1j, True, "no", "", b"x", Odd(), int, range(3)
    arrays = {
        "no axis": np.array(3),
        "of one axis": np.arange(3),
        "of two": np.ones((2, 2)),
        "of texts": np.array(["a", "b"]),
        "np.int64": np.int64(3),
        "np.bool": np.True_,
        "masked": np.ma.array([1, 2], mask=[False, True]),
        "matrix": np.matrix([[1, 2]]),
    }
    return {**{repr(value)[:20]: value for value in (*lists, *plain)}, **arrays}


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # np.matrix is said to go one day
    ODD = odd_values()


@pytest.fixture(scope="module")
def calls(
    encoder: Path, task_folder: Callable[..., Path], head_folder: Callable[..., Path], tmp_path_factory: Any
) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Name -> the call, and arguments that are right."""
    bare = AutoModel.from_pretrained(encoder, backend="reference")
    sentences = SentenceTransformer(encoder, backend="reference")
    tokenizer = sentences.tokenizer
    classifier = task_folder("BertForSequenceClassification", num_labels=1)
    reranker = CrossEncoder(classifier, backend="reference")
    masked = AutoModelForMaskedLM.from_pretrained(task_folder("BertForMaskedLM"), backend="reference")
    labelled = AutoModelForSequenceClassification.from_pretrained(classifier, backend="reference")
    of_two = AutoModelForPreTraining.from_pretrained(head_folder("bert", "ForPreTraining"), backend="reference")
    flags = {"output_attentions": None, "output_hidden_states": None, "return_dict": None}
    inputs = {"attention_mask": None, "token_type_ids": None, "position_ids": None, "head_mask": None, **flags}
    vectors = {"embeddings1": np.ones((2, 3)), "embeddings2": np.ones((2, 3))}
    prompted = {"prompt_name": None, "prompt": None, "batch_size": 32, "show_progress_bar": False, "device": None}
    encoding = tokenizer(["the cat"])

    def task(name: str, architecture: str, text: Any, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        made = pipeline(name, task_folder(architecture), backend="reference", show_progress_bar=False)
        return lambda inputs, **given: made(inputs, **given), {"inputs": [text], "batch_size": None, **arguments}

    def setting(name: str) -> tuple[Any, dict[str, Any]]:
        def change(value: Any) -> None:
            before = getattr(sentences, name)
            try:
                setattr(sentences, name, value)
                sentences.encode("a")
            finally:
                setattr(sentences, name, before)

        return change, {"value": getattr(sentences, name)}

    return {
        "a bare model": (bare, {"input_ids": IDS, "inputs_embeds": None, **inputs}),
        "predict": (bare.predict, {"ids": IDS, "token_types": None}),
        "embed": (bare.embed, {"ids": IDS, "pooling": "mean", "normalize": False, "token_types": None, "skip": 0}),
        "word embeddings": (bare.get_input_embeddings(), {"input_ids": IDS}),
        "prune_heads": (bare.prune_heads, {"heads_to_prune": {}}),
        "num_parameters": (bare.num_parameters, {"only_trainable": False, "exclude_embeddings": False}),
        "masked words": (masked, {"input_ids": IDS, "labels": None}),
        "predict columns": (masked.predict, {"ids": IDS, "columns": [[0, 1]]}),
        "a class": (labelled, {"input_ids": IDS, "labels": [1.0]}),
        "pretraining": (of_two, {"input_ids": IDS, "labels": IDS, "next_sentence_label": [0]}),
        "encode": (
            sentences.encode,
            {
                "sentences": ["a"],
                **prompted,
                "output_value": "sentence_embedding",
                "precision": "float32",
                "convert_to_numpy": True,
                "convert_to_tensor": False,
                "normalize_embeddings": False,
                "truncate_dim": None,
            },
        ),
        "embed_ids": (sentences.embed_ids, {"ids": IDS, "normalize": False, "skip": 0}),
        **{name: setting(name) for name in ("max_seq_length", "similarity_fn_name", "truncate_dim", "prompts")},
        "similarity": (sentences.similarity, vectors),
        "similarity_pairwise": (sentences.similarity_pairwise, vectors),
        "score pairs": (
            reranker.predict,
            {"inputs": [("a", "b")], **prompted, "activation_fn": None, "apply_softmax": False},
        ),
        "rank": (reranker.rank, {"query": "a", "documents": ["b"], "top_k": None, "return_documents": False}),
        "a tokenizer": (
            tokenizer,
            {
                "text": ["a"],
                "text_pair": ["b"],
                "add_special_tokens": True,
                "padding": True,
                "truncation": True,
                "max_length": 8,
                "stride": 0,
                "is_split_into_words": False,
                "pad_to_multiple_of": 2,
                "padding_side": "left",
                "return_tensors": None,
                "return_token_type_ids": None,
                "return_overflowing_tokens": False,
                "verbose": True,
            },
        ),
        "pad": (tokenizer.pad, {"encoded_inputs": {"input_ids": IDS}, "padding": True, "max_length": None}),
        "decode": (tokenizer.decode, {"token_ids": [5], "skip_special_tokens": False}),
        "tokens": (tokenizer.convert_tokens_to_ids, {"tokens": ["a"]}),
        "ids": (tokenizer.convert_ids_to_tokens, {"ids": [5]}),
        "encode_ids": (tokenizer.encode_ids, {"texts": ["a"], "pairs": None, "max_length": None}),
        "check_vocabulary": (tokenizer.check_vocabulary, {"vocab_size": 100}),
        "token_to_chars": (encoding.token_to_chars, {"batch_or_token_index": 0, "token_index": 0}),
        "char_to_token": (encoding.char_to_token, {"batch_or_char_index": 0, "char_index": 0, "sequence_index": 0}),
        "feature-extraction": task("feature-extraction", "BertModel", "a", truncation=None, return_tensors=False),
        "fill-mask": task("fill-mask", "BertForMaskedLM", "a [MASK]", top_k=5, targets=None, tokenizer_kwargs=None),
        "text-classification": task(
            "text-classification",
            "BertForSequenceClassification",
            "a",
            top_k=1,
            function_to_apply=None,
            max_length=None,
        ),
        "token-classification": task(
            "token-classification",
            "BertForTokenClassification",
            "a b",
            aggregation_strategy="simple",
            ignore_labels=["O"],
            stride=None,
            delimiter=" ",
        ),
        "question-answering": task(
            "question-answering",
            "BertForQuestionAnswering",
            {"question": "who?", "context": "me"},
            top_k=1,
            doc_stride=None,
            max_answer_len=15,
            max_seq_len=None,
            align_to_words=True,
        ),
        "zero-shot-classification": task(
            "zero-shot-classification",
            "BertForSequenceClassification",
            "a",
            candidate_labels=["a", "b"],
            hypothesis_template="x {}",
            multi_label=False,
        ),
    }


NAMES = (
    *("a bare model", "predict", "embed", "word embeddings", "prune_heads", "num_parameters", "masked words"),
    *("predict columns", "a class", "pretraining", "encode", "embed_ids", "max_seq_length", "similarity_fn_name"),
    *("truncate_dim", "prompts", "similarity", "similarity_pairwise", "score pairs", "rank", "a tokenizer", "pad"),
    *("decode", "tokens", "ids", "encode_ids", "check_vocabulary", "token_to_chars", "char_to_token"),
    *("feature-extraction", "fill-mask", "text-classification", "token-classification", "question-answering"),
    "zero-shot-classification",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_what_an_argument_is_not(name: str, calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]]) -> None:
    call, right = calls[name]
    call(**right)
    rows = (IndexError,) if name.endswith(("to_chars", "to_token")) else ()  # documented, where there is no such row
    for argument in right:
        for what, value in ODD.items():
            if argument == "activation_fn" and callable(value):
                continue  # what the caller's own function raises is his
            try:
                call(**{**right, argument: value})
            except (ValueError, OSError, *rows) as error:
                message = str(error)
                assert "\n" not in message, (argument, what)
                assert len(message) < 400, (argument, what)
            except Exception as error:
                raise AssertionError(f"{argument} = {what}: {type(error).__name__}: {error}") from error
    assert {*NAMES} == {*calls}


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("embed", {"skip": 1.5}, "skip: wanted a whole number, 0 or more, found 1.5"),
        ("embed", {"skip": -5}, "skip: wanted a whole number, 0 or more, found -5"),
        ("embed", {"skip": True}, "skip: wanted a whole number, 0 or more, found True"),
        ("embed", {"normalize": "no"}, "normalize: wanted True or False, found 'no'"),
        ("embed", {"normalize": None}, "normalize: wanted True or False, found None"),
        ("embed", {"pooling": 3}, "pooling: wanted some of cls, max, .*, lasttoken, found 3"),
        ("embed", {"pooling": []}, r"pooling: wanted some of cls, max, .*, lasttoken, found \[\]"),
        ("embed", {"pooling": {"mean"}}, "pooling: wanted some of cls, max, .*, lasttoken, found {'mean'}"),
        ("embed", {"tail": 3}, "tail: wanted None or a function of ops and rows, found 3"),
        ("predict", {"ids": None}, "ids: wanted lists of integers, found None"),
        ("predict", {"ids": [1, 2]}, r"ids\[0\]: wanted a list of integers, found int"),
        ("predict", {"ids": {}}, "ids: wanted lists of integers, found dict"),
        ("predict", {"ids": "text"}, "ids: wanted lists of integers, found str"),
        ("predict", {"ids": [[1.5]]}, "ids: wanted lists of integers, found the dtype float64"),
        ("predict", {"token_types": 3}, "token_types: wanted lists of integers, found int"),
        ("predict columns", {"columns": [None]}, r"columns\[0\]: wanted a list of integers, found None"),
        ("encode", {"batch_size": 20.0}, "batch_size: wanted a whole number, 1 or more, found 20.0"),
        ("encode", {"truncate_dim": 20.0}, "truncate_dim: wanted a positive whole number, found 20.0"),
        ("encode", {"convert_to_tensor": 1}, "convert_to_tensor: wanted True, False or None, found 1"),
        ("embed_ids", {"normalize": "no"}, "normalize: wanted True or False, found 'no'"),
        ("prompts", {"value": 3}, "prompts: wanted names and texts, found 3"),
        ("max_seq_length", {"value": 20.5}, "max_seq_length: wanted a whole number from 1 to 32, .*, found 20.5"),
        ("a tokenizer", {"verbose": "yes"}, "verbose: wanted True or False, found 'yes'"),
        ("token-classification", {"stride": 1.0}, "stride: wanted a whole number, 0 or more, found 1.0"),
        ("fill-mask", {"top_k": 2.0}, "top_k: wanted a whole number, 1 or more, found 2.0"),
        ("rank", {"top_k": "3"}, "top_k: wanted a whole number, 1 or more, found '3'"),
        ("score pairs", {"activation_fn": lambda x: x.astype(str)}, "activation_fn: wanted an array of numbers, found"),
        ("score pairs", {"activation_fn": lambda x: None}, r"activation_fn: wanted an array \[1, 1\], found \[\]"),
    ],
)
def test_messages(
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]], call: str, arguments: dict[str, Any], message: str
) -> None:
    run, right = calls[call]
    if call == "prompts":  # are read where one is named
        right, run = {}, lambda value: _with_prompts(calls, value)
    with pytest.raises(ValueError, match="^" + message):
        run(**{**right, **arguments})


def _with_prompts(calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]], value: Any) -> None:
    sentences: Any = calls["encode"][0]
    before, sentences.__self__.prompts = sentences.__self__.prompts, value
    try:
        sentences("a", prompt_name="query")
    finally:
        sentences.__self__.prompts = before


def test_numbers_of_numpy_s(calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]]) -> None:
    """As good as Python's own, and the same bits."""
    embed, right = calls["embed"]
    for skip in (np.int32(2), np.uint8(2), np.array(2)):
        np.testing.assert_array_equal(embed(**{**right, "skip": skip}), embed(**{**right, "skip": 2}))
    wanted = embed(**{**right, "normalize": True})
    np.testing.assert_array_equal(embed(**{**right, "normalize": np.True_}), wanted)
    np.testing.assert_array_equal(embed(**{**right, "normalize": np.False_}), embed(**right))
    encode = calls["encode"][0]
    sentences = encode.__self__  # type: ignore[attr-defined]
    sentences.max_seq_length = np.int64(8)
    assert type(sentences.max_seq_length) is int
    np.testing.assert_array_equal(encode("a", truncate_dim=np.int64(3)), encode("a", truncate_dim=3))


def test_counts_and_flags() -> None:
    assert [as_count(value) for value in (3, np.int8(3), np.array(3))] == [3, 3, 3]
    assert [as_count(value) for value in (True, np.True_, 3.0, np.float32(3), "3", None, [3])] == [None] * 7
    assert checked_count("n", np.uint64(7), 0) == 7
    for value in (True, np.False_):
        check_bool("flag", value)
    for bad in (1, 0, None, "True", np.array([True]), np.array(True)):
        with pytest.raises(ValueError, match=r"^flag: wanted True or False, found "):
            check_bool("flag", bad)
    assert [checked_number("t", value) for value in (1, 0.5, np.float32(0.25), np.int8(2))] == [1, 0.5, 0.25, 2]
    for bad in (True, "1", None, float("nan"), float("inf"), 10**400, 1j, [1]):
        with pytest.raises(ValueError, match=r"^t: wanted a finite number, found "):
            checked_number("t", bad)


# Subclasses of arrays ------------------------------------------------------------------------------------


def hiding(array: Any) -> Any:
    """A masked array that masks its last number."""
    mask = np.zeros(np.shape(array), bool)
    mask.flat[-1] = True
    return np.ma.array(array, mask=mask)


MASKED: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "input_ids": ("a bare model", lambda make: {"input_ids": make(IDS)}),
    "inputs_embeds": ("a bare model", lambda make: {"input_ids": None, "inputs_embeds": make(np.ones((1, 2, 36)))}),
    "attention_mask": ("a bare model", lambda make: {"attention_mask": make(np.ones((1, 4), int))}),
    "token_type_ids": ("a bare model", lambda make: {"token_type_ids": make(np.zeros((1, 4), int))}),
    "position_ids": ("a bare model", lambda make: {"position_ids": make([[0, 1, 2, 3]])}),
    "head_mask": ("a bare model", lambda make: {"head_mask": make(np.ones(4))}),
    "labels of tokens": ("masked words", lambda make: {"labels": make(IDS)}),
    "labels of texts": ("a class", lambda make: {"labels": make([1.0])}),
    "next_sentence_label": ("pretraining", lambda make: {"next_sentence_label": make([1])}),
    "ids": ("predict", lambda make: {"ids": make(IDS)}),
    "ids in a list": ("predict", lambda make: {"ids": [make(IDS[0])]}),
    "token_types": ("predict", lambda make: {"token_types": [make([0, 0, 0, 0])]}),
    "columns": ("predict columns", lambda make: {"columns": [make([0, 1])]}),
    "embeddings1": ("similarity", lambda make: {"embeddings1": make(np.ones((2, 3)))}),
    "embeddings1 in a list": ("similarity", lambda make: {"embeddings1": [make(np.ones(3)), make(np.ones(3))]}),
    "embeddings2": ("similarity_pairwise", lambda make: {"embeddings2": make(np.ones((2, 3)))}),
}


@pytest.mark.parametrize("case", MASKED)
def test_masked_arrays(case: str, calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]]) -> None:
    """What is masked is none of what is meant; one that masks nothing is an array as any other."""
    name, given = MASKED[case]
    call, right = calls[name]
    argument = case.partition(" ")[0]
    with pytest.raises(
        ValueError, match=rf"^{argument}: wanted no masked numbers, found some: fill them, or leave them"
    ):
        call(**{**right, **given(hiding)})
    found, wanted = (call(**{**right, **given(make)}) for make in (np.ma.array, np.asarray))
    for mine, theirs in zip(_arrays(found), _arrays(wanted), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _arrays(output: Any) -> list[Any]:
    if isinstance(output, np.ndarray):
        return [output]
    return [part for part in (output if isinstance(output, list) else output.to_tuple()) if part is not None]


class Mine(np.ndarray):
    """A subclass that answers in its own way."""

    def __eq__(self, other: object) -> Any:
        raise AssertionError("its own comparison was asked")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", [np.matrix, lambda array: np.asarray(array).view(Mine)])
def test_other_subclasses_are_plain_arrays(encoder: Path, backend: Backend, make: Any) -> None:
    model = AutoModel.from_pretrained(encoder, backend=backend)
    mask = np.array([[1, 1, 1, 0]])
    found = model(make(IDS), make(mask), make([[0, 0, 0, 0]]), make([[0, 1, 2, 3]]))
    wanted = model(IDS, mask, [[0, 0, 0, 0]], [[0, 1, 2, 3]])
    np.testing.assert_array_equal(found.last_hidden_state, wanted.last_hidden_state)
    assert type(as_array("x", make(mask))) is np.ndarray
    assert type(found.last_hidden_state) is np.ndarray


def test_what_is_no_array() -> None:
    class Breaks:
        def __array__(self, *given: Any, **more: Any) -> Any:
            raise RuntimeError("it lives elsewhere")

    for value, message in (
        ([[1, 2], [3]], "x: wanted an array, or lists of one length: "),
        (Breaks(), "x: wanted an array, or lists of one length: it lives elsewhere"),
        ([np.ma.masked, 1], "x: wanted no masked numbers, found some"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            as_array("x", value)


def test_no_rows_of_a_length_beyond_all(encoder: Path, family_folder: Callable[..., Path]) -> None:
    """Refused before anything as long is made: 8 GB it would be."""
    for model_type in ("bert", "mpnet", "roberta"):
        sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
        folder = family_folder(model_type, vocab_size=40, max_position_embeddings=40, **sizes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModel.from_pretrained(folder, backend="reference")
        ids, embeds = np.empty((0, 10**9), np.int64), np.empty((0, 10**9, 8), np.float32)
        if model_type == "roberta":  # which counts tokens, and here are none
            assert model(ids).last_hidden_state.shape == (0, 10**9, 8)
        else:
            with pytest.raises(ValueError, match=r"^input_ids: wanted rows of at most .* tokens"):
                model(ids)
        with pytest.raises(ValueError, match=r"^inputs_embeds: wanted rows of at most .* tokens"):
            model(inputs_embeds=embeds)


@pytest.mark.parametrize(("name", "shape"), [("input_ids", (1, 2**40)), ("head_mask", (2**20, 2**20))])
def test_arrays_that_are_far_larger_than_what_they_hold(
    name: str, shape: tuple[int, int], family_folder: Callable[..., Path]
) -> None:
    """One number that is broadcast takes no memory, and its copy takes more than there is."""
    model_type, config = FAMILIES["roberta"]
    model = AutoModel.from_pretrained(family_folder(model_type, **config), backend="reference")
    given = {"input_ids": [[5]], name: np.broadcast_to(5 if name == "input_ids" else 5.0, shape)}
    with pytest.raises(ValueError, match=rf"^{name}: wanted an array that fits memory, found the shape \[{shape[0]}, "):
        model(**given)
