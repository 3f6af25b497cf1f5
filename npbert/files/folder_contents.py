"""What stands in a folder where something that was looked for does not: for the errors that say so."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from npbert.checks import brief, listed
from npbert.files.names import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG_FILE

PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
FORMATS = {
    ".onnx": "ONNX",
    ".xml": "OpenVINO",
    ".gguf": "GGUF",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".ot": "Rust",
    ".bin": "pickled",
    ".pt": "pickled",
    ".pth": "pickled",
    ".ckpt": "pickled",
}
"""What a file's name ends with -> the format of its weights, none of which is read here."""
UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".aria2")
"""What downloads that go on, or were cut short, end with."""
DOWNLOADS = ".cache/huggingface/download"  # in a folder that the hub's client downloads to
MOST = 1000  # entries of a folder that are looked at


def instead_of_weights(folder: Path) -> str:
    """What to add to the error where no weights are found in safetensors, or nothing."""
    if unfinished := _unfinished(folder):
        return f"; {unfinished} is of a download that was not finished: get it again"
    names = _names(folder)
    if pickled := [name for name in PICKLED if name in names]:
        return f"; {pickled[0]} is pickled, which npbert does not load: convert it to safetensors"
    if ADAPTER_WEIGHTS in names:
        return f"; {ADAPTER_WEIGHTS} is an adapter's, wanted {ADAPTER_CONFIG} beside it"
    if others := [name for name in names if name.endswith(".safetensors")]:
        return f"; found {listed(others)}: shards need their index, and other names are not read"
    found = [
        name for inner in ("", "onnx", "openvino") for name in _names(folder, inner) if Path(name).suffix in FORMATS
    ]
    if not found:
        return ""
    formats = ", ".join(dict.fromkeys(FORMATS[Path(name).suffix] for name in found))
    return (
        f"; found {listed(found)}: not read here ({formats}): get the model's .safetensors file, or make it with "
        "transformers' save_pretrained"
    )


def instead_of_config(folder: Path) -> str:
    """What to add to the error where there is no config.json, or nothing."""
    if unfinished := _unfinished(folder):
        return f"; {unfinished} is of a download that was not finished: get it again"
    inner = [name for name in _names(folder) if (folder / name / CONFIG_FILE).is_file()]
    return f"; there is one in {listed(inner)}" if inner else ""


def similar_folder(text: str) -> str:
    """The folder that was meant, to be added to the error, where there is one of nearly the same name."""
    from difflib import get_close_matches

    path = Path(text)
    try:
        names = [inner.name for inner in islice(path.parent.iterdir(), MOST) if inner.is_dir()]
    except (OSError, ValueError):  # no such folder, or no path at all
        return ""
    close = get_close_matches(path.name, names, 1)
    return f" (there is {brief(path.parent / close[0])})" if close else ""


def _unfinished(folder: Path) -> str | None:
    places = ["", DOWNLOADS]
    if folder.parent.name == "snapshots":  # of the hub's cache
        places.append("../../blobs")
    return next((name for place in places for name in _names(folder, place) if name.endswith(UNFINISHED)), None)


def _names(folder: Path, inner: str = "") -> list[str]:
    """Of what is in a folder, or in one inside it, sorted; paths as from the folder."""
    try:
        found = sorted(entry.name for entry in islice((folder / inner).iterdir(), MOST))
    except OSError:
        return []
    return [f"{inner}/{name}" if inner else name for name in found]
