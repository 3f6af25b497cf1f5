"""Fill-mask: the likeliest words in the place of each mask token."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from npbert_kernels.ops import Floats

from npbert.checks import show
from npbert.models.scores import largest, softmax
from npbert.pipelines.arguments import Reading, checked_top_k
from npbert.pipelines.base import Pipeline, Row, Text, read_text
from npbert.sequences import as_list


@dataclass(frozen=True)
class FillMaskArguments:
    """Arguments of fill-mask.

    Args:
        top_k: how many words for each mask.
        targets: a word, or several, that others are left out for; their scores stay what they are among all.
            Of a word that is no token of the vocabulary, the first of its tokens counts, with a warning.
        tokenizer_kwargs: arguments for the tokenizer, such as truncation.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    tokenizer_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        checked_top_k(self.top_k)
        Reading.of("tokenizer_kwargs", self.tokenizer_kwargs)


@dataclass(frozen=True)
class Settled:
    """What the arguments come to with a model's vocabulary."""

    top_k: int
    target_ids: tuple[int, ...] | None  # None: all tokens
    reading: Reading


class FillMaskPipeline(Pipeline):
    """A text gives a list of {"score", "token", "token_str", "sequence"}, with several masks a list for each.

    A list of texts gives a list of these; a list of one text gives what the text alone does.

    Follows transformers.FillMaskPipeline.
    """

    task = "fill-mask"
    model_kind = "AutoModelForMaskedLM"
    arguments_type = FillMaskArguments
    too_long_hint = 'tokenizer_kwargs={"truncation": True} cuts it off'

    def prepare(self, arguments: FillMaskArguments) -> Settled:
        if self.tokenizer.mask_token_id is None:
            raise ValueError(
                f"{self.tokenizer.name_or_path or 'tokenizer'}: wanted a tokenizer with a mask token, found none"
            )
        reading = Reading.of("tokenizer_kwargs", arguments.tokenizer_kwargs)
        if arguments.targets is None:
            return Settled(checked_top_k(arguments.top_k, self.model.config.vocab_size), None, reading)
        ids = self._target_ids(arguments.targets)
        return Settled(min(arguments.top_k, len(ids)), ids, reading)

    def shaped(self, answer: Any, inputs: Any, arguments: Settled) -> Any:
        return answer[0] if isinstance(inputs, list) and len(inputs) == 1 else answer

    def read(self, item: Any, where: str, arguments: Settled) -> Text:
        return read_text(item, where)

    def encode(self, items: Sequence[Text], arguments: Settled) -> list[list[Row]]:
        mask = self.tokenizer.mask_token_id
        rows = []
        for item, (row,) in zip(items, self.rows_of_texts(items, **arguments.reading.for_tokenizer()), strict=True):
            columns = [column for column, token in enumerate(row.ids) if token == mask]
            if not columns:
                raise ValueError(
                    f"{item.where}: wanted at least one mask token, {self.tokenizer.mask_token}, found none"
                )
            rows.append([replace(row, columns=columns)])
        return rows

    def too_long(self, arguments: Settled) -> str:
        return "max_length says where it is cut off" if arguments.reading.cuts else self.too_long_hint

    def answer(self, item: Text, rows: list[Row], outputs: list[Floats], arguments: Settled) -> Any:
        (row,), (logits,) = rows, outputs  # [masks, V]
        alone = len(logits) == 1
        pad = self.tokenizer.pad_token_id
        targets = arguments.target_ids
        answers = []
        for column, scores in zip(row.columns or (), softmax(logits), strict=True):
            among = scores if targets is None else scores[list(targets)]
            guesses = []
            for best in largest(among, arguments.top_k):
                token = int(best) if targets is None else targets[best]
                ids = [*row.ids[:column], token, *row.ids[column + 1 :]]
                guesses.append(
                    {
                        "score": float(among[best]),
                        "token": token,
                        "token_str": self.tokenizer.decode([token]),
                        # Special tokens go, but where that would take the other masks.
                        "sequence": self.tokenizer.decode([id for id in ids if id != pad], skip_special_tokens=alone),
                    }
                )
            answers.append(guesses)
        return answers[0] if alone else answers

    def _target_ids(self, targets: str | Sequence[str]) -> tuple[int, ...]:
        words = [targets] if isinstance(targets, str) else as_list(targets)
        if not words:
            raise ValueError(f"targets: wanted a word or a list of words, found {show(targets)}")
        ids = []
        for index, word in enumerate(words):
            read_text(word, f"targets[{index}]")
            token = self.tokenizer.id_of(word)
            if token is None:
                pieces = self.tokenizer(word, add_special_tokens=False)["input_ids"]
                if not pieces:
                    warnings.warn(f"targets[{index}]: {show(word)} has no tokens, and is left out", stacklevel=5)
                    continue
                token = pieces[0]
                first = self.tokenizer.convert_ids_to_tokens(token)
                warnings.warn(
                    f"targets[{index}]: {show(word)} is no token of the vocabulary; {show(first)} stands for it",
                    stacklevel=5,
                )
            ids.append(token)
        if not ids:
            raise ValueError(f"targets: wanted at least one word with tokens, found {show(targets)}")
        return tuple(dict.fromkeys(ids))
