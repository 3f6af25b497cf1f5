"""The best of many candidates, for each of some queries: they come in blocks, and no more is kept than is wanted."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npbert.cli import MisuseError
from npbert.cli.answers import MOST, Failure, Pace, Patience, outcomes
from npbert.cli.inputs import Fields, Record, Source, text_form
from npbert.cli.output import Answers, Compute, renamed, to_json
from npbert.cli.streams import bar_beside_answers, standard_output
from npbert.progress import Progress

Scores: TypeAlias = NDArray[np.floating[Any]]  # [Q, n]
Score: TypeAlias = Callable[[list[Any]], Scores]

LATER = 2**11  # candidates between two sortings
MANY = 2**20  # scores between two sortings, where there are many queries


class Best:
    """The candidates with the highest scores, of each query; of equal ones the first come first.

    Args:
        queries: how many.
        most: of each; None keeps all.
    """

    def __init__(self, queries: int, most: int | None) -> None:
        self._queries = queries
        self._most = most
        self._scores: list[Scores] = []
        self._ids: list[NDArray[np.int64]] = []  # [Q, n] each
        self._fields: dict[int, Fields] = {}
        self._pending = 0

    def add(self, ids: Sequence[int], scores: Scores, fields: Sequence[Fields]) -> None:
        """Candidates, in order: ids rise from call to call."""
        self._scores.append(scores)
        self._ids.append(np.broadcast_to(np.asarray(ids, np.int64), scores.shape))
        self._fields.update(zip(ids, fields, strict=True))
        self._pending += len(ids)
        later = min(LATER, MANY // max(1, self._queries))
        if self._most is not None and self._pending > max(later, self._most):
            self._sort()

    def ranked(self, query: int) -> Iterator[tuple[int, float, Fields]]:
        """(id, score, fields), the best first."""
        if len(self._ids) != 1 or self._pending:
            self._sort()
        for number, score in zip(self._ids[0][query].tolist(), self._scores[0][query].tolist(), strict=True):
            yield number, score, self._fields[number]

    def _sort(self) -> None:
        shape = (self._queries, 0)
        scores = np.concatenate([np.empty(shape, np.float32), *self._scores], axis=1)
        ids = np.concatenate([np.empty(shape, np.int64), *self._ids], axis=1)
        # Those that were kept before came before, and stand in order.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._most]
        self._scores, self._ids = [np.take_along_axis(scores, order, 1)], [np.take_along_axis(ids, order, 1)]
        self._pending = 0
        if self._most is not None:
            self._fields = {number: self._fields[number] for number in np.unique(self._ids[0]).tolist()}


class Vectors:
    """The rows of an .npy file as inputs, each with its line of a source, where there is one.

    Use it in a `with` statement.

    Args:
        name: the file's.
        width: what rows are wanted to have.
        source: of as many inputs as there are rows, entered already; or None.

    Raises:
        OSError: the file can't be opened.
        ValueError: it holds no vectors, or others.
    """

    def __init__(self, name: str, width: int, source: Source | None) -> None:
        self._name, self._source = name, source
        self._file = open(name, "rb")  # noqa: SIM115
        try:
            self._rows, self._dtype = _read_header(self._file, name, width)
        except BaseException:
            self._file.close()
            raise
        self._width = width
        self._taken = 0

    def __enter__(self) -> Vectors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def take(self, most: int) -> list[Record]:
        """The next rows.

        Raises:
            OSError: the file can't be read.
            ValueError: there are fewer rows than texts, or more.
        """
        count = min(most, self._rows - self._taken)
        records = None
        if self._source is not None:
            records = self._source.take(max(1, count))
            if (count and not records) or len(records) > count:
                raise ValueError(
                    f"{self._name}: wanted a vector for each input of {self._source.name}, found {self._rows:,} "
                    f"{'and fewer' if count else 'and more'} inputs"
                )
            count = len(records)
        size = self._width * self._dtype.itemsize
        data = self._file.read(count * size)
        if len(data) < count * size:
            raise OSError(f"{self._name}: wanted {self._rows:,} vectors, found {self._taken + len(data) // size:,}")
        rows = np.frombuffer(data, self._dtype).reshape(count, self._width).astype(np.float32, copy=False)
        begin = self._taken
        self._taken += count
        return [
            self._record(begin + index, row, None if records is None else records[index])
            for index, row in enumerate(rows)
        ]

    def count(self) -> int:
        """How many rows there are."""
        return self._rows

    def _record(self, index: int, row: Any, record: Record | None) -> Record:
        where = f"{self._name}: vector {index + 1}"
        fields = {} if record is None else record.fields
        if not np.isfinite(row).all():
            return Record(where, fields=fields, error=f"{where}: wanted finite numbers, found others")
        return Record(where, row, fields)


def _read_header(file: Any, name: str, width: int) -> tuple[int, np.dtype[Any]]:
    """How many rows there are, and of which numbers."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise ValueError(f"{name}: wanted an .npy file of vectors, found {error}") from None
    if len(shape) != 2 or dtype.kind != "f" or fortran:
        raise ValueError(f"{name}: wanted floats [vectors, numbers], found {dtype} {list(shape)}")
    if shape[1] != width:
        raise ValueError(f"{name}: wanted vectors of {width} numbers, as this model makes them, found {shape[1]}")
    return shape[0], dtype


