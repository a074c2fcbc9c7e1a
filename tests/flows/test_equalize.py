"""The logit that is fitted to grey levels."""

import jax
import numpy as np
import pytest
from scipy.stats import kstest, logistic

from flowgmm_jax import flows

ALPHA, LEVELS = 1e-3, 256


def drawings():
    """Mostly background, the rest strokes of all grey levels with a peak at white."""
    rng = np.random.default_rng(0)
    grey = np.where(rng.random((64, 8, 8, 1)) < 0.5, 255, rng.integers(1, 256, (64, 8, 8, 1)))
    grey = np.where(rng.random(grey.shape) < 0.8, 0, grey)
    return (grey + rng.uniform(0, 1 - 1e-6, grey.shape)).astype(np.float32)


def test_with_equal_masses_and_one_piece_it_is_the_logit():
    x = drawings()
    params = {"log_mass": np.zeros(LEVELS, np.float32)}
    z, log_det = flows.equalized_logit(ALPHA, LEVELS).forward(params, x)
    expected, expected_log_det = flows.logit(ALPHA, LEVELS).forward((), x)
    np.testing.assert_allclose(z, expected, atol=1e-3)
    np.testing.assert_allclose(log_det, expected_log_det, atol=1e-3)


@pytest.mark.parametrize("spreads", [(1.0, 1.0), (0.2, 1.0)])
def test_every_piece_starts_as_a_logistic_distribution_beside_the_last_one(spreads):
    x = drawings()
    flow = flows.equalized_logit(ALPHA, LEVELS, (1,), spreads)
    z = np.asarray(flow.forward(flow.init(jax.random.key(0), x), x)[0])
    reach = np.log((1 - ALPHA) / ALPHA) * np.array(spreads)
    background, strokes = z[x < 1], z[x >= 1] - reach.sum()
    assert background.max() <= reach[0] + 1e-4 and strokes.min() >= -reach[1] - 1e-4
    assert kstest(background / spreads[0], logistic.cdf).pvalue > 1e-3
    # A tenth of the first masses is the same for all grey levels.
    assert kstest(strokes / spreads[1], logistic.cdf).statistic < 0.1


def test_the_inverse_is_exact_over_the_whole_range():
    x = drawings()
    flow = flows.equalized_logit(ALPHA, LEVELS, (1,), (0.2, 1.0))
    params = flow.init(jax.random.key(0), x)
    everywhere = np.linspace(0, LEVELS - 1e-3, 4096, dtype=np.float32).reshape(1, 64, 64, 1)
    z, log_det = flow.forward(params, everywhere)
    x_back, inverse_log_det = flow.inverse(params, z)
    assert np.isfinite(z).all() and (np.diff(np.ravel(z)) > 0).all()
    np.testing.assert_allclose(x_back, everywhere, atol=2e-3)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-4)


def test_grey_levels_that_the_examples_lack_have_a_density():
    flow = flows.equalized_logit(ALPHA, 4, (1,), (1.0, 1.0))
    params = flow.init(jax.random.key(0), np.full((2, 1, 1, 1), 2.5, np.float32))
    x = np.array([0.5, 1.5, 2.5, 3.5], np.float32).reshape(4, 1, 1, 1)
    z, log_det = flow.forward(params, x)
    assert np.isfinite(z).all() and np.isfinite(log_det).all()


@pytest.mark.parametrize(
    ("edges", "spreads", "message"),
    [
        ((1,), (1.0,), "edges .* make 2 pieces, found spreads"),
        ((3, 2), (1.0,) * 3, "must rise from above 0 to below 4"),
        ((0,), (1.0,) * 2, "must rise from above 0 to below 4"),
        ((4,), (1.0,) * 2, "must rise from above 0 to below 4"),
    ],
)
def test_edges_that_cut_no_pieces_are_refused(edges, spreads, message):
    with pytest.raises(ValueError, match=message):
        flows.equalized_logit(ALPHA, 4, edges, spreads)
