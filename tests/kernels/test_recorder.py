"""What is recorded: symbols that nothing changes, and widths that the first reader of a batch's array decides."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest
from npbert_kernels.cpu import backend as cpu
from npbert_kernels.cpu.dtypes import CODES, FORMATS
from npbert_kernels.cpu.kernels.dot import DOTS
from npbert_kernels.cpu.recorder import Recorder
from npbert_kernels.cuda.recorder import Recorder as CudaRecorder
from npbert_kernels.ops import DTYPES, Ops
from npbert_kernels.reference import ReferenceOps
from one_op import batch_of


def test_every_dtype_has_its_arithmetic() -> None:
    of_linear = {form.name for form in FORMATS if form.of_linear}
    assert of_linear == set(DTYPES)
    assert set(DOTS) == {CODES[name] for name in of_linear}
    for code, dot in DOTS.items():
        assert (dot.row is None, dot.weight_row is None) == (code == CODES["float32"],) * 2
        assert (FORMATS[code].row_header > 0) == (FORMATS[code].panel_header > 0) == FORMATS[code].whole_rows


@pytest.mark.parametrize("ops", [ReferenceOps, Recorder, CudaRecorder])
def test_every_backend_has_every_op(ops: type[Any]) -> None:
    """With the arguments that `Ops` gives it; what a GPU lacks is refused by a method of that name."""
    for name in vars(Ops):
        if not name.startswith("_"):
            assert [*inspect.signature(getattr(ops, name)).parameters] == [
                *inspect.signature(getattr(Ops, name)).parameters
            ], name


def test_a_symbol_does_not_change() -> None:
    store = cpu.store(0)
    placed = store.linear(np.ones((3, 5), np.float32), None)
    seen: list[Any] = []

    def forward(ops: Any, batch: Any) -> Any:
        seen.append(ops.linear(batch.inputs_embeds, placed))
        return {"y": seen[0]}

    cpu.record(forward, ["inputs_embeds"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen[0].index = 0


def test_the_first_reader_says_how_wide_an_array_is() -> None:
    """And the second is refused where it wants another width."""
    store = cpu.store(0)
    five, six = (store.linear(np.ones((3, k), np.float32), None) for k in (5, 6))

    def program(*weights: Any) -> Any:
        def forward(ops: Any, batch: Any) -> Any:
            return {str(n): ops.linear(batch.inputs_embeds, each) for n, each in enumerate(weights)}

        return cpu.record(forward, ["inputs_embeds"])

    rows = np.arange(10, dtype=np.float32).reshape(2, 5)
    found = program(five, five)(batch_of([2], ids=None, inputs_embeds=rows))
    for name in ("0", "1"):
        np.testing.assert_array_equal(found[name], rows.sum(axis=1, keepdims=True).repeat(3, axis=1))
    with pytest.raises(ValueError, match="linear: x has 5 columns, the weight wants 6"):
        program(five, six)
