"""What inspection measures in the layers of a flow."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import initialised

from flowgmm_jax import flows
from flowgmm_jax.flows.inspection import inspect_layers, log_det_error, measure_layers

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
COUPLING = flows.affine_coupling(partial(flows.MLP, hidden=(5,), bound=0.7), flows.half)


def test_layers_of_a_sound_flow_invert_themselves_and_add_up():
    flow = flows.chain(flows.actnorm(), flows.repeat(lambda i: COUPLING, 2))
    params = initialised(flow, X)
    layers = inspect_layers(flow, params, jnp.asarray(X))
    assert [layer.name for layer in layers] == [
        "1 actnorm",
        "2 affine_coupling",
        "3 affine_coupling",
    ]
    assert max(layer.inverse_error.max() for layer in layers) < 1e-5
    _, log_det = flow.forward(params, X)
    np.testing.assert_allclose(sum(layer.log_det for layer in layers), log_det, rtol=1e-4)
    assert all(layer.finite == 1 for layer in layers)


def test_log_scales_are_those_of_the_couplings():
    params = initialised(COUPLING, X)
    (layer,) = inspect_layers(COUPLING, params, jnp.asarray(X))
    kept, _ = flows.half.split(X, 0)
    log_scale, _ = flows.MLP(4, (5,), 0.7).apply({"params": params}, kept)
    np.testing.assert_allclose(layer.log_scale, [log_scale.min(), log_scale.max()], rtol=1e-5)
    (of_actnorm,) = inspect_layers(flows.actnorm(), initialised(flows.actnorm(), X), X)
    assert np.isnan(of_actnorm.log_scale).all()


def test_a_layer_with_a_wrong_inverse_is_named():
    wrong = flows.stateless(lambda x: (2 * x, jnp.zeros(len(x))), lambda z: (z, None), "wrong")
    flow = flows.chain(wrong, flows.actnorm())
    layers = inspect_layers(flow, flow.init(jax.random.key(0), X), jnp.asarray(X))
    assert layers[0].name == "1 wrong"
    np.testing.assert_allclose(layers[0].inverse_error, np.abs(X).max(-1), rtol=1e-6)
    assert layers[1].inverse_error.max() < 1e-5


def test_a_wrong_log_determinant_is_found():
    def forward(x):
        return 2 * x, jnp.full(len(x), 4 * np.log(2.0) + 0.5)

    wrong = flows.stateless(forward, lambda z: (z / 2, None))
    np.testing.assert_allclose(log_det_error(wrong, (), X[:2]), 0.5, rtol=1e-5)
    flow = flows.chain(flows.actnorm(), COUPLING)
    error = log_det_error(flow, initialised(flow, X), X[:2])
    assert error.max() < 1e-5


def test_values_that_are_not_finite_are_counted():
    broken = flows.stateless(
        lambda x: (jnp.log(x), jnp.zeros(len(x))), lambda z: (jnp.exp(z), None)
    )
    (layer,) = inspect_layers(broken, (), jnp.array([[1.0, 0.0], [1.0, 2.0]]))
    assert layer.finite == 0.75


def test_a_flow_with_a_code_is_examined_layer_by_layer():
    """The generic tests of bijectors add up what is measured."""
    flow = flows.pixel_groups(4, 2, 3.0, 1, True, 4, 1, 1, 2, class_width=4, class_blocks=1)
    x = jax.ShapeDtypeStruct((4, 4, 4, 1), jnp.float32)
    params = jax.eval_shape(flow.init, jax.random.key(0), x)
    names = [layer.name for layer in jax.eval_shape(partial(measure_layers, flow), params, x)]
    masked = "autoregressive_gaussianize"
    assert names == ["squeeze", "split_groups", masked, "shift_code", masked, masked]


@pytest.mark.parametrize(
    ("flow", "names"),
    [
        (flows.actnorm(), ["actnorm"]),
        (flows.factor_out(flows.actnorm()), ["actnorm"]),
        (flows.factor_out(flows.factor_out(flows.chain(flows.actnorm()))), ["actnorm"]),
        (flows.repeat(lambda i: flows.actnorm(), 2), ["actnorm", "actnorm"]),
        (
            flows.repeat(lambda i: flows.repeat(lambda j: COUPLING, 2, reversible=True), 2),
            ["affine_coupling"] * 4,
        ),
    ],
    ids=["alone", "factored out", "nested", "repeated", "repeated twice"],
)
def test_every_elementary_map_is_a_layer_wherever_it_is(flow, names):
    params = jax.eval_shape(flow.init, jax.random.key(0), X)
    layers = jax.eval_shape(partial(measure_layers, flow), params, X)
    assert [layer.name for layer in layers] == names


def test_layers_of_a_repeat_are_in_the_order_of_its_steps():
    flow = flows.repeat(lambda i: flows.actnorm(), 3)
    params = {"shift": np.zeros((3, 4), np.float32), "log_scale": np.ones((3, 4), np.float32)}
    params["log_scale"] *= np.array([[1.0], [2.0], [3.0]], np.float32)
    log_dets = [layer.log_det[0] for layer in inspect_layers(flow, params, X)]
    np.testing.assert_allclose(log_dets, [4.0, 8.0, 12.0])


def test_a_repeat_is_traced_once_however_many_steps_it_has():
    def traces(n):
        calls = []

        def step(i):
            calls.append(i)
            return COUPLING

        flow = flows.repeat(step, n)
        params = jax.eval_shape(flow.init, jax.random.key(0), X)
        calls.clear()
        assert len(jax.eval_shape(partial(measure_layers, flow), params, X)) == n
        return len(calls)

    assert traces(2) == traces(7)


def test_inspection_leaves_no_trace_in_other_programs():
    flow = flows.repeat(lambda i: COUPLING, 3)
    params = jax.eval_shape(flow.init, jax.random.key(0), X)
    before = str(jax.make_jaxpr(flow.forward)(params, X))
    jax.eval_shape(partial(measure_layers, flow), params, X)
    wrong = flows.stateless(lambda x: x, lambda z: z)  # gives no log-determinant
    with pytest.raises(ValueError):
        inspect_layers(wrong, (), X)
    assert str(jax.make_jaxpr(flow.forward)(params, X)) == before
