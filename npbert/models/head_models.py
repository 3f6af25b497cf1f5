"""Models with heads: what each family's classes, BertForMaskedLM and so on, are made of.

They are called as transformers' are, with padded arrays, and give logits for every row; `predict` takes lists of ids
and computes no more than its answer needs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from npbert_kernels.ops import Floats, Store, TableRows
from numpy.typing import ArrayLike

from npbert.arrays import as_array, checked_lists
from npbert.checks import wrong
from npbert.files.checkpoint import Checkpoint
from npbert.files.names import CONFIG_FILE
from npbert.models import losses
from npbert.models.call_arguments import (
    LABELLED_CALL,
    NEXT_SENTENCE_CALL,
    SENTENCE_ORDER_CALL,
    SPAN_CALL,
    LabelledArguments,
    NextSentenceCallArguments,
    SentenceOrderCallArguments,
    SpanCallArguments,
)
from npbert.models.config import PROBLEM_TYPES, EncoderConfig
from npbert.models.heads import KINDS, Head, check_heads, head_aliases, head_forward, head_shapes, place_head, untied
from npbert.models.losses import IGNORED, checked_labels, checked_targets, cross_entropy
from npbert.models.model import Called, EncoderModel
from npbert.models.outputs import (
    AlbertForPreTrainingOutput,
    BertForPreTrainingOutput,
    ElectraForPreTrainingOutput,
    HeadOutput,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from npbert.models.weights import NamedWeights, Shapes

if TYPE_CHECKING:
    from typing_extensions import Unpack


class HeadModel(EncoderModel):
    """An encoder and its heads."""

    kinds: ClassVar[tuple[str, ...]]
    """What the heads are for, of `heads.KINDS`."""

    @classmethod
    def uses_pooler(cls) -> bool:
        return any(cls.config_class.architecture.heads[kind].pooled for kind in cls.kinds)

    @classmethod
    def head_shapes(cls, config: EncoderConfig) -> Shapes:
        return {name: shape for kind in cls.kinds for name, shape in head_shapes(config, kind).items()}

    @classmethod
    def head_aliases(cls, config: EncoderConfig) -> Mapping[str, Sequence[str]]:
        return {name: others for kind in cls.kinds for name, others in head_aliases(config, kind).items()}

    @classmethod
    def settled(cls, config: EncoderConfig, checkpoint: Checkpoint) -> EncoderConfig:
        try:
            check_heads(config, cls.kinds)
        except ValueError as error:
            raise ValueError(f"{checkpoint.paths[0].parent / CONFIG_FILE}: {error}") from None
        if not any(untied(config, checkpoint, kind) for kind in cls.kinds):
            return config
        found = "but the file has a decoder that is not the word embeddings: it is used"
        warnings.warn(f"{checkpoint.paths[0].parent}: tie_word_embeddings is true, {found}", stacklevel=4)
        return replace(config, tie_word_embeddings=False)

    def _place_head(self, config: EncoderConfig, weights: NamedWeights, store: Store, words: TableRows) -> None:
        self._heads: dict[str, Head] = {kind: place_head(config, weights, store, kind, words) for kind in self.kinds}

    def _run_heads(self, arguments: dict[str, Any], *, padding: bool = False) -> Called:
        """Arguments are those of `_call`."""
        return self._call(partial(head_forward, heads=self._heads), arguments, padding=padding)

    @staticmethod
    def _rows(called: Called, kind: str) -> Floats:
        """A head's logits: [B, S, width] or [B, width]."""
        return called.tokens(kind) if KINDS[kind].rows == "tokens" else called.arrays[kind]

    def _predict(
        self,
        ids: Sequence[Sequence[int]],
        token_types: Sequence[Sequence[int]] | None,
        columns: Sequence[Sequence[int]] | None = None,
    ) -> list[Floats]:
        """The only head's logits, an array for each list; of tokens all, or those in `columns`."""
        ids, selected = checked_lists("ids", ids), columns is not None
        columns = None if columns is None else checked_lists("columns", columns)
        forward = partial(head_forward, self._encoder, self._heads, selected=selected)
        (rows,) = self.run_lists(("lists", selected), forward, ids, token_types, columns).values()
        if KINDS[self.kinds[0]].rows == "first":
            return list(rows)
        lengths = [len(row) for row in (ids if columns is None else columns)]
        return np.split(rows, np.cumsum(lengths)[:-1]) if lengths else []

    def predict(self, ids: Sequence[Sequence[int]], token_types: Sequence[Sequence[int]] | None = None) -> list[Floats]:
        """Logits of lists of token ids, special tokens included, without padding; any number of lists.

        Args:
            ids: a list for each sequence.
            token_types: as ids; None is 0 everywhere.

        Returns:
            A float32 array for each list: [width] of a head of sequences, [tokens, width] of a head of tokens.

        Raises:
            ValueError, OSError: as a call of the model.
        """
        return self._predict(ids, token_types)


