"""What all tokenizers share: text to token ids and back, token for token what transformers gives."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

from tokenizers import Tokenizer

from npbert.checks import check_bool, check_choice, checked_count, checked_path, show
from npbert.files.hub import HUB, resolve
from npbert.files.names import (
    BYTE_BPE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG,
    TOKENIZER_FILE,
    TOKENIZER_FILES,
    WORDPIECE,
)
from npbert.files.staging import staged, write_text
from npbert.sequences import described
from npbert.text.arguments import TokenizerArguments, checked_settings
from npbert.text.backends import draw_no_lots, read, share, written
from npbert.text.cuts import warn_of_cut
from npbert.text.encoding import BatchEncoding
from npbert.text.errors import as_value_error, guarded, is_foreign_error, said, tokenizing
from npbert.text.families import GENERIC, TokenizerFamily
from npbert.text.files import LoadedTokenizer, load_tokenizer, make_tokenizer
from npbert.text.inputs import TextError, Texts, check_texts, list_of, read_texts
from npbert.text.lengths import Lengths, as_arrays, check_tensors, checked_room, checked_side, columns, read_lengths
from npbert.text.long_texts import CHARS_PER_TOKEN, LongTexts
from npbert.text.pad import MASK, arrays_of, padded, read_columns
from npbert.text.rows import PIECE, encoded, in_pieces, pad, rows_of
from npbert.text.steps import around_a_text
from npbert.text.switches import Switch, switches
from npbert.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding
    from typing_extensions import Self, Unpack


class PreTrainedTokenizerFast(Vocabulary):
    """A tokenizer of any family: a call gives what transformers' does, token for token.

    Itself it stands for a tokenizer.json that says all; subclasses differ by their line in the table.

    A call changes nothing, neither here nor in the `tokenizers.Tokenizer` behind it, so threads may share
    one. Its own truncation and padding are switched off at once: both are done here, on what it gives. So is what
    draws by lot, the dropout that a BPE's tokenizer.json may carry: it is for training, and the same text gives the
    same tokens.

    Args:
        vocab, vocab_file: what the family's own tokenizer is made of: the path of vocab.txt, vocab.json or the
            sentencepiece model; or {token: id}, where that is no model.
        merges, merges_file: what else that of a family with merges is made of: the path of merges.txt, or the pairs.
        tokenizer_file: or, the path of a tokenizer.json.
        tokenizer_object: or, a `tokenizers.Tokenizer`, which is copied.
        name_or_path: where it comes from, for messages.
        settings: as `from_pretrained` takes them; where they say nothing, the family's own.

    Raises:
        OSError: a file can't be read.
        ValueError: there is nothing to make a tokenizer of, or too much; a file is malformed; a setting is unknown or
            asks for what there is not; what is given can't encode a text, or mixes special tokens into it in a way of
            its own.

    Source: transformers' class of the same name, as of all families' classes.
    """

    family: ClassVar[TokenizerFamily] = GENERIC
    is_fast = True
    do_lower_case, strip_accents, keep_accents, tokenize_chinese_chars = Switch(), Switch(), Switch(), Switch()
    add_prefix_space, trim_offsets = Switch(), Switch()

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int] | None = None,
        merges: str | os.PathLike[str] | Sequence[Any] | None = None,
        *,
        vocab_file: str | os.PathLike[str] | None = None,
        merges_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        name_or_path: str = "",
        **settings: Any,
    ) -> None:
        checked = checked_settings(type(self).__name__, settings, type(self).__init__)
        sources = {
            "vocab": vocab,
            "merges": merges,
            "vocab_file": vocab_file,
            "merges_file": merges_file,
            "tokenizer_file": tokenizer_file,
            "tokenizer_object": tokenizer_object,
        }
        loaded = make_tokenizer(type(self).__name__, self.family, sources, checked)
        self._take(loaded, name_or_path, asked_length="model_max_length" in checked)

    def _take(self, loaded: LoadedTokenizer, name_or_path: str, *, asked_length: bool) -> Self:
        """Makes this the tokenizer of a backend, which becomes its own, and its settings.

        asked_length: whether model_max_length is the caller's wish.
        """
        backend, settings = loaded.backend, loaded.settings
        self._backend = backend
        self._settings = settings
        self.clean_up_tokenization_spaces = settings.clean_up_tokenization_spaces
        self.name_or_path = name_or_path
        self.model_max_length = settings.model_max_length
        self.padding_side: str = settings.padding_side
        self.truncation_side: str = settings.truncation_side
        self.model_input_names = list(settings.model_input_names)
        self._greatest_id = loaded.greatest_id
        self._told_of_cut = False
        self._asked_length = asked_length
        where = name_or_path or "tokenizer"
        with as_value_error(f"{where}: can't encode a text"):
            if lots := draw_no_lots(backend):
                why = "it is for training, where tokens are drawn by lot"
                warnings.warn(f"{where}: {lots}: switched off: {why}", stacklevel=3)
        self._around = around_a_text(backend, where)
        with guarded(f"{where}: not a valid tokenizer"):
            self._long_texts = LongTexts(backend)
            if share(backend).get_added_tokens_decoder() != backend.get_added_tokens_decoder():
                raise ValueError(f"{where}: added tokens: wanted ids in the order of their adding")
        return self

    @classmethod
    @HUB
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **given: Unpack[TokenizerArguments],
    ) -> Self:
        """Loads a tokenizer from tokenizer.json, or where there is none from the files of its family.

        Those are vocab.txt, or vocab.json and merges.txt, or a sentencepiece model. tokenizer.json decides, where
        versions of transformers differ as well; of tokenizer_config.json's switches those go before it that did when
        models were trained, in transformers 4: BERT's do_lower_case, strip_accents and tokenize_chinese_chars,
        RoBERTa's add_prefix_space and trim_offsets. docs/versions.md lists the differences.

        Args:
            pretrained_model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries
                a model folder).
            others: settings, which go before what tokenizer_config.json says: do_lower_case, strip_accents,
                tokenize_chinese_chars, add_prefix_space, model_max_length, padding_side, mask_token,
                model_input_names, ...

        Raises:
            OSError: the tokenizer can't be found or read.
            ValueError: a file is malformed, or asks for something that is not supported; or a setting is unknown, or
                asks for what the tokenizer has not.
        """
        hub, settings = HUB.apart(given)
        checked = checked_settings(f"{cls.__name__}.from_pretrained", settings, cls.from_pretrained)
        folder = resolve(pretrained_model_name_or_path, patterns=TOKENIZER_FILES, **hub)
        loaded = load_tokenizer(folder, cls.family, checked)
        return cls.__new__(cls)._take(loaded, str(folder), asked_length="model_max_length" in checked)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> tuple[str, ...]:
        """Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and the family's own files.

        Returns:
            The paths of the files.

        Raises:
            OSError: one can't be written.
        """
        folder = checked_path("save_directory", save_directory)
        config = {
            **self._settings.config,
            "tokenizer_class": self.family.name,
            **{role: token for role, token in self._roles().items() if token or role in self._settings.config},
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "model_input_names": self.model_input_names,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
        }
        with guarded("tokenizer"):
            config |= switches(self._backend, self.family)
        special: dict[str, Any] = {**self.special_tokens_map}
        if self.extra_special_tokens:
            special["additional_special_tokens"] = self.extra_special_tokens
        vocabulary: list[str] = []
        with staged(folder) as stage:
            for file, values in ((TOKENIZER_CONFIG, config), (SPECIAL_TOKENS_FILE, special)):
                text = json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True)
                write_text(stage / file, text + "\n")
            try:
                self._backend.save(str(stage / TOKENIZER_FILE))
                if self.family.files in (WORDPIECE, BYTE_BPE):
                    vocabulary = [Path(path).name for path in self._backend.model.save(str(stage))]
            except BaseException as error:
                if not is_foreign_error(error):
                    raise
                raise OSError(f"{folder / TOKENIZER_FILE}: can't be written: {said(error)}") from None
        return tuple(
            str(folder / file) for file in (TOKENIZER_CONFIG, SPECIAL_TOKENS_FILE, TOKENIZER_FILE, *vocabulary)
        )

    def check_vocabulary(self, vocab_size: int) -> None:
        """Checks that every id that this tokenizer can give is a row of an embedding table of so many.

        Raises:
            ValueError: one is not; the greatest is named.
        """
        vocab_size = checked_count("vocab_size", vocab_size, 1)
        if self._greatest_id is not None and self._greatest_id < vocab_size:
            return
        token, greatest = max(self.get_vocab().items(), key=lambda item: item[1], default=("", -1))
        if greatest >= vocab_size:
            raise ValueError(
                f"{self.name_or_path or 'tokenizer'}: wanted ids below {vocab_size}, the model's vocab_size, "
                f"found {greatest}, {show(token)}"
            )

    @property
    def gives_token_types(self) -> bool:
        """Whether a call gives token_type_ids where its arguments don't say it, and pipelines and rerankers use them.

        That is what model_input_names says. Where no file says it: as the class does in transformers 4.57, unless the
        folder's model tells no two types apart.
        """
        return "token_type_ids" in self.model_input_names

    @guarded("tokenizer")
    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens go around a text, or around and between two.

        Raises:
            ValueError: pair is neither True nor False.
        """
        check_bool("pair", pair)
        return self._backend.num_special_tokens_to_add(pair)

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[Any] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """The token ids of a text, a pair of texts, or a batch of either.

        Args:
            text: a text, or a list of texts or of pairs. With is_split_into_words, lists of words for texts.
            text_pair: the second text, or a list as long as `text`. One text's empty second one is none.
            add_special_tokens: put [CLS] and [SEP] around and between.
            padding: False; True or "longest", to the longest of the batch; "max_length".
            truncation: False or None; True or "longest_first"; "only_first"; "only_second". None with a
                max_length and without padding is "longest_first".
            max_length: in tokens, special ones included; where None, model_max_length.
            stride: how many tokens each overflowing row repeats of the one before it; only with these.
            is_split_into_words: texts are lists of words.
            pad_to_multiple_of: pad to a multiple of this; only with padding.
            padding_side: "right" or "left"; where None, the tokenizer's.
            return_tensors: None, lists; "np", int64 arrays.
            return_token_type_ids, return_attention_mask: where None, what model_input_names says.
            return_overflowing_tokens: what truncation cuts off follows as rows of its own, and
                overflow_to_sample_mapping says of which text each row is.
            return_special_tokens_mask: 1 for special tokens.
            return_offsets_mapping: (start, end) of each token in its text's characters.
            return_length: the length of each row.
            verbose: warn where an argument has no effect, and once where a text is cut off at model_max_length.

        Returns:
            input_ids, token_type_ids, attention_mask and what else was asked for: [S] each for one text,
            [B][S] for a batch; with "np" always [B, S], and offset_mapping [B, S, 2].

        Raises:
            TypeError, ValueError: a text is no text (its index is named), or arguments don't go together.

        Follows transformers.BertTokenizer, 4.57 and 5.x.
        """
        for name, flag in (
            ("add_special_tokens", add_special_tokens),
            ("is_split_into_words", is_split_into_words),
            ("return_overflowing_tokens", return_overflowing_tokens),
            ("return_special_tokens_mask", return_special_tokens_mask),
            ("return_offsets_mapping", return_offsets_mapping),
            ("return_length", return_length),
        ):
            check_bool(name, flag)
        check_choice("return_token_type_ids", return_token_type_ids, (True, False, None))
        check_choice("return_attention_mask", return_attention_mask, (True, False, None))
        check_bool("verbose", verbose)
        check_tensors(return_tensors)
        stride = checked_count("stride", stride, 0)
        lengths = read_lengths(padding, truncation, max_length, pad_to_multiple_of, self.model_max_length, verbose)
        texts = read_texts(text, text_pair, is_split_into_words)
        room = None
        if lengths.truncation is not None and lengths.max_length is not None:
            paired = any(second is not None for second in texts.second)
            special = self.num_special_tokens_to_add(paired) if add_special_tokens else 0
            room = checked_room(lengths.max_length, special)
            if return_overflowing_tokens and 0 < room <= stride:
                raise ValueError(
                    f"stride: wanted less than the {room} tokens that fit into max_length besides special ones, "
                    f"found {stride}"
                )
        with tokenizing(texts.check_unicode):
            if room is not None and not return_overflowing_tokens:
                texts = self._shortened(texts, room, lengths)
            side = "right" if room is None else checked_side("truncation_side", self.truncation_side)
            overflow = stride if return_overflowing_tokens else None
            rows = list(rows_of(self._backend, texts, lengths, side, add_special_tokens, overflow))
            if lengths.padding is not None:
                self._pad(rows, lengths, padding_side)

        silent = max_length is not None or return_overflowing_tokens or not verbose or self.limit_is_asked
        if lengths.max_length is not None and not silent:
            self.tell_of_cuts(rows, lengths.max_length, "truncation=False keeps it, max_length= says where to cut")
        groups = [[row, *row.overflowing] if return_overflowing_tokens else [row] for row in rows]
        rows = [row for group in groups for row in group]
        names = self.model_input_names
        wanted = {
            "token_type_ids": self.gives_token_types if return_token_type_ids is None else return_token_type_ids,
            "attention_mask": ("attention_mask" in names if return_attention_mask is None else return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        data = columns(rows, wanted, return_length)
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [sample for sample, group in enumerate(groups) for _ in group]
        if return_tensors is not None:
            data = as_arrays(data)
        elif not texts.batched and not return_overflowing_tokens:
            data = {key: column if key == "length" else column[0] for key, column in data.items()}
        return BatchEncoding(data.items(), rows)

    def encode_plus(self, text: Any, text_pair: Any = None, **arguments: Any) -> BatchEncoding:
        """As a call with one text or one pair, errors included."""
        return self(text, text_pair, **arguments)

    def batch_encode_plus(self, batch_text_or_text_pairs: Sequence[Any], **arguments: Any) -> BatchEncoding:
        """As a call with a list of texts or of pairs, errors included."""
        return self(batch_text_or_text_pairs, **arguments)

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **arguments: Any) -> Any:
        """The input_ids that a call gives, alone; errors are those of a call."""
        return self(text, text_pair, add_special_tokens, **arguments)["input_ids"]

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """What calls gave before, padded to one length.

        Args:
            encoded_inputs: a dict of columns, [S] each for one text or [B][S] for several, or a list of such dicts
                of one text. input_ids is among them; keys that a call does not give stay as they are.
            padding, max_length, pad_to_multiple_of, padding_side, return_attention_mask, verbose: as in a call.
            return_tensors: as in a call; where None, arrays if the ids came as arrays.

        Raises:
            ValueError: the columns don't go together, or an argument is not what is wanted.

        Follows transformers.BertTokenizer.pad.
        """
        check_choice("return_attention_mask", return_attention_mask, (True, False, None))
        check_bool("verbose", verbose)
        check_tensors(return_tensors)
        lengths = read_lengths(padding, None, max_length, pad_to_multiple_of, self.model_max_length, verbose)
        columns, batched, arrays = read_columns(encoded_inputs)
        mask = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        if mask and MASK not in columns:
            columns[MASK] = [[1] * len(row) for row in columns["input_ids"]]
        fills = {"token_type_ids": self.pad_token_type_id, "special_tokens_mask": 1, **({MASK: 0} if mask else {})}
        if lengths.padding is not None:
            if self.pad_token_id is None:
                raise ValueError("padding: wanted False, since this tokenizer has no pad_token")
            fills["input_ids"] = self.pad_token_id
        side = checked_side("padding_side", self.padding_side if padding_side is None else padding_side)
        data = padded(columns, lengths, side, fills)
        if not batched:
            data = {key: column[0] for key, column in data.items()}
        return BatchEncoding((arrays_of(data) if arrays or return_tensors is not None else data).items())

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **arguments: Any
    ) -> list[str]:
        """The tokens of a text, or of a pair, as strings. With is_split_into_words, of a list of words.

        Raises:
            TypeError, ValueError: as a call.
        """
        if not isinstance(text, str) and not arguments.get("is_split_into_words"):
            raise TextError(f"text: wanted a text (str), found {described(text)}")
        return self(text, pair, add_special_tokens, **arguments).tokens()

    @overload
    def encode_ids(
        self,
        texts: Sequence[str],
        pairs: None = None,
        max_length: int | None = None,
        *,
        start: int = 0,
        remedy: str | None = None,
    ) -> list[list[int]]: ...

    @overload
    def encode_ids(
        self,
        texts: Sequence[str],
        pairs: Sequence[str],
        max_length: int | None = None,
        *,
        start: int = 0,
        remedy: str | None = None,
    ) -> tuple[list[list[int]], list[list[int]]]: ...

    def encode_ids(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        max_length: int | None = None,
        *,
        start: int = 0,
        remedy: str | None = None,
    ) -> list[list[int]] | tuple[list[list[int]], list[list[int]]]:
        """The ids alone, special tokens included, without padding, as fast as `tokenizers` gives them.

        Args:
            texts: the texts.
            pairs: the second text of each.
            max_length: truncate to so many tokens, the longer of a pair first; None does not truncate.
            start: the index of the first text, for messages.
            remedy: what reads more of a text, where max_length is not the caller's wish: it is said, once, where a text
                is cut off. None says nothing.

        Returns:
            [B][length] ids; with pairs, [B][length] token types too.

        Raises:
            TypeError, ValueError: a text is no text (its index is named), or max_length is too small.
        """
        texts = list_of("texts", texts)
        if not {*map(type, texts)} <= {str}:
            check_texts(texts, "texts", start)
        if pairs is None:
            before, after = self._around
            room = None if max_length is None else checked_room(max_length, len(before) + len(after))
            side = checked_side("truncation_side", self.truncation_side)
            with tokenizing(lambda: check_texts(texts, "texts", start)):
                found = [[*before, *ids, *after] for ids in self._ids(texts, room, side)]
                if remedy is not None and max_length is not None and room is not None and not self._told_of_cut:
                    full = (text for text, ids in zip(texts, found, strict=True) if len(ids) == max_length)
                    if any(len(ids) > room for text in full for ids in self._ids([text], room + 1, side)):
                        self._tell_of_cut(max_length, remedy)
                return found

        pairs = list_of("pairs", pairs)
        if not {*map(type, pairs)} <= {str}:
            check_texts(pairs, "pairs", start)
        if len(pairs) != len(texts):
            raise ValueError(f"pairs: wanted as many as texts, {len(texts)}, found {len(pairs)}")

        def check() -> None:
            check_texts(texts, "texts", start)
            check_texts(pairs, "pairs", start)

        with tokenizing(check):
            both = Texts(list(texts), list(pairs), batched=True, words=False)
            lengths = Lengths(None, None if max_length is None else "longest_first", max_length, None)
            if max_length is not None:
                both = self._shortened(both, checked_room(max_length, self.num_special_tokens_to_add(True)), lengths)
            side = "right" if max_length is None else checked_side("truncation_side", self.truncation_side)
            rows = list(rows_of(self._backend, both, lengths, side, offsets=False))
            if remedy is not None and max_length is not None:
                self.tell_of_cuts(rows, max_length, remedy)
        return [row.ids for row in rows], [row.type_ids for row in rows]

    @property
    def limit_is_asked(self) -> bool:
        """Whether model_max_length is the caller's wish, and not what the files say."""
        return self._asked_length or self.model_max_length != self._settings.model_max_length

    def tell_of_cuts(self, rows: Sequence[Encoding], limit: int, remedy: str) -> None:
        """Warns where one of the rows, truncated to `limit` tokens, lacks some of its text: of this tokenizer once.

        remedy: what reads more.
        """
        if not self._told_of_cut and any(len(row) == limit and row.overflowing for row in rows):
            self._tell_of_cut(limit, remedy)

    def _tell_of_cut(self, limit: int, remedy: str) -> None:
        self._told_of_cut = True
        warn_of_cut(self.name_or_path, limit, remedy)

    def _ids(self, texts: Sequence[str], room: int | None, side: str) -> Iterator[list[int]]:
        """The ids of each text without special tokens, so many of them at one end; all where room is None."""
        right = side == "right"
        most = CHARS_PER_TOKEN * room if room is not None and right else None
        for piece in in_pieces(texts, most):
            if room is not None and right:
                yield from (row.ids[:room] for row in self._long_texts.encode(piece, room, self._fast))
            elif len(piece[0]) > PIECE:
                ids: list[int] = []
                for row in self._long_texts.rows(piece[0], self._fast):
                    ids += row
                    if room is not None:
                        del ids[: max(0, len(ids) - room)]
                yield ids
            else:
                yield from (
                    row.ids if room is None else row.ids[max(0, len(row) - room) :] for row in self._fast(piece)
                )

    def _fast(self, texts: Sequence[str]) -> list[Encoding]:
        """Rows without special tokens and without offsets."""
        return encoded(self._backend.encode_batch_fast, texts, add_special_tokens=False)

    def _words(self, texts: Sequence[Any]) -> list[Encoding]:
        """Rows of texts that are words, as `_fast`."""
        return encoded(self._backend.encode_batch_fast, texts, is_pretokenized=True, add_special_tokens=False)

    def _shortened(self, texts: Texts, room: int, lengths: Lengths) -> Texts:
        """The texts, of long ones only a beginning, where truncation gives the same with these."""
        if lengths.max_length is None or checked_side("truncation_side", self.truncation_side) == "left":
            return texts
        count = lengths.max_length + 1  # so that a text that is too long stays too long
        paired = any(second is not None for second in texts.second)
        if paired and lengths.truncation == "longest_first" and room % 2:  # the longer one gets one token more
            if texts.words:
                return texts
            pairs = [
                self._long_texts.shorten_pair(a, b, count, self._fast)
                for a, b in zip(texts.first, texts.second, strict=True)
                if isinstance(a, str) and (b is None or isinstance(b, str))
            ]
            return Texts([a for a, _ in pairs], [b for _, b in pairs], texts.batched, texts.words)

        def shorten(some: Sequence[Any]) -> Sequence[Any]:
            if texts.words:
                return [self._long_texts.shorten_words(words, count, self._words) for words in some]
            return self._long_texts.shorten(some, count, self._fast)

        shorter = iter(shorten([text for text in texts.second if text is not None]))
        second = [None if text is None else next(shorter) for text in texts.second]
        return Texts([*shorten(texts.first)], second, texts.batched, texts.words)

    def _pad(self, rows: Sequence[Encoding], lengths: Lengths, padding_side: str | None) -> None:
        if self.pad_token is None or self.pad_token_id is None:
            raise ValueError("padding: wanted False, since this tokenizer has no pad_token")
        side = checked_side("padding_side", self.padding_side if padding_side is None else padding_side)
        pad(rows, lengths, side, (self.pad_token, self.pad_token_id), self.pad_token_type_id)

    def __getstate__(self) -> dict[str, Any]:
        with guarded("tokenizer"):
            return {**self.__dict__, "_backend": written(self._backend)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with guarded("tokenizer"):
            self.__dict__.update(state, _backend=read(*state["_backend"]))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )
