"""The prior: a mixture of K isotropic Gaussians over latents, one component per class.

    p(z, y = k) = w_k N(z; mu_k, s_k^2 I)                                   (poster, "FlowGMM")

One table, ``joint[b, k] = log w_k + log N(z_b; mu_k, s_k^2 I)``, gives the marginal (logsumexp),
the posterior (softmax) and the class-conditional density. No covariance matrix is ever formed.

The means may cover only the first d of the D latents, those that carry the class; the other
latents are then standard normal whatever the class is, and cancel in the posterior.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class GMM(NamedTuple):
    """Parameters of the mixture.

    Attributes:
      means: (K, d), d <= D.
      log_scale: (K,), log of the standard deviation of each component in the first d latents.
      log_weights: (K,), unnormalised log-weights.
    """

    means: jax.Array
    log_scale: jax.Array
    log_weights: jax.Array


def with_means(means: jax.Array) -> GMM:
    """Unit scales and equal weights for means of shape (K, d)."""
    zeros = jnp.zeros(len(means), means.dtype)
    return GMM(means, log_scale=zeros, log_weights=zeros)


def log_class_weights(prior: GMM) -> jax.Array:
    """Normalised log-weights log w_k, (K,)."""
    return jax.nn.log_softmax(prior.log_weights)


def _isotropic(square: jax.Array, d: int, log_scale: jax.Array | float) -> jax.Array:
    """log N(z; mu, s^2 I) in d dimensions, given |z - mu|^2."""
    return -0.5 * square * jnp.exp(-2 * log_scale) - d * log_scale - 0.5 * d * math.log(2 * math.pi)


def class_logits(prior: GMM, z: jax.Array) -> jax.Array:
    """log w_k + log N(z_b; mu_k, s_k^2 I) of the d latents that carry the class, nats, (B, K).

    The softmax of it is the class posterior (poster, "Classification").

    Args:
      prior: the mixture.
      z: (B, d), the first d latents.
    """
    chex.assert_rank(z, 2)
    chex.assert_shape(prior.means, (None, z.shape[-1]))
    # The difference first: expanding the square would cancel to nothing for distant means.
    square = jnp.sum(jnp.square(z[:, None, :] - prior.means), axis=-1)
    return _isotropic(square, z.shape[-1], prior.log_scale) + log_class_weights(prior)


def joint(prior: GMM, z: jax.Array) -> jax.Array:
    """log p(z_b, y = k) in nats, (B, K), for latents z (B, D)."""
    chex.assert_rank(z, 2)
    d = prior.means.shape[-1]
    table = class_logits(prior, z[:, :d])
    if z.shape[-1] == d:
        return table
    rest = z[:, d:]
    return table + _isotropic(jnp.sum(jnp.square(rest), axis=-1), rest.shape[-1], 0.0)[:, None]


def class_conditional(prior: GMM, z: jax.Array) -> jax.Array:
    """log p(z_b | y = k) in nats, (B, K), for latents z (B, D)."""
    return joint(prior, z) - log_class_weights(prior)


def marginal(prior: GMM, z: jax.Array) -> jax.Array:
    """log p(z_b) in nats, (B,)."""
    return jax.nn.logsumexp(joint(prior, z), axis=-1)


def posterior(table: jax.Array) -> jax.Array:
    """p(y = k | x_b), (B, K), from a table log p(x_b, y = k) or its class logits, (B, K)."""
    return jax.nn.softmax(table, axis=-1)


def classify(table: jax.Array) -> jax.Array:
    """The decision rule y = argmax_k p(y = k | x) (poster, "Classification").

    Args:
      table: (..., K), log p(x, y = k) up to a term common to all classes.

    Returns:
      Integer classes (...,).
    """
    return table.argmax(axis=-1)


def temper(prior: GMM, temperature: float) -> GMM:
    """The mixture with the variance of every component multiplied by ``temperature`` (poster,
    "Uncertainty")."""
    return prior._replace(log_scale=prior.log_scale + 0.5 * jnp.log(temperature))


def means_of_latents(prior: GMM, dimension: int) -> jax.Array:
    """The means (K, ``dimension``) in all latents: zero in those that carry no class."""
    return jnp.pad(prior.means, ((0, 0), (0, dimension - prior.means.shape[-1])))


def scales_of_latents(prior: GMM, dimension: int) -> jax.Array:
    """The standard deviations (K, ``dimension``) of all latents: 1 in those that carry no class."""
    carries_class = jnp.arange(dimension) < prior.means.shape[-1]
    return jnp.where(carries_class, jnp.exp(prior.log_scale)[:, None], 1.0)


def sample(
    prior: GMM, key: jax.Array, labels: jax.Array, dimension: int, temperature: float = 1.0
) -> jax.Array:
    """Latents (B, ``dimension``) of the components of labels (B,).

    ``temperature`` multiplies the standard deviations (not the variances) of all latents.
    """
    means = means_of_latents(prior, dimension)[labels]
    scale = scales_of_latents(prior, dimension)[labels]
    return means + temperature * scale * jax.random.normal(key, means.shape, means.dtype)


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
        raise ValueError(
            f"means are 'split': expected at least as many dimensions as the {num_classes} "
            f"classes, found {z.shape[-1]}"
        )
    block = jnp.arange(z.shape[-1]) * num_classes // z.shape[-1]
    return radius * (block == jnp.arange(num_classes)[:, None])


def _circle(key, z, y, x, num_classes, radius):
    """Evenly on a circle in the first two dimensions."""
    if z.shape[-1] < 2:
        raise ValueError("means are on a 'circle': expected 2 dimensions or more, found 1")
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
      ValueError: for an unknown placement, or one that the dimensions do not suffice for.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"means are {placement!r}, expected one of {', '.join(PLACEMENTS)}")
    means = PLACEMENTS[placement](key, z, y, x, num_classes, radius)
    return means.astype(z.dtype)
