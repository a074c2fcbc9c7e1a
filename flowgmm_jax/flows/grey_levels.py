"""Distributions over the grey levels of a pixel, and the map to a normal variable through them.

``to_normal`` takes the masses of any distribution. Those of ``mixture`` have parameters that a
network can compute: level 0, the background of drawings, has a mass of its own; the other levels
share what remains as a mixture of discretised logistic distributions (Salimans et al. 2017,
"PixelCNN++", https://arxiv.org/abs/1701.05517, section 2.1). Two separate peaks are what affine
couplings cannot make of one normal distribution.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

# The share of the mass that all levels divide equally, so that none has density 0, and the inverse
# of the distribution function keeps digits. It costs at most 1e-4 nats a pixel.
UNIFORM = 1e-4


class Masses(NamedTuple):
    """Of one grey level of a pixel, and of the levels below and above it; their sum is 1.

    Both ``below`` and ``above`` are there, since 1 - below has no digits left if below is near 1.
    """

    below: jax.Array
    mass: jax.Array
    above: jax.Array


def to_normal(masses: Masses, fraction: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """z = Phi^-1(alpha + (1 - 2 alpha) F), and log dz/dx in nats, with the normal distribution's
    Phi.

    Args:
      masses: of the level of x, which lie in an interval of total mass 1.
      fraction: how far within its level x is, from 0 to 1; F rises linearly across a level.
      alpha: contraction, in (0, 0.5), which keeps z finite.
    """
    y = alpha + (1 - 2 * alpha) * (masses.below + masses.mass * fraction)
    # From the nearer end, since y rounds near 1.
    rest = alpha + (1 - 2 * alpha) * (masses.above + masses.mass * (1 - fraction))
    z = jnp.where(y < rest, ndtri(jnp.minimum(y, 0.5)), -ndtri(jnp.minimum(rest, 0.5)))
    return z, log_slope(masses.mass, z, alpha)


def log_slope(mass: jax.Array, z: jax.Array, alpha: float) -> jax.Array:
    """log dz/dx of ``to_normal``, log((1 - 2 alpha) mass / phi(z)), with the normal density phi."""
    log_phi = -0.5 * jnp.square(z) - 0.5 * math.log(2 * math.pi)
    return jnp.log((1 - 2 * alpha) * mass) - log_phi


def num_parameters(components: int) -> int:
    """Of ``mixture``, for one pixel."""
    return 1 + 3 * components


def mixture(parameters: jax.Array, level: jax.Array, levels: int) -> Masses:
    """Masses of a level, with P(0) = sigmoid(b) and, for the levels 1, ..., L - 1,

        P(level < i) = P(0) + (1 - P(0)) sum_k w_k sigmoid((e_i - m_k) / s_k),

    where e_i runs from -1 at the lower edge of level 1 to 1 at the upper edge of level L - 1; the
    first and the last of these levels have the tails.

    Args:
      parameters: (..., 1 + 3 K), real numbers: b, the logits of w, shifts of the means from an even
        spread, and log-scales.
      level: (...), integers from 0 to ``levels`` - 1.
      levels: L, at least 2.
    """
    components = (parameters.shape[-1] - 1) // 3
    background, logits, shifts, log_scales = jnp.split(
        parameters, [1, 1 + components, 1 + 2 * components], axis=-1
    )
    weights = jax.nn.softmax(logits, axis=-1)
    means = jnp.linspace(-0.9, 0.9, components, dtype=shifts.dtype) + 0.5 * shifts
    sharpness = jnp.exp(-jnp.clip(log_scales - 2.0, -6.0, 3.0))
    width = 2 / (levels - 1)
    lower = (width * (level[..., None] - 1) - 1 - means) * sharpness
    upper = lower + width * sharpness
    is_first, is_last = level[..., None] <= 1, level[..., None] >= levels - 1
    at_least = jnp.where(is_first, 1.0, jax.nn.sigmoid(-lower))
    at_most = jnp.where(is_last, 1.0, jax.nn.sigmoid(upper))
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), without cancellation.
    inside = jnp.where(is_first | is_last, 1.0, -jnp.expm1(lower - upper))

    background, ink = jax.nn.sigmoid(background)[..., 0], jax.nn.sigmoid(-background)[..., 0]
    is_background = level == 0

    def of_ink(shares):
        return ink * jnp.sum(weights * shares, axis=-1)

    below = background + of_ink(jnp.where(is_first, 0.0, jax.nn.sigmoid(lower)))
    above = of_ink(jnp.where(is_last, 0.0, jax.nn.sigmoid(-upper)))
    masses = Masses(
        jnp.where(is_background, 0.0, below),
        jnp.where(is_background, background, of_ink(at_least * at_most * inside)),
        jnp.where(is_background, ink, above),
    )
    equal = Masses(level / levels, jnp.full_like(ink, 1 / levels), (levels - 1 - level) / levels)
    return jax.tree.map(lambda a, b: (1 - UNIFORM) * a + UNIFORM * b.astype(a.dtype), masses, equal)


def from_normal(
    parameters: jax.Array, z: jax.Array, alpha: float, levels: int
) -> tuple[jax.Array, jax.Array]:
    """The inverse of ``to_normal`` for the masses of ``mixture``: x in [0, levels), and log dz/dx.

    Args:
      parameters: (..., 1 + 3 K), of ``mixture``.
      z: (...), real numbers.
      alpha: of ``to_normal``.
      levels: L.
    """
    below = jnp.clip((ndtr(z) - alpha) / (1 - 2 * alpha), 0, 1)
    above = jnp.clip((ndtr(-z) - alpha) / (1 - 2 * alpha), 0, 1)
    is_low = z < 0  # compared from the nearer end, since the other one rounds

    def refine(i, level):
        """Bisection: the highest level that begins at or below the point, bit by bit."""
        higher = level + jnp.left_shift(1, bits - 1 - i).astype(level.dtype)
        masses = mixture(parameters, jnp.minimum(higher, levels - 1), levels)
        begins = jnp.where(is_low, masses.below <= below, masses.mass + masses.above >= above)
        return jnp.where((higher < levels) & begins, higher, level)

    bits = (levels - 1).bit_length()
    level = jax.lax.fori_loop(0, bits, refine, jnp.zeros(z.shape, jnp.int32))
    below_level, mass, above_level = mixture(parameters, level, levels)
    fraction = jnp.where(is_low, (below - below_level) / mass, 1 - (above - above_level) / mass)
    x = level + jnp.clip(fraction, 0, 1)
    end = (level + 1).astype(z.dtype)
    return jnp.minimum(x, jnp.nextafter(end, jnp.zeros_like(end))), log_slope(mass, z, alpha)
