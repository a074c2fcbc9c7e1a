"""A reversible repeat has the values and the gradients of the ordinary one, in constant memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import as_float64, compiled, initialised
from registry import normal, step

from flowgmm_jax import flows

X = normal(4, 4, 4, 4)


def values_and_gradients(bijector, params, x):
    def scalar(params, x):
        z, log_det = bijector.forward(params, x)
        latents = sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(z))
        return latents + jnp.sum(jnp.cos(log_det)), (z, log_det)

    gradients, values = jax.grad(scalar, argnums=(0, 1), has_aux=True)(params, x)
    return values, gradients


def both(ordinary, reversible, params, x):
    return (
        jax.device_get(compiled(partial(values_and_gradients, bijector))(params, x))
        for bijector in (ordinary, reversible)
    )


def test_values_and_gradients_are_those_of_the_ordinary_repeat():
    ordinary, reversible = (flows.repeat(step, 3, reversible=r) for r in (False, True))
    params = initialised(ordinary, X)
    with jax.enable_x64(True):
        expected, found = both(ordinary, reversible, as_float64(params), as_float64(X))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9), found, expected)


def test_rounding_errors_of_a_deep_flow_stay_small():
    """Of 32 steps in float32, relative to the largest gradient of a parameter."""
    ordinary, reversible = (flows.repeat(step, 32, reversible=r) for r in (False, True))
    params = initialised(ordinary, X)
    (_, expected), (_, found) = both(ordinary, reversible, params, X)

    def check(found, expected):
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()

    jax.tree.map(check, found, expected)


@pytest.mark.parametrize(
    "constructor",
    [
        partial(flows.glow, levels=16, stages=((1, 2),), width=6),
        partial(flows.image_realnvp, levels=16, widths=(6,), blocks=1),
        partial(flows.vector_realnvp, steps=3, hidden=(6,)),
    ],
)
def test_the_architectures_take_it(constructor):
    vectors = constructor.func is flows.vector_realnvp
    x = normal(4, 5) if vectors else np.abs(normal(4, 4, 4, 1))
    ordinary, reversible = constructor(), constructor(reversible=True)
    params = initialised(ordinary, x)
    assert "reversible_scan" in str(jax.make_jaxpr(reversible.forward)(params, x))
    assert "reversible_scan" not in str(jax.make_jaxpr(ordinary.forward)(params, x))
    expected, found = both(ordinary, reversible, params, x)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), found, expected)


def temporaries(n, reversible):
    """Bytes that the gradient needs besides its arguments and results."""
    bijector = flows.repeat(step, n, reversible)
    x = normal(16, 8, 8, 4)
    params = jax.eval_shape(bijector.init, jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda params, x: bijector.forward(params, x)[1].sum()))
    return gradient.lower(params, x).compile().memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_the_number_of_steps():
    assert temporaries(32, reversible=True) < 1.1 * temporaries(4, reversible=True)
    assert temporaries(32, reversible=False) > 4 * temporaries(4, reversible=False)
