"""A flow that writes the class of an image into a few latents, the code.

Where one network serves both, classes and density compete for its parameters. Here each has
networks of its own. The pixels are divided into three parts, which are mapped in turn, each as
others say:

    z_code = code exp(a(r)) + t(r),    z_s = s exp(b(r)) + u(r),    z_r = g(r; z_code),

    log |det dz/dx| = sum a(r) + sum b(r) + log |det dg/dr|.

r are seven of eight channels of the squeezed image; code are the first few of the other numbers,
pixels in the first rows, and s all else of these. The shift t is a classifier in all but name:
under a prior whose means differ in the code alone, t(r) goes to the mean of the class that r shows.
Networks of b, u and g get no gradient from the classes; that of a and t gets both, and so do the
first layers, which act on single pixels and channels. The map is block triangular, so that density,
class posterior and inverse are exact. A sample of class y is drawn as z_code about the mean of y, r
given z_code, and then code and s given r.

The pixels of the code add noise to t(r): nothing to classes where they are background, as in a
drawing, and are classified at the centres of their grey levels (``train.batch_density``).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flowgmm_jax.flows.bijector import Bijector, chain, entry, repeat, stateless, zero_log_det
from flowgmm_jax.flows.coupling import affine_given, channel_given
from flowgmm_jax.flows.glow import glow_step, pixels_to_reals
from flowgmm_jax.flows.nets import CodeNet, ConvNet
from flowgmm_jax.flows.ops import actnorm, squeeze

GROUPS = 8  # of channels; the first has code and s


def _divide(code: int) -> Bijector:
    """(B, H, W, C) -> a tuple of code (B, code), s (B, H W C / 8 - code), r (B, H, W, 7 C / 8).

    Raises:
      ValueError: where C is not divisible by 8, or s would be empty.
    """

    def forward(x):
        b, h, w, channels = x.shape
        size = h * w * (channels // GROUPS)
        if channels % GROUPS or code >= size:
            raise ValueError(
                f"code is {code} for a squeezed image of {h}x{w}x{channels}, expected channels "
                f"divisible by {GROUPS} and a code of less than {size} numbers"
            )
        first, r = jnp.split(x, [channels // GROUPS], axis=-1)
        first = first.reshape(b, size)
        return (first[:, :code], first[:, code:], r), zero_log_det(x)

    def inverse(parts):
        *first, r = parts
        b, h, w, channels = r.shape
        first = jnp.concatenate(first, axis=-1).reshape(b, h, w, channels // (GROUPS - 1))
        return jnp.concatenate([first, r], axis=-1), zero_log_det(r)

    return stateless(forward, inverse, "divide")


class _LastEntries(nn.Module):
    """The last outputs, position by position, of a conditioner for as many channels as r lacks."""

    features: int
    net: Callable[[int], nn.Module]

    @nn.compact
    def __call__(self, r: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, h, w, channels = r.shape
        lacking = channels // (GROUPS - 1)
        outputs = self.net(lacking)(r)
        return tuple(a.reshape(b, h * w * lacking)[:, -self.features :] for a in outputs)


def code_glow(
    levels: int,
    steps: int,
    code: int,
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

    Events (B, H, W, C) with values in [0, levels), H and W divisible by 4. Latents are the tuple
    (z_code, z_s, z_r).

    Args:
      levels: grey levels of the data.
      steps: steps of Glow; their conditioners see the code.
      code: how many numbers the code has; the means of the prior should differ in these.
      width: channels of the conditioners.
      code_width: channels of the network of the code, 2 or more.
      code_blocks: residual blocks of the network of the code.
      alpha: as of ``glow``.
      edges: as of ``glow``.
      spreads: as of ``glow``.
      bound: bound on |log_scale| of a coupling.
      dtype: precision of the hidden layers of g. The other networks have float32: code and s would
        come back with their rounding of r, which is inexact by a last bit.
      pool: whether conditioners see a mean over the whole image.
      reversible: not possible here, see ``entry``.

    Raises:
      ValueError: naming the argument, where ``reversible`` is true, ``code`` or ``code_width`` too
        small, or, from the flow's functions, ``code`` too large for the image.
    """
    if reversible:
        raise ValueError("reversible is True, expected False: steps that see a code are not")
    for name, value, least in (("code", code, 1), ("code_width", code_width, 2)):
        if value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
    net = partial(ConvNet, width=width, bound=bound, pool=pool)
    code_net = partial(CodeNet, width=code_width, blocks=code_blocks, bound=bound)

    def with_holes(r):
        lacking = jnp.zeros((*r.shape[:-1], r.shape[-1] // (GROUPS - 1)), r.dtype)
        return jnp.concatenate([lacking, r], axis=-1)

    def everywhere(z_code, r):
        return jnp.broadcast_to(z_code[:, None, None, :], (*r.shape[:-1], code))

    def glow_given(context):
        def step(i):
            return glow_step(partial(net, dtype=dtype), i, channel_given(context))

        return repeat(step, steps)

    return chain(
        pixels_to_reals(alpha, levels, edges, spreads),
        squeeze(),
        squeeze(),
        actnorm(),
        _divide(code),
        entry(1, lambda parts: parts[2], partial(affine_given, partial(_LastEntries, net=net))),
        entry(0, lambda parts: with_holes(parts[2]), partial(affine_given, code_net)),
        entry(2, lambda parts: everywhere(parts[0], parts[2]), glow_given),
    )
