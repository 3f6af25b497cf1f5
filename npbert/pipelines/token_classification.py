"""Token classification, named entities among it: labels and scores of the tokens, or of the entities, of a text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from npbert_kernels.ops import Floats

from npbert.checks import check_bool, check_choice, checked_count, show
from npbert.models.scores import softmax
from npbert.pipelines.base import Pipeline, Row, read_text
from npbert.pipelines.entities import STRATEGIES, Strategy, Token, entities_of, without_overlaps
from npbert.sequences import as_list, described, has_items
from npbert.text.errors import guarded
from npbert.text.inputs import TextError


@dataclass(frozen=True)
class TokenClassificationArguments:
    """Arguments of token classification.

    Args:
        aggregation_strategy: "none", each token by itself; "simple", neighbours with the same label together;
            "first", "average", "max": the same for words, whose label is that of their first token, the likeliest
            on average, or that of their surest token.
        ignore_labels: labels, or tags of groups, that are left out.
        stride: reads a long text in windows that share so many tokens; where None, a long text is cut off.
        is_split_into_words: an input is a list of words.
        delimiter: what stands between these, where positions are counted.
        grouped_entities: True is "simple": the older name.
    """

    aggregation_strategy: Strategy = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "
    grouped_entities: bool = False

    def __post_init__(self) -> None:
        check_bool("grouped_entities", self.grouped_entities)
        check_bool("is_split_into_words", self.is_split_into_words)
        read_text(self.delimiter, "delimiter")
        strategy = self.aggregation_strategy
        check_choice("aggregation_strategy", strategy.lower() if isinstance(strategy, str) else strategy, STRATEGIES)
        given = self.ignore_labels
        labels = [*given] if isinstance(given, Set) else as_list(given)  # in no order, as they are only looked up
        if labels is None or not all(isinstance(name, str) for name in labels):
            raise ValueError(f"ignore_labels: wanted a list of labels, found {show(given)}")
        object.__setattr__(self, "ignore_labels", labels)
        if self.stride is not None:
            checked_count("stride", self.stride, 0)
            if self.strategy == "none":
                raise ValueError("stride: wanted with an aggregation_strategy other than 'none', found with 'none'")

    @property
    def strategy(self) -> Strategy:
        """The one that holds."""
        named: Any = self.aggregation_strategy.lower()
        return "simple" if self.grouped_entities and named == "none" else named


@dataclass(frozen=True)
class Sentence:
    """A text, whole or in words."""

    where: str
    text: str
    words: tuple[str, ...] | None = None
    starts: tuple[int, ...] = ()  # where each word begins in the text


class TokenClassificationPipeline(Pipeline):
    """A text gives a list of {"entity", "score", "index", "word", "start", "end"}, one for each token, or with an
    aggregation_strategy a list of {"entity_group", "score", "word", "start", "end"}. A list of texts gives a list
    of these.

    Texts are cut off at what tokenizer and model take, unless `stride` reads them in windows.

    Follows transformers.TokenClassificationPipeline.
    """

    task = "token-classification"
    model_kind = "AutoModelForTokenClassification"
    arguments_type = TokenClassificationArguments
    remedy = "stride= reads it in windows"

    def prepare(self, arguments: TokenClassificationArguments) -> TokenClassificationArguments:
        if arguments.stride is not None:
            room = self.longest - self.tokenizer.num_special_tokens_to_add()
            if arguments.stride >= room:
                raise ValueError(
                    f"stride: wanted less than {room}, what tokenizer and model take besides special tokens, "
                    f"found {arguments.stride}"
                )
        if arguments.strategy in ("first", "average", "max") and not self._marks_continuations():
            warnings.warn(
                "the tokenizer does not mark tokens that go on with a word: where no space stands, a word goes on",
                stacklevel=4,
            )
        return arguments

    def is_one(self, inputs: Any, arguments: TokenClassificationArguments) -> bool:
        return super().is_one(inputs, arguments) or (arguments.is_split_into_words and _is_words(inputs))

    def shaped(self, answer: Any, inputs: Any, arguments: TokenClassificationArguments) -> Any:
        # The answer to one list of words is in a list, as transformers has it.
        return [answer] if arguments.is_split_into_words and _is_words(inputs) else answer

    def read(self, item: Any, where: str, arguments: TokenClassificationArguments) -> Sentence:
        if not arguments.is_split_into_words:
            return Sentence(where, read_text(item, where).text)
        listed = as_list(item)
        if listed is None:
            raise TextError(f"{where}: wanted a list of words, since is_split_into_words, found {described(item)}")
        words = tuple(read_text(word, f"{where}[{index}]").text for index, word in enumerate(listed))
        starts, start = [], 0
        for word in words:
            starts.append(start)
            start += len(word) + len(arguments.delimiter)
        return Sentence(where, arguments.delimiter.join(words), words, tuple(starts))

    def encode(self, items: Sequence[Sentence], arguments: TokenClassificationArguments) -> list[list[Row]]:
        windows = arguments.stride is not None
        encoding = self.tokenizer(
            [item.text if item.words is None else list(item.words) for item in items],
            is_split_into_words=arguments.is_split_into_words,
            truncation=True,
            max_length=self.longest,
            return_overflowing_tokens=windows,
            stride=arguments.stride or 0,
        )
        if not windows:
            self.tell_of_cuts(encoding.encodings)
        rows: list[list[Row]] = [[] for _ in items]
        samples = encoding["overflow_to_sample_mapping"] if windows else range(len(items))
        for sample, row in zip(samples, encoding.encodings, strict=True):
            rows[sample].append(self.row(row))
        return rows

    def answer(
        self, item: Sentence, rows: list[Row], outputs: list[Floats], arguments: TokenClassificationArguments
    ) -> list[dict[str, Any]]:
        labels, ignored = self.model.config.id2label, arguments.ignore_labels
        found = []
        for row, logits in zip(rows, outputs, strict=True):
            tokens = self._tokens(item, row, softmax(logits))
            for entity in entities_of(tokens, arguments.strategy, labels, self.tokenizer.convert_tokens_to_string):
                if entity.get("entity", entity.get("entity_group")) not in ignored:
                    found.append(entity)
        return without_overlaps(found) if len(rows) > 1 else found

    def _tokens(self, item: Sentence, row: Row, scores: Floats) -> list[Token]:
        """The tokens of a row [T] that are not special."""
        encoding, marked, unknown = row.encoding, self._marks_continuations(), self.tokenizer.unk_token_id
        tokens = []
        columns = zip(
            row.ids, encoding.tokens, encoding.offsets, encoding.word_ids, encoding.special_tokens_mask, strict=True
        )
        for index, (token, word, (start, end), number, special) in enumerate(columns):
            if special:
                continue
            if item.words is not None and number is not None:
                start, end = start + item.starts[number], end + item.starts[number]
            spaced = start == 0 or " " in item.text[start - 1 : start + 1]
            continues = len(word) != end - start if marked else not spaced
            if token == unknown:
                word, continues = item.text[start:end], False
            tokens.append(Token(index, word, start, end, continues, scores[index]))
        return tokens

    def _marks_continuations(self) -> bool:
        """Whether tokens that go on with a word say so, as WordPiece's do."""
        with guarded("tokenizer"):
            return bool(getattr(self.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))


def _is_words(inputs: Any) -> bool:
    return isinstance(inputs, list) and len(inputs) > 0 and not any(map(has_items, inputs))
