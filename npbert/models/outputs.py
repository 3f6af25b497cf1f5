"""What models return: read by attribute, by key and by index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from npbert_kernels.ops import Floats

if TYPE_CHECKING:
    from npbert.models.cache import KeyValueCache


class ModelOutput(Mapping[str, Any]):
    """Fields by attribute, by key and by index. A field that is None has no key and no index.

    Iterating gives the keys, as with transformers' outputs; `to_tuple()` gives the arrays.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = getattr(self, key, None) if key in self.__dataclass_fields__ else None
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __eq__(self, other: object) -> bool:
        return self is other  # arrays have no single answer

    def __hash__(self) -> int:
        return id(self)

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order."""
        return tuple(getattr(self, name) for name in self)


@dataclass(frozen=True, eq=False)
class BaseModelOutputWithPooling(ModelOutput):
    """What an encoder returns. B sequences of length S, N heads, hidden size H; all float32."""

    last_hidden_state: Floats  # [B, S, H]
    pooler_output: Floats | None = None  # [B, H]
    hidden_states: tuple[Floats, ...] | None = None  # the embeddings, then each layer's: [B, S, H]
    attentions: tuple[Floats, ...] | None = None  # each layer's: [B, N, S, S]


@dataclass(frozen=True, eq=False)
class BaseModelOutputWithPast(ModelOutput):
    """What a bare decoder returns. As of an encoder; with P earlier tokens attentions are [B, N, S, P + S]."""

    last_hidden_state: Floats  # [B, S, H]
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Floats, ...] | None = None
    attentions: tuple[Floats, ...] | None = None


@dataclass(frozen=True, eq=False)
class CausalLMOutputWithPast(ModelOutput):
    """What a decoder with its head returns: logits [B, S, V] of the token that follows each; `loss` with labels."""

    loss: float | None = None
    logits: Floats | None = None
    past_key_values: KeyValueCache | None = None
    hidden_states: tuple[Floats, ...] | None = None
    attentions: tuple[Floats, ...] | None = None


@dataclass(frozen=True, eq=False)
class HeadOutput(ModelOutput):
    """What a model with one head returns; `loss` where labels were given. All arrays are float32."""

    loss: float | None = None
    logits: Floats | None = None  # always there, as what follows it need not be
    hidden_states: tuple[Floats, ...] | None = None  # as in BaseModelOutputWithPooling
    attentions: tuple[Floats, ...] | None = None


class MaskedLMOutput(HeadOutput):
    """logits [B, S, V]."""


class NextSentencePredictorOutput(HeadOutput):
    """logits [B, 2]: that the second text follows the first, that it does not."""


class SequenceClassifierOutput(HeadOutput):
    """logits [B, num_labels]."""


class MultipleChoiceModelOutput(HeadOutput):
    """logits [B, choices]."""


class TokenClassifierOutput(HeadOutput):
    """logits [B, S, num_labels]."""


class ElectraForPreTrainingOutput(HeadOutput):
    """logits [B, S]: above 0 that a token was replaced."""


@dataclass(frozen=True, eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """Where an answer begins and where it ends, float32 [B, S] each."""

    loss: float | None = None
    start_logits: Floats | None = None
    end_logits: Floats | None = None
    hidden_states: tuple[Floats, ...] | None = None
    attentions: tuple[Floats, ...] | None = None


@dataclass(frozen=True, eq=False)
class BertForPreTrainingOutput(ModelOutput):
    """prediction_logits [B, S, V], seq_relationship_logits [B, 2]; float32."""

    loss: float | None = None
    prediction_logits: Floats | None = None
    seq_relationship_logits: Floats | None = None
    hidden_states: tuple[Floats, ...] | None = None
    attentions: tuple[Floats, ...] | None = None


@dataclass(frozen=True, eq=False)
class AlbertForPreTrainingOutput(ModelOutput):
    """prediction_logits [B, S, V], sop_logits [B, 2] that texts are in order, that they are swapped; float32."""

    loss: float | None = None
    prediction_logits: Floats | None = None
    sop_logits: Floats | None = None
    hidden_states: tuple[Floats, ...] | None = None
    attentions: tuple[Floats, ...] | None = None
