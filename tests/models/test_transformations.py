"""The functions of a model under JAX's transformations, in every precision."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import as_float64, compiled, make_config, perturbed

import flowgmm_jax as fg
from flowgmm_jax import gmm

KEY, LABELS = jax.random.key(0), np.array([0, 1])
VECTOR, IMAGE = fg.Info((2,), 2), fg.Info((4, 4, 1), 2, 4)
# As small as it can be: its programs take long to compile.
PIXEL_GROUPS = {
    "squeezes": 1,
    "class_code": True,
    "width": 4,
    "context_blocks": 0,
    "causal_blocks": 0,
    "components": 2,
    "class_width": 2,
    "class_blocks": 0,
}
MODELS = {
    "table_realnvp": (VECTOR, dict(steps=2, hidden=(4,)), "random"),
    "glow": (IMAGE, dict(stages=((1, 1),), width=4), "random"),
    "pixel_groups": (IMAGE, PIXEL_GROUPS, "split"),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """A model, parameters other than the initial ones, and two examples."""
    info, flow, means = MODELS[request.param]
    config = make_config(flow={"name": request.param} | flow, prior={"means": means})
    model = fg.build(config, info)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.3, 3.7, (2, *info.shape)).astype(np.float32)
    params = perturbed(compiled(model.init)(KEY, x, LABELS))
    return model, params, x


@pytest.fixture(scope="module")
def log_density(case):
    model, params, x = case
    return compiled(model.log_density)(params, x)


def test_over_examples(case, log_density):
    model, params, x = case
    one = partial(model.log_density, params)
    mapped = compiled(jax.vmap(one))(x[:, None])[:, 0]
    _, scanned = compiled(partial(jax.lax.scan, lambda _, x: (0, one(x)), 0))(x[:, None])
    np.testing.assert_allclose(mapped, log_density, rtol=1e-4)
    np.testing.assert_allclose(scanned[:, 0], log_density, rtol=1e-4)


def test_over_parameters(case, log_density):
    model, params, x = case
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 0.01]), params)
    table = compiled(jax.vmap(model.class_log_density, (0, None)))(both, x)
    z = compiled(jax.vmap(model.encode, (0, None)))(both, x)
    np.testing.assert_allclose(jax.nn.logsumexp(table[0], -1), log_density, rtol=1e-4)
    back = compiled(jax.vmap(model.decode))(both, z)
    np.testing.assert_allclose(back, [x, x], atol=5e-3)


def test_over_keys(case):
    model, params, x = case
    keys = jax.random.split(KEY, 2)
    samples = compiled(jax.vmap(lambda key: model.sample(params, key, LABELS)))(keys)
    np.testing.assert_allclose(samples[1], model.sample(params, keys[1], LABELS), atol=5e-3)
    assert samples.shape == (2, *x.shape)


def test_derivatives_of_both_modes_and_orders_agree(case):
    model, params, x = case
    dx = np.random.default_rng(1).normal(size=x[0].shape).astype(np.float32)

    def density(x):
        return model.log_density(params, x[None])[0]

    @compiled
    def derivatives(x):
        _, slope = jax.jvp(density, (x,), (dx,))
        return jax.grad(density)(x), slope, jax.grad(jax.checkpoint(density))(x)

    gradient, slope, again = derivatives(x[0])
    np.testing.assert_allclose(again, gradient, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(slope, np.vdot(gradient, dx), rtol=1e-3)
    if model.infill:
        return  # its second derivatives take long to compile
    _, product = compiled(lambda x: jax.jvp(jax.grad(density), (x,), (dx,)))(x[0])
    hessian = compiled(jax.hessian(density))(x[0])
    expected = np.tensordot(hessian, dx, axes=dx.ndim)
    np.testing.assert_allclose(product, expected, rtol=1e-3, atol=1e-3)


def test_tangents_of_parameters_and_of_samples(case):
    model, params, x = case
    if model.infill:
        pytest.skip("takes long to compile; its tangents are those of the test above")

    @compiled
    def tangents(params):
        at = partial(jax.jvp, primals=(params,), tangents=(params,))
        return at(lambda p: model.log_density(p, x)), at(lambda p: model.sample(p, KEY, LABELS))

    @compiled
    def gradient(params):
        return jax.grad(lambda p: model.log_density(p, x).sum())(params)

    (_, slopes), (_, of_samples) = tangents(params)
    products = jax.tree.map(np.vdot, gradient(params), params)
    np.testing.assert_allclose(slopes.sum(), sum(jax.tree.leaves(products)), rtol=1e-3)
    assert np.isfinite(of_samples).all()


def test_doubles_have_the_log_determinant_of_the_jacobian_whatever_the_parameters_are(case):
    model, params, x = case

    @compiled
    def compute(params, x):
        def encode(x):
            return model.encode(params, x[None])[0]

        z = jax.vmap(encode)(x)
        jacobians = jax.lax.map(jax.jacrev(encode), x).reshape(*z.shape, -1)
        prior = jax.tree.map(lambda leaf: leaf.astype(x.dtype), model.prior(params))
        log_det = model.log_density(params, x) - gmm.marginal(prior, z)
        return log_det, jnp.linalg.slogdet(jacobians)[1], model.decode(params, z)

    with jax.enable_x64(True):
        log_det, expected, back = jax.device_get(compute(params, as_float64(x)))
    assert log_det.dtype == back.dtype == np.float64
    np.testing.assert_allclose(log_det, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-9)


def test_everything_in_bfloat16(case, log_density):
    model, params, x = case
    params, x = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), (params, x))

    @compiled
    def compute(params, x):
        def mean(params):
            return model.log_density(params, x).mean()

        return model.log_density(params, x), jax.grad(mean)(params), model.encode(params, x)

    found, gradients, z = compute(params, x)
    samples = compiled(model.sample)(params, KEY, LABELS)
    assert {a.dtype for a in (found, z, samples)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found, log_density, rtol=0.1, atol=1.0)
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.bfloat16
        assert np.isfinite(leaf.astype(np.float32)).all()


def test_pixels_are_filled_in_under_transformations(case):
    model, params, x = case
    if model.infill is None:
        pytest.skip("cannot fill in")
    upper = np.arange(4)[:, None, None] < 2

    @compiled
    def fill(params, is_known):
        def fill(key):
            return model.infill(params, key, x, is_known, LABELS, 2)

        return jax.vmap(fill)(jax.random.split(KEY, 3))

    filled = fill(params, upper)
    np.testing.assert_array_equal(filled[:, :, :2], np.broadcast_to(x[:, :2], (3, 2, 2, 4, 1)))
    assert len(np.unique(np.asarray(filled[:, :, 2:]).reshape(3, -1), axis=0)) == 3
