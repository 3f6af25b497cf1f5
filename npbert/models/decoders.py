"""Models that see what stands before a token, as users call them: bare, and with a head for the next token.

Their calls give and take keys and values, `past_key_values`: see `cache`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from npbert_kernels.ops import Floats
from numpy.typing import ArrayLike

from npbert.checks import wrong
from npbert.models.architecture import LAST_HIDDEN_STATE
from npbert.models.cache import KeyValueCache
from npbert.models.call_arguments import CACHED_CALL, CAUSAL_LM_CALL, CachedArguments, CausalLMArguments
from npbert.models.head_models import HeadModel
from npbert.models.heads import head_forward
from npbert.models.losses import IGNORED, checked_labels, cross_entropy
from npbert.models.model import BareModel, Called, EncoderModel, flag
from npbert.models.outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from npbert.models.pooling import model_forward

if TYPE_CHECKING:
    from typing_extensions import Unpack


def cache_of(model: EncoderModel, arguments: dict[str, Any]) -> tuple[KeyValueCache | None, bool]:
    """The cache of a call: the one that it is given, else a new one if it is to give one; and whether it is.

    Raises:
        ValueError: what is given is no cache of this model's.
    """
    config, encoder = model.config, model.encoder
    given, gives = arguments["past_key_values"], flag("use_cache", arguments["use_cache"], config.use_cache)
    if given is None:
        new = KeyValueCache(encoder, model.backend, len(encoder.heads), max(encoder.heads), config.head_size)
        return (new if gives else None), gives
    if not isinstance(given, KeyValueCache):
        raise wrong("past_key_values", "None or what an earlier call gave", given)
    if given.owner is not encoder:
        raise ValueError("past_key_values: wanted what a call of this model gave, found another model's")
    return given, gives


def counted(cache: KeyValueCache | None, called: Called, returned: Any) -> Any:
    """What a call returns, made before its tokens count as the cache's: a call that fails leaves that as it was."""
    if cache is not None:
        cache.add(called.packed)
    return returned


class BareDecoder(BareModel):
    """A decoder without a head: last_hidden_state [B, S, H], float32; each token sees those before it.

    Source: transformers' class of the same name.
    """

    @CACHED_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[CachedArguments]) -> Any:
        """The outputs of a padded batch; nothing is computed on padding, nor on tokens that earlier calls had.

        Returns:
            BaseModelOutputWithPast, or with return_dict=False the tuple of what is in it: last_hidden_state
            [B, S, H]; past_key_values, a KeyValueCache, unless use_cache is false; if asked for, hidden_states, L + 1
            times [B, S, H], and attentions, L times [B, N, S, P + S]; float32. Masks as of a bare encoder.

        Raises:
            ValueError: an argument is not as above; names it, what was wanted and what was found, and where.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        arguments = CACHED_CALL.by_name(BareDecoder.__call__, places, given)
        cache, gives = cache_of(self, arguments)
        called = self._call(model_forward, arguments, cache=cache)
        hidden_states = called.hidden_states
        last = called.tokens(LAST_HIDDEN_STATE) if hidden_states is None else hidden_states[-1]
        output = BaseModelOutputWithPast(last, cache if gives else None, hidden_states, called.attentions)
        return counted(cache, called, self._returned(output, arguments["return_dict"]))

    forward = __call__


class ForCausalLM(HeadModel):
    """Logits of the vocabulary for what follows each token, float32 [B, S, V].

    labels: [B, S] token ids, -100 for none; each is held against the logits of the token before it.
    """

    kinds = ("causal_lm",)

    @CAUSAL_LM_CALL
    def __call__(self, *places: ArrayLike | None, **given: Unpack[CausalLMArguments]) -> Any:
        """The logits of a padded batch, and with labels their loss.

        Returns:
            CausalLMOutputWithPast, or with return_dict=False the tuple of what is in it. past_key_values and the rest
            as of the bare model; logits of tokens that the mask excludes are 0, and with labels they are computed.

        Raises:
            ValueError, OSError: as of the bare model.
        """
        arguments = CAUSAL_LM_CALL.by_name(ForCausalLM.__call__, places, given)
        labels = arguments["labels"]
        cache, gives = cache_of(self, arguments)
        forward = partial(head_forward, heads=self._heads)
        called = self._call(forward, arguments, padding=labels is not None, cache=cache)
        logits = self._rows(called, self.kinds[0])
        loss = None if labels is None else next_token_loss(logits, labels)
        output = CausalLMOutputWithPast(loss, logits, cache if gives else None, called.hidden_states, called.attentions)
        return counted(cache, called, self._returned(output, arguments["return_dict"]))

    forward = __call__


def next_token_loss(logits: Floats, labels: ArrayLike) -> float:
    """Cross entropy of logits [B, S, V] and the labels [B, S] that stand one behind them."""
    B, S, V = logits.shape
    return cross_entropy(logits[:, :-1], checked_labels("labels", labels, (B, S), V, IGNORED)[:, 1:])
