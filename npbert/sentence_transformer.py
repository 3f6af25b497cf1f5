"""Sentence embeddings with sentence-transformers' names, arguments, defaults and shapes of answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npbert.auto import AutoModel
from npbert.hub import resolve
from npbert.model import POOLINGS
from npbert.precision import PRECISIONS, Precision, in_precision
from npbert.progress import Progress
from npbert.sentence_folder import SENTENCE_FILES, SentenceFolder, read_sentence_folder
from npbert.similarity import SIMILARITIES, similarity, unit_rows
from npbert.texts import TextError, check_texts, check_unicode
from npbert.tokenizer import AutoTokenizer, PreTrainedTokenizerFast

Floats = NDArray[np.float32]
OutputValue = Literal["sentence_embedding", "token_embeddings"]


class SentenceTransformer:
    """A model that turns texts into vectors, from a sentence-transformers folder or a bare transformer.

    Args:
        model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries one).
        device: None or "cpu"; here for sentence-transformers' sake.
        prompts: texts that `encode` puts before each text, by name; they go before those of the folder.
        default_prompt_name: the prompt that is used when `encode` is given none.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan"; the folder's where None.
        cache_folder, revision, local_files_only, token: as huggingface_hub takes them; hub ids only.
        truncate_dim: keep this many leading numbers of each vector; the folder's where None.
        backend: "cpu" (compiled kernels) or "reference" (NumPy: slow, needs no compiler).

    Raises:
        OSError: the model can't be found or read.
        ValueError: the folder is malformed, or asks for something that is not supported.

    Follows sentence_transformers.SentenceTransformer, 5.1 to 6.2.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: str | None = None,
        prompts: dict[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        truncate_dim: int | None = None,
        backend: str = "cpu",
    ) -> None:
        _check_device(device)
        folder = resolve(
            model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_folder,
            local_files_only=local_files_only,
            patterns=SENTENCE_FILES,
        )
        settings = read_sentence_folder(folder)
        self.prompts = {"query": "", "document": "", **settings.prompts, **(prompts or {})}
        self.default_prompt_name = default_prompt_name or settings.default_prompt_name
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            found = self.default_prompt_name
            raise ValueError(f"default_prompt_name: wanted one of {sorted(self.prompts)}, found {found!r}")
        self.similarity_fn_name = similarity_fn_name or settings.similarity_fn_name
        self.truncate_dim = _checked_dim(settings.truncate_dim if truncate_dim is None else truncate_dim)
        self.pooling = settings.pooling
        joined = [mode for mode in POOLINGS if mode in settings.pooling]  # the order in which the model joins several
        blocks = [joined.index(mode) for mode in settings.pooling]
        self._blocks = blocks if blocks != sorted(blocks) else None
        self._normalize = settings.normalize
        self._max_seq_length = settings.max_seq_length
        self.tokenizer = _tokenizer(settings)
        self.model = AutoModel.from_pretrained(settings.transformer, add_pooling_layer=False, backend=backend)
        self.tokenizer.check_vocabulary(self.model.config.vocab_size)

    @property
    def max_seq_length(self) -> int:
        """The most tokens that are read of a text, [CLS] and [SEP] included; what is beyond is cut off."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        positions: int = self.model.config.max_position_embeddings
        if value is None:
            value = positions
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= positions:
            raise ValueError(
                f"max_seq_length: wanted a whole number from 1 to {positions}, the model's "
                f"max_position_embeddings, found {value!r}"
            )
        self._max_seq_length = value

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | None) -> None:
        name = "cosine" if value is None else value
        if name not in SIMILARITIES:
            raise ValueError(f"similarity_fn_name: wanted one of {', '.join(SIMILARITIES)}, found {name!r}")
        self._similarity_fn_name = name

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

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
            device: None or "cpu".
            normalize_embeddings: divide each vector by its Euclidean norm, whatever the folder says.
            truncate_dim: keep this many leading numbers of each vector.

        Returns:
            For one text float32 [H]. For n texts float32 [n, H], for none [0, H]. With another output_value:
            what it says for one text, a list of it for several.

        Raises:
            ValueError: an argument is not what is wanted, or a text is no text; its index is named, and
                the error is a TypeError as well.
        """
        if convert_to_tensor:
            raise ValueError(
                "convert_to_tensor: wanted False, found True: npbert gives NumPy arrays; "
                "torch.from_numpy makes a tensor of one"
            )
        _check_device(device)
        _check_choice("output_value", output_value, ("sentence_embedding", "token_embeddings", None))
        _check_choice("precision", precision, PRECISIONS)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: wanted a positive whole number, found {batch_size!r}")
        dim = self._kept(self.truncate_dim if truncate_dim is None else _checked_dim(truncate_dim))
        single = isinstance(sentences, str)
        texts = self._texts(sentences, self._prompt(prompt, prompt_name))

        # Packing computes nothing on padding, so texts need not be sorted by length, and stay in their order.
        if output_value != "sentence_embedding":
            items = self._encode_tokens(texts, output_value, batch_size, show_progress_bar, dim, normalize_embeddings)
            return items[0] if single else items

        # Cutting a vector comes before dividing it by its norm, but after the folder's own Normalize.
        cut = dim < self._kept(None)
        vectors = np.empty((len(texts), dim), dtype=np.float32)
        for start, ids in self._batches(texts, batch_size, show_progress_bar):
            rows = self._embed(ids, self._normalize or (normalize_embeddings and not cut))
            vectors[start : start + len(ids)] = rows[:, :dim]
        if normalize_embeddings and cut:
            vectors = unit_rows(vectors)
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

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> Floats:
        """[n, m]: how similar each vector of [n, H] is to each of [m, H], by `similarity_fn_name`.

        Raises:
            ValueError: they are not vectors of numbers, or not of one length.
        """
        return similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def _kept(self, truncate_dim: int | None) -> int:
        full: int = self.model.config.hidden_size * len(self.pooling)
        return full if truncate_dim is None else min(full, truncate_dim)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            return prompt
        name = self.default_prompt_name if prompt_name is None else prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            raise ValueError(f"prompt_name: wanted one of {sorted(self.prompts)}, found {name!r}")
        return self.prompts[name]

    def _texts(self, sentences: str | Iterable[str], prompt: str) -> list[str]:
        if isinstance(sentences, str):
            check_unicode(sentences, "sentences")
            return [prompt + sentences]
        if isinstance(sentences, (bytes, bytearray, dict)) or not isinstance(sentences, Iterable):
            raise TextError(f"sentences: wanted a text or a list of texts, found {type(sentences).__name__}")
        texts = list(sentences)
        check_texts(texts, "sentences")  # all of them, before the first is embedded
        return [prompt + text for text in texts] if prompt else texts

    def _batches(
        self, texts: list[str], batch_size: int, show_progress_bar: bool | None
    ) -> Iterator[tuple[int, list[list[int]]]]:
        """(the index of the first text, the token ids of that and the next few)."""
        with Progress(len(texts), "Embedding", "texts", show_progress_bar) as progress:
            for start in range(0, len(texts), batch_size):
                batch = texts[start : start + batch_size]
                yield start, self.tokenizer.encode_ids(batch, max_length=self._max_seq_length)
                progress.advance(len(batch))

    def _embed(self, ids: list[list[int]], normalize: bool) -> Floats:
        vectors = self.model.embed(ids, self.pooling, normalize)
        if self._blocks is not None:
            vectors = np.concatenate([np.split(vectors, len(self._blocks), axis=1)[b] for b in self._blocks], axis=1)
        return vectors

    def _encode_tokens(
        self,
        texts: list[str],
        output_value: OutputValue | None,
        batch_size: int,
        show_progress_bar: bool | None,
        dim: int,
        normalize_embeddings: bool,
    ) -> list[Any]:
        items: list[Any] = []
        for _, ids in self._batches(texts, batch_size, show_progress_bar):
            lengths = [len(row) for row in ids]
            mask = np.arange(max(lengths)) < np.array(lengths)[:, None]  # [B, S]
            padded = np.zeros(mask.shape, dtype=np.int64)
            padded[mask] = np.concatenate(ids)
            hidden = self.model(input_ids=padded, attention_mask=mask).last_hidden_state  # [B, S, H]
            # Copies, so that one row does not keep its whole batch alive.
            tokens = [row[:length].copy() for row, length in zip(hidden, lengths, strict=True)]
            if output_value == "token_embeddings":
                items += tokens
                continue
            vectors = self._embed(ids, self._normalize)[:, :dim]
            if normalize_embeddings:
                vectors = unit_rows(vectors)
            items += [
                {
                    "input_ids": np.array(row, dtype=np.int64),
                    "attention_mask": np.ones(len(row), dtype=np.int64),
                    "token_embeddings": token_embeddings,
                    "sentence_embedding": vector.copy(),
                }
                for row, token_embeddings, vector in zip(ids, tokens, vectors, strict=True)
            ]
        return items


def _tokenizer(settings: SentenceFolder) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(settings.transformer)
    if settings.do_lower_case:
        from tokenizers.normalizers import Lowercase, Sequence

        # Before what the tokenizer itself does: its own lower case would take the accents off as well.
        backend = tokenizer.backend_tokenizer
        backend.normalizer = Sequence([Lowercase(), *([backend.normalizer] if backend.normalizer else [])])
    return tokenizer


def _check_device(device: object) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device: wanted None or 'cpu', found {device!r}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, found {value!r}")


def _checked_dim(value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"truncate_dim: wanted a positive whole number, found {value!r}")
    return value
