"""The paper's architectures, as expressions in the algebra."""

from functools import partial
from itertools import pairwise
from typing import Any

from flowgmm_jax.flows.bijector import Bijector, chain, multiscale, repeat
from flowgmm_jax.flows.coupling import Partition, affine_coupling, channel, checkerboard, half
from flowgmm_jax.flows.nets import MLP, ResNet
from flowgmm_jax.flows.ops import actnorm, invertible_1x1, logit, squeeze
from flowgmm_jax.flows.tables import sinh_arcsinh, whiten


def image_realnvp(
    levels: int,
    widths: tuple[int, ...] = (64, 128),
    blocks: int = 8,
    alpha: float = 0.05,
    bound: float = 2.0,
    dtype: Any = None,
    reversible: bool = False,
) -> Bijector:
    """Multi-scale RealNVP (Dinh et al. 2017, section 3.6), the poster's image model.

    A scale is three checkerboard couplings, a squeeze and three channel couplings, after which half
    of the channels is factored out; the last scale is four checkerboard couplings. Events
    (B, H, W, C) with values in [0, levels), H and W divisible by 2 ** (len(widths) - 1).

    Args:
      levels: grey levels of the data.
      widths: channels of the ResNets at each resolution, one for each scale. The published networks
        are (64, 128) with 8 blocks (19.6 M parameters) and (64, 64, 64) with 4 (5.1 M).
      blocks: residual blocks of a ResNet.
      alpha: contraction of the logit.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the ResNets' hidden layers.
      reversible: backpropagation in memory that does not grow with the couplings of a resolution,
        see ``repeat``.
    """

    def couplings(partition: Partition, width: int, n: int) -> Bijector:
        net = partial(ResNet, width=width, blocks=blocks, bound=bound, dtype=dtype)
        return repeat(lambda i: affine_coupling(net, partition, i % 2), n, reversible)

    stages = [
        chain(couplings(checkerboard, width, 3), squeeze(), couplings(channel, next_width, 3))
        for width, next_width in pairwise(widths)
    ]
    return chain(logit(alpha, levels), multiscale(*stages, couplings(checkerboard, widths[-1], 4)))


def vector_realnvp(
    steps: int = 6,
    hidden: tuple[int, ...] = (512,),
    bound: float = 2.0,
    dtype: Any = None,
    reversible: bool = False,
) -> Bijector:
    """RealNVP for vectors (B, D), D >= 2: couplings of alternating halves with MLPs.

    An actnorm in front standardises the data. ``reversible``: see ``repeat``.
    """
    net = partial(MLP, hidden=hidden, bound=bound, dtype=dtype)
    return chain(actnorm(), repeat(lambda i: affine_coupling(net, half, i % 2), steps, reversible))


def table_realnvp(
    steps: int = 4,
    hidden: tuple[int, ...] = (64,),
    bound: float = 1.0,
    dtype: Any = None,
    reversible: bool = False,
) -> Bijector:
    """RealNVP for tables (B, D) of standardised columns: it starts as a linear map, which whitens.

    Tail and skew of each column, a linear map of all, then rotations and couplings, which are the
    identity at first. With a mixture of K components a flow that stays linear is a mixture of
    Gaussians of one covariance, whose classes are divided by planes. ``reversible``: see
    ``repeat``.
    """
    net = partial(MLP, hidden=hidden, bound=bound, dtype=dtype)

    def step(i):
        return chain(invertible_1x1(), affine_coupling(net, half, i % 2))

    return chain(sinh_arcsinh(), whiten(), repeat(step, steps, reversible))
