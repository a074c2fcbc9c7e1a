"""A flow for the coarse image, and one for its details given the coarse image."""

from functools import partial
from typing import Any

from flowgmm_jax.flows.bijector import Bijector, chain, condition, repeat
from flowgmm_jax.flows.coupling import channel_given
from flowgmm_jax.flows.glow import glow_step, pixels_to_reals
from flowgmm_jax.flows.nets import ConvNet
from flowgmm_jax.flows.ops import haar, squeeze


def wavelet_glow(
    levels: int,
    coarse_steps: int,
    detail_steps: int,
    width: int = 64,
    alpha: float = 0.05,
    edges: tuple[int, ...] = (),
    spreads: tuple[float, ...] = (),
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
      edges: as of ``glow``.
      spreads: as of ``glow``.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the conditioners' hidden layers.
      pool: whether conditioners see a mean over the whole image.
      reversible: backpropagation in memory that does not grow with ``coarse_steps``, see
        ``repeat``.
    """
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)

    def details(c):
        def step(i):
            seen, _ = squeeze().forward((), c)
            return glow_step(net, i, channel_given(seen))

        return chain(squeeze(), repeat(step, detail_steps))

    coarse = chain(squeeze(), repeat(partial(glow_step, net), coarse_steps, reversible))
    return chain(
        pixels_to_reals(alpha, levels, edges, spreads), haar(), condition(4, coarse, details)
    )
