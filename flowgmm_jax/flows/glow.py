"""Glow-style flows: steps of actnorm, invertible 1x1 convolution and channel coupling."""

from functools import partial
from typing import Any

from flowgmm_jax.flows.bijector import Bijector, chain, multiscale, repeat
from flowgmm_jax.flows.coupling import affine_coupling, channel
from flowgmm_jax.flows.equalize import equalized_logit
from flowgmm_jax.flows.nets import ConvNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1, logit, squeeze


def glow(
    levels: int,
    stages: tuple[tuple[int, int], ...],
    width: int = 64,
    alpha: float = 0.05,
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
    edges: tuple[int, ...] = (),
    spreads: tuple[float, ...] = (1.0,),
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
      edges: where not (), the logit is one that is fitted to the grey levels: see
        ``equalized_logit``.
      spreads: of its pieces.
      reversible: backpropagation in memory that does not grow with ``steps``, see ``repeat``.
    """
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)

    def step(i):
        return chain(actnorm(), invertible_1x1(), affine_coupling(net, channel, i % 2))

    scales = [
        chain(*[squeeze()] * squeezes, repeat(step, steps, reversible))
        for squeezes, steps in stages
    ]
    first = equalized_logit(alpha, levels, edges, spreads) if edges else logit(alpha, levels)
    return chain(first, multiscale(*scales))
