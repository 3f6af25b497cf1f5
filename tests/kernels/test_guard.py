"""Nothing is read or written past the end of any array: each lies between pages whose touch is the process's death.

Prefetches may leave an array: they never fault.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect by way of Linux's libc")

SUPPORT = Path(__file__).parents[1] / "support"
BEGIN = f"""
import sys
sys.path.insert(0, {str(SUPPORT)!r})
import numpy as np
from guarded import copied, guarded
at_end = sys.argv[1] == "end"
rng = np.random.default_rng(0)
def normal(*shape):
    return copied(rng.standard_normal(shape, np.float32), at_end=at_end)
def whole(*numbers):
    return copied(np.array(numbers, np.int64), at_end=at_end)
"""

# Every op, on widths that are no multiple of any vector and on one that is of all. What the backend allocates is
# guarded as well: weights each for itself, the workspace without spare rows, outputs.
OPS = """
from dataclasses import replace
from npbert_kernels.cpu import backend, program, set_num_threads, store
from npbert_kernels.cpu.memory import address
from npbert_kernels.ops import ACTIVATIONS, POOLINGS, Batch, Quantized
from npbert_kernels.reference import Reference

store.Store._take = lambda self, floats: guarded(floats, at_end=at_end)
program.pages = lambda nbytes: guarded(nbytes, np.uint8, at_end=at_end)
program.GRAIN = 1
empty = np.empty
def guarded_empty(shape, dtype=float, **rest):
    return guarded(shape, dtype, at_end=at_end) if dtype is np.float32 else empty(shape, dtype, **rest)

def tables(width):
    return normal(7, width), normal(9, width), normal(2, width)

def case(width, heads, size, lengths, key_lens, inputs_embeds, threads, dtype="float32"):
    set_num_threads(threads)
    T, inner = sum(lengths), heads * size
    words, positions, types = tables(width)
    if dtype == "int8":
        quantized = Quantized.of(words)
        words = Quantized(*(copied(part, at_end=at_end) for part in (quantized.values, quantized.scales)))
    weights = {
        "qkv": (normal(3 * inner, width), normal(3 * inner)),
        "out": (normal(width, inner), normal(width)),
        "up": (normal(2 * width + 3, width), normal(2 * width + 3)),
        "down": (normal(width, 2 * width + 3), normal(width)),
    }
    norm, rotary = (normal(width), normal(width)), normal(9, size)
    cu_seqlens = whole(0, *np.cumsum(lengths))
    chosen = rng.random(T) < 0.4
    spread = width % 2  # columns of the mask that are holes, or none
    def columns_of(n, keys):
        columns = np.sort(rng.permutation(n + spread)[:n])
        columns[keys:] = 0
        return columns
    batch = Batch(
        ids=None if inputs_embeds else copied(rng.integers(0, 7, T), at_end=at_end),
        positions=copied(rng.integers(0, 9, T), at_end=at_end),
        token_types=copied(rng.integers(0, 2, T), at_end=at_end),
        cu_seqlens=cu_seqlens,
        key_lens=whole(*key_lens),
        first=whole(*cu_seqlens[1:] - 1),
        inputs_embeds=normal(T, width) if inputs_embeds else None,
        head_mask=normal(1, heads),
        allowed=copied((rng.random(np.dot(lengths, key_lens)) < 0.7).astype(np.float32), at_end=at_end),
        columns=copied(np.concatenate([columns_of(n, keys) for n, keys in zip(lengths, key_lens)]), at_end=at_end),
        selected=whole(*np.flatnonzero(chosen)),
        cu_selected=whole(*np.concatenate([[0], np.cumsum(chosen)])[cu_seqlens]),
    )
    kinds = "bias", "key", "key and query"
    P = max(lengths) + spread
    distances = {kind: normal(*((heads, 2 * P - 1) if kind == "bias" else (2 * P - 1, size))) for kind in kinds}
    products = "float32" if dtype == "float32" else "bfloat16"
    def forward_of(store):
        embed, unbiased = store.norm(*norm, 1e-12), store.norm(norm[0], None, 1e-12)
        angles = store.table(rotary)
        qkv = store.linear(*weights["qkv"], heads_out=heads)
        out = store.linear(*weights["out"], heads_in=heads)
        up, down = store.linear(*weights["up"]), store.linear(*weights["down"])
        relative = {k: store.relative_bias(d) if k == "bias" else store.relative_key(d, query=k != "key")
                    for k, d in distances.items()}
        w, p, t = (store.table(table) for table in (words, positions, types))
        def forward(ops, batch):
            others = (p, batch.positions), (t, batch.token_types), embed
            x = ops.embed_rows(batch.inputs_embeds, *others) if inputs_embeds else ops.embed(w, batch.ids, *others)
            context, probs = ops.attention(
                ops.linear(x, qkv), batch.cu_seqlens, batch.key_lens,
                heads=heads, head_size=size, head_mask=batch.head_mask[0], allowed=batch.allowed, probs=True,
                dtype=products,
            )
            y = ops.layer_norm(ops.linear(context, out, residual=x), embed)
            outputs = {"x": x, "probs": probs, "y": y}
            for name in ACTIVATIONS:
                outputs[name] = ops.linear(ops.linear(y, up, activation=name), down)
            last = ops.take(y, batch.first)
            outputs["normalized"] = ops.normalize(last)
            outputs["last"] = ops.linear(last, up, activation="tanh")
            for mode in POOLINGS:
                outputs[mode] = ops.pool(y, batch.cu_seqlens, batch.key_lens, mode)
                outputs[mode + " from first"] = ops.pool(y, batch.cu_seqlens, batch.key_lens, mode, first=batch.first)
            for kind, placed in relative.items():
                context, outputs[kind + " probs"] = ops.attention(
                    ops.linear(x, qkv), batch.cu_seqlens, batch.key_lens, heads=heads, head_size=size,
                    relative=placed, columns=batch.columns, probs=True,
                    dtype=products if kind == "bias" else "float32",
                )
                outputs[kind] = ops.linear(context, out)
            if size % 2 == 0:
                turned = ops.rotary(ops.linear(x, qkv), angles, batch.positions, heads=heads, head_size=size)
                reach = dict(columns=batch.columns, window=3, causal=True, allowed=batch.allowed, probs=True)
                context, outputs["within reach, probs"] = ops.attention(
                    turned, batch.cu_seqlens, batch.key_lens, heads=heads, head_size=size, **reach
                )
                outputs["within reach"] = ops.linear(context, out)
            outputs["gated"] = ops.multiply(ops.layer_norm(y, unbiased), y)
            some = ops.take(y, batch.selected)
            joined = ops.concat([some, ops.linear(some, up, activation="tanh"), some])
            outputs["selected"], outputs["joined"] = ops.layer_norm(some, embed), joined
            outputs["joined, normalized"] = ops.normalize(joined)
            return outputs
        return forward
    given = ["head_mask", "allowed"] + ["inputs_embeds"] * inputs_embeds
    recorded = backend.record(forward_of(backend.store(0, dtype=dtype)), given)
    np.empty = guarded_empty
    found = recorded(batch)
    np.empty = empty
    if dtype != "float32":  # that it is right is for test_reduced.py to say
        assert all(np.isfinite(array).all() for array in found.values())
        return
    truth = Reference(np.float64)
    wanted = truth.record(forward_of(truth.store(0)), given)(batch)
    assert set(found) == set(wanted)
    for name, array in found.items():
        assert array.shape == wanted[name].shape, name
        error, largest = (np.abs(x).max(initial=0) for x in (array - wanted[name], wanted[name]))
        assert error <= 1e-3 * largest, (name, width, error)

