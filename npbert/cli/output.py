"""Where answers go: standard output, a file of JSON lines, or an .npy array; and how a file is gone on with."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from npbert.cli import MisuseError
from npbert.cli.inputs import Fields, Record, Source
from npbert.cli.streams import standard_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Answers: TypeAlias = "Sequence[Fields] | NDArray[np.float32]"  # of n inputs n, or float32 [n, H]
Compute: TypeAlias = "Callable[[list[Any]], Answers]"

ERROR = "error"  # the key of a line that stands in the place of an answer
HEADER = 192  # bytes of an .npy file before its numbers: room for any count of them, and for a digest
BLOCK = 2**20  # bytes of a file that are read again at a time
CLOSE = 1e-4  # how far numbers may be apart that another processor made of the same text


class Output(ABC):
    """Where answers go. Use it in a `with` statement."""

    def __enter__(self) -> Output:
        return self

    def __exit__(  # noqa: B027  # only files have something to end
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def resume(self, source: Source, compute: Compute) -> tuple[int, int]:
        """Takes the inputs that were answered before: how many there are, and how many of them have no answer.

        It is called once, before anything is written.

        Raises:
            ValueError: the answers are not to these inputs, or not by this model.
        """
        return 0, 0

    @abstractmethod
    def write(self, records: Sequence[Record], answers: Answers) -> None:
        """The answers to some inputs.

        Raises:
            OSError: they can't be written.
        """

    @abstractmethod
    def fail(self, record: Record, why: str) -> None:
        """What stands in the place of an answer that there is none of."""


class StandardOutput(Output):
    """JSON lines, each block of them at once."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._stream = standard_output()

    def write(self, records: Sequence[Record], answers: Answers) -> None:
        self._put("".join(lines(records, answers, self._keys)))

    def fail(self, record: Record, why: str) -> None:
        self._put(error_line(record, why, self._keys))

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class PartialFile(Output):
    """A file that takes its name when it is whole: until then what was there before stays.

    What is done of it stands in a file beside it, FILE.partial, from which --resume goes on.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._name: str = given.output
        self.partial = f"{self._name}.partial"
        self._resumes = given.resume and os.path.exists(self.partial)
        mode = "r+b" if self._resumes else "w+b"
        self._file = open(self.partial, mode, buffering=0)  # noqa: SIM115  # what is written is there
        self._count = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                os.fsync(self._file.fileno())  # what has its name is whole after a power cut, too
                self._finish()
            elif not self._count and not self._resumes:
                os.unlink(self.partial)

    def _finish(self) -> None:
        self._end(whole=True)
        try:
            os.replace(self.partial, self._name)
        except BaseException:
            self._end(whole=False)
            raise
        self._given.kept = None

    def resume(self, source: Source, compute: Compute) -> tuple[int, int]:
        if not self._resumes:
            self._begin()
            return 0, 0
        failed, last = 0, None
        for stored in self._stored():
            block = source.take(1)
            if not block:
                raise ValueError(f"{self.partial}: wanted answers to {source.name}, found more than it has inputs")
            if self._failed(block[0], stored):
                failed += 1
            else:
                last = block[0], stored
            self._count += 1
        self._truncate()
        if last is not None:
            self._compare(*last, compute)
        if self._count:
            self._given.kept = self.partial
        return self._count, failed

    def _compare(self, record: Record, stored: Any, compute: Compute) -> None:
        """Raises ValueError where a model makes another answer than stands in the file."""
        if not alike(self._answer(record, stored), self._answer(record, self._made(record, compute([record.input])))):
            raise ValueError(
                f"{self.partial}: wanted answers that this model gives with these options, found another to "
                f"{record.where}: --resume goes on with the model and the options that the file was begun with"
            )

    def _differs(self, what: str) -> ValueError:
        return ValueError(
            f"{self.partial}: wanted answers to {what}, found others: --resume goes on with the same inputs"
        )

    def _append(self, data: bytes, count: int) -> None:
        """Whole answers, so many."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.partial) from None
        self._count += count
        if self._count:
            self._given.kept = self.partial

    @abstractmethod
    def _stored(self) -> Iterator[Any]:
        """What stands in the file for each input, in order; what is there by half is left out."""

    @abstractmethod
    def _failed(self, record: Record, stored: Any) -> bool:
        """Whether what stands in the file for an input is no answer. Raises ValueError where it is another input's."""

    @abstractmethod
    def _truncate(self) -> None:
        """Lets go of what is there by half, and goes to where the file goes on."""

    @abstractmethod
    def _made(self, record: Record, answers: Answers) -> Any:
        """What would be stored of the only answer."""

    @abstractmethod
    def _answer(self, record: Record, stored: Any) -> Any:
        """The values of what is stored."""

    def _begin(self) -> None:  # most have nothing to write
        """Writes what stands before the first answer."""

    def _end(self, whole: bool) -> None:  # most have nothing to write
        """Writes what can only be known in the end, or takes it back."""


