"""A model's weights: its own, or with an adapter merged into them."""

from __future__ import annotations

import warnings

from npbert.files.checkpoint import Checkpoint
from npbert.files.hub import Folder
from npbert.files.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from npbert.models.config import EncoderConfig


def open_weights(folder: Folder, config: EncoderConfig) -> Checkpoint:
    """A model's weights, with what an adapter beside them, or in their place, makes of them.

    Raises:
        OSError: there are none, or they can't be read.
        ValueError: a file is damaged, or the adapter is not one that can be merged.
    """
    base = Checkpoint.open(folder.base)
    if not folder.has(ADAPTER_CONFIG):
        if folder.has(ADAPTER_WEIGHTS):
            why = f"there is no {ADAPTER_CONFIG} beside it, as a download that was not finished leaves it"
            warnings.warn(f"{folder / ADAPTER_WEIGHTS}: not used: {why}", stacklevel=4)
        return base
    from npbert.models.lora import merged  # few folders have one

    return merged(base, folder, config)
