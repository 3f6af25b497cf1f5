"""Sentence embeddings with sentence-transformers' names, arguments, defaults and shapes of answer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npbert.checks import as_count, check_bool, check_choice, check_no_tensor, checked_count, checked_path, show, wrong
from npbert.files.staging import staged
from npbert.keywords import names_of
from npbert.models.auto import AutoModel
from npbert.models.devices import ENGINE
from npbert.models.model import check_no_adapter
from npbert.progress import Progress
from npbert.sentence.arguments import SENTENCE, SentenceArguments
from npbert.sentence.folder import read_sentence_folder
from npbert.sentence.modules import Normalize
from npbert.sentence.names import SENTENCE_HUB, resolve_sentences
from npbert.sentence.precision import PRECISIONS, Precision, in_precision
from npbert.sentence.prompts import checked_default, checked_prompts, chosen_prompt
from npbert.sentence.similarity import SIMILARITIES, Vectors, pairwise, similarity, unit
from npbert.sentence.tail import place
from npbert.sentence.tokenizer import read_tokenizer
from npbert.text.cuts import remedy
from npbert.text.inputs import check_unicode, checked_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

Floats = NDArray[np.float32]
OutputValue = Literal["sentence_embedding", "token_embeddings"]


@SENTENCE.described
class SentenceTransformer:
    """A model that turns texts into vectors, from a sentence-transformers folder or a bare transformer.

    Args:
        model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries one).
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan"; the folder's where None.
        truncate_dim: keep this many leading numbers of each vector; the folder's where None.
        others: what changes nothing here, of what transformers' loading takes; the rest is refused.

    Raises:
        OSError: the model can't be found or read.
        ValueError: the folder is malformed, or asks for something that is not supported.

    Follows sentence_transformers.SentenceTransformer, 5.1 to 6.2.
    """

    @SENTENCE
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        **given: Unpack[SentenceArguments],
    ) -> None:
        arguments = SENTENCE.of(type(self).__name__, given, names_of(type(self).__init__))
        folder = resolve_sentences(model_name_or_path, **SENTENCE_HUB.among(arguments))
        self.settings = settings = read_sentence_folder(folder)
        prompts = arguments["prompts"]
        own = {} if prompts is None else checked_prompts("prompts", prompts)
        self.prompts = {"query": "", "document": "", **settings.prompts, **own}
        source = folder / settings.sources["default_prompt_name"]
        self.default_prompt_name = checked_default(
            self.prompts, arguments["default_prompt_name"], settings.default_prompt_name, source
        )
        self.similarity_fn_name = settings.similarity_fn_name if similarity_fn_name is None else similarity_fn_name
        self.truncate_dim = self._checked_dim(settings.truncate_dim if truncate_dim is None else truncate_dim)
        self.include_prompt = settings.pooling.include_prompt
        self._max_seq_length = settings.max_seq_length
        self._asked_for_length = False
        transformer = folder.inner(settings.transformer)
        self.tokenizer = read_tokenizer(transformer, settings.do_lower_case, settings.lower_whole)
        self.model = AutoModel.from_pretrained(transformer, add_pooling_layer=False, **ENGINE.among(arguments))
        self._device = arguments["device"] or "cpu"
        self.tokenizer.check_vocabulary(self.model.config.vocab_size)
        self._tail = place(settings.modules, self.model.backend) if settings.modules else None
        self._unit = bool(settings.modules) and isinstance(settings.modules[-1], Normalize)

    @property
    def max_seq_length(self) -> int:
        """The most tokens that are read of a text, [CLS] and [SEP] included; what is beyond is cut off.

        None sets the most that the model takes.

        Raises:
            ValueError: set to what is no whole number, below 1 or beyond that.
        """
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        positions: int = self.model.config.max_tokens
        asked = value is not None
        if value is None:
            value = positions
        count = as_count(value)
        if count is None or not 1 <= count <= positions:
            raise ValueError(
                f"max_seq_length: wanted a whole number from 1 to {positions}, the model's "
                f"max_position_embeddings, found {show(value)}"
            )
        self._max_seq_length, self._asked_for_length = count, asked

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: "cosine" (set by None, too), "dot", "euclidean" or "manhattan".

        Raises:
            ValueError: set to anything else.
        """
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | None) -> None:
        name = "cosine" if value is None else value
        check_choice("similarity_fn_name", name, tuple(SIMILARITIES))
        self._similarity_fn_name = name

    @property
    def device(self) -> str:
        """Where the model is."""
        return self._device

    def __repr__(self) -> str:
        steps = [" + ".join(self.settings.pooling.modes), *(type(module).__name__ for module in self.settings.modules)]
        return (
            f"{type(self).__name__}({self.model!r}, {', '.join(steps)}, max_seq_length={self.max_seq_length}, "
            f"vectors of {self.get_embedding_dimension()})"
        )

    def get_embedding_dimension(self) -> int:
        """The length of the vectors that `encode` gives."""
        return self._kept(self.truncate_dim)

    get_sentence_embedding_dimension = get_embedding_dimension

    def encode(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """The vectors of texts. The same text gives the same bits, whatever stands around it.

        Args:
            sentences: one text, or several.
            prompt_name: the name of a prompt in `prompts`, which is put before each text.
            prompt: the prompt itself; prompt_name is ignored then.
            batch_size: how many texts at most go through the model together: speed and memory, no more.
            show_progress_bar: True or False; None shows one where stderr is a terminal and the work is long.
            output_value: "sentence_embedding"; "token_embeddings", the last layer's row for each token; or
                None, a dict for each text with input_ids [T], attention_mask [T], token_embeddings [T, H] and
                sentence_embedding [H].
            precision: "float32", or fewer bits for the whole set: "int8", "uint8", "binary", "ubinary".
            convert_to_numpy: False gives a list of vectors instead of one array.
            convert_to_tensor: refused, since there is no torch here.
            device: None, or the model's.
            normalize_embeddings: divide each vector by its Euclidean norm, whatever the folder says.
            truncate_dim: keep this many leading numbers of each vector.

        Returns:
            For one text float32 [H]. For n texts float32 [n, H], for none [0, H]. With another output_value:
            what it says for one text, a list of it for several.

        Raises:
            ValueError: an argument is not what is wanted, or a text is no text; its index is named, and
                the error is a TypeError as well.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        check_no_tensor(convert_to_tensor)
        check_choice("device", device, (None, self._device))
        check_choice("output_value", output_value, ("sentence_embedding", "token_embeddings", None))
        check_choice("precision", precision, PRECISIONS)
        check_bool("normalize_embeddings", normalize_embeddings)
        check_bool("convert_to_numpy", convert_to_numpy)
        batch_size = checked_count("batch_size", batch_size, 1)
        dim = self._kept(self._checked_dim(self.truncate_dim if truncate_dim is None else truncate_dim))
        single = isinstance(sentences, str)
        before = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        texts = _texts(sentences, before)
        skip = 0 if self.include_prompt or not before else self._prompt_tokens(before)

        # Packing computes nothing on padding, so texts need not be sorted by length, and stay in their order.
        if output_value != "sentence_embedding":
            items: list[Any] = []
            for _, ids in self._batches(texts, batch_size, show_progress_bar):
                # Copies, so that one text's rows do not keep those of its whole batch alive.
                tokens = [rows.copy() for rows in self.model.predict(ids)]  # [T, H] each
                if output_value == "token_embeddings":
                    items += tokens
                    continue
                vectors = self.embed_ids(ids, skip=skip)[:, :dim]
                items += _all_outputs(ids, tokens, unit(vectors) if normalize_embeddings else vectors)
            return items[0] if single else items

        # Cutting a vector comes before dividing it by its norm, but after the folder's own Normalize.
        cut = dim < self._kept(None)
        vectors = np.empty((len(texts), dim), dtype=np.float32)
        for start, ids in self._batches(texts, batch_size, show_progress_bar):
            rows = self.embed_ids(ids, normalize=normalize_embeddings and not cut, skip=skip)
            vectors[start : start + len(ids)] = rows[:, :dim]
        if normalize_embeddings and cut:
            vectors = unit(vectors)
        converted = in_precision(vectors, precision)
        if single:
            return converted[0]
        return converted if convert_to_numpy else list(converted)

    def encode_query(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        **arguments: Any,
    ) -> Any:
        """As `encode`, with the prompt "query" where none is given."""
        if prompt_name is None and prompt is None:
            prompt_name = "query"
        return self.encode(sentences, prompt_name, prompt, **arguments)

    def encode_document(
        self,
        sentences: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        **arguments: Any,
    ) -> Any:
        """As `encode`, with the prompt "document" where none is given."""
        if prompt_name is None and prompt is None:
            prompt_name = "document"
        return self.encode(sentences, prompt_name, prompt, **arguments)

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Vectors:
        """float32 [n, m]: how similar each vector of [n, H] is to each of [m, H], by `similarity_fn_name`.

        Of vectors that are float64 it is float64.

        Raises:
            ValueError: they are not vectors of numbers, or not of one length.
        """
        return similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Vectors:
        """float32 [n]: how similar each vector of [n, H] is to the one in its place of [n, H], by `similarity_fn_name`.

        Raises:
            ValueError: they are not vectors of numbers, not of one length, or not as many.
        """
        return pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Whether a prompt's tokens are pooled with the text's; the folder says so at first.

        Raises:
            ValueError: it is not True or False.
        """
        check_bool("include_prompt", include_prompt)
        self.include_prompt = include_prompt

    def embed_ids(self, ids: list[list[int]], *, normalize: bool = False, skip: int = 0) -> Floats:
        """The vectors of tokenized texts, float32 [B, H], not truncated.

        Args:
            ids: lists of token ids, special tokens included.
            normalize: divide each vector by its Euclidean norm, whatever the folder says.
            skip: so many tokens at the beginning of each are not pooled.

        Raises:
            ValueError, OSError: as a call of the model.
        """
        check_bool("normalize", normalize)
        settings = self.settings
        again = normalize and not self._unit
        pooling = settings.pooling
        return self.model.embed(
            ids, pooling.modes, again, tail=self._tail, skip=skip, skip_cls=pooling.cls_behind_prompt
        )

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Writes a folder that sentence-transformers, and this class, read the same model from.

        Raises:
            OSError: a file can't be written, or one of the model's own can't be read any more.
        """
        from npbert.sentence.save import save_sentence_settings

        folder = checked_path("path", path)
        check_no_adapter(folder)
        settings = self.settings._replace(
            max_seq_length=self.max_seq_length,
            pooling=self.settings.pooling._replace(include_prompt=self.include_prompt),
            prompts=self.prompts,
            default_prompt_name=self.default_prompt_name,
            similarity_fn_name=self.similarity_fn_name,
            truncate_dim=self.truncate_dim,
        )
        with staged(folder) as stage:
            self.model.save_pretrained(stage)
            self.tokenizer.save_pretrained(stage)
            save_sentence_settings(settings, self.model.config.hidden_size, stage)

    save = save_pretrained

    def _kept(self, truncate_dim: int | None) -> int:
        width = self.settings.width
        return width if truncate_dim is None else min(width, truncate_dim)

    def _checked_dim(self, value: int | None) -> int | None:
        if value is None:
            return None
        given, value = value, as_count(value)
        if value is None or value < 1:
            raise ValueError(f"truncate_dim: wanted a positive whole number, found {show(given)}")
        if value > self.settings.width:  # sentence-transformers has it, too
            warnings.warn(
                f"truncate_dim: {value} is beyond the {self.settings.width} numbers of a vector: none is cut off",
                stacklevel=3,
            )
        return value

    def _prompt_tokens(self, prompt: str) -> int:
        """How many tokens a text begins with because of a prompt."""
        (ids,) = self.tokenizer.encode_ids([prompt], max_length=self._max_seq_length)
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def _batches(
        self, texts: list[str], batch_size: int, show_progress_bar: bool | None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """(the index of the first text, the token ids of that and the next few)."""
        with Progress(len(texts), "Embedding", "texts", show_progress_bar) as progress:
            for start in range(0, len(texts), batch_size):
                batch = texts[start : start + batch_size]
                limit = self._max_seq_length
                more = None if self._asked_for_length else remedy("max_seq_length", limit, self.model.config.max_tokens)
                ids = self.tokenizer.encode_ids(batch, max_length=limit, remedy=more)
                if not all(ids):  # of tokenizers that put nothing around a text
                    index = ids.index([])
                    raise wrong(f"sentences[{start + index}]", "a text of at least one token", batch[index])
                yield start, ids
                progress.advance(len(batch))


def _texts(sentences: str | Iterable[str], prompt: str) -> list[str]:
    if isinstance(sentences, str):
        check_unicode(sentences, "sentences")
        return [prompt + sentences]
    # All of them are checked before the first is embedded.
    texts = checked_texts("sentences", sentences, "a text or a list of texts")
    return [prompt + text for text in texts] if prompt else texts


def _all_outputs(ids: list[list[int]], tokens: list[Floats], vectors: Floats) -> list[dict[str, Any]]:
    return [
        {
            "input_ids": np.array(row, dtype=np.int64),
            "attention_mask": np.ones(len(row), dtype=np.int64),
            "token_embeddings": token_embeddings,
            "sentence_embedding": vector.copy(),
        }
        for row, token_embeddings, vector in zip(ids, tokens, vectors, strict=True)
    ]
