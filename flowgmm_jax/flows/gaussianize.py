"""Pixels to normal variables, by the grey levels of the data.

The logit of RealNVP (``ops.logit``) takes all grey levels as equally likely. Most pixels of a
drawing are exactly 0, and their dequantised values, uniform in [0, 1), come out of it exponentially
distributed, a shape that affine couplings cannot mend. Here every value goes through a cumulative
distribution function that is learned, and then through the inverse of the normal one (Chen &
Gopinath 2000, "Gaussianization", https://papers.nips.cc/paper/1856-gaussianization).
"""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from scipy.stats import norm

from flowgmm_jax.flows.bijector import Bijector, sum_event

# Of the mass of a piece, in equal shares for its grey levels, so that none is without density.
UNIFORM = 0.1


def gaussianize(
    alpha: float, levels: int, edges: tuple[int, ...], spreads: tuple[float, ...]
) -> Bijector:
    """From [0, levels) to the real line, piece by piece.

    ``edges`` cut the range into pieces. Within piece k, F rises from 0 to 1, linearly across every
    grey level i by its mass m_i, and

        z = b_k + s_k q,    q = Phi^-1(y),    y = alpha + (1 - 2 alpha) F(x),
        dz/dx = s_k (1 - 2 alpha) m_i / phi(q),

    with the normal distribution's Phi and density phi. So every piece becomes a normal distribution
    of its own spread, cut off at Phi^-1(alpha) on both sides; their middles b_k are such that they
    adjoin. The masses are a softmax of parameters, but for a share of ``UNIFORM``, and start from
    the histogram of the example batch of ``init``.

    Args:
      alpha: contraction, in (0, 0.5).
      levels: grey levels of the data.
      edges: grey levels at which a new piece begins, rising, between 0 and ``levels``; ``(1,)``
        gives the background of drawings a piece of its own, () is one piece.
      spreads: s_k, one for each piece. What is noise within the background, say, stays small beside
        the differences of other grey levels where its spread is small.

    Raises:
      ValueError: naming the argument, for an alpha outside (0, 0.5), edges that do not rise or lie
        outside, another number of spreads, or one that is not positive.
    """
    bounds = (0, *edges, levels)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}, expected a number between 0 and 0.5")
    if any(begin >= end for begin, end in pairwise(bounds)):
        raise ValueError(f"edges are {edges}, expected to rise from above 0 to below {levels}")
    if len(spreads) != len(bounds) - 1 or min(spreads) <= 0:
        raise ValueError(
            f"spreads are {spreads}, expected {len(bounds) - 1} positive numbers, one a piece"
        )
    pieces = [slice(begin, end) for begin, end in pairwise(bounds)]
    piece_of = np.repeat(np.arange(len(pieces)), np.diff(bounds))  # (levels,)
    spread = np.array(spreads)
    reach = -spread * float(norm.ppf(alpha))  # piece k is b_k - reach_k to b_k + reach_k
    middle = np.cumsum(2 * reach) - reach - reach[0]

    def level_of(x):
        return jnp.clip(jnp.floor(x), 0, levels - 1).astype(jnp.int32)

    def per_piece(function, masses):
        return jnp.concatenate([function(masses[piece]) for piece in pieces])

    def init(key, x):
        # As if every grey level had been seen once more: a logarithm needs a number.
        counts = jnp.ones(levels, x.dtype).at[level_of(x)].add(1)
        return {"log_mass": jnp.log(per_piece(lambda c: c / c.sum(), counts))}

    def masses(params):
        """The mass of every grey level, and of those below and above it in its piece, (levels,)."""
        mass = per_piece(
            lambda m: (1 - UNIFORM) * jax.nn.softmax(m) + UNIFORM / len(m), params["log_mass"]
        )
        below = per_piece(lambda m: jnp.cumsum(m) - m, mass)
        above = per_piece(lambda m: jnp.cumsum(m[::-1])[::-1] - m, mass)
        return mass, below, above

    def at(of_piece, i, x):
        """A constant of the pieces, at the grey levels i and in the dtype of x."""
        return jnp.asarray(of_piece[piece_of], x.dtype)[i]

    def log_det(mass, i, q):
        log_phi = -0.5 * jnp.square(q) - 0.5 * math.log(2 * math.pi)
        return sum_event(jnp.log(at(spread, i, q) * (1 - 2 * alpha) * mass[i]) - log_phi)

    def forward(params, x):
        mass, below, above = masses(params)
        i = level_of(x)
        y = alpha + (1 - 2 * alpha) * (below[i] + mass[i] * (x - i))
        # From the nearer end: near 1, y rounds.
        rest = alpha + (1 - 2 * alpha) * (above[i] + mass[i] * (i + 1 - x))
        q = jnp.where(y < rest, ndtri(jnp.minimum(y, 0.5)), -ndtri(jnp.minimum(rest, 0.5)))
        return at(middle, i, x) + at(spread, i, x) * q, log_det(mass, i, q)

    def inverse(params, z):
        mass, below, _ = masses(params)
        k = jnp.searchsorted(jnp.asarray(middle[1:] - reach[1:], z.dtype), z, side="right")
        q = (z - jnp.asarray(middle, z.dtype)[k]) / jnp.asarray(spread, z.dtype)[k]
        risen = (ndtr(q) - alpha) / (1 - 2 * alpha)
        i = jnp.searchsorted(below + piece_of, risen + k, side="right") - 1
        # At an edge, rounding may lead into the piece beside.
        i = jnp.clip(i, jnp.asarray(bounds[:-1])[k], jnp.asarray(bounds[1:])[k] - 1)
        return i + (risen - below[i]) / mass[i], -log_det(mass, i, q)

    return Bijector(init, forward, inverse, "gaussianize")
