"""What the networks of a variational autoencoder return: a distribution for every example.

``log_prob(x)`` is a density in nats, (B,). All distributions have a ``mean`` and ``draw(key)``.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm


class Gaussian(NamedTuple):
    """N(mean, diag(exp(2 log_scale))), arrays (B, D)."""

    mean: jax.Array
    log_scale: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        return norm.logpdf(x, self.mean, jnp.exp(self.log_scale)).sum(-1)

    def at(self, noise: jax.Array) -> jax.Array:
        """mean + scale * noise: a draw, differentiable in the parameters, for standard normal noise
        (Kingma & Welling 2014, https://arxiv.org/abs/1312.6114, section 2.4)."""
        return self.mean + jnp.exp(self.log_scale) * noise

    def draw(self, key: jax.Array) -> jax.Array:
        return self.at(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def entropy(self) -> jax.Array:
        return (self.log_scale + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl_to_standard_normal(self) -> jax.Array:
        """KL(self || N(0, I)) (Kingma & Welling 2014, appendix B)."""
        variance = jnp.exp(2 * self.log_scale)
        return 0.5 * (jnp.square(self.mean) + variance - 1 - 2 * self.log_scale).sum(-1)


class GaussianPixels(NamedTuple):
    """Independent pixels N(mean, exp(2 log_scale)), mean (B, H, W, C), log_scale (H, W, C)."""

    mean: jax.Array
    log_scale: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        return norm.logpdf(x, self.mean, jnp.exp(self.log_scale)).sum((1, 2, 3))

    def draw(self, key: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_scale) * noise


class Pixels(NamedTuple):
    """Independent pixels in [0, levels), of density proportional to exp(logits x / levels).

    A Bernoulli distribution of an intensity between black and white, as M1 has it, is no density;
    with its normaliser it is this one (Loaiza-Ganem & Cunningham 2019, "The continuous Bernoulli",
    https://arxiv.org/abs/1907.06845, eq. 7).

    Attributes:
      logits: (B, H, W, C).
      levels: grey levels.
    """

    logits: jax.Array
    levels: int

    def log_prob(self, x: jax.Array) -> jax.Array:
        log_density = self.logits * x / self.levels - log_normalizer(self.logits)
        return (log_density - math.log(self.levels)).sum((1, 2, 3))

    @property
    def mean(self) -> jax.Array:
        """The derivative of the log-normaliser, as in every exponential family."""
        _, mean = jax.jvp(log_normalizer, (self.logits,), (jnp.ones_like(self.logits),))
        return self.levels * mean

    def draw(self, key: jax.Array) -> jax.Array:
        """By the inverse of the distribution function for |logits|, mirrored where they are
        negative."""
        u = jax.random.uniform(key, self.logits.shape, self.logits.dtype)
        is_flat, rate = _rate(self.logits)
        x = jnp.where(is_flat, u, 1 + jnp.log1p((1 - u) * jnp.expm1(-rate)) / rate)
        return self.levels * jnp.where(self.logits < 0, 1 - x, x)


Distribution = Gaussian | GaussianPixels | Pixels


def _rate(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where logits are next to 0, and elsewhere |logits|, by which one may divide."""
    is_flat = jnp.abs(logits) < 1e-2
    return is_flat, jnp.where(is_flat, 1.0, jnp.abs(logits))


def log_normalizer(logits: jax.Array) -> jax.Array:
    """log of the integral of exp(logits u) over u in [0, 1], (exp(logits) - 1) / logits."""
    is_flat, rate = _rate(logits)
    series = logits / 2 + jnp.square(logits) / 24
    return jnp.where(is_flat, series, jnp.maximum(logits, 0) + jnp.log(-jnp.expm1(-rate) / rate))
