"""Pixels to normal variables."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.stats import kstest, norm

from flowgmm_jax import flows

ALPHA, LEVELS = 1e-3, 256


def drawings():
    """Mostly background, the rest strokes of all grey levels with a peak at white."""
    rng = np.random.default_rng(0)
    grey = np.where(rng.random((512, 8, 8, 1)) < 0.5, 255, rng.integers(1, 256, (512, 8, 8, 1)))
    grey = np.where(rng.random(grey.shape) < 0.8, 0, grey)
    return (grey + rng.uniform(0, 1 - 1e-6, grey.shape)).astype(np.float32)


def test_with_equal_masses_and_one_piece_it_is_the_normal_quantile():
    x = drawings()
    params = {"log_mass": np.zeros(LEVELS, np.float32)}
    z, log_det = flows.gaussianize(ALPHA, LEVELS).forward(params, x)
    expected = norm.ppf(ALPHA + (1 - 2 * ALPHA) * x.astype(np.float64) / LEVELS)
    np.testing.assert_allclose(z, expected, atol=1e-3)
    slope = np.log((1 - 2 * ALPHA) / LEVELS) - norm.logpdf(expected)
    np.testing.assert_allclose(log_det, slope.sum((1, 2, 3)), rtol=1e-4)


def test_every_piece_starts_as_a_normal_distribution_beside_the_last_one():
    x = drawings()
    flow = flows.gaussianize(ALPHA, LEVELS, (1,))
    z = np.asarray(flow.forward(flow.init(jax.random.key(0), x), x)[0])
    reach = -norm.ppf(ALPHA)
    background, strokes = z[x < 1], z[x >= 1] - 2 * reach
    assert background.max() <= reach + 1e-4 and strokes.min() >= -reach - 1e-4
    assert kstest(background, norm.cdf).pvalue > 1e-3
    # A tenth of the initial masses is the same for all grey levels.
    assert kstest(strokes, norm.cdf).statistic < 0.15


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("edges", [(), (1,), (1, 253)])
def test_the_inverse_undoes_it_up_to_the_edges(alpha, edges):
    x = drawings()
    flow = flows.gaussianize(alpha, LEVELS, edges)
    params = flow.init(jax.random.key(0), x)
    # Both sides of every edge and of grey levels between, as near as float32 goes.
    beside = [[np.nextafter(np.float32(e), np.float32(s)) for s in (0, 300)] for e in range(1, 256)]
    x = np.concatenate([np.ravel(beside), np.arange(256), np.linspace(0, 255.99, 256)])
    x = np.sort(x.astype(np.float32))
    x = x[: len(x) // 4 * 4].reshape(-1, 2, 2, 1)
    z, log_det = flow.forward(params, x)
    x_back, inverse_log_det = flow.inverse(params, z)
    assert np.isfinite(log_det).all() and np.isfinite(inverse_log_det).all()
    assert np.isfinite(z).all() and (np.diff(np.ravel(z)) > -1e-4).all()
    np.testing.assert_allclose(x_back, x, atol=5e-3)


def test_grey_levels_that_the_examples_lack_have_a_density():
    flow = flows.gaussianize(ALPHA, 4, (1,))
    params = flow.init(jax.random.key(0), np.full((2, 1, 1, 1), 2.5, np.float32))
    x = np.array([0.5, 1.5, 2.5, 3.5], np.float32).reshape(4, 1, 1, 1)
    z, log_det = flow.forward(params, x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all()


@pytest.mark.parametrize(
    ("alpha", "edges", "message"),
    [
        (ALPHA, (3, 2), "edges are .*expected to rise from above 0 to below 4"),
        (ALPHA, (0,), "edges are .*expected to rise from above 0 to below 4"),
        (ALPHA, (4,), "edges are .*expected to rise from above 0 to below 4"),
        (0.5, (1,), "alpha is 0.5, expected a number between 0 and 0.5"),
    ],
)
def test_arguments_that_make_no_map_are_refused(alpha, edges, message):
    with pytest.raises(ValueError, match=message):
        flows.gaussianize(alpha, 4, edges)


@pytest.mark.parametrize(
    "constructor",
    [partial(flows.glow, 16, ((1, 1),)), partial(flows.code_glow, 16, 1, 2)],
    ids=["glow", "code_glow"],
)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixels": "sigmoid"}, "pixels is 'sigmoid', expected logit or gaussianize"),
        ({"edges": (1,)}, r"edges are \(1,\), expected \(\) if pixels is 'logit'"),
        ({"pixels": "gaussianize", "edges": (16,)}, r"edges are \(16,\), expected to rise"),
    ],
    ids=["unknown", "edges of a logit", "edges outside"],
)
def test_the_first_layer_of_an_image_flow_is_chosen_by_name(constructor, arguments, message):
    with pytest.raises(ValueError, match=message):
        constructor(**arguments)
