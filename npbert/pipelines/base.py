"""What all pipelines share: inputs are read in order, packed together as they are, and answered in order."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from npbert_kernels.ops import Floats

from npbert.checks import check_bool, checked_count, show
from npbert.keywords import KeywordError, hint, names_of
from npbert.models.model import EncoderModel
from npbert.progress import Progress
from npbert.sequences import as_list, described, has_items
from npbert.text.errors import fitting
from npbert.text.inputs import TextError, check_unicode

if TYPE_CHECKING:
    from tokenizers import Encoding

    from npbert.text.tokenizer import PreTrainedTokenizerFast

TOKENS = 2048  # that go through the model together: logits of each may be as wide as a vocabulary
BLOCK = 64  # inputs tokenized at once: a call of the tokenizer costs as much as a few of them


@dataclass(frozen=True)
class Text:
    """A text, or a pair of texts."""

    where: str  # its name in messages
    text: str
    pair: str | None = None


@dataclass(frozen=True)
class Row:
    """A sequence as the model takes it. An input has one, or several."""

    ids: list[int]
    token_types: list[int] | None
    encoding: Encoding  # where each token stands in the text
    columns: list[int] | None = None  # the tokens that are asked for; None for what the head gives


class Pipeline(ABC):
    """A model, its tokenizer, and a task's arguments. `npbert.pipeline` makes one.

    A call takes one input and gives its answer, a list (or an array, a Series, a column) and gives a list, or an
    iterator and gives one, which reads a batch ahead. The same text gives the same answer, whatever stands around it.

    Args:
        model: has a head for the task.
        tokenizer: the model's.
        batch_size: how many inputs are read at once at most; None reads so many that packing them pays.
        show_progress_bar: True or False; None shows one where stderr is a terminal and the work is long.
        arguments: the task's own; a call's go before these.

    Raises:
        ValueError: an argument is unknown or out of its set, or the tokenizer has ids that the model lacks.
    """

    task: ClassVar[str]
    model_kind: ClassVar[str]  # the class in models.auto that loads such a model
    arguments_type: ClassVar[Any]  # a dataclass that checks its values
    nullable: ClassVar[frozenset[str]] = frozenset()  # arguments of which None is a value; else it is "not given"
    too_long_hint: ClassVar[str] = ""
    remedy: ClassVar[str] = "shorter pieces of it are read whole"  # said where a text is cut off

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerFast,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        **arguments: Any,
    ) -> None:
        from npbert.text.tokenizer import PreTrainedTokenizerFast

        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ValueError(f"tokenizer: wanted one that AutoTokenizer loads, found {show(tokenizer)}")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = _checked_batch_size(batch_size)
        check_bool("show_progress_bar", show_progress_bar, none=True)
        self.show_progress_bar = show_progress_bar
        tokenizer.check_vocabulary(model.config.vocab_size)
        self._given = self.checked_arguments(arguments, type(self).__init__)
        self._settle({})

    def __call__(
        self, inputs: Any, *, batch_size: int | None = None, show_progress_bar: bool | None = None, **arguments: Any
    ) -> Any:
        """The answer to one input, a list of answers to a list, or an iterator of them.

        Args:
            inputs: as the task's class says.
            batch_size, show_progress_bar: for this call.
            arguments: the task's, for this call.

        Raises:
            ValueError: an input is not what the task takes (its index is named), or an argument is out of its set.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        settled = self._settle(arguments)
        size = _checked_batch_size(batch_size) or self.batch_size
        check_bool("show_progress_bar", show_progress_bar, none=True)
        show = self.show_progress_bar if show_progress_bar is None else show_progress_bar
        if isinstance(inputs, Sized) and (items := as_list(inputs)) is not None:
            inputs = items
        if self.is_one(inputs, settled):
            answer = next(self._answers([self.read(inputs, "inputs", settled)], settled, 1, 1, False))
            return self.shaped(answer, inputs, settled)
        if isinstance(inputs, list):  # all of it is checked before the first is answered
            items = [self.read(item, f"inputs[{index}]", settled) for index, item in enumerate(inputs)]
            return self.shaped(list(self._answers(items, settled, size, len(items), show)), inputs, settled)
        stream = (self.read(item, f"inputs[{index}]", settled) for index, item in enumerate(inputs))
        return self._answers(stream, settled, size, None, show)

    def predict(self, X: Any) -> Any:
        """As a call without arguments: the name that scikit-learn has for it. So is `transform`."""
        return self(X)

    transform = predict

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    @classmethod
    def checked_arguments(cls, given: dict[str, Any], known: Callable[..., Any]) -> dict[str, Any]:
        """Those of the task's arguments that have a value.

        Raises:
            ValueError: there is no such argument; `known` is what has others.
        """
        names = [entry.name for entry in fields(cls.arguments_type)]
        for name in given:
            if name not in names:
                wanted = f"{cls.task}: wanted arguments among {', '.join(names)}, found {show(name)}"
                raise KeywordError(wanted + hint(name, [*names, *names_of(known)]))
        # An iterator has its items but once, and arguments are read for every call.
        listed = {name: list(value) if isinstance(value, Iterator) else value for name, value in given.items()}
        return {name: value for name, value in listed.items() if value is not None or name in cls.nullable}

    @classmethod
    def load_model(cls, name: str | os.PathLike[str], **arguments: Any) -> Any:
        """A model for the task, from a folder or the hub; arguments are those of `from_pretrained`."""
        from npbert.models import auto

        return getattr(auto, cls.model_kind).from_pretrained(name, **arguments)

    @classmethod
    def checked_model(cls, model: Any) -> Any:
        """The model, if it has what the task needs.

        Raises:
            ValueError: it has not.
        """
        if not isinstance(model, cls.model_base()):
            raise ValueError(f"model: wanted one that {cls.model_kind} loads, found {type(model).__name__}")
        return model

    @classmethod
    def model_base(cls) -> type[EncoderModel]:
        """What all models for the task are."""
        from npbert.models import head_models

        base: type[EncoderModel] = getattr(head_models, cls.model_kind.removeprefix("AutoModel"))
        return base

    @abstractmethod
    def read(self, item: Any, where: str, arguments: Any) -> Any:
        """Checks an input. What it gives has a `where`."""

    @abstractmethod
    def encode(self, items: Sequence[Any], arguments: Any) -> list[list[Row]]:
        """The rows of each item."""

    @abstractmethod
    def answer(self, item: Any, rows: list[Row], outputs: list[Floats], arguments: Any) -> Any:
        """An item's answer from what the model said of each of its rows."""

    def _outputs(self, rows: Sequence[Row]) -> list[Floats]:
        """What the model says of each row."""
        types = None if rows[0].token_types is None else [row.token_types for row in rows]
        columns = () if rows[0].columns is None else ([row.columns for row in rows],)
        with fitting(self.tokenizer.name_or_path):
            found: list[Floats] = self.model.predict([row.ids for row in rows], types, *columns)
        return found

    @property
    def longest(self) -> int:
        """The most tokens that are read together: what the tokenizer says, and the model has positions for."""
        most: int = self.model.config.max_tokens
        return min(self.tokenizer.model_max_length, most)

    def prepare(self, arguments: Any) -> Any:
        """Arguments as `encode` and `answer` get them: checked against model and tokenizer."""
        return arguments

    def is_one(self, inputs: Any, arguments: Any) -> bool:
        """Whether it is one input, and no list or stream of them."""
        return not has_items(inputs)

    def shaped(self, answer: Any, inputs: Any, arguments: Any) -> Any:
        """The answer to one input, or the list of answers, in the shape that transformers gives it."""
        return answer

    def row(self, encoding: Encoding, columns: list[int] | None = None) -> Row:
        """A row of the tokenizer's as one for the model."""
        return Row(encoding.ids, encoding.type_ids if self.tokenizer.gives_token_types else None, encoding, columns)

    def rows_of_texts(self, texts: Sequence[Text], **tokenizer_arguments: Any) -> list[list[Row]]:
        """A row for each text or pair; where truncated, to `longest` if no max_length says otherwise."""
        batch = [text.text if text.pair is None else (text.text, text.pair) for text in texts]
        asked = tokenizer_arguments.get("max_length") is not None
        if not asked and tokenizer_arguments.get("truncation") is not None:
            tokenizer_arguments["max_length"] = self.longest
        rows = self.tokenizer(batch, **tokenizer_arguments).encodings
        if not asked:
            self.tell_of_cuts(rows)
        return [[self.row(row)] for row in rows]

    def tell_of_cuts(self, rows: Sequence[Encoding]) -> None:
        """Warns where one of the rows, truncated to `longest`, lacks some of its text."""
        if not self.tokenizer.limit_is_asked:
            self.tokenizer.tell_of_cuts(rows, self.longest, self.remedy)

    def _settle(self, given: dict[str, Any]) -> Any:
        return self.prepare(
            self.arguments_type(**{**self._given, **self.checked_arguments(given, type(self).__call__)})
        )

    def _answers(
        self, items: Iterable[Any], arguments: Any, size: int | None, total: int | None, show: bool | None
    ) -> Iterator[Any]:
        remaining = iter(items)
        with Progress(total, self.task, "texts", show) as progress:
            while block := list(islice(remaining, size or BLOCK)):
                rows = self.encode(block, arguments)
                for item, own in zip(block, rows, strict=True):
                    self._check_lengths(item, own, arguments)
                for begin, end in _groups(rows):
                    outputs = iter(self._outputs([row for own in rows[begin:end] for row in own]))
                    for item, own in zip(block[begin:end], rows[begin:end], strict=True):
                        answer = self.answer(item, own, list(islice(outputs, len(own))), arguments)
                        progress.advance(1)
                        yield answer

    def too_long(self, arguments: Any) -> str:
        """What a text that is longer than the model takes wants."""
        return self.too_long_hint

    def _check_lengths(self, item: Any, rows: list[Row], arguments: Any) -> None:
        longest = self.model.config.max_tokens
        for row in rows:
            if not 1 <= len(row.ids) <= longest:
                said = self.too_long(arguments) if row.ids else ""
                hint = f"; {said}" if said else ""
                raise ValueError(
                    f"{item.where}: wanted 1 to {longest} tokens, the most that the model takes, "
                    f"found {len(row.ids)}{hint}"
                )


def read_text(value: Any, where: str) -> Text:
    """One text.

    Raises:
        TextError: it is none.
    """
    if not isinstance(value, str):
        raise TextError(f"{where}: wanted a text (str), found {described(value)}")
    if not value.isascii():
        check_unicode(value, where)
    return Text(where, str(value))  # no subclass of NumPy's


def _groups(rows: Sequence[Sequence[Row]]) -> Iterator[tuple[int, int]]:
    """(begin, end) of the items that go through the model together: as many as TOKENS hold."""
    begin = tokens = 0
    for index, own in enumerate(rows):
        more = sum(len(row.ids) for row in own)
        if tokens + more > TOKENS and index > begin:
            yield begin, index
            begin, tokens = index, 0
        tokens += more
    if begin < len(rows):
        yield begin, len(rows)


def _checked_batch_size(value: int | None) -> int | None:
    return None if value is None else checked_count("batch_size", value, 1)
