"""Pixels to normal variables, by the grey levels of the data.

The logit of RealNVP (``ops.logit``) treats all grey levels as equally likely. Most pixels of a
drawing are exactly 0; the logit maps their dequantised values, uniform in [0, 1), to an
exponential distribution, whose shape affine couplings cannot change. This map instead applies a
learned cumulative distribution function, then the inverse of the normal one (Chen & Gopinath 2000,
"Gaussianization", https://papers.nips.cc/paper/1856-gaussianization).
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from scipy import special  # not scipy.stats, which takes a second to import

from flowgmm_jax.flows.bijector import Bijector, sum_event
from flowgmm_jax.flows.grey_levels import Masses, log_slope, to_normal

# The fraction of a piece's mass that its grey levels share equally, so that no level has density 0.
UNIFORM = 0.1


def gaussianize(alpha: float, levels: int, edges: tuple[int, ...] = ()) -> Bijector:
    """From [0, levels) to the real line, piece by piece.

    ``edges`` cut the range into pieces k = 0, 1, ... Within a piece, F rises from 0 to 1, linearly
    across each grey level i by its mass m_i, and

        z = 2 r k + q,    q = Phi^-1(y),    y = alpha + (1 - 2 alpha) F(x),    r = -Phi^-1(alpha),

        dz/dx = (1 - 2 alpha) m_i / phi(q),

    with the normal distribution's Phi and density phi. So each piece becomes a standard normal
    distribution, truncated to [-r, r] and shifted to adjoin the piece before it. The masses are a
    softmax of parameters, mixed with a fraction ``UNIFORM`` of equal masses; they are initialised
    from the histogram of the example batch of ``init``.

    Args:
      alpha: contraction, in (0, 0.5).
      levels: number of grey levels of the data.
      edges: first grey levels of the pieces after the first one, increasing, between 0 and
        ``levels``; ``(1,)`` gives the background of drawings a piece of its own, () is one piece.

    Raises:
      ValueError: for an alpha outside (0, 0.5), or edges that do not increase or lie outside; the
        message names the argument.
    """
    bounds = (0, *edges, levels)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}, expected a number between 0 and 0.5")
    if any(begin >= end for begin, end in pairwise(bounds)):
        raise ValueError(f"edges are {edges}, expected to rise from above 0 to below {levels}")
    pieces = [slice(begin, end) for begin, end in pairwise(bounds)]
    piece_of = np.repeat(np.arange(len(pieces)), np.diff(bounds))  # (levels,)
    reach = -float(special.ndtri(alpha))
    middles = 2 * reach * np.arange(len(pieces))

    def level_of(x):
        return jnp.clip(jnp.floor(x), 0, levels - 1).astype(jnp.int32)

    def per_piece(function, masses):
        return jnp.concatenate([function(masses[piece]) for piece in pieces])

    def init(key, x):
        # Counts start at one: the logarithm of zero is infinite.
        counts = jnp.ones(levels, x.dtype).at[level_of(x)].add(1)
        return {"log_mass": jnp.log(per_piece(lambda c: c / c.sum(), counts))}

    def masses(params):
        """Of each grey level, with those below and above it in its piece, (levels,) each."""
        mass = per_piece(
            lambda m: (1 - UNIFORM) * jax.nn.softmax(m) + UNIFORM / len(m), params["log_mass"]
        )
        below = per_piece(lambda m: jnp.cumsum(m) - m, mass)
        above = per_piece(lambda m: jnp.cumsum(m[::-1])[::-1] - m, mass)
        return Masses(below, mass, above)

    def forward(params, x):
        i = level_of(x)
        q, slope = to_normal(Masses(*[a[i] for a in masses(params)]), x - i, alpha)
        return jnp.asarray(middles[piece_of], x.dtype)[i] + q, sum_event(slope)

    def inverse(params, z):
        below, mass, _ = masses(params)
        k = jnp.searchsorted(jnp.asarray(middles[1:] - reach, z.dtype), z, side="right")
        q = z - jnp.asarray(middles, z.dtype)[k]
        risen = (ndtr(q) - alpha) / (1 - 2 * alpha)
        i = jnp.searchsorted(below + piece_of, risen + k, side="right") - 1
        # At an edge, rounding may lead into the neighbouring piece.
        i = jnp.clip(i, jnp.asarray(bounds[:-1])[k], jnp.asarray(bounds[1:])[k] - 1)
        return i + (risen - below[i]) / mass[i], -sum_event(log_slope(mass[i], q, alpha))

    return Bijector(init, forward, inverse, "gaussianize")
