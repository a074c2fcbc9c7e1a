"""M2's bounds against an enumeration of the classes, term by term, with scipy's densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from flowgmm_jax.vae.m2 import class_tables, m2, marginal_bound
from flowgmm_jax.vae.nets import MLP, GaussianNet, Linear

K, D, LATENTS, BATCH = 3, 4, 2, 5


@pytest.fixture(scope="module")
def case():
    """A model with parameters, examples, and noise."""
    with jax.enable_x64(True):
        model = m2(
            encoder=GaussianNet(MLP((6,)), LATENTS),
            decoder=GaussianNet(MLP((6,)), D),
            classifier=Linear(MLP((6,)), K),
            num_classes=K,
        )
        rng = np.random.default_rng(0)
        x, noise = rng.normal(size=(BATCH, D)), rng.normal(size=(BATCH, LATENTS))
        params = jax.jit(model.init)(jax.random.key(0), x)
        yield model, params, x, noise


def enumerated(model, params, x, noise):
    """-L(x, k), the log-weights, and log q(k | x), of one class after the other."""
    bounds, log_weights = np.empty((2, BATCH, K))
    for k in range(K):
        y = np.eye(K)[np.full(BATCH, k)]
        q = model.infer(params, jnp.asarray(x), jnp.asarray(y))
        mean, scale = np.asarray(q.mean), np.exp(q.log_scale)
        z = mean + scale * noise
        p = model.generate(params, jnp.asarray(y), jnp.asarray(z))
        log_p = stats.norm(p.mean, np.exp(p.log_scale)).logpdf(x).sum(-1) - np.log(K)
        divergence = (np.square(mean) + np.square(scale) - 1) / 2 - np.log(scale)
        bounds[:, k] = log_p - divergence.sum(-1)
        log_weights[:, k] = (
            log_p + stats.norm.logpdf(z).sum(-1) - stats.norm(mean, scale).logpdf(z).sum(-1)
        )
    return bounds, log_weights, np.asarray(model.log_posterior(params, jnp.asarray(x)))


def test_the_tables_are_those_of_each_class(case):
    bounds, log_weights, _ = enumerated(*case)
    found = class_tables(*case)
    np.testing.assert_allclose(found.bound, bounds, rtol=1e-9)
    np.testing.assert_allclose(found.log_weight, log_weights, rtol=1e-9)


def test_the_unlabelled_bound_is_the_mean_over_q_and_its_entropy(case):
    bounds, _, log_q = enumerated(*case)
    expected = [
        sum(np.exp(log_q[b, k]) * bounds[b, k] for k in range(K)) + stats.entropy(np.exp(log_q[b]))
        for b in range(BATCH)
    ]
    np.testing.assert_allclose(marginal_bound(bounds, log_q), expected, rtol=1e-9)


def test_it_is_largest_for_the_posterior_of_the_bounds(case):
    bounds, _, log_q = enumerated(*case)
    best = logsumexp(bounds, axis=1)
    assert (marginal_bound(bounds, log_q) < best).all()
    np.testing.assert_allclose(marginal_bound(bounds, bounds - best[:, None]), best)


def test_a_bound_is_the_mean_of_its_log_weights(case):
    model, params, x, _ = case
    noise = jax.random.normal(jax.random.key(0), (20_000, BATCH, LATENTS))
    found = jax.jit(jax.vmap(lambda noise: class_tables(model, params, x, noise)))(noise)
    np.testing.assert_allclose(found.bound.mean(0), found.log_weight.mean(0), atol=0.1)
    log_p = logsumexp(found.log_weight, axis=0) - np.log(len(noise))
    assert (found.bound.mean(0) < log_p).all()
