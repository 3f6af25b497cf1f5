"""A tokenizer's vocabulary: tokens to ids and back, special tokens by their roles, ids to text."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, overload

from tokenizers.models import BPE

from npbert.checks import check_bool, check_choice, show
from npbert.sequences import as_list, described, is_table
from npbert.text.errors import guarded
from npbert.text.inputs import check_unicode, checked_texts, list_of
from npbert.text.settings import NAMES, Settings

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from typing_extensions import Self


class SpecialToken:
    """`mask_token`: the token, or None where there is none.

    Set to another token of the vocabulary it gives that one the role, in padding and decoding for instance; what goes
    around a text stays as the tokenizer has it.

    Raises:
        ValueError: set to what is no token of the vocabulary.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, vocabulary: None, owner: type) -> Self: ...

    @overload
    def __get__(self, vocabulary: Vocabulary, owner: type) -> str | None: ...

    def __get__(self, vocabulary: Vocabulary | None, owner: type) -> str | Self | None:
        return self if vocabulary is None else vocabulary._settings.tokens.get(self._name)

    def __set__(self, vocabulary: Vocabulary, value: str | AddedToken | None) -> None:
        tokens = dict(vocabulary._settings.tokens)
        tokens.pop(self._name, None)
        if value is not None:
            tokens[self._name] = vocabulary._checked_token(self._name, value)
        vocabulary._set(tokens=tokens)


