"""Layers for the columns of a table: a shape for each column, and a linear map of all of them."""

import math

import jax
import jax.numpy as jnp

from flowgmm_jax.flows.bijector import Bijector, sum_event
from flowgmm_jax.flows.ops import invertible_1x1


def _log_cosh(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, -x) - math.log(2.0)


def sinh_arcsinh() -> Bijector:
    """A learned tail and skew of every column of (B, D), the identity at first:

        z = sinh(e^t arsinh(x) - s),    log dz/dx = t + log cosh(arsinh z) - log cosh(arsinh x).

    Jones & Pewsey 2009, "Sinh-arcsinh distributions", https://doi.org/10.1093/biomet/asp053,
    eq. 2: with t and s it makes a normal column out of one with other tails or with a skew.
    """

    def init(key, x):
        zeros = jnp.zeros(x.shape[-1], x.dtype)
        return {"log_tail": zeros, "skew": zeros}

    def log_slope(params, x, z):
        return params["log_tail"] + _log_cosh(z) - _log_cosh(x)

    def forward(params, x):
        x = jnp.arcsinh(x)
        z = jnp.exp(params["log_tail"]) * x - params["skew"]
        return jnp.sinh(z), sum_event(log_slope(params, x, z))

    def inverse(params, z):
        z = jnp.arcsinh(z)
        x = jnp.exp(-params["log_tail"]) * (z + params["skew"])
        return jnp.sinh(x), -sum_event(log_slope(params, x, z))

    return Bijector(init, forward, inverse, "sinh_arcsinh")


def whitening(mean: jax.Array, covariance: jax.Array) -> dict[str, jax.Array]:
    """Parameters of ``whiten`` for which vectors of this mean (D,) and covariance S (D, D) get mean
    0 and covariance I: m is the mean, and W is S^(-1/2), the symmetric one."""
    variances, axes = jnp.linalg.eigh(covariance)
    return {"shift": -mean, "matrix": (axes / jnp.sqrt(variances)) @ axes.T}


def whiten() -> Bijector:
    """A learned affine map of vectors (B, D), z = (x - m) W, which whitens the data at first.

    W starts as S^(-1/2) with the covariance of the example batch, to which D examples of unit
    variance are added, so that a few examples of many columns do not count as more than they are:
    S = (B C + D I) / (B + D).
    """
    linear = invertible_1x1()

    def init(key, x):
        size, dimension = x.shape
        mean = x.mean(0)
        covariance = (x - mean).T @ (x - mean) + dimension * jnp.eye(dimension, dtype=x.dtype)
        return whitening(mean, covariance / (size + dimension))

    def forward(params, x):
        return linear.forward(params, x + params["shift"])

    def inverse(params, z):
        x, log_det = linear.inverse(params, z)
        return x - params["shift"], log_det

    return Bijector(init, forward, inverse, "whiten")
