"""Safetensors files, taken apart so that each part can be made odd, and read by the campaign itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
SCALES = "_scale"


def packed(tensors: Mapping[str, NDArray[Any]], bfloat16: tuple[str, ...] = ()) -> bytes:
    """A file of tensors. Those of `bfloat16` are float32 whose upper halves are written."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, end = [], 0
    for name, array in tensors.items():
        if name in bfloat16:
            kind, data = "BF16", (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            kind = next(known for known, dtype in DTYPES.items() if dtype == array.dtype)
            data = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
        parts.append(data)
    return joined(json.dumps(header).encode(), b"".join(parts))


def joined(header: bytes, data: bytes) -> bytes:
    """A file of a header's text, padded so that the data is aligned, and the data."""
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def parted(content: bytes) -> tuple[bytes, bytes]:
    """A file's header and its data; where the length is odd, as much as there is."""
    length = int.from_bytes(content[:8], "little")
    return content[8 : 8 + length], content[8 + length :]


def unpacked(content: bytes) -> Tensors:
    """The tensors of a file, as float32 where they are floats; int8 with scales as the product.

    Raises:
        ValueError, KeyError, TypeError: it is no such file.
    """
    text, data = parted(content)
    header = json.loads(text)
    tensors: Tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            halves = np.frombuffer(data[begin:end], "<u2").astype("<u4")
            tensors[name] = (halves << 16).view("<f4").reshape(entry["shape"])
            continue
        array = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = array.astype("<f4") if array.dtype.kind == "f" else array
    for name in [name for name in tensors if tensors[name].dtype == np.int8 and name + SCALES in tensors]:
        tensors[name] = tensors[name].astype("<f4") * tensors[name + SCALES][:, None]
    return tensors


def int8_of(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A matrix as int8 [out, in] and scales [out]."""
    scales = np.maximum(np.abs(array).max(axis=1), 1e-6).astype("<f4") / np.float32(127)
    return np.rint(array / scales[:, None]).astype(np.int8), scales
