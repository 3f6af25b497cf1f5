"""What is a list of texts, or of ids, wherever one is asked for; and what only looks like one."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npbert import AutoTokenizer, CrossEncoder, SentenceTransformer, pipeline
from npbert.sequences import as_list, described
from npbert.text.inputs import TextError

pytestmark = pytest.mark.filterwarnings("ignore:zero-shot-classification. no label of the model's begins")

TEXTS = ["the cat", "a quick fox", "over"]


class Series:
    """As pandas', pyarrow's and polars' columns are told: one axis, or none that is told, and a method for a list.

    Stand-ins, since none of them is installed for these tests. What they do was seen with pandas 3.1, pyarrow 26,
    polars 2.1 and datasets 5.2, whose own were held against the same function.
    """

    def __init__(self, items: list[Any], method: str, **attributes: Any) -> None:
        self._items = items
        setattr(self, method, lambda: list(items))
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(map(Scalar, self._items))  # as pyarrow's are iterated


class Scalar:
    """What stands in a pyarrow array: no str."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Column:
    """As one of a `datasets.Dataset`, or transformers' KeyDataset: no list, and not even iterable."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        return self._items[index]


class DataFrame:
    """As those of pandas and polars are: iterated, it gives the names of its columns."""

    ndim, shape = 2, (3, 2)

    @property
    def columns(self) -> list[str]:
        return ["text", "label"]

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class Table(DataFrame):
    """As pyarrow's is."""

    def to_pylist(self) -> list[dict[str, str]]:
        return [{"text": "a", "label": "b"}] * 3


LISTS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "array of objects": lambda items: np.array([*items, None], object)[:-1],
    "pandas.Series": lambda items: Series(items, "tolist", ndim=1, shape=(len(items),)),
    "pyarrow.ChunkedArray": lambda items: Series(items, "to_pylist"),
    "polars.Series": lambda items: Series(items, "to_list", shape=(len(items),)),
    "datasets.Column": Column,
    "deque": deque,
    "values": lambda items: dict(enumerate(items)).values(),
    "keys": lambda items: dict.fromkeys(items).keys(),
    "generator": lambda items: (item for item in items),
}
OTHERS: dict[str, tuple[Any, str]] = {
    "None": (None, "None"),
    "number": (3, "int"),
    "bytes": (b"the cat", "bytes"),
    "bytearray": (bytearray(b"the cat"), "bytearray"),
    "dict": ({"the cat": 1}, "dict"),
    "OrderedDict": (OrderedDict(a=1), "OrderedDict"),
    "Counter": (Counter("ab"), "Counter"),
    "set": ({"the cat"}, "set, which has no order"),
    "frozenset": (frozenset(["the cat"]), "frozenset, which has no order"),
    "DataFrame": (DataFrame(), "a table, DataFrame"),
    "Table": (Table(), "a table, Table"),
    "rows and columns": (np.array([["a", "b"]]), "ndarray [1, 2]"),
    "no axis": (np.array("a"), "ndarray"),
    "a class": (str, "type"),
}


@pytest.fixture(scope="module")
def sentences(encoder: Path) -> SentenceTransformer:
    return SentenceTransformer(encoder, backend="reference")


@pytest.fixture(scope="module")
def reranker(task_folder: Callable[..., Path]) -> CrossEncoder:
    return CrossEncoder(task_folder("BertForSequenceClassification", num_labels=1), backend="reference")


@pytest.mark.parametrize("kind", LISTS)
def test_as_list(kind: str) -> None:
    assert as_list(LISTS[kind](TEXTS)) == TEXTS


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_list(kind: str) -> None:
    value, found = OTHERS[kind]
    assert as_list(value) is None
    assert described(value) == found


@pytest.mark.parametrize("kind", LISTS)
def test_texts(kind: str, sentences: SentenceTransformer) -> None:
    make, tokenizer = LISTS[kind], sentences.tokenizer
    np.testing.assert_array_equal(sentences.encode(make(TEXTS)), sentences.encode(TEXTS))
    assert tokenizer(make(TEXTS)) == tokenizer(TEXTS)
    assert tokenizer(make(TEXTS), make(TEXTS)) == tokenizer(TEXTS, TEXTS)
    assert tokenizer(make(TEXTS), is_split_into_words=True) == tokenizer(TEXTS, is_split_into_words=True)
    assert tokenizer.encode_ids(make(TEXTS)) == tokenizer.encode_ids(TEXTS)
    assert tokenizer.convert_tokens_to_ids(make(TEXTS)) == tokenizer.convert_tokens_to_ids(TEXTS)


@pytest.mark.parametrize("kind", sorted({*LISTS} - {"array", "keys"}))
def test_lists_of_lists(kind: str, sentences: SentenceTransformer) -> None:
    make, words = LISTS[kind], [["the", "cat"], ["over"]]
    wanted = sentences.tokenizer(words, is_split_into_words=True)
    assert sentences.tokenizer(make([make(row) for row in words]), is_split_into_words=True) == wanted
    ids = [[2, 5, 6, 3], [2, 3]]
    found = sentences.model.predict(make([make(row) for row in ids]), make([[0] * len(row) for row in ids]))
    for rows, right in zip(found, sentences.model.predict(ids), strict=True):
        np.testing.assert_array_equal(rows, right)


@pytest.mark.parametrize("kind", LISTS)
def test_pairs_and_documents(kind: str, reranker: CrossEncoder) -> None:
    make, pairs = LISTS[kind], [("a cat", "a dog"), ("one", "two")]
    wanted = reranker.predict(pairs)
    if kind != "array":  # an array of tuples has two axes
        np.testing.assert_array_equal(reranker.predict(make(pairs)), wanted)
    np.testing.assert_array_equal(reranker.predict([make([*pair]) for pair in pairs]), wanted)
    np.testing.assert_array_equal(reranker.predict(make([*pairs[0]])), reranker.predict(pairs[0]))
    np.testing.assert_array_equal(reranker.predict(np.array(pairs)), wanted)
    assert reranker.rank("a", make(TEXTS)) == reranker.rank("a", TEXTS)


