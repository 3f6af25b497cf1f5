"""The figures that the project sets itself. Shares are of the limit, ratios over a peer in the same run."""

from __future__ import annotations

GEMM_SHARE = {  # by M, one thread
    "float32": {16: 0.88, 128: 0.93, 1024: 0.93},
    "bfloat16": {16: 0.85, 128: 0.93, 1024: 0.93},
    "int8": {16: 0.85, 128: 0.90, 1024: 0.90},
}

OVER_FASTEST = {"1x16": 1.4, "1x128": 1.1, "8x128": 1.1, "ragged": 2.4}  # of torch, ONNX Runtime and OpenVINO
OVER_FASTEST_REDUCED = {"1x16": 1.3, "1x128": 1.15, "8x128": 1.15, "ragged": 2.0}  # of the peers in that dtype
OVER_FLOAT32 = {  # npbert's own
    "bfloat16": {"1x16": 1.8, "1x128": 1.8, "8x128": 1.8, "ragged": 1.8},
    "int8": {"8x128": 2.8},
}

OVER_FASTEST_TASK = {"32 mixed": 2.0, "32 equal": 1.1}  # of transformers on torch and ONNX Runtime, however called

SHARE = {  # one thread
    "BERT-base": {"1x16": 0.92, "1x128": 0.94, "8x128": 0.94, "ragged": 0.94},
    "all-MiniLM-L6-v2": {"1x16": 0.85, "1x128": 0.90, "8x128": 0.90, "ragged": 0.90},
}

TWO_OVER_ONE = {"1x128": 1.85, "8x128": 1.85, "ragged": 1.85}

RESIDENT_MB = {
    "float32": {"all-MiniLM-L6-v2": 190, "BERT-base": 560},
    "bfloat16": {"all-MiniLM-L6-v2": 150, "BERT-base": 350},
    "int8": {"all-MiniLM-L6-v2": 120, "BERT-base": 230},
}

QUALITY = {  # of what `quality.compare` finds
    "bfloat16": {"mean cosine": 0.9999, "least cosine": 0.999, "neighbours kept": 0.99},
    "int8": {"mean cosine": 0.998, "least cosine": 0.99, "neighbours kept": 0.95, "Spearman": 0.998},
}
DECISIONS_KEPT = {"bfloat16": 0.999, "int8": 0.99}

START_SECONDS = 0.5
FIRST_RUN_SECONDS = 15.0
