"""The figures that the project sets itself. Shares are of the limit, ratios over a peer in the same run."""

from __future__ import annotations

GEMM_SHARE = {16: 0.88, 128: 0.93, 1024: 0.93}  # by M, one thread

OVER_FASTEST = {"1x16": 1.4, "1x128": 1.1, "8x128": 1.1, "ragged": 2.4}  # of torch, ONNX Runtime and OpenVINO

OVER_FASTEST_TASK = {"32 mixed": 2.0, "32 equal": 1.1}  # of transformers on torch and ONNX Runtime, however called

SHARE = {  # one thread
    "BERT-base": {"1x16": 0.92, "1x128": 0.94, "8x128": 0.94, "ragged": 0.94},
    "all-MiniLM-L6-v2": {"1x16": 0.85, "1x128": 0.90, "8x128": 0.90, "ragged": 0.90},
}

TWO_OVER_ONE = {"1x128": 1.85, "8x128": 1.85, "ragged": 1.85}

RESIDENT_MB = {"all-MiniLM-L6-v2": 190, "BERT-base": 560}

START_SECONDS = 0.5
FIRST_RUN_SECONDS = 15.0
