"""Masked autoregressive layer: every number of a vector is scaled and shifted given those before.

    z_i = x_i exp(s_i(x_<i)) + t_i(x_<i),    log |det dz/dx| = sum_i s_i.

Papamakarios et al. 2017, "Masked autoregressive flow for density estimation",
https://arxiv.org/abs/1705.07057, eqs. 3 and 4 with the sign of s turned. One pass of a masked
network gives s and t of all numbers, so the density is as fast as a coupling's; the inverse takes a
pass for every number.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, chain, repeat, sum_event
from flowgmm_jax.flows.coupling import of_context
from flowgmm_jax.flows.nets import ScaleAndShift
from flowgmm_jax.flows.ops import actnorm


class _MaskedDense(nn.Module):
    """A dense layer whose output j sees input i if ``sees[i][j]``."""

    features: int
    sees: tuple[tuple[bool, ...], ...]
    dtype: Any = None
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel = kernel * np.asarray(self.sees, np.float32).astype(kernel.dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x @ kernel + bias


def _sees(inputs: np.ndarray, outputs: np.ndarray) -> tuple[tuple[bool, ...], ...]:
    return tuple(map(tuple, (inputs[:, None] <= outputs).tolist()))


class MADE(nn.Module):
    """Fully connected and masked: (B, D) -> two arrays (B, D), number i of which sees x_<i.

    Germain et al. 2015, "MADE: masked autoencoder for distribution estimation",
    https://arxiv.org/abs/1502.03509, eqs. 8 and 9: a hidden unit of degree m sees x_1 ... x_m.
    """

    features: int
    hidden: tuple[int, ...]
    bound: float = 2.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        degrees = np.arange(self.features) + 1
        for width in self.hidden:
            of_layer = 1 + np.arange(width) % max(self.features - 1, 1)
            x = nn.silu(_MaskedDense(width, _sees(degrees, of_layer), self.dtype)(x))
            degrees = of_layer
        of_outputs = np.tile(np.arange(self.features), 2)  # number i sees degrees below its own
        last = partial(_MaskedDense, sees=_sees(degrees, of_outputs))
        return ScaleAndShift(self.features, self.bound, last)(x)


def masked_affine(net: Callable[[int], nn.Module], parity: int | jax.Array = 0) -> Bijector:
    """One masked autoregressive layer, of events (B, D).

    Args:
      net: ``(features) -> module``, such as ``MADE``; the module maps x to ``(log_scale, shift)``,
        (B, D) each, number i of which depends on x_<i alone.
      parity: 1 for the order from the last number to the first; may be traced.
    """

    def ordered(x):
        return jnp.where(jnp.asarray(parity, bool), x[:, ::-1], x)

    def scale_and_shift(params, x):
        return (a.astype(x.dtype) for a in of_context(net(x.shape[-1]), params, x))

    def init(key, x):
        return net(x.shape[-1]).init(key, ordered(x))["params"]

    def forward(params, x):
        x = ordered(x)
        log_scale, shift = scale_and_shift(params, x)
        return ordered(x * jnp.exp(log_scale) + shift), sum_event(log_scale)

    def inverse(params, z):
        z = ordered(z)

        def number(i, carry):
            x, _ = carry
            log_scale, shift = scale_and_shift(params, x)
            x_i = ((z - shift) * jnp.exp(-log_scale))[:, i]
            return x.at[:, i].set(x_i), log_scale

        x, log_scale = jax.lax.fori_loop(0, z.shape[-1], number, (jnp.zeros_like(z), z))
        return ordered(x), -sum_event(log_scale)

    return Bijector(init, forward, inverse, "masked_affine")


def vector_maf(
    steps: int = 6,
    hidden: tuple[int, ...] = (64, 64),
    bound: float = 2.0,
    dtype: Any = None,
    reversible: bool = False,
) -> Bijector:
    """A masked autoregressive flow for vectors (B, D), whose order turns round in every step.

    An actnorm in front standardises the data. ``reversible``: see ``repeat``.
    """
    net = partial(MADE, hidden=hidden, bound=bound, dtype=dtype)
    return chain(actnorm(), repeat(lambda i: masked_affine(net, i % 2), steps, reversible))
