"""Densities that integrate to one, means and draws that belong to them, divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowgmm_jax.vae.distributions import Gaussian, GaussianPixels, Pixels, log_normalizer

LOGITS = np.array([-300.0, -5.0, -0.02, -0.005, 0.0, 0.005, 0.02, 5.0, 300.0])


def pixels(logits, levels=256):
    return Pixels(jnp.asarray(logits).reshape(-1, 1, 1, 1), levels)


def test_the_density_of_pixels_integrates_to_one():
    with jax.enable_x64(True):
        edges = np.linspace(0, 17, 200_001)
        x = jnp.asarray((edges[1:] + edges[:-1]) / 2).reshape(-1, 1, 1, 1)
        for logit in LOGITS:
            density = jnp.exp(Pixels(jnp.full_like(x, logit), 17).log_prob(x))
            assert float(density.sum() * 17 / 200_000) == pytest.approx(1, abs=1e-5)


def test_the_log_normalizer_is_smooth_and_finite_in_float32():
    with jax.enable_x64(True):
        exact = np.array([log_normalizer(jnp.float64(a)) for a in LOGITS])
    np.testing.assert_allclose(log_normalizer(jnp.float32(LOGITS)), exact, rtol=1e-6, atol=1e-7)
    slope = jax.vmap(jax.grad(log_normalizer))(jnp.float32([-1e4, -0.01, 0.0, 0.01, 1e4]))
    np.testing.assert_allclose(slope, [1e-4, 0.49917, 0.5, 0.50083, 0.9999], rtol=1e-4)


def test_draws_of_pixels_have_their_mean_and_density():
    for logit in LOGITS:
        x = pixels(np.full(4000, logit, np.float32)).draw(jax.random.key(0)).ravel() / 256
        a = abs(logit)
        u = np.asarray(x if logit >= 0 else 1 - x, np.float64)
        assert u.min() >= 0 and u.max() <= 1
        cdf = np.expm1(a * (u - 1)) / -np.expm1(-a) + 1 if a > 0.01 else u
        assert stats.kstest(cdf, "uniform").pvalue > 1e-3
        assert u.mean() == pytest.approx(float(pixels([a]).mean.item()) / 256, abs=0.02)


def test_gaussians_agree_with_scipy_and_their_draws():
    rng = np.random.default_rng(0)
    mean, log_scale, x = rng.normal(size=(3, 5, 2))
    with jax.enable_x64(True):
        q = Gaussian(jnp.asarray(mean), jnp.asarray(log_scale))
        exact = stats.norm(mean, np.exp(log_scale))
        np.testing.assert_allclose(q.log_prob(x), exact.logpdf(x).sum(-1))
        np.testing.assert_allclose(q.entropy(), exact.entropy().sum(-1))
        z = q.at(jax.random.normal(jax.random.key(0), (100_000, 5, 2)))
        log_ratio = q.log_prob(z) - stats.norm.logpdf(z).sum(-1)
        np.testing.assert_allclose(q.kl_to_standard_normal(), log_ratio.mean(0), rtol=0.02)


def test_gaussian_pixels_agree_with_scipy_and_their_draws():
    rng = np.random.default_rng(0)
    mean, x = rng.normal(size=(2, 3, 2, 2, 1))
    log_scale = rng.normal(size=(2, 2, 1))
    with jax.enable_x64(True):
        exact = stats.norm(mean, np.exp(log_scale)).logpdf(x).sum((1, 2, 3))
        pixels = GaussianPixels(jnp.asarray(mean), jnp.asarray(log_scale))
        np.testing.assert_allclose(pixels.log_prob(x), exact)
        many = GaussianPixels(jnp.broadcast_to(mean[0], (2000, 2, 2, 1)), pixels.log_scale)
        standard = (many.draw(jax.random.key(0)) - mean[0]) / np.exp(log_scale)
    assert stats.kstest(np.ravel(standard), "norm").pvalue > 1e-3
