"""Gaussianization of a group of pixels, each given the pixels before it and a context.

    z_j = Phi^-1( F_j(x_j | floor(x_<j), context) )

with the normal distribution's Phi and a distribution function F_j, linear across every grey level,
whose masses a network computes (``grey_levels.mixture``). The Jacobian is triangular:

    log |det dz/dx| = sum_j log f_j(x_j) - log phi(z_j),

with the densities f_j of F_j and phi of Phi. So log p(z) + log |det dz/dx| = sum_j log f_j: if z is
standard normal, x has the density that the network says. Within a grey level it is uniform, as the
noise of dequantisation is: the bits of x are those of a code of the integer image.

Pixels that are known are filled in around: in their place the inverse puts their values, so that
those after them are drawn given them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.flows import grey_levels
from flowgmm_jax.flows.bijector import Bijector, sum_event
from flowgmm_jax.flows.causal_net import CausalNet, Context

# Latents lie within 4.75 standard deviations; the mass beyond costs 2e-6 nats a pixel.
ALPHA = 1e-6


class Known(NamedTuple):
    """Pixels that are given.

    Attributes:
      x: (B, H, W, n), their values; the others mean nothing.
      is_known: (B, H, W, n), which they are.
    """

    x: jax.Array
    is_known: jax.Array


def autoregressive_gaussianize(
    net: CausalNet, context: Context, known: Known | None = None
) -> Bijector:
    """The map above, of events (B, H, W, n) with values in [0, ``net.levels``).

    Pixels are in raster order over the positions, and those at a position in the order of n.
    Forward is one pass of the network; the inverse goes from one position to the next, where it
    computes what is new.

    Args:
      net: computes the parameters of F, ``grey_levels.num_parameters`` numbers for each pixel.
      context: the same in forward and inverse.
      known: pixels that the inverse leaves as they are, whatever their latents; its log-determinant
        is that of the map of the other pixels. None: no pixel is known.
    """
    levels = net.levels

    def level_of(x):
        return jnp.clip(jnp.floor(x), 0, levels - 1)

    def apply(params, *args, method=None):
        return net.apply({"params": params}, *args, method=method)

    def init(key, x):
        return net.init(key, level_of(x), context)["params"]

    def forward(params, x):
        level = level_of(x)
        masses = grey_levels.mixture(apply(params, level, context), level, levels)
        z, log_slope = grey_levels.to_normal(masses, x - level, ALPHA)
        return z, sum_event(log_slope)

    def at_position(params, h, z, known):
        """The pixels (..., n) of latents at a position with hidden layer h, and log dz/dx."""

        def pixel(j, carry):
            x, log_slope = carry
            parameters = apply(params, h, level_of(x), method="parameters")[..., j, :]
            x_j, log_slope_j = grey_levels.from_normal(parameters, z[..., j], ALPHA, levels)
            is_known = known.is_known[..., j]
            x_j = jnp.where(is_known, known.x[..., j], x_j)
            log_slope_j = jnp.where(is_known, 0.0, log_slope_j)
            return x.at[..., j].set(x_j), log_slope.at[..., j].set(log_slope_j)

        return jax.lax.fori_loop(0, z.shape[-1], pixel, (jnp.zeros_like(z), jnp.zeros_like(z)))

    def inverse(params, z):
        given = known or Known(jnp.zeros_like(z), jnp.zeros(z.shape, bool))
        hidden = apply(params, context, method="given")
        if not net.causal_blocks:  # a position depends on no other
            x, log_slope = at_position(params, hidden, z, given)
            return x, -sum_event(log_slope)

        def step(inputs, at):
            position, *rows = at
            z, *known = (row[:, None, None] for row in rows)
            inputs, h = apply(params, inputs, hidden, position, method="at")
            x, log_slope = at_position(params, h, z, Known(*known))
            inputs = apply(params, inputs, level_of(x), position, method="write")
            return inputs, (x[:, 0, 0], log_slope[:, 0, 0])

        b, height, width, n = z.shape
        positions = np.indices((height, width)).reshape(2, -1)
        rows = [a.reshape(b, height * width, n).swapaxes(0, 1) for a in (z, *given)]
        _, (x, log_slope) = jax.lax.scan(step, net.empty(z), (tuple(positions), *rows))
        return x.swapaxes(0, 1).reshape(z.shape), -jnp.sum(log_slope, axis=(0, 2))

    return Bijector(init, forward, inverse, "autoregressive_gaussianize")
