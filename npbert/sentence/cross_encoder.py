"""Cross-encoders, which score pairs of texts, with sentence-transformers' names, arguments, defaults and answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from npbert_kernels.ops import Floats

from npbert.arrays import as_array
from npbert.checks import as_count, check_bool, check_choice, check_no_tensor, checked_count, checked_path, show
from npbert.files.staging import staged
from npbert.keywords import names_of
from npbert.models.auto import AutoModelForSequenceClassification
from npbert.models.devices import ENGINE
from npbert.models.model import check_no_adapter
from npbert.models.scores import softmax
from npbert.progress import Progress
from npbert.sentence.arguments import SENTENCE, SentenceArguments
from npbert.sentence.cross_encoder_folder import SCORES, read_cross_encoder_folder
from npbert.sentence.names import RERANKERS, SENTENCE_HUB, resolve_sentences
from npbert.sentence.prompts import checked_default, checked_prompts, chosen_prompt
from npbert.sentence.save import save_cross_encoder_settings
from npbert.sentence.tokenizer import read_tokenizer
from npbert.sequences import as_list, described
from npbert.text.cuts import remedy
from npbert.text.errors import fitting
from npbert.text.inputs import TextError, check_texts, check_unicode, checked_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

Pair: TypeAlias = Sequence[str]  # two texts
Activation: TypeAlias = Callable[[Any], Any]


@SENTENCE.described
class CrossEncoder:
    """A model that reads two texts together and scores them: a reranker, or a classifier of pairs.

    Args:
        model_name_or_path: a folder, a hub id, or `package:NAME` (an installed package that carries one).
        num_labels: None, or as many as the model has.
        max_length: the most tokens that are read of a pair; the folder's where None.
        activation_fn: what makes scores of logits, a function of an array [n, labels] or one of torch.nn's modules
            Sigmoid, Identity, Tanh, ReLU; where None what the folder names, or else Sigmoid with one label, and
            none with several.
        others: what changes nothing here, of what transformers' loading takes; the rest is refused.

    Raises:
        OSError: the model can't be found or read.
        ValueError: the folder is malformed, has no classifier, or asks for something that is not supported.

    Follows sentence_transformers.CrossEncoder, 4 to 6.2.
    """

    @SENTENCE
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        **given: Unpack[SentenceArguments],
    ) -> None:
        arguments = SENTENCE.of(type(self).__name__, given, names_of(type(self).__init__))
        folder = resolve_sentences(model_name_or_path, RERANKERS, **SENTENCE_HUB.among(arguments))
        self.settings = settings = read_cross_encoder_folder(folder)
        prompts = arguments["prompts"]
        own = {} if prompts is None else checked_prompts("prompts", prompts)
        self.prompts = {**settings.prompts, **own}
        source = folder / settings.sources["default_prompt_name"]
        self.default_prompt_name = checked_default(
            self.prompts, arguments["default_prompt_name"], settings.default_prompt_name, source
        )
        self.activation_fn = SCORES[settings.activation] if activation_fn is None else _function(activation_fn)
        transformer = folder.inner(settings.transformer)
        self.tokenizer = read_tokenizer(transformer, settings.do_lower_case)
        self.model = AutoModelForSequenceClassification.from_pretrained(transformer, **ENGINE.among(arguments))
        self._device = arguments["device"] or "cpu"
        self.config = self.model.config
        self.tokenizer.check_vocabulary(self.config.vocab_size)
        if num_labels not in (None, self.num_labels):
            raise ValueError(f"num_labels: wanted None or {self.num_labels}, the model's, found {show(num_labels)}")
        if max_length is None:
            source = transformer / settings.sources["max_seq_length"]
            self._set_length(settings.max_seq_length, str(source))
            self._asked_for_length = False
        else:
            self.max_seq_length = max_length

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, max_length={self.max_length}, num_labels={self.num_labels})"

    @property
    def num_labels(self) -> int:
        """How many scores a pair has."""
        return self.config.num_labels or 0

    @property
    def max_seq_length(self) -> int:
        """The most tokens that are read of a pair, special ones included; the longer text is cut first.

        Raises:
            ValueError: set to what is no whole number, too few for the special tokens, or more than the model takes.
        """
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self._set_length(value, "max_length")
        self._asked_for_length = True

    max_length = max_seq_length

    def _set_length(self, value: Any, where: str) -> None:
        least, most = self.tokenizer.num_special_tokens_to_add(pair=True), self.config.max_tokens
        count = as_count(value)
        if count is None or not least <= count <= most:
            raise ValueError(f"{where}: wanted a whole number from {least} to {most}, found {show(value)}")
        self._max_seq_length = count
        self.tokenizer.model_max_length = count  # where it is saved

    def predict(
        self,
        inputs: Pair | Iterable[Pair],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
    ) -> Any:
        """The scores of pairs of texts. The same pair gives the same bits, whatever stands around it.

        Args:
            inputs: one pair of texts, or several.
            prompt_name: the name of a prompt in `prompts`, which is put before the first text of each pair.
            prompt: the prompt itself; prompt_name is ignored then.
            batch_size: how many pairs at most go through the model together: speed and memory, no more.
            show_progress_bar: True or False; None shows one where stderr is a terminal and the work is long.
            activation_fn: in place of the model's own, as the class takes it.
            apply_softmax: make the scores of several labels add up to 1.
            convert_to_numpy: False gives a list of scores instead of one array.
            convert_to_tensor: refused, since there is no torch here.
            device: None, or the model's.

        Returns:
            float32 [n], or [n, labels] where there are several; for one pair the score itself, or [labels].

        Raises:
            ValueError: an argument is not what is wanted, or no pair of texts; its index is named, and the error is a
                TypeError as well where it is no text.
            OSError: the file of the word embeddings was changed while it is in use.
        """
        check_no_tensor(convert_to_tensor)
        check_choice("device", device, (None, self._device))
        check_choice("apply_softmax", apply_softmax, (True, False, None))
        check_bool("convert_to_numpy", convert_to_numpy)
        batch_size = checked_count("batch_size", batch_size, 1)
        function = self.activation_fn if activation_fn is None else _function(activation_fn)
        pairs, single = _pairs(inputs)
        before = chosen_prompt(self.prompts, self.default_prompt_name, prompt_name, prompt)
        firsts, seconds = [before + first for first, _ in pairs], [second for _, second in pairs]

        logits = np.zeros((len(pairs), self.num_labels), np.float32)
        with Progress(len(pairs), "Scoring", "pairs", show_progress_bar) as progress:
            for start in range(0, len(pairs), batch_size):
                rows = slice(start, min(start + batch_size, len(pairs)))
                limit = self.max_seq_length
                more = None if self._asked_for_length else remedy("max_length", limit, self.config.max_tokens)
                ids, types = self.tokenizer.encode_ids(firsts[rows], seconds[rows], limit, remedy=more)
                with fitting(self.tokenizer.name_or_path):
                    logits[rows] = self.model.predict(ids, types if self.tokenizer.gives_token_types else None)
                progress.advance(rows.stop - start)

        scores = as_array("activation_fn", function(logits))
        if scores.shape != logits.shape:
            raise ValueError(f"activation_fn: wanted an array {list(logits.shape)}, found {list(scores.shape)}")
        if scores.dtype.kind not in "biuf":
            raise ValueError(f"activation_fn: wanted an array of numbers, found the dtype {scores.dtype}")
        scores = scores.astype(np.float32, copy=False)
        if self.num_labels == 1:
            scores = scores[:, 0]
        elif apply_softmax:
            scores = softmax(scores)
        if single:
            return scores[0]
        return scores if convert_to_numpy else list(scores)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: str | None = None,
    ) -> list[dict[str, Any]]:
        """Documents by how well they answer a query, the best first; equals keep their order.

        Args:
            query: a text.
            documents: texts; of none, none are ranked.
            top_k: the best so many; None is all.
            return_documents: put the texts into the answer.
            prompt_name, prompt, batch_size, show_progress_bar, activation_fn, device: as `predict`.

        Returns:
            [{"corpus_id": a document's index, "score": float}], and "text" where asked for.

        Raises:
            ValueError: the model has several labels, or an argument is not what is wanted.
            OSError: as `predict`.
        """
        if self.num_labels != 1:
            raise ValueError(f"rank: wanted a model with one label, found {self.num_labels}: use predict with pairs")
        if top_k is not None:
            top_k = checked_count("top_k", top_k, 1)
        check_bool("return_documents", return_documents)
        if not isinstance(query, str):
            raise TextError(f"query: wanted a text (str), found {described(query)}")
        check_unicode(query, "query")
        texts = checked_texts("documents", documents)
        scores = self.predict(
            [(query, text) for text in texts],
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            activation_fn,
            device=device,
        )
        best = np.argsort(-scores, kind="stable")[:top_k].tolist()
        ranked: list[dict[str, Any]] = [{"corpus_id": index, "score": float(scores[index])} for index in best]
        if return_documents:
            for item in ranked:
                item["text"] = texts[item["corpus_id"]]
        return ranked

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Writes a folder that sentence-transformers, and this class, read the same model from.

        Raises:
            OSError: a file can't be written, or the model's own can't be read any more.
            ValueError: activation_fn is a function of the caller's own, which no file can hold.
        """
        names = [name for name, function in SCORES.items() if function is self.activation_fn]
        if not names:
            wanted = f"one of {', '.join(SCORES)}, which a file can name"
            raise ValueError(f"activation_fn: wanted {wanted}, found {show(self.activation_fn)}")
        folder = checked_path("path", path)
        check_no_adapter(folder)
        settings = self.settings._replace(
            activation=names[0],
            prompts=self.prompts,
            default_prompt_name=self.default_prompt_name,
        )
        with staged(folder) as stage:
            self.model.save_pretrained(stage)
            self.tokenizer.save_pretrained(stage)
            save_cross_encoder_settings(settings, stage)

    save = save_pretrained


def _function(given: Activation) -> Callable[[Floats], Any]:
    kind = type(given)
    if kind.__module__.startswith("torch.nn."):
        if kind.__name__ not in SCORES:
            names = ", ".join(f"torch.nn.{name}" for name in SCORES)
            raise ValueError(f"activation_fn: wanted a function of arrays, or one of {names}, found {show(given)}")
        return SCORES[kind.__name__]
    if not callable(given):
        raise ValueError(f"activation_fn: wanted a function of arrays, found {show(given)}")
    return given


def _pairs(inputs: Any) -> tuple[list[tuple[str, str]], bool]:
    """The pairs, and whether it was one alone."""
    rows = isinstance(inputs, np.ndarray) and inputs.ndim == 2
    items = inputs.tolist() if rows else as_list(inputs)
    if items is None:
        raise TextError(f"inputs: wanted a pair of texts, or a list of pairs, found {described(inputs)}")
    single = bool(items) and isinstance(items[0], str)
    pairs = []
    for index, item in enumerate([items] if single else items):
        where = "inputs" if single else f"inputs[{index}]"
        pair = as_list(item)
        if pair is None or len(pair) != 2:
            raise TextError(f"{where}: wanted a pair of texts, found {show(item)}")
        check_texts(pair, where)
        pairs.append((str(pair[0]), str(pair[1])))
    return pairs, single
