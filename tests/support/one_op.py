"""Programs of one op, run on arrays of one's choice: what in a forward pass only another op's result can be.

Operands come as columns of inputs_embeds; a linear with a selection of the identity takes each out. That is exact:
all its products are with 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from npbert_kernels.ops import OPTIONAL, Backend, Batch, Ops, Rows

Op = Callable[..., dict[str, Rows]]


def batch_of(lengths: Sequence[int], key_lens: Sequence[int] | None = None, **fields: Any) -> Batch:
    """A batch of sequences so long; ids, positions and token types are 0 unless given."""
    cu_seqlens = np.cumsum([0, *lengths]).astype(np.int64)
    zeros = np.zeros(cu_seqlens[-1], np.int64)
    kept = np.array(lengths if key_lens is None else key_lens, np.int64)
    given = {"ids": zeros, "positions": zeros, "token_types": zeros, "first": cu_seqlens[:-1].copy()}
    return Batch(**{**given, **fields}, cu_seqlens=cu_seqlens, key_lens=kept)


def selections(widths: Sequence[int]) -> list[np.ndarray]:
    """For each operand of so many columns, the rows of the identity that take it out of all of them."""
    identity = np.eye(sum(widths), dtype=np.float32)
    ends = np.cumsum(widths)
    return [identity[end - width : end] for end, width in zip(ends, widths, strict=True)]


def run(backend: Backend, op: Callable[..., Op], operands: Sequence[np.ndarray], batch: Batch) -> dict[str, Any]:
    """What an op gives. op(store) places weights and returns forward(ops, batch, *operands) -> outputs."""
    store = backend.store(0)
    forward = op(store)
    columns = [np.atleast_2d(operand) for operand in operands]
    taken = [store.linear(selection, None) for selection in selections([x.shape[1] for x in columns])]
    fields = {**vars(batch), "inputs_embeds": np.concatenate(columns, axis=1, dtype=np.float32) if columns else None}

    def one_op(ops: Ops, batch: Batch) -> dict[str, Rows]:
        return forward(ops, batch, *(ops.linear(batch.inputs_embeds, placed) for placed in taken))

    given = {name for name in OPTIONAL if fields[name] is not None}
    program = backend.record(one_op, given)
    return program(Batch(**fields))
