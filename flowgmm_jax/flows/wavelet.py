"""A flow for the coarse image, and one for its details given the coarse image."""

from functools import partial
from typing import Any

from flowgmm_jax.flows.bijector import Bijector, chain, condition, repeat
from flowgmm_jax.flows.coupling import Partition, affine_coupling, channel, channel_given
from flowgmm_jax.flows.equalize import equalized_logit
from flowgmm_jax.flows.nets import ConvNet
from flowgmm_jax.flows.ops import actnorm, haar, invertible_1x1, squeeze


def wavelet_glow(
    levels: int,
    coarse_steps: int,
    detail_steps: int,
    width: int = 64,
    alpha: float = 1e-6,
    edges: tuple[int, ...] = (),
    spreads: tuple[float, ...] = (1.0,),
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
    reversible: bool = False,
) -> Bijector:
    """p(x) = p(c) p(d | c), for the coarse image c and the details d of a Haar transform, with
    steps of Glow for both (Yu et al. 2020, "Wavelet Flow", https://arxiv.org/abs/2010.13821).

    The latents of c come first. A prior whose means differ in these alone makes the class posterior
    a function of c, and the details, which have most of the dimensions, a pure question of density.

    Events (B, H, W, C) with values in [0, levels), H and W divisible by 4.

    Args:
      levels: grey levels of the data.
      coarse_steps: steps of Glow for c.
      detail_steps: steps of Glow for d; their conditioners see c.
      width: channels of the conditioners.
      alpha: contraction of the logit.
      edges: of the pieces of the logit, which is fitted to the grey levels: ``equalized_logit``.
      spreads: of its pieces.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the conditioners' hidden layers.
      pool: whether conditioners see a mean over the whole image.
      reversible: backpropagation in memory that does not grow with ``coarse_steps``, see
        ``repeat``.
    """
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)

    def step(i, partition: Partition):
        return chain(actnorm(), invertible_1x1(), affine_coupling(net, partition, i % 2))

    def details(c):
        seen, _ = squeeze().forward((), c)
        return chain(squeeze(), repeat(lambda i: step(i, channel_given(seen)), detail_steps))

    coarse = chain(squeeze(), repeat(lambda i: step(i, channel), coarse_steps, reversible))
    first = equalized_logit(alpha, levels, edges, spreads)
    return chain(first, haar(), condition(4, coarse, details))
