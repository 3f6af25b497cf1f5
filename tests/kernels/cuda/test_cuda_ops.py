"""Each op of the CUDA backend against the reference in float64, recorded, captured and replayed, on the simulator."""

from __future__ import annotations

from simulated import FEW_DTYPES, ROUNDING, as_stored, backend, simulator

# isort: split
import threading
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
from npbert_kernels.cuda import Cuda
from npbert_kernels.cuda.formats import DTYPES, Dtype
from npbert_kernels.cuda.program import Program, power, rounded, tiles_of
from npbert_kernels.cuda.simulated import Simulated
from npbert_kernels.ops import POOLINGS, Backend, Batch, Quantized
from npbert_kernels.reference import Reference, RelativeBias, RelativeKey
from thinned import thinned

WIDE = 80  # columns of relative tables: P


@pytest.fixture(autouse=True)
def memory() -> None:
    simulator.memory.allocate(16)
    simulator.memory.clear()


def batch_of(lengths: list[int], masked: int = 0, layers: int = 2, heads: int = 2) -> Batch:
    """masked: of how many of the first sequences the last row is never asked."""
    rng = np.random.default_rng(len(lengths))
    rows = sum(lengths)
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    key_lens = np.array([n - (b < masked) for b, n in enumerate(lengths)], np.int64)
    selected = np.unique(rng.integers(0, rows, 5))
    return Batch(
        ids=rng.integers(0, 50, rows),
        positions=rng.integers(0, WIDE, rows),
        token_types=rng.integers(0, 2, rows),
        cu_seqlens=cu_seqlens,
        key_lens=key_lens,
        first=cu_seqlens[:-1] + rng.integers(0, np.array(lengths)),
        inputs_embeds=rng.standard_normal((rows, 40)).astype(np.float32),
        head_mask=rng.random((layers, heads)).astype(np.float32),
        columns=np.concatenate([np.sort(rng.permutation(WIDE)[:n]) for n in lengths]).astype(np.int64),
        selected=selected,
        cu_selected=np.searchsorted(selected, cu_seqlens),
    )