def going_on_case(width, heads, size, lengths, key_lens):
    # Two layers of keys and values, room for those of earlier calls and this one's, and nothing behind.
    x, weights = normal(sum(lengths), width), (normal(3 * heads * size, width), normal(width, heads * size))
    past = whole(*rng.integers(0, 40, len(lengths)))
    room, cu_seqlens = whole(*past + np.array(key_lens)), whole(0, *np.cumsum(lengths))
    columns = whole(*np.concatenate([np.arange(n) for n in lengths]))
    zeros = np.zeros_like(columns)
    batch = Batch(
        positions=zeros,
        token_types=zeros,
        cu_seqlens=cu_seqlens,
        key_lens=whole(*key_lens),
        first=cu_seqlens[:-1],
        inputs_embeds=x,
        columns=columns,
    )
    def answer(on):
        drawn, store = np.random.default_rng(1), on.store(0)
        blocks = [on.cache(1, 1, heads, rows, size)[0, 0] for rows in room]
        for block in blocks:
            block[...] = 0
            block[..., :size] = drawn.standard_normal(block[..., :size].shape)
        layer = np.concatenate([block.ravel() for block in blocks])
        at = whole(*np.cumsum([0, *(block.size for block in blocks)])[:-1])
        cache = copied(np.stack([layer, layer]), at_end=at_end)
        held = replace(batch, cache=cache, cache_at=at, cache_room=room, past_lens=past)
        qkv = store.linear(weights[0], None, heads_out=heads)
        out = store.linear(weights[1], None, heads_in=heads)
        def forward(ops, batch):
            context, probs = ops.attention(
                ops.linear(batch.inputs_embeds, qkv), batch.cu_seqlens, batch.key_lens, heads=heads, head_size=size,
                columns=batch.columns, causal=True, cached=batch.cached(1), probs=True,
            )
            return {"context": ops.linear(context, out), "probs": probs}
        program = on.record(forward, ["inputs_embeds", "cache", "cache_at", "cache_room", "past_lens"])
        np.empty = guarded_empty
        found = program(held)
        np.empty = empty
        return found
    found, wanted = answer(backend), answer(Reference(np.float64))
    for name, array in found.items():
        assert array.shape == wanted[name].shape, name
        assert np.abs(array - wanted[name]).max(initial=0) <= 1e-3 * np.abs(wanted[name]).max(initial=0), name

