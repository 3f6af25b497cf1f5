"""Model classes picked by the `model_type` of a config.json."""

from __future__ import annotations

import os
from typing import Any

from npbert.config import AutoConfig
from npbert.families import family_class
from npbert.hub import resolve
from npbert.model import BareModel


class AutoModel:
    """Picks the bare encoder's class by the `model_type` of a config.json."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **model_arguments: Any,
    ) -> BareModel:
        """Loads a model: a folder, a hub id, or `package:NAME`. Other arguments go to the class picked.

        Raises:
            OSError: no such model, or a file can't be read.
            ValueError: `model_type` is missing or not supported, or as the class that it names says.
        """
        folder = resolve(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        model: type[BareModel] = family_class(AutoConfig.from_pretrained(folder).model_type, "Model")
        return model.from_pretrained(folder, **model_arguments)