class SpecialTokenId:
    """`mask_token_id`: the token's id, or None where there is none. Set to an id it sets the token.

    Raises:
        ValueError: set to what is no id of the vocabulary.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_id")

    @overload
    def __get__(self, vocabulary: None, owner: type) -> Self: ...

    @overload
    def __get__(self, vocabulary: Vocabulary, owner: type) -> int | None: ...

    def __get__(self, vocabulary: Vocabulary | None, owner: type) -> int | Self | None:
        if vocabulary is None:
            return self
        token = vocabulary._settings.tokens.get(self._name)
        return None if token is None else vocabulary.id_of(token)

    def __set__(self, vocabulary: Vocabulary, value: int | None) -> None:
        token = None if value is None else vocabulary.convert_ids_to_tokens(value)
        if value is not None and not isinstance(token, str):
            raise ValueError(f"{self._name}_id: wanted an id of the vocabulary, found {show(value)}")
        setattr(vocabulary, self._name, token)


class Vocabulary:
    """The half of a tokenizer that needs no text. Names and answers are transformers'."""

    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()

    _backend: Tokenizer
    _settings: Settings
    clean_up_tokenization_spaces: bool

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """What splits text into tokens. Changing it changes this tokenizer, and is not safe among threads."""
        return self._backend

    @property
    @guarded("tokenizer")
    def vocab_size(self) -> int:
        """How many tokens there are, added ones left out."""
        return self._backend.get_vocab_size(with_added_tokens=False)

    @guarded("tokenizer")
    def __len__(self) -> int:
        """How many tokens there are, added ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    @guarded("tokenizer")
    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added ones included."""
        return self._backend.get_vocab(with_added_tokens=True)

    @property
    def vocab(self) -> dict[str, int]:
        """As `get_vocab`."""
        return self.get_vocab()

    @property
    @guarded("tokenizer")
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> token, of those that are found in a text before it is split; special ones are among them."""
        return self._backend.get_added_tokens_decoder()

    def get_added_vocab(self) -> dict[str, int]:
        """Token -> id, of the same, in the order of their ids."""
        return {token.content: index for index, token in sorted(self.added_tokens_decoder.items())}

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """ "mask_token" -> "[MASK]" and so on, of the special tokens that there are."""
        return dict(self._settings.tokens)

    @property
    def extra_special_tokens(self) -> list[str]:
        """Special tokens without a role of their own. To be set to others of the vocabulary.

        Raises:
            ValueError: set to what is no list of such tokens.
        """
        return list(self._settings.extra_special_tokens)

    @extra_special_tokens.setter
    def extra_special_tokens(self, value: Iterable[str | AddedToken] | None) -> None:
        if value is not None and not isinstance(value, list | tuple):
            raise ValueError(f"extra_special_tokens: wanted a list of tokens, found {show(value)}")
        self._set(extra_special_tokens=[self._checked_token("extra_special_tokens", token) for token in value or ()])

    additional_special_tokens = extra_special_tokens  # the older name

    @property
    @guarded("tokenizer")
    def split_special_tokens(self) -> bool:
        """Whether special tokens that stand in a text are split as any text is. To be set, but not among threads.

        Raises:
            ValueError: set to neither True nor False.
        """
        return self._backend.encode_special_tokens

    @split_special_tokens.setter
    def split_special_tokens(self, value: bool) -> None:
        check_bool("split_special_tokens", value)
        self._backend.encode_special_tokens = value

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once."""
        return list(dict.fromkeys([*self._settings.tokens.values(), *self._settings.extra_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        ids: list[int] = self.convert_tokens_to_ids(self.all_special_tokens)
        return ids

    @property
    def pad_token_type_id(self) -> int:
        """The token type of padding: 0, as in transformers, whatever tokenizer.json pads with."""
        return 0

    @guarded("tokenizer")
    def id_of(self, token: str) -> int | None:
        """The id of a token, or None where the vocabulary has no such token."""
        return self._backend.token_to_id(token)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of a list of them; the unknown token's where there is none.

        Raises:
            TextError: something is no token.
        """
        if isinstance(tokens, str):
            check_unicode(tokens, "tokens")
            index = self.id_of(tokens)
            return self.unk_token_id if index is None else index
        wanted = "a token (str) or a list of them"
        return [self.convert_tokens_to_ids(token) for token in list_of("tokens", listed(tokens), wanted)]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of a list of them; None where there is none.

        Raises:
            ValueError: an id is negative or no whole number.
        """
        check_bool("skip_special_tokens", skip_special_tokens)
        items = as_list(listed(ids))
        if items is None and isinstance(ids, str | bytes | Mapping | Set):
            raise ValueError(f"ids: wanted a token id or a list of them, found {show(ids)}")
        indices = [_checked_id(listed(ids), "ids")] if items is None else checked_ids(items, "ids")
        skipped = set(self.all_special_ids) if skip_special_tokens and items is not None else set()
        with guarded("ids"):
            tokens = [self._backend.id_to_token(index) for index in indices if index not in skipped]
        return tokens[0] if items is None else tokens

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens.

        Raises:
            TextError: it is no list of tokens.
        """
        tokens = checked_texts("tokens", tokens)
        with guarded("tokens: can't be decoded"):
            decoder = self._backend.decoder
            return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """The text of token ids: a str for an id or a row of ids, a list of them for several rows.

        Args:
            token_ids: an int, [S] or [B][S]; lists or arrays. Ids that the vocabulary lacks are passed over.
            skip_special_tokens: leave [CLS], [SEP], [PAD] and so on out.
            clean_up_tokenization_spaces: take out the spaces before punctuation; where None, the tokenizer's.

        Raises:
            ValueError: an id is negative or no whole number.
        """
        check_bool("skip_special_tokens", skip_special_tokens)
        check_choice("clean_up_tokenization_spaces", clean_up_tokenization_spaces, (True, False, None))
        if isinstance(token_ids, Mapping):
            if "input_ids" not in token_ids:
                raise ValueError(f"token_ids: wanted ids, or a dict with the key input_ids, found {show(token_ids)}")
            token_ids = token_ids["input_ids"]
        rows = listed(token_ids)
        if is_table(rows):
            raise ValueError(f"token_ids: wanted ids, found {described(rows)}: one of its columns is a list")
        if not isinstance(rows, list):
            rows = [rows]
        if rows and isinstance(rows[0], list):
            return [
                self._decode(row, f"token_ids[{number}]", skip_special_tokens, clean_up_tokenization_spaces)
                for number, row in enumerate(rows)
            ]
        return self._decode(rows, "token_ids", skip_special_tokens, clean_up_tokenization_spaces)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """As `decode`, errors included; always a list. A single row of ids is one text, as transformers 5 has it."""
        rows = listed(sequences)
        if isinstance(rows, list) and not rows:
            return []
        texts = self.decode(rows, skip_special_tokens, clean_up_tokenization_spaces)
        return [texts] if isinstance(texts, str) else list(texts)

    def _decode(self, ids: Any, where: str, skip_special_tokens: bool, clean_up: bool | None) -> str:
        if not isinstance(ids, list):
            raise ValueError(f"{where}: wanted a row of ids, found {show(ids)}")
        indices = checked_ids(ids, where)
        with guarded(f"{where}: can't be decoded"):
            text = self._backend.decode(indices, skip_special_tokens=skip_special_tokens)
            # Byte-level BPE keeps the spaces of the text, so those before punctuation stood there.
            keeps_spaces = isinstance(self._backend.model, BPE)
        if clean_up is None:
            clean_up = self.clean_up_tokenization_spaces
        return _cleaned(text) if clean_up and not keeps_spaces else text

    def _set(self, **values: Any) -> None:
        self._settings = self._settings._replace(**values)

    def _checked_token(self, name: str, value: Any) -> str:
        """A token of the vocabulary. Any other would stand for the unknown one, which nobody means."""
        token = getattr(value, "content", value)  # of an AddedToken
        if not isinstance(token, str):
            raise ValueError(f"{name}: wanted a token (str) or None, found {show(value)}")
        check_unicode(token, name)
        if self.id_of(token) is None:
            raise ValueError(f"{name}: wanted a token of the vocabulary, found {show(token)}")
        return token

    def _roles(self) -> dict[str, str | None]:
        """Every role, with its token where it has one."""
        return {role: self._settings.tokens.get(role) for role in NAMES}


def listed(value: Any) -> Any:
    """Arrays and tuples as lists, at any depth."""
    if hasattr(value, "tolist"):
        try:
            return value.tolist()
        except MemoryError:
            raise ValueError(f"ids: wanted numbers that fit memory, found {described(value)}") from None
    return [listed(item) for item in value] if isinstance(value, list | tuple) else value


def checked_ids(ids: Iterable[Any], where: str) -> list[int]:
    """Ids as ints.

    Raises:
        ValueError: one is negative or no whole number.
    """
    return [_checked_id(index, f"{where}[{position}]") for position, index in enumerate(ids)]


def _checked_id(value: Any, where: str) -> int:
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        raise ValueError(f"{where}: wanted a token id, found {show(value)}") from None
    if not 0 <= index < 2**32:
        raise ValueError(f"{where}: wanted a token id, 0 to 2**32 - 1, found {show(value)}")
    return index


def _cleaned(text: str) -> str:
    for spaced in (" .", " ?", " !", " ,"):
        text = text.replace(spaced, spaced[1:])
    text = text.replace(" ' ", "'")
    for spaced in (" n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced[1:])
    return text
