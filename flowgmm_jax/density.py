"""Where flow and prior meet: the density of data, log p(x, y) = log p_Z(f(x), y) + log|det df/dx|.

``params`` is ``{"flow": parameters of the flow, "prior": GMM}``.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import gmm
from flowgmm_jax.flows.bijector import Bijector, Event, Params


def flatten(latents: Event) -> jax.Array:
    """A latent event, an array or nested pairs of arrays (B, ...), as one array (B, D)."""
    leaves = jax.tree.leaves(latents)
    return jnp.concatenate(
        [leaf.reshape(leaf.shape[0], math.prod(leaf.shape[1:])) for leaf in leaves], axis=-1
    )


def flatten_first(latents: Event, dimensions: int) -> jax.Array:
    """The first ``dimensions`` columns of ``flatten``, (B, dimensions).

    Arrays beyond them are not touched, so that a compiled program of these columns and of their
    gradient leaves out what leads only to the others.
    """
    leaves = jax.tree.leaves(latents)
    ends = np.cumsum([math.prod(leaf.shape[1:]) for leaf in leaves])
    needed = int(np.searchsorted(ends, dimensions)) + 1
    return flatten(leaves[:needed])[:, :dimensions]


def unflatten(z: jax.Array, like: Event) -> Event:
    """The inverse of ``flatten``; ``like`` gives shapes, with any batch size."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([math.prod(leaf.shape[1:]) for leaf in leaves])
    parts = jnp.split(z, ends[:-1], axis=-1)
    shaped = [p.reshape(z.shape[0], *leaf.shape[1:]) for p, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def encode(flow: Bijector, params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Latents z (B, D) of x (B, ...), and the log-determinant (B,)."""
    latents, log_det = flow.forward(params["flow"], x)
    return flatten(latents), log_det


def decode(flow: Bijector, params: Params, z: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Data x (B, *shape) of latents z (B, D)."""
    x = jax.ShapeDtypeStruct((z.shape[0], *shape), z.dtype)
    like, _ = jax.eval_shape(flow.forward, params["flow"], x)
    return flow.inverse(params["flow"], unflatten(z, like))[0]


def class_log_density(flow: Bijector, params: Params, x: jax.Array) -> jax.Array:
    """log p(x_b, y = k) in nats, (B, K)."""
    z, log_det = encode(flow, params, x)
    return gmm.joint(params["prior"], z) + log_det[:, None]


class Tables(NamedTuple):
    """What a model says of examples and classes, (B, K) both, in nats.

    Attributes:
      logits: of the class posterior: log p(x_b, y = k) up to a term common to all classes.
      joint: log p(x_b, y = k).
    """

    logits: jax.Array
    joint: jax.Array


def tables(flow: Bijector, params: Params, x: jax.Array) -> Tables:
    """Both tables of x (B, ...) from one pass, the logits from the latents that carry the class.

    A compiled program that needs only the logits leaves out what leads to the other latents
    (``flatten_first``).
    """
    latents, log_det = flow.forward(params["flow"], x)
    prior = params["prior"]
    return Tables(
        logits=gmm.class_logits(prior, flatten_first(latents, prior.means.shape[-1])),
        joint=gmm.joint(prior, flatten(latents)) + log_det[:, None],
    )


def bits_per_dim(log_density: jax.Array, dimension: int) -> jax.Array:
    """Nats of log p(x), (B,), as bits for each of ``dimension`` dimensions: -log p / (D log 2)."""
    return -log_density / (dimension * jnp.log(2.0))
