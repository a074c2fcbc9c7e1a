"""Some pixels of an image are known: the others are drawn given them and the class.

A flow that goes from pixel to pixel draws the unknown pixels x_u one after the other, each given
those before it, known ones x_k included; but it does not look ahead at known pixels that come
later. So several candidates are drawn, and one of them is taken with a probability in proportion to

    w = p(x_u, x_k, y) / q(x_u),

with the density q by which it was drawn (sampling/importance resampling: Rubin 1987, "The
calculation of posterior probabilities by data augmentation", comment, section 2). As their number
grows, what is taken follows p(x_u | x_k, y).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from flowgmm_jax import density, gmm
from flowgmm_jax.flows.autoregressive import Known
from flowgmm_jax.flows.bijector import Bijector, Event, Params

DRAWS = 16  # candidates, by default


class Infilling(NamedTuple):
    """What a flow needs so that pixels can be filled in.

    Attributes:
      keeping: ``(Known) -> Bijector``, the flow whose inverse leaves known pixels as they are.
      arrange: an image -> the same pixels in the layout of the latents, of which each has one.
    """

    keeping: Callable[[Known], Bijector]
    arrange: Callable[[jax.Array], Event]


def candidates(
    flow: Bijector,
    infilling: Infilling,
    params: Params,
    known: Known,
    labels: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Images (B, H, W, C) of the labels (B,) with the known pixels, and log w (B,) in nats.

    The class is in a few latents, those of known pixels among them, so the latents of all pixels
    are drawn. Those of the known ones z_k have no say in w: they have the same density in

        p(x_u, x_k, y) p(z_k | y) / (q(x_u | z_k) p(z_k | y)).
    """
    prior = params["prior"]
    is_known = density.flatten(infilling.arrange(known.is_known))
    z = gmm.sample(prior, key, labels, is_known.shape[1])
    like, _ = jax.eval_shape(flow.forward, params["flow"], known.x)
    x, log_det = infilling.keeping(known).inverse(params["flow"], density.unflatten(z, like))
    mean = gmm.means_of_latents(prior, z.shape[1])[labels]
    scale = gmm.scales_of_latents(prior, z.shape[1])[labels]
    log_q = jnp.where(is_known, 0.0, norm.logpdf(z, mean, scale)).sum(-1) - log_det
    table = density.class_log_density(flow, params, x)
    return x, jnp.take_along_axis(table, labels[:, None], axis=1)[:, 0] - log_q


def resample(
    draw: Callable[[jax.Array], tuple[jax.Array, jax.Array]], key: jax.Array, draws: int
) -> jax.Array:
    """One of ``draws`` candidates (B, ...), with probabilities in proportion to their weights.

    Args:
      draw: ``(key) -> (candidates (B, ...), log w (B,))``.
      key: a PRNG key.
      draws: how many.
    """
    key_choice, key_draws = jax.random.split(key)
    x, log_weight = jax.lax.map(draw, jax.random.split(key_draws, draws))
    chosen = jax.random.categorical(key_choice, log_weight, axis=0)
    return x[chosen, jnp.arange(x.shape[1])]
