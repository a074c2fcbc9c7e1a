"""repeat is the unrolled chain, as a program whose size does not depend on the number of steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import as_float64, compiled, initialised
from registry import normal, step

from flowgmm_jax import flows

N = 3
X = normal(4, 4, 4, 4)


@pytest.fixture(scope="module")
def results():
    """Forward, inverse and gradients of repeat and of the chain, in float64."""
    repeated, chain = flows.repeat(step, N), flows.chain(*[step(i) for i in range(N)])
    stacked = initialised(repeated, X)
    unrolled = tuple(jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(N))

    def compute(bijector, params, x):
        def scalar(params, x):
            z, log_det = bijector.forward(params, x)
            return jnp.sum(jnp.sin(z)) + jnp.sum(jnp.cos(log_det)), (z, log_det)

        gradients, forward = jax.grad(scalar, argnums=(0, 1), has_aux=True)(params, x)
        return {
            "forward": forward,
            "inverse": bijector.inverse(params, x),
            "gradient of the event": gradients[1],
            "gradients of the parameters": gradients[0],
        }

    with jax.enable_x64(True):
        x = as_float64(X)
        ours = jax.device_get(compiled(partial(compute, repeated))(as_float64(stacked), x))
        theirs = jax.device_get(compiled(partial(compute, chain))(as_float64(unrolled), x))
    name = "gradients of the parameters"
    theirs[name] = jax.tree.map(lambda *leaves: np.stack(leaves), *theirs[name])
    return ours, theirs


@pytest.mark.parametrize(
    "what", ["forward", "inverse", "gradient of the event", "gradients of the parameters"]
)
def test_repeat_equals_the_unrolled_chain(results, what):
    ours, theirs = (result[what] for result in results)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), ours, theirs)


def test_every_step_of_a_repeat_has_gradients(results):
    ours, _ = results
    for leaf in jax.tree.leaves(ours["gradients of the parameters"]):
        assert len(leaf) == N
        assert (np.abs(leaf).reshape(N, -1).max(axis=1) > 1e-8).all()


def test_steps_of_a_new_repeat_differ():
    params = compiled(flows.repeat(step, N).init)(jax.random.key(0), X)
    matrices = params[1]["matrix"]
    assert not np.allclose(matrices[0], matrices[1])


@pytest.mark.parametrize("function", ["init", "forward", "inverse", "gradient"])
def test_the_program_does_not_grow_with_the_number_of_steps(function):
    def lines(n):
        bijector = flows.repeat(step, n)
        key = jax.random.key(0)
        params = jax.eval_shape(bijector.init, key, X)
        if function == "init":
            return jax.jit(bijector.init).lower(key, X).as_text().count("\n")
        functions = {
            "forward": bijector.forward,
            "inverse": bijector.inverse,
            "gradient": jax.grad(lambda params, x: bijector.forward(params, x)[1].sum()),
        }
        return jax.jit(functions[function]).lower(params, X).as_text().count("\n")

    assert lines(2) == lines(7)


def test_a_step_that_changes_the_shape_is_refused():
    with pytest.raises(TypeError, match="scan"):
        flows.repeat(lambda i: flows.squeeze(), 2).init(jax.random.key(0), X)


# Regression: XLA:CPU gave uninitialised memory for a product with constant zeros in a loop.
@pytest.mark.parametrize(
    "net", [flows.ConvNet, partial(flows.ResNet, blocks=1)], ids=["convnet", "resnet"]
)
def test_init_from_data_inside_a_compiled_repeat_is_right(net):
    def glow_step(i):
        coupling = flows.affine_coupling(partial(net, width=64), flows.channel, i % 2)
        return flows.chain(flows.actnorm(), coupling)

    x = 3 + 2 * normal(356, 4, 4, 4)
    params = jax.jit(flows.repeat(glow_step, 3).init)(jax.random.key(0), x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    first = jax.tree.map(lambda leaf: leaf[0], params[0])
    z, _ = flows.actnorm().forward(first, jnp.asarray(x))
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=1e-4)
    # A new coupling is the identity, so the later ones find nothing left to standardise.
    np.testing.assert_allclose(params[0]["shift"][1:], 0, atol=1e-3)
    np.testing.assert_allclose(params[0]["log_scale"][1:], 0, atol=1e-3)
