"""bfloat16 and int8: linear layers against the reference, whatever makes and reads their rows; then whole models.

int8 is exact: the CPU gives the reference's bits. Run by test_isa.py for each way to multiply that this machine has, so
all ISAs give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import assert_within
from hypothesis import example, given
from hypothesis import strategies as st
from npbert_kernels.cpu import backend as cpu
from npbert_kernels.cpu import set_num_threads
from npbert_kernels.cpu.dtypes import CODES, FORMATS
from npbert_kernels.cpu.isa import selected
from npbert_kernels.cpu.layout import Op
from npbert_kernels.ops import ACTIVATIONS, Batch, Quantized
from npbert_kernels.reference import Reference, bfloat16, quantized_rows
from one_op import batch_of
from safetensors.numpy import load_file, save_file

import npbert
from npbert.cli.main import main
from npbert.files.stored_table import StoredTable

SINGLE, TRUTH = Reference(np.float32), Reference(np.float64)
EPS = 2.0**-23
REDUCED = ("bfloat16", "int8")
MOST_K = FORMATS[CODES["int8"]].most_k
assert MOST_K is not None

WORDS = "embeddings.word_embeddings.weight"

seeds = st.integers(0, 2**32 - 1)
widths = st.integers(1, 100)
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=4)
sizes = st.sampled_from([1.0, 0.0, 1e-42, 1e-30, 1e30])


def run(backend: Any, op: Callable[[Any], Any], x: np.ndarray, cut: list[int], dtype: str, **fields: Any) -> Any:
    """What forward(ops, batch, x [T, width]) gives; op(store) makes it, of a store of that dtype. x arrives exactly."""
    store = backend.store(0, dtype=dtype)
    identity = backend.store(0).linear(np.eye(x.shape[1], dtype=np.float32), None)
    made = op(store)

    def forward(ops: Any, batch: Any) -> Any:
        return made(ops, batch, ops.linear(batch.inputs_embeds, identity))

    program = backend.record(forward, ["inputs_embeds"])
    return program(Batch(**{**vars(batch_of(cut, **fields)), "inputs_embeds": x}))


def normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def linear_of(weight: Any, bias: np.ndarray | None, *, residual: bool = False) -> Callable[[Any], Any]:
    def op(store: Any) -> Any:
        placed = store.linear(weight, bias)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            return {"y": ops.linear(x, placed, residual=ops.linear(x, placed) if residual else None)}

        return forward

    return op


@given(seeds, lengths, widths, widths, st.booleans(), st.booleans(), sizes, sizes)
@example(0, [14, 13, 1], 100, 33, True, True, 1.0, 1.0)
@example(1, [300], 99, 65, True, False, 1.0, 1.0)
def test_int8_is_exact(
    seed: int, cut: list[int], k: int, out: int, bias: bool, residual: bool, size: float, weight_size: float
) -> None:
    """Also of rows and weights that are all zero, subnormal, tiny or huge."""
    x, weight, b = normal(seed, (sum(cut), k), (out, k), (out,))
    x, weight = x * np.float32(size), weight * np.float32(weight_size)
    op = linear_of(weight, b if bias else None, residual=residual)
    with np.errstate(over="ignore", invalid="ignore"):
        found, wanted = (run(backend, op, x, cut, "int8")["y"] for backend in (cpu, SINGLE))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("rows", range(1, 2 * selected().rows + 1))
def test_int8_in_every_height(rows: int) -> None:
    x, weight, bias = normal(rows, (rows, 37), (41, 37), (41,))
    found, wanted = (run(backend, linear_of(weight, bias), x, [rows], "int8")["y"] for backend in (cpu, SINGLE))
    np.testing.assert_array_equal(found, wanted)


def test_int8_never_saturates() -> None:
    """The largest sums of all: where instructions on 16 bits would end at 32767."""
    k = 4096
    x, weight = np.ones((3, k), np.float32), np.ones((5, k), np.float32)
    weight[1], weight[2, ::2], x[1], x[2, ::2] = -1, -1, -1, -1
    found, wanted = (run(backend, linear_of(weight, None), x, [3], "int8")["y"] for backend in (cpu, SINGLE))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(found, x @ weight.T, rtol=1e-5, atol=k * 2.0**-7)


@given(seeds, widths, st.integers(1, 20))
def test_int8_is_close(seed: int, k: int, rows: int) -> None:
    """A row is off by half a step of 254 from its least to its largest, a weight by half of 127; sums round twice."""
    x, weight = normal(seed, (rows, k), (9, k))
    found = run(cpu, linear_of(weight, None), x, [rows], "int8")["y"]
    span = np.maximum(x.max(axis=1), 0) - np.minimum(x.min(axis=1), 0)
    off_x = (span / 254)[:, None] * 0.51
    off_weight = (np.abs(weight).max(axis=1) / 127)[None] * 0.51
    size_x, size_weight = np.abs(x).sum(axis=1)[:, None], np.abs(weight).sum(axis=1)[None]
    bound = off_x * size_weight + off_weight * size_x + k * off_x * off_weight + 4 * EPS * size_x * size_weight
    assert_within(found, x.astype(np.float64) @ weight.T.astype(np.float64), bound)


def test_one_huge_outlier() -> None:
    """It takes the steps of its own row, and of no other."""
    x, weight = normal(0, (4, 50), (6, 50))
    x[1, 7], weight[2, 3] = 1e6, -1e6
    found = run(cpu, linear_of(weight, None), x, [4], "int8")["y"]
    wanted = x @ weight.T
    rows, columns = np.array([0, 2, 3]), np.array([0, 1, 3, 4, 5])
    assert np.abs(found - wanted)[np.ix_(rows, columns)].max() < 1
    np.testing.assert_allclose(found[1], wanted[1], atol=1e6 * np.abs(weight).max() / 100)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("column", [0, 40, 49])
def test_what_is_not_finite_shows_in_its_row_alone(dtype: str, strange: float, column: int) -> None:
    x, weight, bias = normal(0, (20, 50), (33, 50), (33,))
    clean = run(cpu, linear_of(weight, bias), x, [20], dtype)["y"]
    weight_of = np.ones(50, np.float32)

    def op(store: Any) -> Any:  # by layer_norm, since what isn't finite would not come through the identity
        placed, norm = store.linear(weight, bias), store.norm(weight_of, weight_of, 1e-5)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            return {"y": ops.linear(x, placed), "z": ops.linear(ops.layer_norm(x, norm), placed)}

        return forward

    x[5, column] = strange
    found = run(cpu, op, x, [20], dtype)
    others = np.arange(20) != 5
    assert not np.isfinite(found["y"][5]).any()
    assert np.isnan(found["z"][5]).all()
    assert np.isfinite(found["z"][others]).all()
    np.testing.assert_array_equal(found["y"][others], clean[others])


@given(seeds, lengths, widths, widths, st.booleans())
def test_bfloat16(seed: int, cut: list[int], k: int, out: int, residual: bool) -> None:
    """Products of bfloat16 are exact in float32, so what is left to err is the sum."""
    x, weight, bias = normal(seed, (sum(cut), k), (out, k), (out,))
    op = linear_of(weight, bias, residual=residual)
    found, truth = (run(backend, op, x, cut, "bfloat16")["y"] for backend in (cpu, TRUTH))
    size = np.abs(bfloat16(x)).astype(np.float64) @ np.abs(bfloat16(weight)).T + np.abs(bias)
    assert_within(found, truth, (2 if residual else 1) * (k + 4) * EPS * size)


@pytest.mark.parametrize("k", [1537, 3072])
def test_bfloat16_in_one_chain(k: int) -> None:
    x, weight, bias = normal(k, (150, k), (33, k), (33,))
    found, truth = (run(backend, linear_of(weight, bias), x, [150], "bfloat16")["y"] for backend in (cpu, TRUTH))
    size = np.abs(bfloat16(x)).astype(np.float64) @ np.abs(bfloat16(weight)).T + np.abs(bias)
    assert_within(found, truth, (k + 4) * EPS * size)


def encoder_like(width: int, products: str) -> Callable[[Any], Any]:
    """Each op that makes rows, read by a linear: whole rows, tiles, rows of sequences, rows that others read too."""
    heads, size = 2, width // 2
    qkv, out, up, down, norm, shift = normal(
        3, (3 * width, width), (width, width), (90, width), (width, 90), *[(width,)] * 2
    )

    def op(store: Any) -> Any:
        scale = np.float32(width**-0.5)
        into, from_heads = (
            store.linear(qkv * scale, None, heads_out=heads),
            store.linear(out * scale, None, heads_in=heads),
        )
        first, second = store.linear(up * scale, None), store.linear(down * scale, shift)
        placed = store.norm(norm, shift, 1e-5)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            context, _ = ops.attention(
                ops.linear(x, into), batch.cu_seqlens, batch.key_lens, heads=heads, head_size=size, dtype=products
            )
            x = ops.layer_norm(ops.linear(context, from_heads, residual=x), placed)
            outputs = {name: ops.linear(ops.linear(x, first, activation=name), second) for name in ACTIVATIONS}
            hidden = ops.linear(x, first)
            outputs |= {"hidden": hidden, "read twice": ops.linear(hidden, second)}
            outputs |= {"x": x, "residual": ops.linear(ops.linear(x, first), second, residual=x)}
            outputs["first"] = ops.linear(ops.take(x, batch.first), first)
            return outputs

        return forward

    return op


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize("width", [10, 64])
def test_every_maker_of_rows(dtype: str, width: int) -> None:
    """A number may be rounded the other way here and there, and be off by a step."""
    cut = [5, 40, 1, 130]
    (x,) = normal(1, (sum(cut), width))
    found, truth = (run(backend, encoder_like(width, "bfloat16"), x, cut, dtype) for backend in (cpu, TRUTH))
    assert set(found) == set(truth)
    for name, wanted in truth.items():
        off = np.abs(found[name] - wanted)
        assert off.max() < 0.05 * np.abs(wanted).max(), name
        assert off.mean() < 0.002 * np.abs(wanted).mean(), name


@given(seeds, st.lists(st.integers(1, 150), min_size=1, max_size=3), st.integers(1, 3), widths, st.data())
@example(0, [131, 1, 14], 2, 32, None)
@example(1, [200, 15], 1, 64, None)
def test_attention_in_bfloat16(seed: int, cut: list[int], heads: int, size: int, data: Any) -> None:
    """Queries, keys and values are rounded alike; a number e^(...) that lies between two may go either way, and seldom
    does: most of the context is as close as its sums of float32 let it be."""
    kept = [n if data is None else data.draw(st.integers(0, n)) for n in cut]
    rows, width = sum(cut), heads * size
    (qkv,) = normal(seed, (rows, 3 * width))
    identity = np.eye(3 * width, dtype=np.float32)

    def op(store: Any) -> Any:
        into = store.linear(identity, None, heads_out=heads)
        out = store.linear(identity[:width, :width], None, heads_in=heads)

        def forward(ops: Any, batch: Any, x: Any) -> Any:
            context, probs = ops.attention(
                ops.linear(x, into), batch.cu_seqlens, batch.key_lens, heads=heads, head_size=size, probs=True,
                dtype="bfloat16",
            )  # fmt: skip
            return {"context": ops.linear(context, out), "probs": probs}

        return forward

    found, truth = (run(backend, op, qkv, cut, "float32", key_lens=kept) for backend in (cpu, TRUTH))
    q, k, v = np.abs(bfloat16(qkv)).astype(np.float64).reshape(rows, 3, heads, size).transpose(1, 2, 0, 3)
    scores = (q @ k.transpose(0, 2, 1)).max() / np.sqrt(size)
    off = (2 * (size + 4) * scores + 2 * max(cut) + 16) * EPS  # of a probability, and of the sums
    assert_within(found["probs"], truth["probs"], off * np.abs(truth["probs"]) + 2.0**-126)
    largest = v.max()
    error = np.abs(found["context"] - truth["context"])
    assert error.max(initial=0) <= (off + 2.0**-7) * largest
    assert np.median(error) <= off * largest


def test_attention_in_bfloat16_rounds_what_it_multiplies() -> None:
    """One key: the context is its value, rounded; with two alike it is their rounded mean."""
    qkv = np.tile(np.float32([[1.0, 0.5, 1 + 2**-7 + 2**-9]]), (2, 1))
    for backend in (cpu, SINGLE):

        def op(store: Any) -> Any:
            into, out = (
                store.linear(np.eye(3, dtype=np.float32), None, heads_out=1),
                store.linear(np.eye(1, dtype=np.float32), None, heads_in=1),
            )

            def forward(ops: Any, batch: Any, x: Any) -> Any:
                context, _ = ops.attention(
                    ops.linear(x, into), batch.cu_seqlens, batch.key_lens, heads=1, head_size=1, dtype="bfloat16"
                )
                return {"context": ops.linear(context, out)}

            return forward

        for cut in ([1, 1], [2]):
            assert run(backend, op, qkv, cut, "float32")["context"].ravel().tolist() == [1 + 2**-7] * 2


def conversions(dtype: str, op: Callable[[Any], Any]) -> int:
    store = cpu.store(0, dtype=dtype)
    made = op(store)

    def forward(ops: Any, batch: Any) -> Any:
        return made(ops, batch, batch.inputs_embeds)

    return int((cpu.record(forward, ["inputs_embeds"]).steps[:, 0] == Op.CONVERT).sum())


def test_rows_are_converted_where_they_are_made() -> None:
    """In bfloat16 a step of its own is left to the input, the context, a row taken, and what others read too."""
    assert conversions("bfloat16", encoder_like(10, "bfloat16")) == 4
    assert conversions("float32", encoder_like(10, "bfloat16")) == 1  # queries, keys and values
    assert conversions("float32", encoder_like(10, "float32")) == 0


@pytest.mark.parametrize("heads", [{}, {"heads_out": 3}, {"heads_in": 2}])
def test_weights_that_are_int8_already(heads: dict[str, int]) -> None:
    """In a store of any dtype they are what it would make of them."""
    weight, x = normal(0, (45, 10), (7, 10))

    def op_of(weight: Any) -> Callable[[Any], Any]:
        def op(store: Any) -> Any:
            placed = store.linear(weight, None, **heads)

            def forward(ops: Any, batch: Any, x: Any) -> Any:
                if "heads_in" in heads:  # reads a context alone
                    three = store.linear(np.tile(np.eye(10, dtype=np.float32), (3, 1)), None, heads_out=2)
                    qkv = ops.linear(x, three)
                    x, _ = ops.attention(qkv, batch.cu_seqlens, batch.key_lens, heads=2, head_size=5)
                return {"y": ops.linear(x, placed)}

            return forward

        return op

    wanted = run(cpu, op_of(weight), x, [7], "int8")["y"]
    np.testing.assert_array_equal(run(cpu, op_of(Quantized.of(weight)), x, [7], "int8")["y"], wanted)
    if not heads:
        np.testing.assert_array_equal(run(cpu, op_of(Quantized.of(weight)), x, [7], "float32")["y"], wanted)


@given(seeds, widths, lengths)
@example(0, 64, [40, 1])
@example(1, 70, [7])
def test_words_that_are_int8(seed: int, width: int, cut: list[int]) -> None:
    """As the floats that they stand for, to the bit; and what is made of them for a product with them."""
    words, positions, types, norm, weight = normal(seed, (9, width), (5, width), (2, width), (width,), (8, width))
    words[3], words[4] = 0, words[4] * np.float32(1e-42)
    quantized = Quantized.of(words)
    rng = np.random.default_rng(seed)
    given = {name: rng.integers(0, n, sum(cut)) for name, n in (("ids", 9), ("positions", 5), ("token_types", 2))}
    batch = Batch(**{**vars(batch_of(cut)), **given})

    def found(backend: Any, rows: Any) -> dict[str, np.ndarray]:
        store = backend.store(0, dtype="int8")
        tables, placed = [store.table(table) for table in (rows, positions, types)], store.linear(weight, None)
        scale = store.norm(norm, norm, 1e-5)

        def forward(ops: Any, batch: Any) -> Any:
            others = (tables[1], batch.positions), (tables[2], batch.token_types)
            x = ops.embed(tables[0], batch.ids, *others, scale)
            return {"x": x, "y": ops.linear(x, placed)}

        outputs: dict[str, np.ndarray] = backend.record(forward)(batch)
        return outputs

    for backend in (cpu, SINGLE):
        of_int8, of_floats = found(backend, quantized), found(backend, quantized[:])
        for name, array in of_floats.items():
            np.testing.assert_array_equal(of_int8[name], array)


def test_the_reference_s_bytes() -> None:
    """As the contract has it, by hand."""
    x = np.array([[-1.0, 0.0, 2.0, 1.0]], np.float32)
    values, scale = quantized_rows(x)
    zero = 85  # rint(254 / 3)
    np.testing.assert_array_equal(values, [[np.rint(-254 / 3 + zero) - zero, 0, np.rint(508 / 3 + zero) - zero, 85]])
    np.testing.assert_array_equal(scale, np.float32([[3 / 254]]))
    found = Quantized.of(np.array([[0.5, -1.0], [0.0, 0.0]], np.float32))
    np.testing.assert_array_equal(found.values, [[64, -127], [0, 0]])
    np.testing.assert_array_equal(found.scales[0], np.float32(1 / 127))
    np.testing.assert_array_equal(found[[1, 0, 0]], np.float32([[0, 0], *[[64, -127]] * 2]) * found.scales[0])


@pytest.mark.parametrize(
    ("values", "scales", "message"),
    [
        (np.zeros((2, 3), np.int16), np.ones(2, np.float32), "values: wanted int8"),
        (np.zeros(3, np.int8), np.ones(3, np.float32), "values: wanted int8"),
        (np.zeros((2, 3), np.int8), np.ones(3, np.float32), r"scales: wanted float32 \[2\], found float32 \[3\]"),
        (np.zeros((2, 3), np.int8), np.ones(2), r"scales: wanted float32 \[2\], found float64 \[2\]"),
        (np.zeros((2, 3), np.int8), np.float32([1, 0]), "scales: wanted positive finite numbers"),
        (np.zeros((2, 3), np.int8), np.float32([1, np.nan]), r"scales: wanted positive finite .*, found nan at \[1\]$"),
        (np.zeros((2, 3), np.int8), np.float32([-1, 1]), r"scales: wanted positive finite .*, found -1 at \[0\]$"),
        (np.zeros((2, 3), np.int8), np.float32([1e-39, 1]), r"scales: wanted .* from 1\.18e-38 to .*, found 1e-39 at"),
        (np.zeros((2, 3), np.int8), np.float32([1, 1e38]), r"scales: wanted .* to 2\.66e\+36, found 1e\+38 at \[1\]$"),
    ],
)
def test_what_is_not_quantized(values: np.ndarray, scales: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantized(values, scales)


@pytest.mark.parametrize("backend", [cpu, SINGLE], ids=["cpu", "reference"])
def test_a_dtype_that_does_not_exist(backend: Any) -> None:
    with pytest.raises(ValueError, match="dtype: wanted one of float32, bfloat16, int8, found 'float16'"):
        backend.store(0, dtype="float16")


def test_sums_that_32_bits_might_not_hold() -> None:
    with pytest.raises(ValueError, match=f"int8: wanted at most {MOST_K} columns in a weight, found {MOST_K + 1}"):
        cpu.store(0, dtype="int8").linear(np.ones((1, MOST_K + 1), np.float32), None)


# Models --------------------------------------------------------------------------------------------------


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    wanted: np.ndarray = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return wanted


@pytest.mark.parametrize("dtype", REDUCED)
def test_a_model_is_close_to_float32_and_to_the_reference(dtype: Any, bert_folder: Callable[..., Path]) -> None:
    ids = np.random.default_rng(0).integers(1, 61, (4, 30))
    mask = np.arange(30) < np.array([30, 1, 17, 9])[:, None]
    found, single, reference = (
        npbert.AutoModel.from_pretrained(bert_folder(), **given)(ids, mask)
        for given in ({"dtype": dtype}, {}, {"dtype": dtype, "backend": "reference"})
    )
    least = {"bfloat16": 0.9999, "int8": 0.998}[dtype]
    assert cosines(found.last_hidden_state[mask], single.last_hidden_state[mask]).min() > least
    assert cosines(found.last_hidden_state[mask], reference.last_hidden_state[mask]).min() > least
    assert cosines(found.pooler_output, single.pooler_output).min() > least
    assert np.abs(found.last_hidden_state - single.last_hidden_state).max() > 1e-4, "it is float32"


@pytest.mark.parametrize("dtype", REDUCED)
def test_the_same_bits_whatever_the_batch(dtype: Any, bert_folder: Callable[..., Path]) -> None:
    model = npbert.AutoModel.from_pretrained(bert_folder(), dtype=dtype)
    rng = np.random.default_rng(1)
    texts = [rng.integers(1, 61, n).tolist() for n in (3, 60, 1, 17, 60, 33, 14, 9)]
    together = model.embed(texts, pooling="mean")
    for threads in (1, 3):
        set_num_threads(threads)
        try:
            np.testing.assert_array_equal(model.embed(texts[::-1], pooling="mean")[::-1], together)
            for text, wanted in zip(texts, together, strict=True):
                np.testing.assert_array_equal(model.embed([text], pooling="mean")[0], wanted)
        finally:
            set_num_threads(1)


def test_a_model_wants_a_dtype_that_exists(bert_folder: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="dtype: wanted one of float32, bfloat16, int8, found 'int4'"):
        npbert.AutoModel.from_pretrained(bert_folder(), dtype="int4")


@pytest.mark.parametrize("dtype", REDUCED)
def test_sentences(dtype: Any, minilm: Path) -> None:
    """The real model: cosines to float32 as the README has them of thousands of sentences."""
    texts = ["Return the sum of two numbers.", "It is raining in Paris.", "A list", "", "x" * 300]
    wanted, found = (npbert.SentenceTransformer(minilm, **given).encode(texts) for given in ({}, {"dtype": dtype}))
    assert cosines(found, wanted).min() > {"bfloat16": 0.999, "int8": 0.99}[dtype]
    assert (found != wanted).any()


def test_a_pipeline_s_model_has_its_dtype_already(bert_folder: Callable[..., Path]) -> None:
    model = npbert.AutoModel.from_pretrained(bert_folder())
    with pytest.raises(ValueError, match="dtype: wanted none, since the model is loaded already, found 'int8'"):
        npbert.pipeline("feature-extraction", model, tokenizer="nowhere", dtype="int8")


def saved(model: Any, folder: Path) -> dict[str, np.ndarray]:
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def test_int8_is_saved_and_loaded(bert_folder: Callable[..., Path], tmp_path: Path) -> None:
    """The same bits as from the originals, at a quarter of the matrices' size; other dtypes read it as well."""
    model = npbert.AutoModel.from_pretrained(bert_folder(), dtype="int8")
    model.prune_heads({1: [2]})
    arrays = saved(model, tmp_path)
    name = "encoder.layer.0.intermediate.dense.weight"
    assert arrays[name].dtype == np.int8
    assert arrays[f"{name}_scale"].shape == (80,)
    assert arrays[WORDS].dtype == np.int8
    assert arrays[f"{WORDS}_scale"].shape == (61,)
    assert arrays["embeddings.position_embeddings.weight"].dtype == arrays["pooler.dense.weight"].dtype == np.float32
    ids = np.arange(1, 31).reshape(2, 15)
    wanted = model(ids).last_hidden_state
    loaded = npbert.AutoModel.from_pretrained(tmp_path)
    words, table = loaded.get_input_embeddings(), model.get_input_embeddings().weight
    assert isinstance(words.rows, StoredTable)
    assert (words.num_embeddings, words.embedding_dim, table.shape, table.dtype) == (61, 48, (61, 48), np.float32)
    np.testing.assert_array_equal(words(ids), table[ids])
    np.testing.assert_array_equal(loaded(inputs_embeds=words(ids)).last_hidden_state, wanted)
    assert loaded.parameter_table() == model.parameter_table()
    np.testing.assert_array_equal(loaded(ids).last_hidden_state, wanted)
    loaded.prune_heads({0: [0]})
    model.prune_heads({0: [0]})
    assert cosines(loaded(ids).last_hidden_state, model(ids).last_hidden_state).min() > 0.998  # scales of all columns
    again = saved(npbert.AutoModel.from_pretrained(tmp_path), tmp_path / "again")
    assert set(again) == set(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(again[key], array)
    reference = npbert.AutoModel.from_pretrained(tmp_path, backend="reference")(ids).last_hidden_state
    assert cosines(reference, wanted).min() > 0.998


@pytest.mark.parametrize(("name", "rows"), [("encoder.layer.0.intermediate.dense.weight", 80), (WORDS, 61)])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays, name: arrays.pop(f"{name}_scale"), "is int8, wanted its scales as {name}_scale, found none"),
        (
            lambda arrays, name: arrays.update({f"{name}_scale": np.ones(3, np.float32)}),
            r"{name}_scale: wanted the shape \[{rows}\], found \[3\]",
        ),
        (
            lambda arrays, name: arrays.update({f"{name}_scale": np.zeros(len(arrays[name]), np.float32)}),
            "{name}: scales: wanted positive finite numbers",
        ),
        (
            lambda arrays, name: arrays.update({f"{name}_scale": np.full(len(arrays[name]), 1e38, np.float32)}),
            r"{name}: scales: wanted positive finite numbers, from .*, found 1e\+38 at \[0\]$",
        ),
        (
            lambda arrays, name: arrays.update({f"{name}_scale": np.full(len(arrays[name]), np.nan, np.float32)}),
            "{name}_scale: wanted finite float32 values, found nan",
        ),
    ],
)
def test_damaged_scales(
    name: str,
    rows: int,
    change: Callable[[dict[str, np.ndarray], str], Any],
    message: str,
    bert_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    arrays = saved(npbert.AutoModel.from_pretrained(bert_folder(), dtype="int8"), tmp_path)
    change(arrays, name)
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message.replace("{name}", name).replace("{rows}", str(rows))):
        npbert.AutoModel.from_pretrained(tmp_path)


