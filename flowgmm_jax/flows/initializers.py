"""Random initial parameters, drawn in blocks of one size.

XLA:CPU takes about a second to compile a random array, for each shape anew; a block has the same
program in an array of any shape, and is compiled once for all of a network.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

BLOCK = 4096
_STD_OF_TRUNCATED = 0.87962566103423978  # of a standard normal number within -2 and 2

Initializer = Callable[..., jax.Array]


def truncated_normal(std: float) -> Initializer:
    """Normal numbers within two standard deviations, whose standard deviation is then ``std``."""

    def init(key, shape, dtype=jnp.float32):
        size = math.prod(shape)

        def block(i):
            return jax.random.truncated_normal(jax.random.fold_in(key, i), -2, 2, (BLOCK,), dtype)

        blocks = jax.lax.map(block, jnp.arange(-(-size // BLOCK)))
        return blocks.reshape(-1)[:size].reshape(shape) * jnp.asarray(
            std / _STD_OF_TRUNCATED, dtype
        )

    return init


def of_fan_in(scale: float = 1.0) -> Initializer:
    """``truncated_normal`` of variance ``scale`` over the inputs of an output, for kernels whose
    last axis are the outputs: LeCun's for a scale of 1."""

    def init(key, shape, dtype=jnp.float32):
        return truncated_normal(math.sqrt(scale / math.prod(shape[:-1])))(key, shape, dtype)

    return init
