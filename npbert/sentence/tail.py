"""What turns pooled vectors into a sentence-transformers model's: its Dense, LayerNorm and Normalize modules on ops.

They are recorded with the encoder in one program, so a vector's bits do not depend on the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from npbert_kernels.ops import Backend, Floats, Ops, Rows, Store

from npbert.checks import listed, show
from npbert.files.checkpoint import Checkpoint
from npbert.models.pooling import Tail
from npbert.sentence.modules import Dense, LayerNorm, Module, Normalize

EPS = 1e-5  # of torch.nn.LayerNorm; no folder says another


def place(modules: Sequence[Module], backend: Backend) -> Tail:
    """The forward pass of modules, their weights placed in a store of the backend's.

    Raises:
        OSError: weights can't be read, or are there as a pickle alone.
        ValueError: weights are missing, left over, of another shape, or not finite.
    """
    sizes = [math.prod(shape) for module in weighted(modules) for shape in module.weight_shapes.values()]
    store = backend.store(4 * sum(sizes))
    steps = [_step(module, store) for module in modules]

    def tail(ops: Ops, x: Rows) -> Rows:
        for step in steps:
            x = step(ops, x)
        return x

    return tail


def weighted(modules: Sequence[Module]) -> list[Dense | LayerNorm]:
    """Those that have weights."""
    return [module for module in modules if not isinstance(module, Normalize)]


def check_weights(module: Dense | LayerNorm) -> str:
    """Looks at the names and shapes of a module's weights alone; the file's name.

    Raises:
        OSError, ValueError: as `place`.
    """
    with _open(module) as checkpoint:
        return checkpoint.paths[0].name


def _step(module: Module, store: Store) -> Tail:
    if isinstance(module, Normalize):
        return lambda ops, x: ops.normalize(x)
    with _open(module) as checkpoint:
        weights = {name: checkpoint.read(name) for name in module.weight_shapes}
    if isinstance(module, LayerNorm):
        norm = store.norm(weights["norm.weight"], weights["norm.bias"], EPS)
        return lambda ops, x: ops.layer_norm(x, norm)
    return _dense(module, weights, store)


def _dense(module: Dense, weights: dict[str, Floats], store: Store) -> Tail:
    weight, bias = weights["linear.weight"], weights.get("linear.bias")
    width, activation = module.out_features, module.activation
    closing = None
    if module.use_residual and activation is not None:  # an op adds to a product, and not to an activation
        closing = store.linear(np.eye(width, dtype=np.float32), None)  # exact
    linear = store.linear(weight, bias)
    projection = store.linear(weights["residual.weight"], None) if "residual.weight" in weights else None

    def step(ops: Ops, x: Rows) -> Rows:
        residual = None
        if module.use_residual:
            residual = x if projection is None else ops.linear(x, projection)
        if closing is None:
            return ops.linear(x, linear, activation=activation, residual=residual)
        return ops.linear(ops.linear(x, linear, activation=activation), closing, residual=residual)

    return step


def _open(module: Dense | LayerNorm) -> Checkpoint:
    """The module's weights: all there, each of its right shape, and no others, which sentence-transformers refuses."""
    wanted = module.weight_shapes
    checkpoint = Checkpoint.open(module.folder)
    try:
        if missing := [name for name in wanted if name not in checkpoint]:
            raise ValueError(f"{module.folder}: missing weights ({len(missing)}): {listed(missing)}")
        if others := [name for name in checkpoint if name not in wanted]:
            raise ValueError(f"{module.folder}: tensors that config.json does not speak of: {listed(others)}")
        for name, shape in wanted.items():
            if (found := checkpoint.shape(name)) != shape:
                raise ValueError(
                    f"{checkpoint.path(name)}: {name}: wanted the shape {list(shape)} that config.json gives, "
                    f"found {show(list(found))}"
                )
    except BaseException:
        checkpoint.close()
        raise
    return checkpoint