def read_queries(given: argparse.Namespace) -> list[Record]:
    """QUERY, or those of the file that --queries names.

    Raises:
        MisuseError: there is none, or two files would be the standard input.
        OSError: the file can't be read.
        ValueError: a line is no query.
    """
    if given.queries is None:
        if given.query is None:
            raise MisuseError("no query is given: name one, or use --queries FILE")
        if given.query_field is not None:
            raise MisuseError("--query-field: wanted with --queries FILE")
        return [Record("QUERY", given.query, {"text": given.query})]
    if given.query is not None:  # where all arguments are texts
        given.texts, given.query = [given.query, *given.texts], None
    if given.queries == "-" and given.input in (None, "-") and not given.texts:
        raise MisuseError("--queries: wanted another file than the texts come from, found '-'")
    asked = argparse.Namespace(texts=[], input=given.queries, json_lines=given.json_lines)
    records: list[Record] = []
    with Source(asked, text_form(given.query_field, option="--query-field")) as source:
        while block := source.take(MOST):
            records += block
    if (bad := next((record.error for record in records if record.error is not None), None)) is not None:
        raise ValueError(bad)
    return records


def of_queries(queries: Sequence[Record], compute: Compute) -> list[Answers]:
    """What `compute` gives of the queries, block by block.

    Raises:
        ValueError: one of them is none; it is named.
    """
    found = []
    for _, answers in outcomes(queries, compute):
        if isinstance(answers, Failure):
            raise ValueError(answers.why)
        found.append(answers)
    return found


def rank(
    given: argparse.Namespace, queries: Sequence[Record], source: Source | Vectors, score: Score, most: int
) -> None:
    """Prints {"corpus_id", "score"} and what the candidate's line says, the best first; "query" too with --queries.

    Args:
        given: top_k, queries, on_error.
        queries: what candidates are ranked for.
        source: of the candidates, entered already.
        score: of a list of inputs, floats [Q, inputs]; a ValueError is about one of these.
        most: inputs that are scored together at most.

    Raises:
        OSError: something can't be read or written.
        ValueError: a candidate can't be scored, or, with on_error "skip", some could not.
    """
    output = standard_output()
    patience, pace, best = Patience(given), Pace(most), Best(len(queries), given.top_k)
    with Progress(source.count, "Ranking", "texts", bar_beside_answers()) as progress:
        while block := source.take(pace.size):
            started = time.monotonic()
            number = patience.seen
            patience.seen += len(block)
            for records, scores in outcomes(block, lambda inputs: score(inputs).T):  # [inputs, Q]
                if isinstance(scores, Failure):
                    patience.bear(scores)
                else:
                    ids = range(number, number + len(records))
                    best.add(ids, np.asarray(scores).T, [record.fields for record in records])
                number += len(records)
                progress.advance(len(records))
            pace.adapt(len(block), time.monotonic() - started)
    for index, query in enumerate(queries):
        asked = {} if given.queries is None else {"query": query.fields if len(query.fields) > 1 else query.input}
        for number, value, fields in best.ranked(index):
            line = {**asked, "corpus_id": number, "score": value}
            output.write(to_json({**line, **renamed(fields, [*line])}) + "\n")
    output.flush()
    patience.judge()
