"""The arguments of a model's call, by transformers' names and in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from npbert.signatures import Arguments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from npbert.models.cache import KeyValueCache


class InputArguments(TypedDict, total=False):
    """
    input_ids: [B, S] integers of any dtype, or
    inputs_embeds: [B, S, E], in place of the word embeddings.
    attention_mask: [B, S] of 0 and 1 (bool, integers or floats), holes allowed; None keeps all. [B, S, S] or
        [B, 1, S, S] says for each query which keys it attends to (not on a GPU), unless all have the same;
        [B, 1, S] and [B, 1, 1, S] are [B, S]. Floats of four axes are added to scores, as in transformers:
        0 keeps, -10000 and less does not.
    token_type_ids: [B, S] integers; None is 0 everywhere. DistilBERT, MPNet and ModernBERT have no token types, and
        these make no difference to them; GPT-2 takes none.
    position_ids: [B, S] or [1, S] integers; None counts the columns from 0, or in RoBERTa, its kin and
        MPNet the tokens that are not padding, told by its id, from pad_token_id + 1.
    head_mask: [N] or [L, N] factors on the attention probabilities of heads; of all, pruned or not.
    """

    input_ids: ArrayLike | None
    attention_mask: ArrayLike | None
    token_type_ids: ArrayLike | None
    position_ids: ArrayLike | None
    head_mask: ArrayLike | None
    inputs_embeds: ArrayLike | None


class CacheArguments(TypedDict, total=False):
    """
    past_key_values: what an earlier call gave so; the tokens go on from those that it had, and are added to it.
        attention_mask is then [B, P + S], of the P earlier tokens as it was, and positions count from P.
    use_cache: give past_key_values; None is what the config says.
    """

    past_key_values: KeyValueCache | None
    use_cache: bool | None


class LabelArguments(TypedDict, total=False):
    """
    labels: as the class says; with them there is a loss.
    """

    labels: ArrayLike | None


class SpanArguments(TypedDict, total=False):
    """
    start_positions, end_positions: as the class says; with both of them there is a loss.
    """

    start_positions: ArrayLike | None
    end_positions: ArrayLike | None


class NextSentenceArguments(TypedDict, total=False):
    """
    next_sentence_label: as the class says; with both kinds of labels there is a loss.
    """

    next_sentence_label: ArrayLike | None


class SentenceOrderArguments(TypedDict, total=False):
    """
    sentence_order_label: as the class says; with both kinds of labels there is a loss.
    """

    sentence_order_label: ArrayLike | None


class OutputArguments(TypedDict, total=False):
    """
    output_attentions, output_hidden_states, return_dict: None is what the config says.
    """

    output_attentions: bool | None
    output_hidden_states: bool | None
    return_dict: bool | None


class CallArguments(InputArguments, OutputArguments, total=False):
    """Of a bare model's call."""


class CachedArguments(InputArguments, CacheArguments, OutputArguments, total=False):
    """Of the call of a bare decoder."""


class CausalLMArguments(InputArguments, LabelArguments, CacheArguments, OutputArguments, total=False):
    """Of the call of a decoder with a head."""


class LabelledArguments(InputArguments, LabelArguments, OutputArguments, total=False):
    """Of the call of a model with a head."""


class SpanCallArguments(InputArguments, SpanArguments, OutputArguments, total=False):
    """Of the call of a model for question answering."""


class NextSentenceCallArguments(InputArguments, LabelArguments, NextSentenceArguments, OutputArguments, total=False):
    """Of the call of BertForPreTraining."""


class SentenceOrderCallArguments(InputArguments, LabelArguments, SentenceOrderArguments, OutputArguments, total=False):
    """Of the call of AlbertForPreTraining."""


INPUTS = Arguments(InputArguments, by_place=True)
LABELS = Arguments(LabelArguments)
OUTPUTS = Arguments(OutputArguments)
CALL = INPUTS + OUTPUTS
CACHE = Arguments(CacheArguments)
CACHED_CALL = INPUTS + CACHE + OUTPUTS
CAUSAL_LM_CALL = INPUTS + LABELS + CACHE + OUTPUTS
LABELLED_CALL = INPUTS + LABELS + OUTPUTS
SPAN_CALL = INPUTS + Arguments(SpanArguments) + OUTPUTS
NEXT_SENTENCE_CALL = INPUTS + LABELS + Arguments(NextSentenceArguments) + OUTPUTS
SENTENCE_ORDER_CALL = INPUTS + LABELS + Arguments(SentenceOrderArguments) + OUTPUTS
