"""A flow that writes the class of an image into a few latents, the code, and maps all else by it.

Where one network serves both, classes and density compete for its parameters. Here each has its
own. Of the squeezed image, an eighth of the channels, s, is mapped given the others, r, and then r
given the code, which is a few numbers of z_s:

    z_s = s exp(a(r)) + t(r),    z_r = g_code(r),    log |det dz/dx| = sum a(r) + log |det dg/dr|.

The shift of the code is a classifier in all but name: with a prior whose means differ in the code
alone, t(r) goes to the mean of the class that r shows. Both maps are triangular, so that density,
class posterior and inverse are exact. A sample of class y draws a code about the mean of y, then r
given that code, and then s given r.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.flows.bijector import Bijector, chain, condition, repeat
from flowgmm_jax.flows.coupling import Partition, affine_coupling, channel_given
from flowgmm_jax.flows.glow import glow_step, pixels_to_reals
from flowgmm_jax.flows.nets import CodeNet, ConvNet
from flowgmm_jax.flows.ops import actnorm, squeeze

GROUPS = 8  # of channels; the first is s


def _first_group(begin: int, end: int | None = None) -> Partition:
    """r is kept; of s, counted as in a flat array, the entries from ``begin`` to ``end`` change."""

    def split(x, parity):
        channels = x.shape[-1] // GROUPS
        return x[..., channels:], x[..., :channels]

    def merge(kept, changed, parity):
        return jnp.concatenate([changed, kept], axis=-1)

    def only_changed(a, parity):
        shape, size = a.shape[1:], a[0].size
        if max(begin, end or 0) > size:
            raise ValueError(
                f"code is {max(begin, end or 0)}, expected at most {size} numbers, an eighth of "
                f"those of an event"
            )
        changes = np.zeros(size, bool)
        changes[begin:end] = True
        return jnp.where(changes.reshape(shape), a, 0)

    return Partition(split, merge, only_changed)


def code_glow(
    levels: int,
    steps: int,
    code: int = 16,
    width: int = 64,
    code_width: int = 64,
    code_blocks: int = 4,
    alpha: float = 0.05,
    edges: tuple[int, ...] = (),
    spreads: tuple[float, ...] = (),
    bound: float = 2.0,
    dtype: Any = None,
    pool: bool = False,
    reversible: bool = False,
) -> Bijector:
    """The flow above, with steps of Glow for g.

    Events (B, H, W, C) with values in [0, levels), H and W divisible by 4. Latents are the pair
    (z_s, z_r); the code is the first of z_s, so that ``prior.dimensions`` should be ``code``.

    Args:
      levels: grey levels of the data.
      steps: steps of Glow; their conditioners see the code.
      code: how many numbers the code has.
      width: channels of the conditioners.
      code_width: channels of the network of the code.
      code_blocks: residual blocks of the network of the code.
      alpha: as of ``glow``.
      edges: as of ``glow``.
      spreads: as of ``glow``.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the conditioners' hidden layers.
      pool: whether conditioners see a mean over the whole image.
      reversible: not possible here, see ``condition``.

    Raises:
      ValueError: where ``reversible`` is true; from the flow's functions, for a code that is larger
        than s.
    """
    if reversible:
        raise ValueError(
            "reversible is True, expected False: steps that see a code keep activations"
        )
    net = partial(ConvNet, width=width, bound=bound, dtype=dtype, pool=pool)
    code_net = partial(CodeNet, width=code_width, blocks=code_blocks, bound=bound, dtype=dtype)

    def rest(z_s: jax.Array | None) -> Bijector:
        def step(i):
            seen = z_s.reshape(len(z_s), 1, 1, -1)[..., :code]
            seen = jnp.broadcast_to(seen, (*z_s.shape[:-1], code))
            return glow_step(net, i, channel_given(seen))

        return repeat(step, steps)

    return chain(
        pixels_to_reals(alpha, levels, edges, spreads),
        squeeze(),
        squeeze(),
        actnorm(),
        affine_coupling(net, _first_group(code)),
        affine_coupling(code_net, _first_group(0, code)),
        condition(GROUPS, chain(), rest),
    )
