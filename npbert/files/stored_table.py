"""A table whose rows stay in a model's file, and are read from there whenever they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from npbert_kernels.ops import Dtype, FileRows, Floats

from npbert.files.safetensors_file import STORED, SafetensorsFile, as_floats

DTYPES: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}
"""As what such a table may be stored -> the kernels' name of it."""


class StoredTable(FileRows):
    """A tensor [V, E] of a file, which `SafetensorsFile.keep` answers for; with scales [V], if it is int8."""

    def __init__(self, file: SafetensorsFile, name: str, scales: Floats | None) -> None:
        entry = file.entries[name]
        self._file, self._stored = file, entry.stored
        self.shape = entry.shape[0], entry.shape[1]
        self.dtype, self.offset, self.scales = DTYPES[entry.stored], entry.start, scales

    def descriptor(self) -> int:
        return self._file.descriptor()

    def check(self, descriptor: int, failed: int = 0) -> None:
        self._file.check(descriptor, failed)

    def __getitem__(self, rows: Any) -> Floats:
        V, E = self.shape
        ids = np.arange(V)[rows]
        wanted, places = np.unique(ids, return_inverse=True)
        values = np.empty((len(wanted), E), STORED[self._stored])
        descriptor = self.descriptor()
        begins = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)  # of rows that lie together
        ends = np.flatnonzero(np.diff(wanted, append=V + 1) != 1) + 1
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            place = self.offset + int(wanted[begin]) * values.strides[0]
            self._file.read_into(values[begin:end].reshape(-1).view(np.uint8).data, place)
        self.check(descriptor)
        floats = as_floats(values, self._stored)
        if self.scales is not None:
            floats *= self.scales[wanted][:, None]
        if np.array_equal(ids, wanted):
            return floats
        found: Floats = floats[places.reshape(ids.shape)]
        return found