for width, heads, size in ((1, 1, 1), (5, 2, 3), (31, 3, 17), (64, 2, 32), (70, 1, 80)):
    going_on_case(width, heads, size, [1, 40, 7], [1, 39, 7])
    for lengths, key_lens in (([1], [1]), ([1, 40, 7], [1, 39, 7]), ([150, 3, 200], [150, 2, 199])):
        for inputs_embeds in (False, True):
            case(width, heads, size, lengths, key_lens, inputs_embeds, 1)
case(31, 3, 17, [150, 3, 200], [150, 2, 199], False, 3)
for dtype in ("bfloat16", "int8"):
    for width, heads, size in ((1, 1, 1), (5, 2, 3), (31, 3, 17), (64, 2, 32), (70, 1, 80)):
        case(width, heads, size, [1, 40, 7], [1, 39, 7], width % 2 == 0, 1, dtype)
"""

MODEL = """
import pathlib, npbert
from npbert_kernels.cpu import program, store
store.Store._take = lambda self, floats: guarded(floats, at_end=at_end)
program.pages = lambda nbytes: guarded(nbytes, np.uint8, at_end=at_end)
program.GRAIN = 1
program.KEPT_ROWS = 7
model = npbert.AutoModel.from_pretrained(sys.argv[2])
truth = npbert.AutoModel.from_pretrained(sys.argv[2], backend="reference")
H, N, L = (model.config.to_dict()[k] for k in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
for S in (1, 2, 17, 64):
    ids = copied(rng.integers(0, 61, (3, S)), at_end=at_end)
    mask = copied((rng.random((3, S)) < 0.7).astype(np.int64), at_end=at_end)
    for given in ({"input_ids": ids}, {"inputs_embeds": normal(3, S, H)}):
        arguments = dict(given, attention_mask=mask, head_mask=normal(L, N))
        arguments["output_attentions"] = arguments["output_hidden_states"] = True
        found, wanted = model(**arguments), truth(**arguments)
        assert np.abs(found.last_hidden_state - wanted.last_hidden_state).max() < 1e-3
        assert np.abs(found.pooler_output - wanted.pooler_output).max() < 1e-3
"""


def died_of(code: str, *arguments: str) -> int:
    """0, or what a process ended with."""
    command = [sys.executable, "-c", BEGIN + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode <= 0, done.stderr
    return done.returncode


TOUCH = """
import ctypes
byte = ctypes.c_char.from_address(normal(12).__array_interface__["data"][0] + int(sys.argv[2]))
if sys.argv[3] == "write":
    byte.value = b"x"
else:
    byte.value
"""


@pytest.mark.parametrize("how", ["read", "write"])
@pytest.mark.parametrize(
    ("where", "byte", "dies"), [("begin", 0, False), ("begin", -1, True), ("end", 47, False), ("end", 48, True)]
)
def test_a_touch_is_seen(where: str, byte: int, dies: bool, how: str) -> None:
    """The guard itself, around 12 floats."""
    assert died_of(TOUCH, where, str(byte), how) == (-signal.SIGSEGV if dies else 0)


@pytest.mark.parametrize("where", ["begin", "end"])
def test_ops(where: str) -> None:
    assert died_of(OPS, where) == 0


@pytest.mark.parametrize("where", ["begin", "end"])
@pytest.mark.parametrize(
    ("stored", "sizes"),
    [("float32", {}), ("float16", {"hidden_size": 45, "num_attention_heads": 3, "intermediate_size": 67})],
)
def test_model(where: str, stored: str, sizes: dict[str, int], bert_folder: Any, tmp_path: Path) -> None:
    """From a file, in which word embeddings stay."""
    folder, name = shutil.copytree(bert_folder(**sizes), tmp_path / "model"), "embeddings.word_embeddings.weight"
    arrays = load_file(folder / "model.safetensors")
    save_file({**arrays, name: arrays[name].astype(stored)}, folder / "model.safetensors")
    assert died_of(MODEL, where, str(folder)) == 0
