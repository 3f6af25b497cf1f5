"""A `tokenizers.Tokenizer` made of another one: with the same steps, or with steps of its own."""

from __future__ import annotations

from tokenizers import Tokenizer


def copied(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer that shares nothing with the one that it is a copy of."""
    return read(*written(tokenizer))


def written(tokenizer: Tokenizer) -> tuple[str, bool]:
    """A tokenizer as text, and what the text does not say."""
    return tokenizer.to_str(), tokenizer.encode_special_tokens


def read(text: str, encode_special_tokens: bool) -> Tokenizer:
    """What `written` wrote."""
    tokenizer = Tokenizer.from_str(text)
    tokenizer.encode_special_tokens = encode_special_tokens
    return tokenizer


def share(tokenizer: Tokenizer, post_processor: bool = True) -> Tokenizer:
    """A tokenizer with the vocabulary and pipeline of another, and truncation and padding of its own: none."""
    own = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        own.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        own.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.post_processor is not None and post_processor:
        own.post_processor = tokenizer.post_processor
    if tokenizer.decoder is not None:
        own.decoder = tokenizer.decoder
    own.add_tokens([token for _, token in sorted(tokenizer.get_added_tokens_decoder().items())])
    own.encode_special_tokens = tokenizer.encode_special_tokens
    return own


def draw_no_lots(tokenizer: Tokenizer) -> str | None:
    """Switches off what makes the tokens of a text a matter of chance: BPE's dropout, Unigram's sampling.

    Returns:
        What was switched off, if anything was.
    """
    found = None
    for name in ("dropout", "alpha"):
        if value := getattr(tokenizer.model, name, None):
            found = f"{name} {value:g}"
            setattr(tokenizer.model, name, None)
    return found
