"""What every bijector promises, on parameters perturbed from init."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import as_float64, compiled, initialised
from registry import BIJECTORS, NOT_BIJECTORS

from flowgmm_jax import density, flows
from flowgmm_jax.flows.inspection import measure_layers
from flowgmm_jax.models.build import FLOWS


class Results(NamedTuple):
    """What a bijector gives for its example event."""

    x: np.ndarray
    z: Any
    log_det: np.ndarray
    x_back: np.ndarray
    inverse_log_det: np.ndarray


class Autodiff(NamedTuple):
    """Derivatives of a bijector in float64."""

    log_det: np.ndarray
    gradients: Any


def evaluate(bijector, params, x):
    z, log_det = bijector.forward(params, x)
    return Results(x, z, log_det, *bijector.inverse(params, z))


def differentiate(bijector, params, x):
    """One row of all Jacobians for every latent, and gradients of random sums of the results."""

    def forward(params, x):
        z, log_det = bijector.forward(params, x)
        return density.flatten(z), log_det

    (z, log_det), pull_back = jax.vjp(forward, params, x)
    rng = np.random.default_rng(1)
    rows = np.broadcast_to(np.eye(z.shape[1])[:, None], (z.shape[1], *z.shape))
    cotangents = np.concatenate([rows, rng.normal(size=(1, *z.shape))])
    log_det_cotangents = np.zeros((len(cotangents), *log_det.shape))
    log_det_cotangents[-1] = rng.normal(size=log_det.shape)
    gradients, jacobians = jax.lax.map(pull_back, (cotangents, log_det_cotangents))
    jacobians = jacobians[:-1].reshape(*rows.shape).swapaxes(0, 1)
    return Autodiff(
        jnp.linalg.slogdet(jacobians)[1], jax.tree.map(lambda leaf: leaf[-1], gradients)
    )


@pytest.fixture(scope="module", params=BIJECTORS)
def entry(request):
    return BIJECTORS[request.param]


@pytest.fixture(scope="module")
def bijector(entry):
    return entry.constructor(None)


@pytest.fixture(scope="module")
def params(entry, bijector):
    return initialised(bijector, entry.event)


@pytest.fixture(scope="module")
def single(entry, bijector, params):
    """Results in float32."""
    return compiled(partial(evaluate, bijector))(params, entry.event)


@pytest.fixture(scope="module")
def compute_double(bijector, params):
    """Results and derivatives in float64, as one program."""

    @compiled
    def compute(params, x):
        return evaluate(bijector, params, x), differentiate(bijector, params, x)

    def in_float64(x):
        with jax.enable_x64(True):
            return jax.device_get(compute(as_float64(params), as_float64(x)))

    return in_float64


@pytest.fixture(scope="module")
def double(entry, compute_double):
    return compute_double(entry.event)


def test_the_inverse_undoes_the_map_in_double_precision(double):
    results, _ = double
    assert results.x_back.dtype == np.float64
    np.testing.assert_allclose(results.x_back, results.x, rtol=0, atol=1e-10)


def test_the_inverse_undoes_the_map_in_single_precision(entry, single):
    assert single.x_back.dtype == np.float32
    np.testing.assert_allclose(single.x_back, single.x, rtol=0, atol=entry.inverse_error)


def test_the_log_determinant_is_that_of_the_jacobian(double):
    results, autodiff = double
    np.testing.assert_allclose(results.log_det, autodiff.log_det, rtol=1e-10, atol=1e-12)


def test_the_log_determinant_of_the_inverse_is_the_negative(double):
    results, _ = double
    np.testing.assert_allclose(results.inverse_log_det, -results.log_det, rtol=1e-10, atol=1e-12)


def test_single_precision_agrees_with_double(single, double):
    results, _ = double
    np.testing.assert_allclose(single.log_det, results.log_det, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        density.flatten(single.z), density.flatten(results.z), rtol=1e-4, atol=1e-4
    )


def test_there_is_a_log_determinant_for_every_example(single):
    assert single.log_det.shape == single.inverse_log_det.shape == (len(single.x),)
    assert single.log_det.dtype == single.inverse_log_det.dtype == np.float32


def test_log_determinants_are_float64_in_double_precision(double):
    results, _ = double
    assert results.log_det.dtype == results.inverse_log_det.dtype == np.float64


def test_as_many_numbers_come_out_as_went_in(single):
    assert density.flatten(single.z).shape == (len(single.x), single.x[0].size)


def assert_last_is_the_same(ours, theirs):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[-1], b[-1], rtol=1e-9, atol=1e-9), ours, theirs
    )


def test_the_rest_of_the_batch_changes_no_example(entry, compute_double, double):
    others = entry.event.copy()
    others[:-1] = np.flip(others[:-1], axis=range(1, others.ndim))
    assert not np.array_equal(others, entry.event)
    (results, _), (expected, _) = compute_double(others), double
    assert_last_is_the_same(results, expected)


def test_neither_compilation_nor_the_size_of_the_batch_changes_an_example(
    request, entry, bijector, params, double
):
    if request.node.callspec.params["entry"].split()[0] in FLOWS:
        pytest.skip("its layers are tested; without compilation it is slow")
    results, _ = double
    with jax.enable_x64(True):
        last = as_float64(entry.event[-1:])
        plain = evaluate(bijector, *jax.tree.map(jnp.asarray, (as_float64(params), last)))
    assert_last_is_the_same(plain, results)


def test_the_layers_of_a_bijector_make_it_up(entry, bijector, params, single):
    layers = compiled(partial(measure_layers, bijector))(params, single.x)
    log_det = sum(layer.log_det for layer in layers)
    np.testing.assert_allclose(log_det, single.log_det, rtol=1e-4, atol=1e-4)
    assert max(layer.inverse_error.max() for layer in layers) < entry.inverse_error
    assert all(layer.finite == 1 for layer in layers)


def test_layers_are_the_elementary_maps():
    entry = BIJECTORS["multiscale"]
    bijector = entry.constructor(None)
    params = jax.eval_shape(bijector.init, jax.random.key(0), entry.event)
    layers = jax.eval_shape(partial(measure_layers, bijector), params, entry.event)
    assert [layer.name for layer in layers] == [
        *["actnorm", "invertible_1x1", "affine_coupling"] * 3,
        "squeeze",
        "actnorm",
        "actnorm",
    ]


@pytest.mark.parametrize("name", ["squeeze", "logit", "actnorm of images"])
def test_numpy_events_are_accepted(name):
    entry = BIJECTORS[name]
    bijector = entry.constructor(None)
    params = bijector.init(jax.random.key(0), entry.event)
    z, log_det = bijector.forward(params, entry.event)
    assert log_det.shape == (len(entry.event),)
    np.testing.assert_allclose(bijector.inverse(params, np.asarray(z))[0], entry.event, atol=1e-4)


def test_every_parameter_has_a_gradient(double):
    _, autodiff = double
    flat, _ = jax.tree_util.tree_flatten_with_path(autodiff.gradients)
    largest = {jax.tree_util.keystr(path): np.max(np.abs(leaf)) for path, leaf in flat}
    assert [name for name, value in largest.items() if not value > 1e-8] == []


def test_parameters_are_float32(params):
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} <= {np.dtype(np.float32)}


def test_conditioners_in_bfloat16_leave_the_event_in_float32(entry, params, single):
    if not entry.has_conditioner:
        pytest.skip("has no conditioner")
    results = compiled(partial(evaluate, entry.constructor(jnp.bfloat16)))(params, entry.event)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {np.dtype(np.float32)}
    assert results.log_det.shape == single.log_det.shape
    assert not np.array_equal(results.log_det, single.log_det)
    np.testing.assert_allclose(results.x_back, entry.event, rtol=0, atol=1e-4)
    np.testing.assert_allclose(results.inverse_log_det, -results.log_det, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(flows.__all__) - NOT_BIJECTORS))
def test_every_public_constructor_is_registered(name):
    assert any(entry.split()[0] == name for entry in BIJECTORS)


def test_the_registry_names_only_public_constructors():
    assert {entry.split()[0] for entry in BIJECTORS} <= set(flows.__all__) - NOT_BIJECTORS
    assert set(flows.__all__) >= NOT_BIJECTORS
