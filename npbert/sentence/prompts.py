"""Prompts: texts that are put before each text, by name, as sentence-transformers has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from npbert.checks import show
from npbert.text.inputs import check_unicode


def checked_prompts(where: str, prompts: Any) -> dict[str, str]:
    """Names and texts; null, as files have it, is an empty text.

    Raises:
        ValueError: they are not.
    """
    wanted = f"{where}: wanted names and texts"
    if not isinstance(prompts, Mapping):
        raise ValueError(f"{wanted}, found {show(prompts)}")
    checked = {}
    for name, text in prompts.items():
        if not isinstance(name, str) or not isinstance(text, str | None):
            raise ValueError(f"{wanted}, found {show({name: text})}")
        checked[name] = text or ""
    return checked


def chosen_prompt(prompts: Mapping[str, str], default: str | None, prompt_name: str | None, prompt: str | None) -> str:
    """The prompt itself, where it is given; else the one named, else the default one, else none.

    Raises:
        ValueError: there is none of that name, or the prompt is no text.
    """
    if prompt is not None:
        if not isinstance(prompt, str):
            raise ValueError(f"prompt: wanted a text (str), found {show(prompt)}")
        check_unicode(prompt, "prompt")
        return prompt
    name = default if prompt_name is None else prompt_name
    if name is None:
        return ""
    prompts = checked_prompts("prompts", prompts)  # an attribute, which may be anything by now
    if not isinstance(name, str) or name not in prompts:
        raise ValueError(f"prompt_name: wanted one of {show(sorted(prompts))}, found {show(name)}")
    return prompts[name]


def checked_default(prompts: Mapping[str, str], given: str | None, own: str | None, source: Path) -> str | None:
    """The name of the default prompt, if there is one: the given one, else the folder's own.

    source: the file and key of the folder's.

    Raises:
        ValueError: it is none of the prompts'.
    """
    name, where = (given, "default_prompt_name") if given or own is None else (own, source)
    if name is not None and not (isinstance(name, str) and name in prompts):
        raise ValueError(f"{where}: wanted one of {show(sorted(prompts))}, found {show(name)}")
    return name
