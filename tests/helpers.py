"""What several test files share."""

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.config import complete

# Compiling takes most of the time of small tests, running next to none.
FAST_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def compiled(function):
    """``jax.jit`` that compiles fast to slow code."""
    return jax.jit(function, compiler_options=FAST_COMPILATION)


def perturbed(params, seed=0, scale=0.1):
    """Parameters plus noise: at init a zero-initialised coupling is the identity."""
    rng = np.random.default_rng(seed)

    def add_noise(leaf):  # by numpy: JAX would compile a program for every shape
        noise = np.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)
        return jnp.asarray(np.asarray(leaf) + noise)

    return jax.tree.map(add_noise, params)


def as_float64(tree):
    """Floating leaves as float64 numpy arrays, for use under ``jax.enable_x64``."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def initialised(bijector, x, seed=0):
    """Perturbed float32 parameters of a bijector."""
    return perturbed(compiled(bijector.init)(jax.random.key(seed), x), seed)


def make_config(**sections):
    """A complete config from its sections as dicts."""
    return complete(ConfigDict(sections))