class OneHeadModel(HeadModel):
    """A model whose call takes `labels`."""

    output_class: ClassVar[type[HeadOutput]]
    loss_of_padding: ClassVar[bool] = False
    """Whether the loss looks at tokens that the mask excludes."""

    @LABELLED_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[LabelledArguments]) -> Any:
        """The logits of a padded batch, and with labels their loss.

        Returns:
            The class's output, or with return_dict=False the tuple of what is in it. Logits of tokens that the mask
            excludes are 0; with labels they are computed, where the loss counts them.

        Raises:
            ValueError: an argument is not as it should be; names it, what was wanted and what was found, and where.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        arguments = LABELLED_CALL.by_name(OneHeadModel.__call__, places, given)
        labels = arguments["labels"]
        called = self._run_heads(arguments, padding=labels is not None and self.loss_of_padding)
        return self._answer(called, self._rows(called, self.kinds[0]), labels, arguments["return_dict"])

    forward = __call__

    def _answer(self, called: Called, logits: Floats, labels: ArrayLike | None, return_dict: bool | None) -> Any:
        loss = None if labels is None else self._loss(logits, labels, called)
        return self._returned(self.output_class(loss, logits, called.hidden_states, called.attentions), return_dict)

    def _loss(self, logits: Floats, labels: ArrayLike, called: Called) -> float:
        """Cross entropy over the last axis; labels are integers of the shape of the others, -100 for none."""
        *shape, limit = logits.shape
        return cross_entropy(logits, checked_labels("labels", labels, tuple(shape), limit, IGNORED))


class ForMaskedLM(OneHeadModel):
    """Logits of the vocabulary for each token, float32 [B, S, V]. labels: [B, S] token ids, -100 for none."""

    kinds = ("masked_lm",)
    output_class = MaskedLMOutput
    loss_of_padding = True

    def predict(
        self,
        ids: Sequence[Sequence[int]],
        token_types: Sequence[Sequence[int]] | None = None,
        columns: Sequence[Sequence[int]] | None = None,
    ) -> list[Floats]:
        """Logits of lists of token ids, special tokens included, without padding; any number of lists.

        Args:
            ids: a list for each sequence.
            token_types: as ids; None is 0 everywhere.
            columns: for each list the tokens that are asked for, ascending; None is all. Only these are projected
                onto the vocabulary, and only for these is the last layer computed.

        Returns:
            For each list float32 [columns or tokens, V].

        Raises:
            ValueError, OSError: as a call of the model.
        """
        return self._predict(ids, token_types, columns)


class ForTokenClassification(OneHeadModel):
    """Logits of the labels for each token, float32 [B, S, num_labels].

    labels: [B, S] of 0 to num_labels - 1, -100 for none.
    """

    kinds = ("token_classification",)
    output_class = TokenClassifierOutput
    loss_of_padding = True


class ForNextSentencePrediction(OneHeadModel):
    """Logits, float32 [B, 2]: that the second text follows the first (0), that it does not (1).

    labels: [B] of these, -100 for none.
    """

    kinds = ("next_sentence",)
    output_class = NextSentencePredictorOutput


class ForSequenceClassification(OneHeadModel):
    """Logits of the labels for each sequence, float32 [B, num_labels].

    labels: what config.problem_type says; where that is None, one label means regression, integers one label of
    several, other numbers several labels at once. Regression wants [B, num_labels], or of one label also [B]; one of
    several [B] of 0 to num_labels - 1, -100 for none; several at once [B, num_labels].
    """

    kinds = ("sequence_classification",)
    output_class = SequenceClassifierOutput

    def _loss(self, logits: Floats, labels: ArrayLike, called: Called) -> float:
        given = as_array("labels", labels)
        problem = self.config.problem_type
        if problem and problem not in PROBLEM_TYPES:
            raise wrong("config.json: problem_type", "null or one of " + ", ".join(PROBLEM_TYPES), problem)
        if not problem:
            several = "single_label_classification" if given.dtype.kind in "iu" else "multi_label_classification"
            problem = "regression" if self.config.num_labels == 1 else several
        if problem == "single_label_classification":
            return super()._loss(logits, given, called)
        if problem == "regression" and logits.shape[1] == 1 and given.ndim == 1:
            given = given[:, None]
        targets = checked_targets("labels", given, logits.shape)
        loss = losses.mean_squared_error if problem == "regression" else losses.binary_cross_entropy
        return loss(logits, targets)


class ForMultipleChoice(OneHeadModel):
    """Logits of choices, float32 [B, choices]; arrays are [B, choices, S]. labels: [B] of 0 to choices - 1."""

    kinds = ("multiple_choice",)
    output_class = MultipleChoiceModelOutput

    @LABELLED_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[LabelledArguments]) -> Any:
        """As of other models with heads, of arrays that have an axis of choices behind the first.

        Hidden states and attentions come of all choices of all rows, [B * choices, ...]. Raises as they do.
        """
        arguments = LABELLED_CALL.by_name(ForMultipleChoice.__call__, places, given)
        flat, count, choices = _without_choices(arguments)
        called = self._run_heads({**arguments, **flat})
        logits = self._rows(called, self.kinds[0]).reshape(count, choices)
        return self._answer(called, logits, arguments["labels"], arguments["return_dict"])

    forward = __call__


def _without_choices(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int, int]:
    """Arrays [B, choices, ...] of a call as [B * choices, ...], B, and how many choices there are."""
    names = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
    arrays = {name: as_array(name, arguments[name]) for name in names if arguments[name] is not None}
    first = arrays.get("input_ids", arrays.get("inputs_embeds"))
    if first is None:
        raise ValueError("wanted one of input_ids and inputs_embeds, found neither")
    choices = first.shape[1] if first.ndim > 1 else 0
    flat: dict[str, Any] = {}
    for name, array in arrays.items():
        axes = ["sequences", "choices", "tokens", *(["hidden_size"] if name == "inputs_embeds" else [])]
        if array.ndim != len(axes) or array.shape[1] != choices:
            wanted = f"the shape [{', '.join(axes)}]"
            if array.ndim == len(axes):
                wanted += f" with {choices} choices"
            raise ValueError(f"{name}: wanted {wanted}, found {list(array.shape)}")
        flat[name] = array.reshape(array.shape[0] * choices, *array.shape[2:])
    return flat, len(first), choices


class ElectraForPreTrainingModel(OneHeadModel):
    """ELECTRA's discriminator: logits, float32 [B, S], above 0 where a token was replaced.

    labels: [B, S] of 0 and 1; the loss counts the tokens that the mask keeps, and others' may be -100 as well.
    """

    kinds = ("replaced_tokens",)
    output_class = ElectraForPreTrainingOutput

    def _answer(self, called: Called, logits: Floats, labels: ArrayLike | None, return_dict: bool | None) -> Any:
        return super()._answer(called, logits[:, :, 0], labels, return_dict)

    def _loss(self, logits: Floats, labels: ArrayLike, called: Called) -> float:
        kept = called.packed.kept()
        given = checked_labels("labels", labels, logits.shape, 2, IGNORED)
        targets = checked_labels("labels", np.where(kept, given, 0), logits.shape, 2, None)
        return losses.binary_cross_entropy(logits[kept], targets[kept].astype(np.float64))

    def predict(self, ids: Sequence[Sequence[int]], token_types: Sequence[Sequence[int]] | None = None) -> list[Floats]:
        """As of other models with heads, errors included: for each list float32 [tokens]."""
        return [rows[:, 0] for rows in self._predict(ids, token_types)]


class ForQuestionAnswering(HeadModel):
    """Where in a text an answer begins and ends: start_logits and end_logits, float32 [B, S] each.

    start_positions, end_positions: [B] integers. Those beyond S count for nothing, those below 0 count as 0, as in
    transformers.
    """

    kinds = ("question_answering",)

    @SPAN_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[SpanCallArguments]) -> Any:
        """The logits of a padded batch, and with both kinds of positions their loss.

        Returns and raises as of other models with heads. `predict` gives [tokens, 2]: start, end.
        """
        arguments = SPAN_CALL.by_name(ForQuestionAnswering.__call__, places, given)
        starts, ends = arguments["start_positions"], arguments["end_positions"]
        called = self._run_heads(arguments, padding=starts is not None and ends is not None)
        start, end = np.moveaxis(self._rows(called, self.kinds[0]), -1, 0)  # [B, S] each
        loss = None
        if starts is not None and ends is not None:
            sides = (("start_positions", starts, start), ("end_positions", ends, end))
            loss = sum(_position_loss(*side) for side in sides) / 2
        output = QuestionAnsweringModelOutput(loss, start, end, called.hidden_states, called.attentions)
        return self._returned(output, arguments["return_dict"])

    forward = __call__


def _position_loss(name: str, positions: ArrayLike, logits: Floats) -> float:
    """Cross entropy over the tokens of each row; logits [B, S]."""
    B, S = logits.shape
    found = as_array(name, positions)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    clamped = np.clip(found, 0, S) if found.dtype.kind in "iu" and found.shape == (B,) else found
    return cross_entropy(logits, checked_labels(name, clamped, (B,), S + 1, None), ignored=S)


class PreTrainingModel(HeadModel):
    """A masked language model that also judges pairs: BERT's next sentence, ALBERT's order of sentences."""

    output_class: ClassVar[type[BertForPreTrainingOutput] | type[AlbertForPreTrainingOutput]]

    def _pretraining(self, arguments: dict[str, Any], name: str) -> Any:
        """What a call gives, the loss where both kinds of labels are there; `name` is that of the labels of pairs."""
        labels, of_pairs = arguments["labels"], arguments[name]
        called = self._run_heads(arguments, padding=labels is not None and of_pairs is not None)
        tokens, pairs = (self._rows(called, kind) for kind in self.kinds)
        loss = None
        if labels is not None and of_pairs is not None:
            words = checked_labels("labels", labels, tokens.shape[:2], tokens.shape[2], IGNORED)
            loss = cross_entropy(tokens, words)
            loss += cross_entropy(pairs, checked_labels(name, of_pairs, pairs.shape[:1], 2, IGNORED))
        output = self.output_class(loss, tokens, pairs, called.hidden_states, called.attentions)
        return self._returned(output, arguments["return_dict"])

    def predict(self, ids: Sequence[Sequence[int]], token_types: Sequence[Sequence[int]] | None = None) -> list[Floats]:
        """Not of a model with two heads.

        Raises:
            ValueError: always; says which models have the heads alone.
        """
        raise ValueError("predict: wanted a model with one head, such as AutoModelForMaskedLM's, found one with two")


class BertForPreTrainingModel(PreTrainingModel):
    """prediction_logits [B, S, V] of the vocabulary, seq_relationship_logits [B, 2] as ForNextSentencePrediction's.

    Both are float32. labels: [B, S] token ids, -100 for none. next_sentence_label: [B], 0 where the second text
    follows, else 1.
    """

    kinds = ("masked_lm", "next_sentence")
    output_class = BertForPreTrainingOutput

    @NEXT_SENTENCE_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[NextSentenceCallArguments]) -> Any:
        """Both heads' logits of a padded batch, and with both kinds of labels the sum of their losses.

        Raises:
            ValueError, OSError: as of models with one head.
        """
        arguments = NEXT_SENTENCE_CALL.by_name(BertForPreTrainingModel.__call__, places, given)
        return self._pretraining(arguments, "next_sentence_label")

    forward = __call__


class AlbertForPreTrainingModel(PreTrainingModel):
    """prediction_logits [B, S, V] of the vocabulary, sop_logits [B, 2]: that texts are in order (0), or swapped (1).

    Both are float32. labels: [B, S] token ids, -100 for none. sentence_order_label: [B] of 0 and 1.
    """

    kinds = ("masked_lm", "sentence_order")
    output_class = AlbertForPreTrainingOutput

    @SENTENCE_ORDER_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[SentenceOrderCallArguments]) -> Any:
        """Both heads' logits of a padded batch, and with both kinds of labels the sum of their losses.

        Raises:
            ValueError, OSError: as of models with one head.
        """
        arguments = SENTENCE_ORDER_CALL.by_name(AlbertForPreTrainingModel.__call__, places, given)
        return self._pretraining(arguments, "sentence_order_label")

    forward = __call__