def both(
    dtype: Dtype, forward: Callable[..., Any], batch: Batch, given: Collection[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the CUDA backend and the reference give. forward(store, relative) makes a forward pass."""
    found = []
    backends: list[Backend] = [backend(dtype), Reference(np.float64)]
    for one in backends:
        program = one.record(forward(one.store(0)), given)
        found.append(program(batch))
        for name, array in program(batch).items():  # a replay gives the same bits
            np.testing.assert_array_equal(array, found[-1][name])
    return found[0], found[1]


def close(dtype: Dtype, found: dict[str, np.ndarray], truth: dict[str, np.ndarray], roundings: float) -> None:
    """Within so many roundings of the largest value."""
    for name, wanted in truth.items():
        assert found[name].shape == wanted.shape, name
        if wanted.size:
            error = np.abs(found[name] - wanted).max() / max(np.abs(wanted).max(), 1e-30)
            assert error <= roundings * ROUNDING[dtype], f"{name}: {error / ROUNDING[dtype]:.1f} roundings"


@pytest.mark.parametrize("width", thinned([1, 40, 64, 200, 300], lambda width: width in (1, 40, 300)))
@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_rows(dtype: Dtype, width: int) -> None:
    """Embeddings, LayerNorm, all ways of pooling, take, concat and normalize: sums of a row or a sequence alone."""
    rng = np.random.default_rng(width)

    def table(rows: int) -> np.ndarray:
        return as_stored(rng.standard_normal((rows, width)), dtype)

    words, positions, types = table(50), table(WIDE), table(2)
    weight, bias = (rng.standard_normal(width).astype(np.float32) for _ in range(2))

    def forward(store: Any) -> Any:
        norm = store.norm(weight, bias, 1e-5)
        at, of = store.table(positions), store.table(types)
        from_words = store.table(words)

        def run(ops: Any, batch: Batch) -> dict[str, Any]:
            x = ops.embed(from_words, batch.ids, (at, batch.positions), (of, batch.token_types), norm)
            outputs = {"x": x, "first": ops.take(x, batch.first), "selected": ops.take(x, batch.selected)}
            outputs |= {mode: ops.pool(x, batch.cu_seqlens, batch.key_lens, mode) for mode in POOLINGS}
            for mode in POOLINGS:
                outputs[f"{mode} from first"] = ops.pool(x, batch.cu_seqlens, batch.key_lens, mode, first=batch.first)
            outputs["concat"] = ops.concat([outputs["mean"], outputs["max"], outputs["mean"]])
            outputs["unit"] = ops.normalize(x)
            outputs["normed"] = ops.layer_norm(outputs["first"], norm)
            return outputs

        return run

    found, truth = both(dtype, forward, batch_of([1, 7, 2, 30], masked=2))
    del truth["normed"], found["normed"]  # LayerNorm magnifies what its input was rounded by: held below
    close(dtype, found, truth, 12)
    assert (found["mean"][0] == 0).all()  # a sequence without keys


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_stands_behind_what_sigmoid_makes(dtype: Dtype) -> None:
    """It makes 1/2 of the zeros behind a row's end, which the norm of a row would count."""
    rng = np.random.default_rng(0)
    square = as_stored(rng.standard_normal((40, 40)) / 40, dtype)
    table, norm = np.zeros((WIDE, 40), np.float32), np.ones(40, np.float32)

    def forward(store: Any) -> Any:
        linear, rows, each = store.linear(square, None), store.table(table), store.norm(norm, norm, 1e-5)

        def run(ops: Any, batch: Batch) -> dict[str, Any]:
            others = (rows, batch.positions), (rows, batch.token_types), each
            x = ops.embed_rows(batch.inputs_embeds, *others)
            return {"unit": ops.normalize(ops.linear(x, linear, activation="sigmoid"))}

        return run

    batch = Batch(**{**batch_of([2, 3]).__dict__, "ids": None})
    found, truth = both(dtype, forward, batch, ["inputs_embeds"])
    close(dtype, found, truth, 4)


def test_words_that_are_int8_already() -> None:
    """They are placed as the numbers that they stand for."""
    rng = np.random.default_rng(0)
    words, table = (rng.standard_normal((WIDE, 40)).astype(np.float32) for _ in range(2))
    one, quantized = backend("float32"), Quantized.of(words)

    def embedded(rows: Any) -> np.ndarray:
        store = one.store(0)
        placed, others, norm = store.table(rows), store.table(table), store.norm(table[0], table[1], 1e-5)
        program = one.record(
            lambda ops, batch: {
                "x": ops.embed(placed, batch.ids, (others, batch.positions), (others, batch.token_types), norm)
            }
        )
        return program(batch_of([3, 6]))["x"]

    np.testing.assert_array_equal(embedded(quantized), embedded(quantized[:]))


@pytest.mark.parametrize("dtype", FEW_DTYPES)
@pytest.mark.parametrize("width", [3, 40, 257])
def test_embed_rows_and_layer_norm(dtype: Dtype, width: int) -> None:
    rng = np.random.default_rng(width)
    batch = batch_of([3, 6])
    embeds = as_stored(rng.standard_normal((9, width)) * 4 + 3, dtype)
    batch = Batch(**{**batch.__dict__, "inputs_embeds": embeds, "ids": None})
    weight, bias = (rng.standard_normal(width).astype(np.float32) for _ in range(2))
    zeros = np.zeros((WIDE, width), np.float32)

    def forward(store: Any) -> Any:
        norm, table = store.norm(weight, bias, 1e-12), store.table(zeros)

        def run(ops: Any, batch: Batch) -> dict[str, Any]:
            return {
                "x": ops.embed_rows(batch.inputs_embeds, (table, batch.positions), (table, batch.token_types), norm)
            }

        return run

    close(dtype, *both(dtype, forward, batch, ["inputs_embeds"]), 16)


@pytest.mark.parametrize("rows", [9, 70])
@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_a_residual_that_is_normed(dtype: Dtype, rows: int) -> None:
    """Of few rows the norm adds up the parts of the product, of many not, nor where others read the sum."""
    rng = np.random.default_rng(rows)
    embeds, matrix = (as_stored(rng.standard_normal(shape), dtype) for shape in ((rows, 40), (40, 40)))
    weight, bias = (rng.standard_normal(40).astype(np.float32) for _ in range(2))
    batch = batch_of([1, rows - 1])
    batch = Batch(**{**batch.__dict__, "inputs_embeds": embeds, "ids": None})

    def forward(store: Any, shown: tuple[str, ...]) -> Any:
        norm, table = store.norm(weight, bias, 1e-5), store.table(np.zeros((WIDE, 40), np.float32))
        placed = store.linear(matrix, bias)

        def run(ops: Any, batch: Batch) -> dict[str, Any]:
            x = ops.embed_rows(batch.inputs_embeds, (table, batch.positions), (table, batch.token_types), norm)
            y = ops.linear(x, placed, residual=x)
            more = {"sum": lambda: y, "two": lambda: ops.concat([y, y])}
            return {"normed": ops.layer_norm(y, norm), "x": x, **{name: more[name]() for name in shown}}

        return run

    for shown in ((), ("sum",), ("two",)):
        mine, truth = both(dtype, lambda store: forward(store, shown), batch, ["inputs_embeds"])  # noqa: B023
        close(dtype, mine, truth, 12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_norm_adds_up_as_the_gemm_does(dtype: Dtype) -> None:
    """A bias and a residual that all but cancel: in another order, most of what is normed would be another number."""
    rng = np.random.default_rng(0)
    embeds, matrix = (as_stored(rng.standard_normal(shape), dtype) for shape in ((9, 320), (40, 320)))
    bias = np.full(40, 2.0**15, np.float32) + rng.standard_normal(40).astype(np.float32)
    batch = Batch(**{**batch_of([1, 8]).__dict__, "inputs_embeds": embeds, "ids": None})
    one = backend(dtype)
    store = one.store(0)
    wide, norm = (store.norm(np.ones(n, np.float32), np.zeros(n, np.float32), 1e-5) for n in (320, 40))
    table, placed = store.table(np.zeros((WIDE, 320), np.float32)), store.linear(matrix, bias)
    against = store.linear(np.zeros((40, 320), np.float32), np.full(40, -(2.0**15), np.float32))

    def run(ops: Any, batch: Batch) -> dict[str, Any]:
        x = ops.embed_rows(batch.inputs_embeds, (table, batch.positions), (table, batch.token_types), wide)
        split, whole = (ops.linear(x, placed, residual=ops.linear(x, against)) for _ in range(2))
        return {"split": ops.layer_norm(split, norm), "sum": whole, "whole": ops.layer_norm(whole, norm)}

    found = one.record(run, ["inputs_embeds"])(batch)
    np.testing.assert_array_equal(found["split"], found["whole"])


RELATIVE = {"none": None, "bias": "bias", "key": False, "key and query": True}


CASES = [
    *(("none", *heads) for heads in ((2, 20), (1, 64), (3, 5))),
    *(("bias", *heads) for heads in ((2, 20), (1, 64))),
    ("key", 3, 5),
    ("key and query", 2, 20),
]


@pytest.mark.parametrize(("relative", "heads", "size"), CASES)
@pytest.mark.parametrize("dtype", FEW_DTYPES)
def test_attention(dtype: Dtype, relative: str, heads: int, size: int) -> None:
    """Heads of any size; sequences of one, of more queries than a tile, and without keys; probabilities; head_mask."""
    rng = np.random.default_rng((heads, size))
    eye = np.eye(40, dtype=np.float32)
    qkv = as_stored(rng.standard_normal((3 * heads * size, 40)) / 4, dtype)
    table = rng.standard_normal((heads, 2 * WIDE - 1)).astype(np.float32)
    keys = rng.standard_normal((2 * WIDE - 1, size)).astype(np.float32)
    embeds = as_stored(rng.standard_normal((73, 40)), dtype)
    batch = batch_of([1, 2, 66, 4], masked=2, heads=heads)
    batch = Batch(**{**batch.__dict__, "inputs_embeds": embeds, "ids": None})

    def forward(store: Any) -> Any:
        kind, on_reference = RELATIVE[relative], not hasattr(store, "device")
        placed: Any = None
        if kind == "bias":
            placed = RelativeBias(table.astype(np.float64)) if on_reference else store.relative_bias(table)
        elif kind is not None:
            wide = keys.astype(np.float64)
            placed = RelativeKey(wide, bool(kind)) if on_reference else store.relative_key(keys, query=bool(kind))
        norm, zeros = store.norm(eye[0] * 0 + 1, eye[0] * 0, 1e-5), store.table(np.zeros((WIDE, 40), np.float32))
        weight = store.linear(qkv, None, heads_out=heads)
        back = store.linear(np.eye(heads * size, dtype=np.float32), None, heads_in=heads)

        def run(ops: Any, batch: Batch) -> dict[str, Any]:
            x = ops.embed_rows(batch.inputs_embeds, (zeros, batch.positions), (zeros, batch.token_types), norm)
            context, probs = ops.attention(
                ops.linear(x, weight),
                batch.cu_seqlens,
                batch.key_lens,
                heads=heads,
                head_size=size,
                head_mask=batch.head_mask[1],
                probs=True,
                relative=placed,
                columns=batch.columns,
            )
            return {"context": ops.linear(context, back), "probs": probs}

        return run

    found, truth = both(dtype, forward, batch, ["inputs_embeds", "head_mask"])
    # A score is off by what its queries and keys were rounded by, times its size; a probability by twice that.
    close(dtype, found, truth, 60)
    assert (found["context"][0] == 0).all()  # a sequence without keys


def test_head_sizes_beyond_the_tensor_kernels() -> None:
    test_attention("float16", "none", 1, 130)


def test_callers_side_by_side() -> None:
    """Each has a workspace of its own; the same bits as alone."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 40)).astype(np.float32)
    one = backend("float16")
    store = one.store(0)
    table, placed = store.table(rng.standard_normal((WIDE, 40)).astype(np.float32)), store.linear(weight, None)
    norm = store.norm(weight[0], weight[1], 1e-5)

    def run(ops: Any, batch: Batch) -> dict[str, Any]:
        x = ops.embed(table, batch.ids, (table, batch.positions), (table, batch.token_types), norm)
        return {"x": ops.linear(x, placed)}

    program = one.record(run)
    batches = [batch_of(lengths) for lengths in ([3], [5, 2], [17, 1, 4])]
    alone = [program(batch)["x"] for batch in batches]
    wrong: list[Any] = []

    def call(number: int) -> None:
        for _ in range(3):
            if not np.array_equal(program(batches[number])["x"], alone[number]):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number % 3,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Counted(Simulated):
    """How often memory was asked for, on the device and on the host."""

    asked = 0

    def allocate(self, nbytes: int) -> Any:
        self.asked += 1
        return super().allocate(nbytes)

    def queue(self) -> Any:
        queue = super().queue()
        host = queue.host

        def counted(nbytes: int) -> Any:
            self.asked += 1
            return host(nbytes)

        queue.host = counted
        return queue


def normed(one: Cuda) -> Program:
    """A small forward pass, recorded."""
    store = one.store(0)
    rows = np.random.default_rng(0).standard_normal((WIDE, 40)).astype(np.float32)
    table, norm = store.table(rows), store.norm(rows[0], rows[1], 1e-5)

    def run(ops: Any, batch: Batch) -> dict[str, Any]:
        return {"x": ops.embed(table, batch.ids, (table, batch.positions), (table, batch.token_types), norm)}

    return one.record(run)


def test_a_bucket_is_allocated_and_captured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Counted()
    program = normed(Cuda(device, "bfloat16"))
    few, more, many = (batch_of(lengths) for lengths in ([3, 2], [4, 7], [30, 20]))
    first = [program(batch)["x"] for batch in (few, many)]
    before = device.asked
    for _ in range(2):
        np.testing.assert_array_equal(program(few)["x"], first[0])
        np.testing.assert_array_equal(program(many)["x"], first[1])
        program(more)
    assert device.asked == before
    assert len(program._free) == 2
    monkeypatch.setattr("npbert_kernels.cuda.program.KEPT_BYTES", 1)  # the one used last stays
    program(few)
    assert [workspace.bucket for workspace in program._free] == [program.bucket(few)]


def test_no_sequences() -> None:
    none = np.zeros(0, np.int64)
    empty = Batch(
        ids=none, positions=none, token_types=none, cu_seqlens=np.zeros(1, np.int64), key_lens=none, first=none
    )
    program = normed(backend("float32"))
    assert program(batch_of([2]))["x"].shape == (2, 40)
    assert program(empty)["x"].shape == (0, 40)


def test_buckets() -> None:
    assert [rounded(n) for n in (1, 16, 17, 128, 129, 2048)] == [16, 16, 32, 128, 144, 2048]
    assert all(n <= rounded(n) <= max(16, n + max(16, n / 8)) for n in range(1, 5000))
    assert [power(n) for n in (0, 1, 2, 3, 8, 9)] == [1, 1, 2, 4, 8, 16]
    tiles = tiles_of(np.array([0, 1, 65, 130]), 64)
    assert tiles.tolist() == [[0, 0], [1, 0], [2, 0], [2, 64]]