@pytest.mark.parametrize("kind", LISTS)
def test_pipelines(kind: str, task_folder: Callable[..., Path]) -> None:
    """A list for what has a length, an iterator for what has none; arguments that are lists, too."""
    make = LISTS[kind]
    zero_shot = pipeline("zero-shot-classification", task_folder("BertForSequenceClassification"), backend="reference")
    wanted = zero_shot(TEXTS, TEXTS)
    found = zero_shot(make(TEXTS), make(TEXTS))
    assert isinstance(found, list) == (kind != "generator")
    assert list(found) == wanted
    again = pipeline(
        "zero-shot-classification", zero_shot.model, zero_shot.tokenizer, candidate_labels=make(TEXTS)
    )  # an iterator's labels hold for all calls
    assert again(TEXTS) == again(TEXTS) == wanted


def test_tasks_of_other_inputs(task_folder: Callable[..., Path]) -> None:
    answer = pipeline("question-answering", task_folder("BertForQuestionAnswering"), backend="reference")
    given = {"question": Column(["Who?", "Where?"]), "context": Column(["Ann is in Rome.", "Bob is not."])}
    assert answer(**given) == answer(question=["Who?", "Where?"], context=["Ann is in Rome.", "Bob is not."])
    assert answer(question=np.array(["Who?"]), context="Ann") == answer(question=["Who?"], context="Ann")
    rows = [{"question": "Who?", "context": "Ann is in Rome."}, {"question": "Where?", "context": "In Rome."}]
    assert answer(Column(rows)) == answer(rows)

    tag = pipeline("ner", task_folder("BertForTokenClassification"), backend="reference", is_split_into_words=True)
    assert tag(np.array(["Ann", "is"])) == tag(["Ann", "is"])
    assert tag(Column([np.array(["Ann", "is"]), ["in", "Rome"]])) == tag([["Ann", "is"], ["in", "Rome"]])
    assert tag(["Ann"], ignore_labels={"LABEL_0"}) == tag(["Ann"], ignore_labels=np.array(["LABEL_0"]))

    fill = pipeline("fill-mask", task_folder("BertForMaskedLM"), backend="reference")
    assert fill("a [MASK]", targets=Column(["cat", "dog"])) == fill("a [MASK]", targets=["cat", "dog"])


def test_a_table_of_ids(tokenizer: Any) -> None:
    for call in (tokenizer.decode, tokenizer.batch_decode):
        with pytest.raises(
            ValueError, match=r"^token_ids: wanted ids, found a table, DataFrame: one of its columns is"
        ):
            call(DataFrame())


@pytest.mark.parametrize("kind", sorted({*OTHERS} - {"no axis"}))
def test_what_is_refused(
    kind: str, sentences: SentenceTransformer, reranker: CrossEncoder, task_folder: Callable[..., Path]
) -> None:
    value, found = OTHERS[kind]
    found = re.escape(found)
    calls = {
        "sentences": lambda: sentences.encode(value),
        "text": lambda: sentences.tokenizer(value),
        "texts": lambda: sentences.tokenizer.encode_ids(value),
        "tokens": lambda: sentences.tokenizer.convert_tokens_to_string(value),
        "inputs": lambda: reranker.predict(value),
        "documents": lambda: reranker.rank("a", value),
    }
    if kind == "rows and columns":  # of two columns they are pairs
        del calls["inputs"]
    for name, call in calls.items():
        with pytest.raises(TextError, match=f"^{name}: wanted .*, found {found}"):
            call()
    with pytest.raises(ValueError, match=r"^ids: wanted lists of integers|^ids\[0\]: wanted "):
        sentences.model.predict(value)
    classify = pipeline("text-classification", reranker.model, reranker.tokenizer)
    with pytest.raises(
        TextError, match=f"^inputs: wanted .*, found {found}|^inputs: wanted the keys text and text_pair"
    ):
        classify(value)
    if value is not None:
        zero_shot = pipeline("zero-shot-classification", task_folder("BertForSequenceClassification"))
        with pytest.raises(ValueError, match=r"^candidate_labels: wanted a list of labels, found "):
            zero_shot("a", value)


def test_items_are_checked_by_their_index(sentences: SentenceTransformer) -> None:
    for items in (np.ma.array(TEXTS, mask=[0, 1, 0]), Series(["a", None], "to_pylist"), np.array(["a", None], object)):
        with pytest.raises(TextError, match=r"^sentences\[1\]: wanted a text \(str\), found None$"):
            sentences.encode(items)
    with pytest.raises(TextError, match=r"^sentences\[0\]: wanted a text \(str\), found dict$"):
        sentences.encode(Column([{"text": "a"}]))
    with pytest.raises(ValueError, match=r"^ids\[1\]: wanted a list of integers, found set, which has no order$"):
        sentences.model.predict([[5], {6}])
    with pytest.raises(ValueError, match=r"^ids\[0\]: wanted a list of integers, found int$"):
        sentences.model.predict([1, 2])


def test_no_library_is_imported_for_it(encoder: Path) -> None:
    """A tokenizer, a model: neither pandas nor pyarrow would come with them, were they installed."""
    assert AutoTokenizer.from_pretrained(encoder) is not None
    for file in (Path(__file__).parents[2] / "npbert").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) (pandas|pyarrow|polars|datasets)\b", file.read_text(), re.M), file
