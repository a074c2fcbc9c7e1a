"""Spline coupling: the changed part goes through a monotonic spline whose knots the kept part sets.

    kept, changed = split(x),     z = merge(kept, g(changed)),     g given by net(kept),
    log |det dz/dx| = sum log g'(changed).

Durkan et al. 2019, "Neural spline flows", https://arxiv.org/abs/1906.04032. On [-tail, tail], g is
a ratio of two quadratic polynomials in every bin (section 3.1), the identity outside.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, chain, repeat, sum_event
from flowgmm_jax.flows.coupling import Partition, coupled, half, of_context
from flowgmm_jax.flows.nets import DenseNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1

LEAST_BIN = 1e-3  # part of the interval
LEAST_SLOPE = 1e-3


class Knots(NamedTuple):
    """Of a spline of K bins, (..., K + 1) each: where, what values, and what slopes it has there.

    The outermost slopes are 1, as outside.
    """

    x: jax.Array
    z: jax.Array
    slope: jax.Array


def knots(raw: jax.Array, tail: float) -> Knots:
    """The knots of numbers (..., 3 K - 1): widths, heights, and slopes between bins. Zeros are the
    identity."""
    bins = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = jnp.split(raw, [bins, 2 * bins], axis=-1)
    outside = [(0, 0)] * (raw.ndim - 1)

    def positions(sizes):
        share = LEAST_BIN + (1 - LEAST_BIN * bins) * jax.nn.softmax(sizes)
        inner = jnp.cumsum(2 * tail * share[..., :-1], axis=-1) - tail
        inner = jnp.pad(inner, [*outside, (1, 0)], constant_values=-tail)
        return jnp.pad(inner, [*outside, (0, 1)], constant_values=tail)

    at_zero = math.log(math.expm1(1 - LEAST_SLOPE))
    slopes = LEAST_SLOPE + jax.nn.softplus(slopes + at_zero)
    slopes = jnp.pad(slopes, [*outside, (1, 1)], constant_values=1.0)
    return Knots(positions(widths), positions(heights), slopes)


class _Bin(NamedTuple):
    """The bin of every number: its left end, its size, and the slopes of and between its ends."""

    x: jax.Array
    z: jax.Array
    width: jax.Array
    height: jax.Array
    left: jax.Array
    right: jax.Array

    @property
    def mean_slope(self) -> jax.Array:
        return self.height / self.width


def _bin_of(a: jax.Array, ends: jax.Array, at: Knots) -> _Bin:
    k = jnp.sum(a[..., None] >= ends[..., 1:-1], axis=-1, keepdims=True)

    def left_and_right(values):
        left, right = (jnp.take_along_axis(values, k + i, axis=-1)[..., 0] for i in (0, 1))
        return left, right

    (x, x_next), (z, z_next), (left, right) = map(left_and_right, at)
    return _Bin(x, z, x_next - x, z_next - z, left, right)


def _log_slope(t: jax.Array, bin: _Bin) -> jax.Array:
    """log dz/dx at the part t of the width of a bin (eq. 5)."""
    s, u = bin.mean_slope, t * (1 - t)
    numerator = bin.right * t**2 + 2 * s * u + bin.left * (1 - t) ** 2
    denominator = s + (bin.right + bin.left - 2 * s) * u
    return 2 * jnp.log(s) + jnp.log(numerator) - 2 * jnp.log(denominator)


def rational_quadratic(at: Knots, tail: float, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """z = g(x) and log g'(x), both shaped as x (...,), with knots (..., K + 1) (eq. 4)."""
    inside = jnp.abs(x) < tail
    bin = _bin_of(jnp.clip(x, -tail, tail), at.x, at)
    t = (jnp.clip(x, -tail, tail) - bin.x) / bin.width
    s, u = bin.mean_slope, t * (1 - t)
    part = (s * t**2 + bin.left * u) / (s + (bin.right + bin.left - 2 * s) * u)
    z = bin.z + bin.height * part
    return jnp.where(inside, z, x), jnp.where(inside, _log_slope(t, bin), 0.0)


def inverse_rational_quadratic(at: Knots, tail: float, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x with g(x) = z, and log dx/dz: the root of a quadratic equation (eqs. 6-8)."""
    inside = jnp.abs(z) < tail
    bin = _bin_of(jnp.clip(z, -tail, tail), at.z, at)
    rise = jnp.clip(z, -tail, tail) - bin.z
    s = bin.mean_slope
    bend = rise * (bin.right + bin.left - 2 * s)
    a = bin.height * (s - bin.left) + bend
    b = bin.height * bin.left - bend
    c = -s * rise
    # The form that does not divide by a, which may be 0.
    t = -2 * c / (b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0.0)))
    x = bin.x + bin.width * t
    return jnp.where(inside, x, z), jnp.where(inside, -_log_slope(t, bin), 0.0)


def conditional_spline(
    net: Callable[[int], nn.Module],
    context: jax.Array,
    only_changed: Callable = lambda a: a,
    bins: int = 8,
    tail: float = 4.0,
) -> Bijector:
    """z = g(x), the map of a spline coupling's changed part x.

    Args:
      net: ``(outputs) -> module``; the module maps the context to so many numbers in its last axis,
        3 bins - 1 for each of x. Zeros make the identity.
      context: input of the net, the same in forward and inverse.
      only_changed: applied to these numbers, see ``Partition``.
      bins: K.
      tail: beyond it, g is the identity.
    """

    def knots_of(params, x):
        n = 3 * bins - 1
        raw = of_context(net(x.shape[-1] * n), params, context).astype(x.dtype)
        raw = raw.reshape(*x.shape, n)
        return knots(jax.vmap(only_changed, -1, -1)(raw), tail)

    def forward(params, x):
        z, log_slope = rational_quadratic(knots_of(params, x), tail, x)
        return z, sum_event(log_slope)

    def inverse(params, z):
        x, log_slope = inverse_rational_quadratic(knots_of(params, z), tail, z)
        return x, sum_event(log_slope)

    def init(key, x):
        return net(x.shape[-1] * (3 * bins - 1)).init(key, context)["params"]

    return Bijector(init, forward, inverse, "conditional_spline")


def spline_coupling(
    net: Callable[[int], nn.Module],
    partition: Partition,
    parity: int | jax.Array = 0,
    bins: int = 8,
    tail: float = 4.0,
) -> Bijector:
    """One spline coupling layer; ``net``, ``bins`` and ``tail`` as in ``conditional_spline``,
    ``partition`` and ``parity`` as in ``affine_coupling``."""

    def given(kept, only_changed):
        return conditional_spline(net, kept, only_changed, bins, tail)

    return coupled(given, partition, parity, "spline_coupling")


def vector_spline(
    steps: int = 4,
    hidden: tuple[int, ...] = (64, 64),
    bins: int = 8,
    tail: float = 4.0,
    dtype: Any = None,
    reversible: bool = False,
) -> Bijector:
    """A neural spline flow for vectors (B, D), D >= 2: rotations and spline couplings of
    alternating halves with MLPs.

    An actnorm in front standardises the data. ``reversible``: see ``repeat``.
    """
    net = partial(DenseNet, hidden=hidden, dtype=dtype)

    def step(i):
        return chain(invertible_1x1(), spline_coupling(net, half, i % 2, bins, tail))

    return chain(actnorm(), repeat(step, steps, reversible))
