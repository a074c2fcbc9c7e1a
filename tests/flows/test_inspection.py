"""What is found in a flow's layers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from helpers import initialised

from flowgmm_jax import flows
from flowgmm_jax.evaluation import health

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
COUPLING = flows.affine_coupling(partial(flows.MLP, hidden=(5,), bound=0.7), flows.half)


def test_layers_of_a_sound_flow_invert_themselves_and_add_up():
    flow = flows.chain(flows.actnorm(), flows.repeat(lambda i: COUPLING, 2))
    params = initialised(flow, X)
    found = health.examine(flow, params, jnp.asarray(X))
    assert [layer.name for layer in found] == ["1 actnorm", "2 step", "3 step"]
    assert max(layer.inverse_error.max() for layer in found) < 1e-5
    _, log_det = flow.forward(params, X)
    np.testing.assert_allclose(sum(layer.log_det for layer in found), log_det, rtol=1e-4)
    assert all(layer.finite == 1 for layer in found)


def test_log_scales_are_those_of_the_couplings():
    params = initialised(COUPLING, X)
    (found,) = health.examine(COUPLING, params, jnp.asarray(X))
    kept, _ = flows.half.split(X, 0)
    log_scale, _ = flows.MLP(4, (5,), 0.7).apply({"params": params}, kept)
    np.testing.assert_allclose(found.log_scale, [log_scale.min(), log_scale.max()], rtol=1e-5)
    (of_actnorm,) = health.examine(flows.actnorm(), initialised(flows.actnorm(), X), X)
    assert np.isnan(of_actnorm.log_scale).all()


def test_a_layer_with_a_wrong_inverse_is_named():
    wrong = flows.stateless(lambda x: (2 * x, jnp.zeros(len(x))), lambda z: (z, None), "wrong")
    flow = flows.chain(wrong, flows.actnorm())
    found = health.examine(flow, flow.init(jax.random.key(0), X), jnp.asarray(X))
    assert found[0].name == "1 wrong"
    np.testing.assert_allclose(found[0].inverse_error, np.abs(X).max(-1), rtol=1e-6)
    assert found[1].inverse_error.max() < 1e-5


def test_a_wrong_log_determinant_is_found():
    def forward(x):
        return 2 * x, jnp.full(len(x), 4 * np.log(2.0) + 0.5)

    wrong = flows.stateless(forward, lambda z: (z / 2, None))
    np.testing.assert_allclose(health.log_det_error(wrong, (), X[:2]), 0.5, rtol=1e-5)
    flow = flows.chain(flows.actnorm(), COUPLING)
    error = health.log_det_error(flow, initialised(flow, X), X[:2])
    assert error.max() < 1e-5


def test_values_that_are_not_finite_are_counted():
    broken = flows.stateless(
        lambda x: (jnp.log(x), jnp.zeros(len(x))), lambda z: (jnp.exp(z), None)
    )
    (found,) = health.examine(broken, (), jnp.array([[1.0, 0.0], [1.0, 2.0]]))
    assert found.finite == 0.75


def test_a_flow_with_a_code_is_examined_layer_by_layer():
    flow = flows.code_glow(16, 2, 3, width=4, code_width=4, code_blocks=1)
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 16, (6, 8, 8, 1)), jnp.float32)
    params = initialised(flow, x)
    found = health.examine(flow, params, x)
    names = [layer.name.split()[1] for layer in found]
    before = ["logit", "squeeze", "squeeze", "actnorm", "divide"]
    assert names == [*before, "affine_given", "affine_given", "step", "step"]
    assert max(layer.inverse_error.max() for layer in found) < 1e-3
    _, log_det = flow.forward(params, x)
    np.testing.assert_allclose(sum(layer.log_det for layer in found), log_det, rtol=1e-4)
