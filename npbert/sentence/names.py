"""A sentence-transformers model's name -> its folder, as that library finds it: 5.1.2's rule, and 6.2's for rerankers.

A name without a slash is of an organisation's model on the hub, but for those of models that are older than
organisations are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from npbert.files.hub import PLACE, Folder, PlaceArguments, resolve
from npbert.sentence.folder import SENTENCE_FILES
from npbert.signatures import Arguments

if TYPE_CHECKING:
    from typing_extensions import Unpack

SENTENCES = "sentence-transformers"
RERANKERS = "cross-encoder"

# fmt: off
OLDER_MODELS = frozenset({
    "albert-base-v1", "albert-base-v2", "albert-large-v1", "albert-large-v2", "albert-xlarge-v1", "albert-xlarge-v2",
    "albert-xxlarge-v1", "albert-xxlarge-v2", "bert-base-cased", "bert-base-cased-finetuned-mrpc",
    "bert-base-chinese", "bert-base-german-cased", "bert-base-german-dbmdz-cased", "bert-base-german-dbmdz-uncased",
    "bert-base-multilingual-cased", "bert-base-multilingual-uncased", "bert-base-uncased", "bert-large-cased",
    "bert-large-cased-whole-word-masking", "bert-large-cased-whole-word-masking-finetuned-squad",
    "bert-large-uncased", "bert-large-uncased-whole-word-masking",
    "bert-large-uncased-whole-word-masking-finetuned-squad", "camembert-base", "ctrl", "distilbert-base-cased",
    "distilbert-base-cased-distilled-squad", "distilbert-base-german-cased", "distilbert-base-multilingual-cased",
    "distilbert-base-uncased", "distilbert-base-uncased-distilled-squad",
    "distilbert-base-uncased-finetuned-sst-2-english", "distilgpt2", "distilroberta-base", "gpt2", "gpt2-large",
    "gpt2-medium", "gpt2-xl", "openai-gpt", "roberta-base", "roberta-base-openai-detector", "roberta-large",
    "roberta-large-mnli", "roberta-large-openai-detector", "t5-11b", "t5-3b", "t5-base", "t5-large", "t5-small",
    "transfo-xl-wt103", "xlm-clm-ende-1024", "xlm-clm-enfr-1024", "xlm-mlm-100-1280", "xlm-mlm-17-1280",
    "xlm-mlm-en-2048", "xlm-mlm-ende-1024", "xlm-mlm-enfr-1024", "xlm-mlm-enro-1024", "xlm-mlm-tlm-xnli15-1024",
    "xlm-mlm-xnli15-1024", "xlm-roberta-base", "xlm-roberta-large", "xlm-roberta-large-finetuned-conll02-dutch",
    "xlm-roberta-large-finetuned-conll02-spanish", "xlm-roberta-large-finetuned-conll03-english",
    "xlm-roberta-large-finetuned-conll03-german", "xlnet-base-cased", "xlnet-large-cased",
})
# fmt: on
"""On the hub by their names alone."""


class SentenceCacheArguments(TypedDict, total=False):
    """
    cache_folder: by default what `SENTENCE_TRANSFORMERS_HOME` says, else the hub's own cache.
    """

    cache_folder: str | os.PathLike[str] | None


class SentenceHubArguments(PlaceArguments, SentenceCacheArguments, total=False):
    """Where a model of sentence-transformers is."""


SENTENCE_HUB = PLACE + Arguments(SentenceCacheArguments)


@SENTENCE_HUB
def resolve_sentences(
    name: str | os.PathLike[str] | None, organization: str = SENTENCES, **given: Unpack[SentenceHubArguments]
) -> Folder:
    """The folder of a model and of the files that sentence-transformers has beside it.

    Args:
        name: as `hub.resolve` takes it.
        organization: whose model it is, where the name says none and is not one of OLDER_MODELS.

    Raises:
        OSError, ValueError: as hub.resolve.
    """
    hub = SENTENCE_HUB.of("resolve_sentences", given)
    cache_dir = hub.pop("cache_folder")
    if cache_dir is None:
        cache_dir = os.environ.get("SENTENCE_TRANSFORMERS_HOME") or None
    is_older = isinstance(name, str) and name.lower() in OLDER_MODELS
    organization_of = None if is_older else organization
    return resolve(name, patterns=SENTENCE_FILES, organization=organization_of, cache_dir=cache_dir, **hub)