def test_quantize(minilm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence folder stays one, and its vectors are those of dtype="int8" to the bit."""
    assert main(["quantize", str(minilm), str(tmp_path / "out")]) == 0
    assert "23 MB of weights" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "out")]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "weights F32, I8, 23.5 MB; computed in int8 and float32 model.safetensors" in lines
    assert "weights 11.5 MB int8 and float32, in the order that the kernels read" in lines
    assert "word embeddings 0 to 11.7 MB stay in the file; only rows in use are read" in lines
    texts = ["Return the sum of two numbers.", "It is raining in Paris."]
    wanted = npbert.SentenceTransformer(minilm, dtype="int8").encode(texts)
    np.testing.assert_array_equal(npbert.SentenceTransformer(tmp_path / "out").encode(texts), wanted)
    assert main(["quantize", str(minilm), str(tmp_path / "out")]) != 0
    assert "OUT: wanted a folder that is new or empty" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*has no weights for a pooler", "ignore:.*tensors not used")
@pytest.mark.parametrize("head", ["TokenClassification", "MaskedLM", "PreTraining"])
def test_quantize_keeps_a_head(head: str, task_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Also one that shares the word embeddings; and whatever class the folder is loaded with."""
    folder = task_folder(f"BertFor{head}")
    assert main(["quantize", str(folder), str(tmp_path / "out")]) == 0
    assert load_file(tmp_path / "out" / "model.safetensors")[f"bert.{WORDS}"].dtype == np.int8
    ids = [[2, 7, 9, 11, 3]]
    classes = {f"BertFor{head}", "BertModel", *(["BertForMaskedLM"] if head == "PreTraining" else [])}
    for name in classes:
        loaded, wanted = (
            getattr(npbert, name).from_pretrained(given, **arguments)(ids).to_tuple()
            for given, arguments in ((tmp_path / "out", {}), (folder, {"dtype": "int8"}))
        )
        for array, other in zip(loaded, wanted, strict=True):
            np.testing.assert_array_equal(array, other)


def test_a_decoder_beside_words_of_int8(task_folder: Callable[..., Path], tmp_path: Path) -> None:
    """It is a tensor of its own, which is used."""
    model = npbert.BertForMaskedLM.from_pretrained(task_folder("BertForMaskedLM"), dtype="int8")
    arrays = saved(model, tmp_path)
    arrays["cls.predictions.decoder.weight"] = -model.get_input_embeddings().weight
    bias = arrays["cls.predictions.bias"]
    save_file(arrays, tmp_path / "model.safetensors")
    with pytest.warns(UserWarning, match="the file has a decoder that is not the word embeddings: it is used"):
        found = npbert.BertForMaskedLM.from_pretrained(tmp_path)([[2, 7, 3]]).logits
    np.testing.assert_allclose(found - bias, bias - model([[2, 7, 3]]).logits, atol=1e-4)
