"""An optimiser that sees few large arrays in place of many small ones.

What XLA compiles of an optimiser is repeated for every array of parameters, and was half of the
programs of a training step. Packed are all matrices of one size in one array, and all other
parameters in another.
"""

import math

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers

VECTOR = "vector"
# Of a packed array of matrices.
MATRIX = MuonDimensionNumbers(reduction_axis=1, output_axis=2)


def _slot(path: tuple, leaf: jax.Array) -> tuple[str, tuple[int, ...]]:
    """Where a parameter is packed, and in which shape, (matrices, inputs, outputs) or (numbers,).

    Kernels are matrices, by name, since the leaves of a ``repeat`` have one more axis and their
    rank says nothing: outputs are the last axis, inputs the one before and the square window of a
    convolution before that. Other axes, as of a ``repeat``, number matrices.
    """
    if getattr(path[-1], "key", None) != "kernel":
        return VECTOR, (leaf.size,)
    has_window = leaf.ndim >= 4 and leaf.shape[-4] == leaf.shape[-3]
    inputs = math.prod(leaf.shape[-4:-1] if has_window else leaf.shape[-2:-1])
    outputs = leaf.shape[-1]
    return f"{inputs}x{outputs}", (leaf.size // (inputs * outputs), inputs, outputs)


def pack(params: optax.Params) -> dict[str, jax.Array]:
    """The parameters as ``{"vector": (n,), "INPUTSxOUTPUTS": (matrices, inputs, outputs), ...}``,
    a matrix for every kernel."""
    packed: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, shape = _slot(path, leaf)
        packed.setdefault(name, []).append(leaf.reshape(shape))
    return {name: jnp.concatenate(leaves) for name, leaves in packed.items()}


def unpack(packed: dict[str, jax.Array], like: optax.Params) -> optax.Params:
    """The inverse of ``pack`` for parameters of the structure and shapes of ``like``."""
    taken = dict.fromkeys(packed, 0)

    def take(path, leaf):
        name, shape = _slot(path, leaf)
        start = taken[name]
        taken[name] += shape[0]
        return packed[name][start : taken[name]].reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(take, like)


def with_packed(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """The transformation of gradients ``tx``, which sees packed parameters, for parameters."""

    def update(updates, state, params):
        packed, state = tx.update(pack(updates), state, pack(params))
        return unpack(packed, updates), state

    return optax.GradientTransformation(lambda params: tx.init(pack(params)), update)
