"""Glow-style flows: steps of actnorm, invertible 1x1 convolution and channel coupling."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, chain, multiscale, repeat
from flowgmm_jax.flows.coupling import Partition, affine_coupling, channel
from flowgmm_jax.flows.gaussianize import gaussianize
from flowgmm_jax.flows.nets import ConvNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1, logit, squeeze


def glow_step(
    net: Callable[[int], nn.Module], i: int | jax.Array, partition: Partition = channel
) -> Bijector:
    """Actnorm, invertible 1x1 convolution and coupling number i, whose parity alternates."""
    return chain(actnorm(), invertible_1x1(), affine_coupling(net, partition, i % 2))


def pixels_to_reals(
    alpha: float, levels: int, edges: tuple[int, ...], spreads: tuple[float, ...]
) -> Bijector:
    """The logit, or where there are edges or spreads ``gaussianize``."""
    if edges or spreads:
        return gaussianize(alpha, levels, edges, spreads)
    return logit(alpha, levels)


def glow(
    levels: int,
    stages: tuple[tuple[int, int], ...],
    width: int = 64,
    alpha: float = 0.05,
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
    edges: tuple[int, ...] = (),
    spreads: tuple[float, ...] = (),
    reversible: bool = False,
) -> Bijector:
    """Glow (https://arxiv.org/abs/1807.03039, figure 2) on a logit of the pixels.

    Events (B, H, W, C) with values in [0, levels).

    Args:
      levels: grey levels of the data.
      stages: ``(squeezes, steps)`` for every scale; half of the channels is factored out between
        scales. Glow itself has one squeeze a scale; ``((2, 8),)`` is a single scale at a quarter
        of the resolution, which costs a CPU little.
      width: channels of the conditioners.
      alpha: contraction of the logit.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the conditioners' hidden layers.
      pool: whether conditioners see a mean over the whole image.
      edges: with ``spreads``, of the pieces of ``gaussianize``, which takes the place of the logit.
        (), without spreads: the logit.
      spreads: of the pieces, one more than edges.
      reversible: backpropagation in memory that does not grow with ``steps``, see ``repeat``.
    """
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)
    scales = [
        chain(*[squeeze()] * squeezes, repeat(partial(glow_step, net), steps, reversible))
        for squeezes, steps in stages
    ]
    return chain(pixels_to_reals(alpha, levels, edges, spreads), multiscale(*scales))
