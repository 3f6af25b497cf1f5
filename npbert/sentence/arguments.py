"""Arguments by which a SentenceTransformer and a CrossEncoder are loaded."""

from __future__ import annotations

from typing import TypedDict

from npbert.keywords import OtherArguments
from npbert.models.devices import ENGINE, EngineArguments
from npbert.sentence.names import SENTENCE_HUB, SentenceHubArguments
from npbert.signatures import Arguments


class PromptArguments(TypedDict, total=False):
    """
    prompts: texts put before each text, or before the first of each pair, by name; they go before those of the folder.
    default_prompt_name: the prompt that is used where a call is given none.
    """

    prompts: dict[str, str] | None
    default_prompt_name: str | None


class SentenceArguments(PromptArguments, EngineArguments, SentenceHubArguments, OtherArguments, total=False):
    """Of the classes."""


SENTENCE = Arguments(PromptArguments) + ENGINE + SENTENCE_HUB