class JsonLinesFile(PartialFile):
    """A line for each input."""

    def __init__(self, given: argparse.Namespace, keys: Sequence[str]) -> None:
        super().__init__(given)
        self._keys = keys
        self._whole = 0  # bytes of whole lines

    def write(self, records: Sequence[Record], answers: Answers) -> None:
        self._append("".join(lines(records, answers, self._keys)).encode(), len(records))

    def fail(self, record: Record, why: str) -> None:
        self._append(error_line(record, why, self._keys).encode(), 1)

    def _stored(self) -> Iterator[bytes]:
        with open(self.partial, "rb", buffering=BLOCK) as file:
            for line in file:
                if line.endswith(b"\n"):
                    self._whole += len(line)
                    yield line

    def _failed(self, record: Record, stored: bytes) -> bool:
        begin = line_begin(record, self._keys).encode()
        failed = stored.startswith(begin + f'"{ERROR}": '.encode())
        if not stored.startswith(begin) or (record.error is not None and not failed):
            raise self._differs(record.where)
        return failed

    def _truncate(self) -> None:
        self._file.truncate(self._whole)
        self._file.seek(self._whole)

    def _made(self, record: Record, answers: Answers) -> bytes:
        return next(lines([record], answers, self._keys)).encode()

    def _answer(self, record: Record, stored: bytes) -> Any:
        try:
            return json.loads(stored)
        except ValueError as error:
            raise ValueError(f"{self.partial}: wanted lines of JSON, found {error}") from None


