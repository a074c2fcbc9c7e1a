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


def pixels_to_reals(pixels: str, alpha: float, levels: int, edges: tuple[int, ...]) -> Bijector:
    """The first layer of an image flow by its name, from [0, levels) to the real line; raises
    ValueError for an unknown name, or edges with the logit, which has none."""
    if pixels == "gaussianize":
        return gaussianize(alpha, levels, edges)
    if pixels != "logit":
        raise ValueError(f"pixels is {pixels!r}, expected logit or gaussianize")
    if edges:
        raise ValueError(f"edges are {edges}, expected () if pixels is 'logit'")
    return logit(alpha, levels)


def glow(
    levels: int,
    stages: tuple[tuple[int, int], ...],
    width: int = 64,
    alpha: float = 0.05,
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
    pixels: str = "logit",
    edges: tuple[int, ...] = (),
    reversible: bool = False,
) -> Bijector:
    """Glow (https://arxiv.org/abs/1807.03039, figure 2) on pixels mapped to real numbers.

    Events (B, H, W, C) with values in [0, levels).

    Args:
      levels: grey levels of the data.
      stages: ``(squeezes, steps)`` of each scale; half of the channels is factored out between
        scales. Glow itself has one squeeze per scale; ``((2, 8),)`` is a single scale at a quarter
        of the resolution, which is cheap on a CPU.
      width: channels of the conditioners.
      alpha: contraction of the first layer.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the conditioners' hidden layers.
      pool: whether conditioners get a mean over the whole image.
      pixels: the first layer, "logit" or "gaussianize".
      edges: grey levels at which ``gaussianize`` begins a new piece.
      reversible: backpropagation in memory that does not grow with ``steps``, see ``repeat``.

    Raises:
      ValueError: for an unknown name in ``pixels``, or edges that do not fit it.
    """
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)
    return chain(
        pixels_to_reals(pixels, alpha, levels, edges),
        multiscale(
            *[
                chain(*[squeeze()] * squeezes, repeat(partial(glow_step, net), steps, reversible))
                for squeezes, steps in stages
            ]
        ),
    )
