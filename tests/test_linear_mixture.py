"""Where the flow of a table starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression

from flowgmm_jax import flows
from flowgmm_jax.data.base import Info
from flowgmm_jax.linear_mixture import linear_mixture, maximise, responsibilities, start_at
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = (3 * np.eye(3, 4)[Y] + RNG.normal(size=(60, 4)) @ RNG.normal(size=(4, 4))).astype(np.float32)
PARTLY = np.where(np.arange(60) < 12, Y, -1)
LOSS = Loss("cross_entropy", 1.0, 1.0, "cross_entropy", 0.0, 0, 0.0)


def log_joint(mixture, x):
    """log p(x, y = k) by scipy, one class after the other."""
    return np.stack(
        [
            np.log(weight) + multivariate_normal(mean, mixture.covariance).logpdf(x)
            for mean, weight in zip(mixture.means, mixture.weights, strict=True)
        ],
        axis=1,
    )


def test_the_step_sums_over_rows_and_classes():
    table = RNG.dirichlet(np.ones(3), size=60)
    scatter, counts = np.eye(4), np.zeros(3)
    means = [sum(r[k] * x for r, x in zip(table, X, strict=True)) for k in range(3)]
    means = [mean / table[:, k].sum() for k, mean in enumerate(means)]
    for r, x in zip(table, X, strict=True):
        for k in range(3):
            counts[k] += r[k]
            scatter += r[k] * np.outer(x - means[k], x - means[k])
    mixture = maximise(X, table)
    np.testing.assert_allclose(mixture.means, means)
    np.testing.assert_allclose(mixture.covariance, scatter / 61)
    np.testing.assert_allclose(mixture.weights, (counts + 1) / 63)


def test_rows_without_a_label_get_the_posterior_of_a_linear_classifier():
    table = responsibilities(X, PARTLY)
    np.testing.assert_array_equal(table[:12], np.eye(3)[Y[:12]])
    known = PARTLY >= 0
    expected = LogisticRegression(max_iter=1000).fit(X[known], Y[known]).predict_proba(X)
    np.testing.assert_allclose(table[12:], expected[12:])
    np.testing.assert_array_equal(responsibilities(X, np.full(60, 0)), np.ones((60, 1)))


@pytest.mark.parametrize("y", [PARTLY, Y, np.where(PARTLY >= 0, 0, -1)])
def test_the_flow_starts_with_the_density_of_the_mixture(y):
    mixture = linear_mixture(X, y)
    flow = flows.table_realnvp(2, (3,))
    model = flowgmm(flow, Info((4,), len(mixture.weights)), Prior("latents"), LOSS)
    params = model.init(jax.random.key(0), jnp.array(X), jnp.array(y))
    params = start_at(mixture, model, params)
    joint = model.class_log_density(params, jnp.array(X))
    np.testing.assert_allclose(joint, log_joint(mixture, X), atol=1e-3)
