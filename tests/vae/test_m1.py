"""M1's bound on a linear-Gaussian model, whose likelihood and posterior have closed forms."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import stats
from scipy.special import logsumexp

from flowgmm_jax.vae.m1 import feature_bound, m1
from flowgmm_jax.vae.nets import MLP, MOST_LOG_SCALE, GaussianNet

D, FEATURES, SCALE = 4, 2, 0.3
RNG = np.random.default_rng(0)
# x = W z + b + noise. Orthogonal columns make the posterior's covariance diagonal.
W = np.linalg.qr(RNG.normal(size=(D, FEATURES)))[0] * [1.5, 0.7]
B = RNG.normal(size=D)
X = RNG.normal(size=(3, D))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def dense(kernel, bias, log_scale):
    """The parameters of a GaussianNet with no hidden layer: mean x @ kernel + bias, and a scale."""
    raw = MOST_LOG_SCALE * np.arctanh(log_scale / MOST_LOG_SCALE)
    mean = {"kernel": kernel, "bias": bias}
    return {"params": {"mean": mean, "log_scale": {"kernel": 0 * kernel, "bias": raw}}}


def linear_gaussian(shift=0.0):
    """The model with parameters whose q(z | x) is the true posterior, its mean shifted."""
    model = m1(GaussianNet(MLP(()), FEATURES), GaussianNet(MLP(()), D))
    variance = 1 / (1 + (W**2).sum(0) / SCALE**2)
    back = W * variance / SCALE**2
    params = {
        "encoder": dense(back, shift - B @ back, np.log(variance) / 2),
        "decoder": dense(W.T, B, np.full(D, np.log(SCALE))),
    }
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(X))
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, like)
    return model, params


def log_likelihood():
    """log N(x; b, W W' + s^2 I), (B,)."""
    return stats.multivariate_normal(B, W @ W.T + SCALE**2 * np.eye(D)).logpdf(X)


def draws(shift, number):
    """Bounds and log-weights of draws, (number, B) each."""
    model, params = linear_gaussian(shift)

    @jax.jit
    def of_noise(noise):
        q = model.infer(params, jnp.asarray(X))
        z = q.at(noise)
        log_p = jax.vmap(lambda z: model.generate(params, z).log_prob(X))(z)
        return feature_bound(log_p, q), log_p + norm.logpdf(z).sum(-1) - q.log_prob(z)

    return jax.device_get(of_noise(np.random.default_rng(1).normal(size=(number, 3, FEATURES))))


def test_the_bound_is_the_likelihood_at_the_true_posterior():
    bound, log_weight = draws(shift=0.0, number=20_000)
    np.testing.assert_allclose(log_weight, np.tile(log_likelihood(), (20_000, 1)), rtol=1e-9)
    np.testing.assert_allclose(bound.mean(0), log_likelihood(), atol=0.05)


def test_elsewhere_it_is_below_by_the_divergence_of_the_posteriors():
    bound, _ = draws(shift=0.4, number=20_000)
    precision = 1 + (W**2).sum(0) / SCALE**2
    divergence = 0.5 * (0.4**2 * precision).sum()
    np.testing.assert_allclose(log_likelihood() - bound.mean(0), divergence, rtol=0.05)


def test_importance_weights_approach_the_likelihood_from_below():
    bound, log_weight = draws(shift=0.25, number=20_000)

    def estimate(number):  # the mean over groups of so many draws
        groups = log_weight.reshape(-1, number, len(X))
        return (logsumexp(groups, axis=1) - np.log(number)).mean(0)

    found = [bound.mean(0), estimate(4), estimate(40)]
    assert all((lower < higher).all() for lower, higher in pairwise(found))
    np.testing.assert_allclose(estimate(20_000), log_likelihood(), atol=0.1)