class NpyFile(PartialFile):
    """A float32 array [inputs, H]; where there is no answer, a row of NaN, so that the rows count as the inputs do.

    How many rows there are is known in the end: the header has room for any count. Until then it counts the rows that
    are there, and holds a digest of the inputs that they are of.
    """

    def __init__(self, given: argparse.Namespace, width: int) -> None:
        import hashlib

        super().__init__(given)
        self._width = width
        self._digest = hashlib.blake2b(digest_size=16)

    def write(self, records: Sequence[Record], answers: Any) -> None:
        self._add(records, answers.astype("<f4", copy=False).tobytes())

    def fail(self, record: Record, why: str) -> None:
        import numpy as np

        self._add([record], np.full(self._width, np.nan, "<f4").tobytes())

    def _add(self, records: Sequence[Record], rows: bytes) -> None:
        self._append(rows, len(records))
        for record in records:
            self._digest.update(_identity(record))
        self._put_header(self._digest.hexdigest())

    def _put_header(self, digest: str | None) -> None:
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(npy_header(self._count, self._width, digest))
        self._file.seek(end)

    def _stored(self) -> Iterator[Any]:
        import numpy as np

        begin = self._file.read(HEADER)
        found = re.search(rb"'shape': \((\d+), (\d+)\), \}  # (\w+)", begin)
        if found is None or begin != npy_header(int(found[1]), int(found[2]), found[3].decode()):
            raise ValueError(f"{self.partial}: wanted a file that npbert embed has begun, found another")
        if int(found[2]) != self._width:
            raise ValueError(
                f"{self.partial}: wanted vectors of {self._width} numbers, as this model and these options make them, "
                f"found {found[2].decode()}"
            )
        count, size = int(found[1]), 4 * self._width
        step = max(1, BLOCK // size)
        for start in range(0, count, step):
            data = self._file.read(min(step, count - start) * size)
            yield from np.frombuffer(data[: len(data) // size * size], "<f4").reshape(-1, self._width)
        if self._count < count or self._digest.hexdigest().encode() != found[3]:
            raise self._differs(f"the first {count:,} inputs")

    def _failed(self, record: Record, stored: Any) -> bool:
        self._digest.update(_identity(record))
        return bool(stored[0] != stored[0])  # NaN

    def _truncate(self) -> None:
        end = HEADER + 4 * self._width * self._count
        self._file.truncate(end)
        self._file.seek(end)

    def _made(self, record: Record, answers: Any) -> Any:
        return answers[0]

    def _answer(self, record: Record, stored: Any) -> Any:
        return stored.tolist()

    def _begin(self) -> None:
        self._append(npy_header(0, self._width, self._digest.hexdigest()), 0)

    def _end(self, whole: bool) -> None:
        self._put_header(None if whole else self._digest.hexdigest())


def check_output(given: argparse.Namespace, arrays: bool) -> None:
    """Raises MisuseError where there is no such output.

    arrays: whether an .npy file can hold the answers.
    """
    endings = (".npy", ".jsonl") if arrays else (".jsonl",)
    if given.output is not None and not given.output.endswith(endings):
        raise MisuseError(f"--output: wanted a name that ends in {' or '.join(endings)}, found {given.output!r}")
    if given.resume and given.output is None:
        raise MisuseError("--resume: wanted with --output FILE, which it goes on with")


def opened_output(given: argparse.Namespace, keys: Sequence[str], width: int | None) -> Output:
    """What `given` names.

    Args:
        given: output, resume.
        keys: of an answer.
        width: of vectors, where answers are these.

    Raises:
        OSError: it can't be opened.
    """
    if given.output is None:
        return StandardOutput(keys)
    if given.output.endswith(".npy"):
        assert width is not None
        return NpyFile(given, width)
    return JsonLinesFile(given, keys)


def lines(records: Sequence[Record], answers: Answers, keys: Sequence[str]) -> Iterator[str]:
    """A line for each input: what its own line says, and the answer."""
    for record, answer in zip(records, answers, strict=True):
        rest = to_json(answer)[1:] if isinstance(answer, dict) else vector_json(answer)
        yield f"{line_begin(record, keys)}{rest}\n"


def error_line(record: Record, why: str, keys: Sequence[str]) -> str:
    """The line of an input that has no answer."""
    return f"{line_begin(record, keys)}{to_json({ERROR: why})[1:]}\n"


def line_begin(record: Record, keys: Sequence[str]) -> str:
    """What an answer's line begins with: all that the input's line says."""
    fields = renamed(record.fields, keys)
    return to_json(fields)[:-1] + ", " * bool(fields)


def renamed(fields: Fields, keys: Sequence[str]) -> Fields:
    """An input's fields, with `input_` before a name that its answer has too."""
    taken = {*keys, ERROR}
    if taken.isdisjoint(fields):
        return fields
    names: Fields = {}
    for key, value in fields.items():
        name = key
        while name in taken or (name != key and name in fields):
            name = f"input_{name}"
        names[name] = value
    return names


def vector_json(vector: Any) -> str:
    """The rest of a vector's line."""
    numbers = ", ".join(map("{:.9g}".format, vector.tolist()))  # nine digits tell every float32 apart
    return f'"embedding": [{numbers}]}}'


def to_json(value: Any) -> str:
    """One line, with characters as they are; escaped where one is half of a pair, which no file can hold."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value)
    return text


def npy_header(count: int, width: int, digest: str | None) -> bytes:
    """The beginning of an .npy file; a digest stands in it as a comment.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}"
    text += f"  # {digest}" if digest else ""
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.encode().ljust(HEADER - 11) + b"\n"


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one == other)


def _identity(record: Record) -> bytes:
    return b"\0\n" if record.error is not None else to_json(record.fields).encode() + b"\n"
