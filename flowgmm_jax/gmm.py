"""The prior: a mixture of K isotropic Gaussians over latents, one component a class.

    p(z, y = k) = w_k N(z; mu_k, s_k^2 I)                                   (poster, "FlowGMM")

One table, ``joint[b, k] = log w_k + log N(z_b; mu_k, s_k^2 I)``, gives the marginal (logsumexp),
the posterior (softmax) and the class-conditional density. No covariance matrix is ever formed.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from flowgmm_jax.errors import InputError


class GMM(NamedTuple):
    """Parameters of the mixture.

    Attributes:
      means: (K, D).
      log_scale: (K,), log of the standard deviation of each component.
      log_weights: (K,), unnormalised log-weights.
    """

    means: jax.Array
    log_scale: jax.Array
    log_weights: jax.Array


def with_means(means: jax.Array) -> GMM:
    """Unit scales and equal weights for means of shape (K, D)."""
    zeros = jnp.zeros(len(means), means.dtype)
    return GMM(means, log_scale=zeros, log_weights=zeros)


def class_conditional(prior: GMM, z: jax.Array) -> jax.Array:
    """log N(z_b; mu_k, s_k^2 I) in nats, (B, K), for latents z (B, D)."""
    chex.assert_rank(z, 2)
    chex.assert_shape(prior.means, (None, z.shape[-1]))
    # The difference first: expanding the square would cancel to nothing for distant means.
    square = jnp.sum(jnp.square(z[:, None, :] - prior.means), axis=-1)
    d = z.shape[-1]
    return (
        -0.5 * square * jnp.exp(-2 * prior.log_scale)
        - d * prior.log_scale
        - 0.5 * d * math.log(2 * math.pi)
    )


def log_class_weights(prior: GMM) -> jax.Array:
    """Normalised log-weights log w_k, (K,)."""
    return jax.nn.log_softmax(prior.log_weights)


def joint(prior: GMM, z: jax.Array) -> jax.Array:
    """log p(z_b, y = k) in nats, (B, K), for latents z (B, D)."""
    return class_conditional(prior, z) + log_class_weights(prior)


def marginal(prior: GMM, z: jax.Array) -> jax.Array:
    """log p(z_b) in nats, (B,)."""
    return jax.nn.logsumexp(joint(prior, z), axis=-1)


def sample(prior: GMM, key: jax.Array, labels: jax.Array, temperature: float = 1.0) -> jax.Array:
    """Latents (B, D) of the components of labels (B,), standard deviations times temperature."""
    means = prior.means[labels]
    scale = temperature * jnp.exp(prior.log_scale[labels])
    return means + scale[:, None] * jax.random.normal(key, means.shape, means.dtype)


# Placements of the means: (key, z, y, x, num_classes, radius) -> (K, D). z (B, D) are the latents
# that the untrained flow gives the examples x, y (B,) their labels, -1 where there is none.


def _random(key, z, y, x, num_classes, radius):
    """Each mean ~ N(0, radius^2 I)."""
    return radius * jax.random.normal(key, (num_classes, z.shape[-1]))


def _constant(key, z, y, x, num_classes, radius):
    """Constant over all dimensions; the classes' levels are even from -radius to radius."""
    levels = radius * jnp.linspace(-1, 1, num_classes)[:, None]
    return jnp.broadcast_to(levels, (num_classes, z.shape[-1]))


def _split(key, z, y, x, num_classes, radius):
    """Each class has its own block of dimensions, where its mean is ``radius``; zero elsewhere."""
    if z.shape[-1] < num_classes:
        raise InputError(
            f"config.prior.means is 'split': expected at least as many dimensions as the "
            f"{num_classes} classes, found {z.shape[-1]}"
        )
    block = jnp.arange(z.shape[-1]) * num_classes // z.shape[-1]
    return radius * (block == jnp.arange(num_classes)[:, None])


def _circle(key, z, y, x, num_classes, radius):
    """Evenly on a circle in the first two dimensions."""
    if z.shape[-1] < 2:
        raise InputError("config.prior.means is 'circle': expected 2 dimensions or more, found 1")
    angle = 2 * jnp.pi * jnp.arange(num_classes) / num_classes
    plane = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return jnp.zeros((num_classes, z.shape[-1])).at[:, :2].set(plane)


def _class_means(a, y, num_classes, radius):
    member = jax.nn.one_hot(y, num_classes)  # rows of zeros where y is -1
    return radius * (member.T @ a) / jnp.maximum(member.sum(0), 1)[:, None]


def _data(key, z, y, x, num_classes, radius):
    """``radius`` times the mean of the labelled examples of each class, standardised."""
    flat = x.reshape(len(x), -1)
    std = jnp.maximum(flat.std(), 1e-6)  # of constant examples it is 0
    return _class_means((flat - flat.mean()) / std, y, num_classes, radius)


def _latents(key, z, y, x, num_classes, radius):
    """``radius`` times the mean of the latents of the labelled examples of each class."""
    return _class_means(z, y, num_classes, radius)


PLACEMENTS: dict[str, Callable] = {
    "random": _random,
    "constant": _constant,
    "split": _split,
    "circle": _circle,
    "data": _data,
    "latents": _latents,
}


def place_means(
    placement: str,
    key: jax.Array,
    z: jax.Array,
    y: jax.Array,
    x: jax.Array,
    num_classes: int,
    radius: float,
) -> jax.Array:
    """Initial means of the components.

    Args:
      placement: "random", "constant", "split", "circle", or from labelled examples "data" or
        "latents".
      key: a PRNG key.
      z: (B, D), the latents of x under the untrained flow.
      y: (B,) labels of x, -1 where there is none.
      x: (B, ...), examples.
      num_classes: K.
      radius: the scale of the placement.

    Returns:
      (K, D) in the dtype of z.

    Raises:
      InputError: for an unknown placement, or one that the dimensions do not suffice for.
    """
    if placement not in PLACEMENTS:
        raise InputError(
            f"config.prior.means is {placement!r}, expected one of {', '.join(PLACEMENTS)}"
        )
    means = PLACEMENTS[placement](key, z, y, x, num_classes, radius)
    return means.astype(z.dtype)
