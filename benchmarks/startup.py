"""Whole processes, from their start to the first vector: interpreter, imports, model, tokenizer, one text.

Run as a script, this is what one does with ONNX Runtime and tokenizers: `startup.py FOLDER MODEL.onnx TEXT`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TEXT = "A text of ordinary length, which asks for one vector."

NPBERT = """
import sys, npbert
model = npbert.SentenceTransformer(sys.argv[1])
print(model.encode(sys.argv[2])[:3].tolist())
"""


def onnxruntime_vector(folder: str, onnx: str, text: str) -> list[float]:
    """The sentence vector as sentence-transformers defines it for MiniLM: mean over tokens, normalised."""
    import numpy as np
    import onnxruntime
    import tokenizers

    encoding = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    encoding.no_padding()
    encoded = encoding.encode(text)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    feed = {
        "input_ids": np.array([encoded.ids]),
        "attention_mask": np.array([encoded.attention_mask]),
        "token_type_ids": np.array([encoded.type_ids]),
    }
    vector = session.run(None, feed)[0][0].mean(axis=0)
    return (vector / np.linalg.norm(vector)).tolist()


def commands(folder: Path, onnx: Path) -> dict[str, list[str]]:
    """What is started; npbert by its command line and from Python."""
    program = Path(sys.executable).parent / "npbert"
    embed = [str(program)] if program.exists() else [sys.executable, "-m", "npbert"]
    return {
        "npbert embed": [*embed, "embed", str(folder), TEXT],
        "npbert in Python": [sys.executable, "-c", NPBERT, str(folder), TEXT],
        "ONNX Runtime and tokenizers": [sys.executable, __file__, str(folder), str(onnx), TEXT],
    }


def seconds_of(command: list[str], environment: dict[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def in_turn(processes: dict[str, list[str]], rounds: int) -> list[dict[str, Any]]:
    """The seconds of each process, by round; the first, before files are cached, is left out."""
    times: dict[str, list[float]] = {name: [] for name in processes}
    for number in range(rounds + 1):
        for name, command in processes.items():
            seconds = seconds_of(command)
            if number > 0:
                times[name].append(seconds)
    return [{"process": name, "seconds": seconds} for name, seconds in times.items()]


if __name__ == "__main__":
    print(onnxruntime_vector(*sys.argv[1:])[:3])
